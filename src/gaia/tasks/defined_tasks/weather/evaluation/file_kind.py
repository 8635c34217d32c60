"""What a file is by its first bytes, whatever it is called."""

from __future__ import annotations

from pathlib import Path

from gaia.tasks.defined_tasks.weather.evaluation.errors import BadRequest
from gaia.tasks.defined_tasks.weather.sources.errors import StoreMissing
from gaia.tasks.defined_tasks.weather.sources.regular_file import open_regular


def is_grib(path: Path) -> bool:
    """Whether `path` is a GRIB file. Raises StoreMissing for one that cannot be read, BadRequest for an empty one."""
    if path.is_dir():
        return False
    try:
        with open_regular(path) as file:
            first = file.read(4)
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from None
    if not first:
        raise BadRequest(f"{path} is empty: it has no bytes")
    return first == b"GRIB"
