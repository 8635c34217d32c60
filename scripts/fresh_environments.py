"""Real installations into empty environments: the long form of `check_setup.py`.

From a clean clone of what is committed. On every Python that is given: the locks, by every pip that runs on it and by
uv, without `--no-deps`, so that the installer may look for what it misses; and `make demo`. On the first Python: the
package without any lock. The base scores, with pyarrow into Parquet, and says what the demo needs; `[validator]` and
`uv tool install` play it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from installers import SetupFailed, find_uv, pips_for, run
from lock_file import ROOT, RUNNING, TESTING

_VERSION = "import sys; print(*sys.version_info[:2])"
_PIP = ("-m", "pip", "--disable-pip-version-check")
_WHEELS = ("--only-binary", ":all:", "--require-hashes")
_LACKS = "which is not installed: pip install 'gaia-validator[validator]'"
_SMALL_FILES = """
import sys, numpy as np, xarray as xr
at = {"latitude": np.linspace(90.0, -90.0, 7), "longitude": np.arange(12) * 30.0}
start, lead, size = np.datetime64("2020-01-01T00", "ns"), np.timedelta64(24, "h").astype("m8[ns]"), (1, 7, 12)
kelvin = np.random.default_rng(1).normal(280.0, 10.0, size).astype("f4")
an = xr.Dataset({"2m_temperature": (("time", *at), kelvin)}, {"time": [start + lead], **at})
fc = xr.Dataset({"2m_temperature": (("time", "prediction_timedelta", *at), kelvin[None] + np.float32(2.0))},
                {"time": [start], "prediction_timedelta": [lead], **at})
an.to_netcdf(sys.argv[1])
fc.to_netcdf(sys.argv[2])
"""
"""A forecast that is 2 K too warm everywhere, and its truth."""

_ONE_ROW = "import sys, pyarrow.parquet as p; (row,) = p.read_table(sys.argv[1]).to_pylist(); assert row['bias'] > 1.99"

Check = tuple[str, Callable[[Path], None]]
"""What it shows, and how, in an empty folder."""


def check_everywhere(folder: Path, pythons: Sequence[str]) -> bool:
    """Run every check and print what came of it. Returns whether all passed."""
    clone = folder / "gaia"
    run("git", "clone", "--quiet", ROOT, clone)
    uv = find_uv(_venv(pythons[0], folder / "tools"))
    checks = [check for python in pythons for check in _of_locks(python, clone, uv)]
    checks += _of_extras(pythons[0], clone, uv)
    passed = [_passes(check, folder / f"check-{number}") for number, check in enumerate(checks)]
    return all(passed)


def _passes(check: Check, place: Path) -> bool:
    what, act = check
    started = time.monotonic()
    try:
        act(place)
    except SetupFailed as error:
        print(f"FAILED  {what}\n{error}", flush=True)
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)  # an environment is more than a gigabyte
    print(f"passed  {what}, {time.monotonic() - started:.0f} s", flush=True)
    return True


def _of_locks(python: str, clone: Path, uv: str) -> Iterator[Check]:
    major, minor = map(int, run(python, "-c", _VERSION).split())
    for pip in pips_for((major, minor)):
        yield f"Python {major}.{minor}, {pip}: both locks", partial(_locks_by_pip, python, pip, clone)
    yield f"Python {major}.{minor}, uv: both locks", partial(_locks_by_uv, python, uv, clone)
    yield f"Python {major}.{minor}, its own pip: make demo", partial(_make_demo, python, clone)


def _of_extras(python: str, clone: Path, uv: str) -> Iterator[Check]:
    yield "the base scores, and says what the demo needs", partial(_base, python, clone)
    yield "[validator] plays the demo", partial(_validator, python, clone)
    yield "uv tool install plays the demo", partial(_tool, python, uv, clone)


def _locks_by_pip(python: str, pip: str, clone: Path, place: Path) -> None:
    own = _venv(python, place) / "bin/python"
    run(own, *_PIP, "install", "--quiet", "--upgrade", pip)
    for lock in (RUNNING, TESTING):
        run(own, *_PIP, "install", "--quiet", *_WHEELS, "-r", clone / lock.name)
        run(own, *_PIP, "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", clone)
        run(own, *_PIP, "check")
        run(place / "bin/gaia", "--version")


def _locks_by_uv(python: str, uv: str, clone: Path, place: Path) -> None:
    run(uv, "venv", "--quiet", "--python", python, place)
    to = ("--quiet", "--python", place / "bin/python")
    for lock in (RUNNING, TESTING):
        run(uv, "pip", "install", *to, *_WHEELS, "-r", clone / lock.name)
        run(uv, "pip", "install", *to, "--no-deps", "--no-build-isolation", "-e", clone)
        run(uv, "pip", "check", *to)
        run(place / "bin/gaia", "--version")


def _make_demo(python: str, clone: Path, place: Path) -> None:
    """As somebody who has git, make and this Python alone."""
    run("git", "clone", "--quiet", clone, place)
    run("make", "-C", place, "demo", f"PYTHON={python}", "UV=")


def _base(python: str, clone: Path, place: Path) -> None:
    own = _venv(python, place)
    run(own / "bin/python", *_PIP, "install", "--quiet", clone)
    if "demo" not in run(own / "bin/gaia", "--help"):
        raise SetupFailed("gaia --help does not list gaia demo")
    run(own / "bin/python", "-c", _SMALL_FILES, place / "an.nc", place / "fc.nc")
    table = run(own / "bin/gaia", "score", place / "fc.nc", place / "an.nc")
    if table.splitlines()[-1].split()[:5] != ["2t", "K", "24", "h", "1"] or " 2 " not in table:
        raise SetupFailed(f"gaia score does not find 2 K:\n{table}")
    run(own / "bin/python", *_PIP, "install", "--quiet", "pyarrow")
    run(own / "bin/gaia", "score", place / "fc.nc", place / "an.nc", "--parquet", place / "scores.parquet")
    run(own / "bin/python", "-c", _ONE_ROW, place / "scores.parquet")
    told = run(own / "bin/gaia", "demo", expect=2)
    if not told.startswith("gaia: gaia demo needs ") or not told.endswith(f", {_LACKS}\n") or told.count("\n") != 1:
        raise SetupFailed(f"gaia demo says without [validator]:\n{told}")


def _validator(python: str, clone: Path, place: Path) -> None:
    own = _venv(python, place)
    run(own / "bin/python", *_PIP, "install", "--quiet", f"{clone}[validator]")
    run(own / "bin/gaia", "demo")


def _tool(python: str, uv: str, clone: Path, place: Path) -> None:
    kept = (f"UV_TOOL_DIR={place}/tools", f"UV_TOOL_BIN_DIR={place}/bin")
    run("env", *kept, uv, "tool", "install", "--quiet", "--python", python, f"{clone}[validator]")
    run(place / "bin/gaia", "demo")


def _venv(python: str, place: Path) -> Path:
    run(python, "-m", "venv", place)
    return place


def found_pythons() -> list[str]:
    """The first of each release from 3.11 on that the PATH has and that starts, oldest first."""
    candidates = [Path(folder, f"python3.{minor}") for minor in range(11, 20) for folder in os.get_exec_path()]
    found: dict[str, str] = {}
    for python in candidates:
        if python.name not in found and python.exists() and _starts(python):
            found[python.name] = str(python)
    return list(found.values())


def _starts(python: Path) -> bool:
    try:
        run(python, "-c", "import ensurepip, venv")
    except SetupFailed:
        return False
    return True
