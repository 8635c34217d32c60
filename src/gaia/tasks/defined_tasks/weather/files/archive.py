"""An archive: a folder of flat stores, one for each instant. This file fixes where in it a store lies. No numpy.

<archive>/archive.json
<archive>/truth/<valid, 20170101T00Z>/             one flat store for each valid time
<archive>/reference/<init, 20170101T00Z>/<lead, 012h>/
<archive>/climatology/<0101T00Z>/
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from gaia.tasks.defined_tasks.weather.files.errors import BadSource

ARCHIVE_HEADER = "archive.json"


class SourceRole(StrEnum):
    """What data are used for."""

    TRUTH = "truth"  # what the weather did: ERA5
    ANALYSIS = "analysis"  # the same for the day-1 score, sooner: the GFS analysis; read from the truth source
    REFERENCE = "reference"  # the operational forecast of the same init_time
    CLIMATOLOGY = "climatology"  # what is usual at that time of the year


def time_name(instant: datetime) -> str:
    """An instant as a folder's name.

    >>> time_name(datetime(2017, 1, 1, 12, tzinfo=UTC))
    '20170101T12Z'
    """
    return f"{instant.astimezone(UTC):%Y%m%dT%H}Z"


def archive_store(
    archive: str | Path,
    role: SourceRole,
    *,
    valid_time: datetime,
    init_time: datetime | None = None,
    lead_h: int | None = None,
) -> Path:
    """Where in an archive a role's flat store lies. A reference needs init_time and lead_h."""
    root = Path(archive)
    match role:
        case SourceRole.TRUTH | SourceRole.ANALYSIS:
            return root / "truth" / time_name(valid_time)
        case SourceRole.REFERENCE:
            if init_time is None or lead_h is None:
                raise BadSource("a reference forecast is named by its init_time and lead_h")
            return root / "reference" / time_name(init_time) / f"{lead_h:03d}h"
        case SourceRole.CLIMATOLOGY:
            return root / "climatology" / f"{valid_time.astimezone(UTC):%m%dT%H}Z"
        case _:
            assert_never(role)
