"""What a file is by its first bytes, whatever it is called."""

from __future__ import annotations

from pathlib import Path

from gaia.tasks.defined_tasks.weather.files.errors import BadRequest, StoreMissing
from gaia.tasks.defined_tasks.weather.files.safe_open import open_regular


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
