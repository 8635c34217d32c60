"""The corridor of a run: its job kinds in order, and who puts whom into the line.

    open_run -> request_forecasts ---+
            \\-> collect_commitments -+-> freeze (each miner) -> verify -> score_day1, score_era5 (each lead)
                                              all that is due is scored -> combine -> validator.set_weights
                                                                                  \\-> picture

A job that dies without giving up on its miner is settled by release_run, so that no run waits for ever.

Keys make every job unique, so that putting one twice, after a crash or from two sides, does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from gaia.contracts.job import NewJob
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run


class Kind(StrEnum):
    """Job kinds of the weather task."""

    OPEN_RUN = "weather.open_run"
    REQUEST = "weather.request_forecasts"
    COLLECT = "weather.collect_commitments"
    FREEZE = "weather.freeze"
    VERIFY = "weather.verify"
    SCORE_DAY1 = "weather.score_day1"
    SCORE_ERA5 = "weather.score_era5"
    COMBINE = "weather.combine"
    PICTURE = "weather.picture"
    RELEASE = "weather.release_run"


_PRIORITY: Mapping[Kind, int] = MappingProxyType(
    {Kind.OPEN_RUN: 3, Kind.COLLECT: 3, Kind.REQUEST: 3, Kind.FREEZE: 2, Kind.COMBINE: 1}
)
"""What has a deadline goes before a backlog of thousands of score jobs, behind which miners would be asked too late."""

_MAX_ATTEMPTS = 12
"""With the queue's back-off over an hour, in which a full disk or a broken line, ours or a miner's, can be mended."""


def run_job(kind: Kind, run_id: str, *, run_at: datetime | None = None, suffix: str = "") -> NewJob:
    """A job about a whole run."""
    return _job(kind, f"{kind}:{run_id}{suffix}", {"run_id": run_id}, run_at)


def miner_job(
    kind: Kind, run_id: str, hotkey: str, *, lead_h: int | None = None, run_at: datetime | None = None
) -> NewJob:
    """A job about one miner's forecast, or one lead of it."""
    payload: dict[str, str | int] = {"run_id": run_id, "hotkey": hotkey}
    key = f"{kind}:{run_id}:{hotkey}"
    if lead_h is not None:
        payload["lead_h"] = lead_h
        key = f"{key}:{lead_h}"
    return _job(kind, key, payload, run_at)


def score_jobs(run: Run, hotkey: str, due_at: dict[int, datetime]) -> Iterable[NewJob]:
    """The scoring of one verified forecast: `due_at` says when, on the wall clock, each lead's truth exists."""
    if run.spec.gate_lead_h is not None:
        yield miner_job(Kind.SCORE_DAY1, run.run_id, hotkey, run_at=due_at[run.spec.gate_lead_h])
    for lead_h in run.spec.scored_lead_h:
        yield miner_job(Kind.SCORE_ERA5, run.run_id, hotkey, lead_h=lead_h, run_at=due_at[lead_h])


def _job(kind: Kind, key: str, payload: Mapping[str, str | int], run_at: datetime | None) -> NewJob:
    return NewJob(
        kind=kind,
        key=key,
        payload=payload,
        priority=_PRIORITY.get(kind, 0),
        run_at=run_at,
        max_attempts=_MAX_ATTEMPTS,
    )
