"""What a task shows of its runs: to `gaia runs`, `leaderboard` and `explain`. Shapes of data, and who makes them.

Read-only, from the stored rows alone: the views need no settings and no running validator.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection, NewJob
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.tasks.defined_tasks.checks import Check

_PUBLISHED_DECIMALS = 6


class RunUnknown(ValidatorFault):
    """There is no run with this id, or no such miner in it."""


class RunSummary(Struct, frozen=True, kw_only=True):
    """One run in a list of runs."""

    run_id: RunId
    init_time: datetime
    state: str
    opened_at: datetime
    commit_deadline: datetime
    miners: int
    scored: int
    void_reason: str | None


class Standing(Struct, frozen=True, kw_only=True):
    """One miner in a run."""

    rank: int
    hotkey: Hotkey
    uid: int
    score: float | None
    status: str
    """How far it has come, in the task's own words."""
    reason_code: str | None
    reason: str | None


class Pay(Struct, frozen=True, kw_only=True):
    """A miner's pay: score^sharpness divided by the sum of all, times the task's share, plus the pay of other tasks."""

    sharpness: float
    miners: int
    """How many miners took part, with a known or an unknown score."""
    better: int
    """How many miners have a higher score."""
    powered: float | None
    """score^sharpness, where the quantile replaces an unknown score. None if no weights can be set."""
    powered_sum: float | None
    """The sum of these over all miners that were on the chain."""
    weight_in_task: float | None
    """The quotient of the two. None if no weights can be set, because no score is above zero."""
    share: float
    """The task's share of the emission when the weights were set. 1 if it is the only task."""
    from_other_tasks: float
    """The miner's share of the emission from other tasks, in the same weights."""
    weight_recomputed: float | None
    """The miner's share of the whole emission."""
    weight_stored: float | None
    """The submitted share. None: no weights were set after this run, or the miner was not on the chain then."""
    submitted_at: datetime | None
    read_back_at: datetime | None
    alarm: str | None
    not_comparable: str | None
    """Why the stored weight may differ from the recomputed one."""


class Account(Struct, frozen=True, kw_only=True):
    """Why a miner has its score in a run. A task's own account adds what it has to say."""

    hotkey: Hotkey
    checks: tuple[Check, ...]
    paid_from: datetime | None
    """When the scores were made that the pay follows from; None: no pay follows from this run."""


A = TypeVar("A", bound=Account)


class TaskViews(Protocol[A]):
    """One task's. Whatever asks for a run or a miner that is not there raises a GaiaError that says so."""

    def open_job(self, run_id: RunId) -> NewJob:
        """The job that opens a run by hand."""
        ...

    async def has_run(self, conn: Connection, run_id: str) -> bool:
        """Whether a run has been opened."""
        ...

    async def runs(self, conn: Connection, limit: int) -> Sequence[RunSummary]:
        """The latest runs, newest first."""
        ...

    async def standings(self, conn: Connection, run_id: str) -> Sequence[Standing]:
        """Everybody in a run, best first, those without a score last; scores as they are `published`."""
        ...

    async def scores(self, conn: Connection, run_id: str) -> Sequence[MinerScore]:
        """The scores that the pay follows from, unrounded."""
        ...

    async def explain(self, conn: Connection, run_id: str, miner: str) -> A:
        """Why a miner, its hotkey or uid given, has its score."""
        ...

    def lines(self, account: A, pay: Pay | None, differing: Sequence[Check], lead_h: int | None) -> list[str]:
        """The same as people read it; with a lead, that one in full."""
        ...


def published(value: float | None) -> float | None:
    """A score, a weight or a metric as everybody is told it: further digits may differ from machine to machine, and
    say nothing.

    >>> published(2 / 3)
    0.666667
    """
    return None if value is None else round(value, _PUBLISHED_DECIMALS)
