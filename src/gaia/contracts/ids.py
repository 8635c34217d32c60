"""The names by which processes and machines identify miners and runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple, NewType

from gaia.contracts.errors import ValidatorFault

Hotkey = NewType("Hotkey", str)
"""The ss58 address of a miner or validator. The chain reuses uids, so a history belongs to the hotkey."""

RunId = NewType("RunId", str)
"""The name of a run of a task. It is the same for every validator of a subnet."""

TASK_NAME = re.compile(r"[a-z][a-z0-9_]{0,15}", re.ASCII)
"""The form of a task's name. Run ids and paths contain it, and the names of jobs and handlers begin with it."""

_RUN_ID = re.compile(rf"sn(\d{{1,5}})-({TASK_NAME.pattern})-(\d{{8}}T\d{{2}})Z", re.ASCII)


class MalformedRunId(ValidatorFault):
    """A text is not the name of a run."""


class RunName(NamedTuple):
    """The parts of a run id."""

    netuid: int
    task: str
    init_time: datetime


def run_id_for(netuid: int, task: str, init_time: datetime) -> RunId:
    """The id of the run of a task on subnet `netuid` that starts from `init_time`.

    Args:
        netuid: The subnet.
        task: The task's name.
        init_time: A whole hour UTC, timezone-aware.

    Raises:
        MalformedRunId: `task` is not a name, or `init_time` is naive or not a whole hour (validator's fault).

    >>> run_id_for(57, "weather", datetime(2017, 1, 1, tzinfo=UTC))
    'sn57-weather-20170101T00Z'
    """
    if not TASK_NAME.fullmatch(task):
        raise MalformedRunId(f"not a task's name: {task[:40]!r}; expected up to 16 of a-z, 0-9 and _, a letter first")
    if init_time.utcoffset() is None or init_time.astimezone(UTC).minute or init_time.second or init_time.microsecond:
        raise MalformedRunId(f"init_time must be a whole UTC hour, got {init_time.isoformat()}")
    return RunId(f"sn{netuid}-{task}-{init_time.astimezone(UTC):%Y%m%dT%H}Z")


def parse_run_id(text: str) -> RunName:
    """The parts of a run id.

    Raises:
        MalformedRunId: The text is not a run id (validator's fault).

    >>> parse_run_id("sn57-weather-20170101T00Z").task
    'weather'
    """
    malformed = MalformedRunId(f"not a run id: {text[:40]!r}; expected one like sn57-weather-20170101T00Z")
    match = _RUN_ID.fullmatch(text)
    if match is None:
        raise malformed
    try:
        init_time = datetime.strptime(match[3], "%Y%m%dT%H").replace(tzinfo=UTC)
    except ValueError:  # a day or an hour that does not exist
        raise malformed from None
    return RunName(int(match[1]), match[2], init_time)
