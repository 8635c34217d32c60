"""The names by which processes and machines identify miners and runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NewType

from gaia.contracts.errors import ValidatorFault

Hotkey = NewType("Hotkey", str)
"""The ss58 address of a miner or validator. The chain reuses uids, so a history belongs to the hotkey."""

RunId = NewType("RunId", str)
"""The name of a forecast run. It is the same for every validator of a subnet."""

_RUN_ID = re.compile(r"sn(\d{1,5})-(\d{8}T\d{2})Z", re.ASCII)


class MalformedRunId(ValidatorFault):
    """A text is not the name of a run."""


def run_id_for(netuid: int, init_time: datetime) -> RunId:
    """The id of the run of subnet `netuid` that starts from `init_time`.

    Args:
        netuid: The subnet.
        init_time: A whole hour UTC, timezone-aware.

    Raises:
        MalformedRunId: `init_time` is naive or not a whole hour (validator's fault).

    >>> run_id_for(57, datetime(2017, 1, 1, tzinfo=UTC))
    'sn57-20170101T00Z'
    """
    if init_time.utcoffset() is None or init_time.astimezone(UTC).minute or init_time.second or init_time.microsecond:
        raise MalformedRunId(f"init_time must be a whole UTC hour, got {init_time.isoformat()}")
    return RunId(f"sn{netuid}-{init_time.astimezone(UTC):%Y%m%dT%H}Z")


def parse_run_id(text: str) -> tuple[int, datetime]:
    """The subnet and the initial time of a run id.

    Raises:
        MalformedRunId: The text is not a run id (validator's fault).

    >>> parse_run_id("sn57-20170101T00Z")
    (57, datetime.datetime(2017, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))
    """
    malformed = MalformedRunId(f"not a run id: {text[:40]!r}; expected one like sn57-20170101T00Z")
    match = _RUN_ID.fullmatch(text)
    if match is None:
        raise malformed
    try:
        return int(match[1]), datetime.strptime(match[2], "%Y%m%dT%H").replace(tzinfo=UTC)
    except ValueError:  # a day or an hour that does not exist
        raise malformed from None
