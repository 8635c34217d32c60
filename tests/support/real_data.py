"""Where the real weather data for tests lie: beside the repository, never in it."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_DATA: Path = Path(__file__).resolve().parents[2].parent / "shared" / "data"
"""The folder that holds MANIFEST.md, era5/, gfs/, climatology/ ..."""

ERA5_GRIB: Path = REAL_DATA / "era5" / "era5-eda-zt-500-850-3deg-20170101T00_20170102T12.grib"
CLIMATOLOGY: Path = REAL_DATA / "climatology" / "eraint_uvz_jan_jul_0p75.nc"
GFS_GRIB: Path = REAL_DATA / "gfs" / "gfs.20111008_t00z.f072.2p5deg.grib2"

needs_real_data = pytest.mark.skipif(
    not (REAL_DATA / "MANIFEST.md").exists(), reason=f"real weather data are not at {REAL_DATA}"
)
"""Marks a test, or as `pytestmark` a module, that reads them: it skips, saying why, where they are absent."""
