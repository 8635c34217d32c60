"""Runs one forecast in a child process, and never runs numerics in the server's own process.

It is a process and not a thread, because a model may hold the interpreter lock for seconds (as when it loads a neural
network), crash in native code, or use gigabytes. None of this may delay or stop the server, whose commitment has a
deadline. Between two runs, which are a day apart, the process does not exist and costs nothing. It can be killed at any
point.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from gaia.contracts.decoding import UNDECODABLE
from gaia.contracts.unit import UnitError
from gaia.miner.forecasting.forecast_job import JOB_NAME, RESULT_NAME, ForecastJob, ForecastResult, write_atomically

EXIT_TIMEOUT_S = 10.0
"""How long the kernel may take to remove a killed process."""
_RESULT_LIMIT_BYTES = 64 << 20


async def compute(job: ForecastJob, folder: Path, timeout_s: float) -> ForecastResult:
    """Run `job` in an empty `folder`. Always returns a result, which may be an error, and leaves no child process."""
    await asyncio.to_thread(_prepare, job, folder)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gaia.miner.forecasting.forecast_child",
        str(folder),
        str(os.getpid()),
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(timeout_s):
            returncode = await child.wait()
    except TimeoutError:
        return _failed(
            "forecast_too_slow",
            f"no forecast within {timeout_s:.0f} s: use a smaller model or a faster machine",
        )
    finally:
        await _end(child)
    return _result_of(folder, returncode)


def _prepare(job: ForecastJob, folder: Path) -> None:
    folder.mkdir(parents=True)
    write_atomically(folder / JOB_NAME, msgspec.json.encode(job))


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
        async with asyncio.timeout(EXIT_TIMEOUT_S):
            await child.wait()


def _result_of(folder: Path, returncode: int) -> ForecastResult:
    path = folder / RESULT_NAME
    try:
        if path.stat().st_size <= _RESULT_LIMIT_BYTES:
            return msgspec.json.decode(path.read_bytes(), type=ForecastResult)
    except (OSError, *UNDECODABLE):
        pass  # it ended before its result was complete; the exit status says more
    how = f"signal {signal.Signals(-returncode).name}" if returncode < 0 else f"status {returncode}"
    return _failed("forecast_process_died", f"the forecast process ended with {how} and no result; its output says why")


def _failed(code: str, message: str) -> ForecastResult:
    return ForecastResult(error=UnitError(code=code, message=message))
