"""What came of the runs of a window, as the database knows it: the input of `scoring.window.window_scores`.

Owns who counts in which run and at which lead. The combination reads it as it is; `gaia explain` as it was when the run
was combined. Never judges a forecast: who is out, and by whose fault, is written down already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy
from gaia.tasks.defined_tasks.weather.policy.window import RunOutcome, Zeroed
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    failed_after,
    load_miners,
    load_window,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_lead_scores
from gaia.tasks.defined_tasks.weather.validator.steps.compare_forecasts import CLONE_OF_MINER, CLONE_OF_REFERENCE
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import leads_due_at

GATE_FAILED = "day1_gate_failed"

_RUNS_ON_THE_WAY = 16
"""So many daily runs are open at once: the longest lead, 10 days, and ERA5's 5 days behind. Each lead has its own
window.
"""
_DELIVERED_CODES = (GATE_FAILED, CLONE_OF_REFERENCE, CLONE_OF_MINER)
"""Zeros of miners who did deliver: they do not make a run void."""


async def load_outcomes(
    conn: Connection, run: Run, policy: ScoringPolicy, *, now: datetime, known_by: datetime | None = None
) -> Sequence[RunOutcome]:
    """This run and those before it that may count, newest first.

    `now` on the wall clock decides which leads are due. `known_by` leaves out what was written later.
    """
    registered = {m.hotkey: m.registered_block for m in await load_miners(conn, run.run_id)}
    before = await load_window(conn, run, policy.window.runs + _RUNS_ON_THE_WAY)
    runs = [run, *(each for each in before if known_by is None or each.opened_at <= known_by)]
    return [await _outcome(conn, each, registered, now, known_by) for each in runs]


async def _outcome(
    conn: Connection, run: Run, registered: Mapping[Hotkey, int], now: datetime, known_by: datetime | None
) -> RunOutcome:
    """One run as the window sees it. A hotkey that has registered anew since starts with a clean sheet."""
    everybody = await load_miners(conn, run.run_id)
    miners = [m for m in everybody if registered.get(m.hotkey, m.registered_block) == m.registered_block]
    still_in = await failed_after(conn, run.run_id, known_by) if known_by else frozenset()
    out = [m for m in miners if m.state is MinerState.FAILED and m.hotkey not in still_in]
    due = leads_due_at(run, now)
    # A due lead without a score waits for us or for a source: whose own fault it is, is zeroed already.
    scores: dict[Hotkey, dict[int, float | None]] = {m.hotkey: dict.fromkeys(due) for m in miners}
    for row in await load_lead_scores(conn, [run.run_id], known_by=known_by):
        scores.setdefault(row.hotkey, {})[row.lead_h] = row.lead_score
    lost_by_us = {m.hotkey for m in out if m.fault is not Fault.MINER}
    return RunOutcome(
        run_id=run.run_id,
        asked=frozenset(m.hotkey for m in miners) - lost_by_us,
        due_lead_h=frozenset(due),
        lead_scores=scores,
        zeroed=_zeroed(out),
    )


def _zeroed(out: Sequence[RunMiner]) -> Mapping[Hotkey, Zeroed]:
    return {
        miner.hotkey: Zeroed(
            reason_code=miner.reason_code,
            reason=miner.reason or "",
            delivered=miner.reason_code in _DELIVERED_CODES,
        )
        for miner in out
        if miner.fault is Fault.MINER and miner.reason_code
    }
