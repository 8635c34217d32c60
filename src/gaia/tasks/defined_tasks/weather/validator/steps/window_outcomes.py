"""Loads the outcomes of a window's runs from the database: the input of `policy.window.window_scores`.

Owns the rule which miners count in which run and at which lead. Combining uses the present state; `gaia explain` uses
the state at the time when the run was combined. Never judges a forecast: the database says who failed, and by whose
fault.
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
"""How many daily runs are open at once: the longest lead is 10 days, and ERA5 comes 5 days later. They are loaded in
addition to the window's runs, because each lead has its own window."""
_DELIVERED_CODES = (GATE_FAILED, CLONE_OF_REFERENCE, CLONE_OF_MINER)
"""The codes of miners who did deliver a forecast. They do not make a run void."""


async def load_outcomes(
    conn: Connection, run: Run, policy: ScoringPolicy, *, now: datetime, known_by: datetime | None = None
) -> Sequence[RunOutcome]:
    """The outcomes of this run and of the earlier runs that may count, newest first.

    `now`, a time of the wall clock, decides which leads are due. `known_by` leaves out results that were written later.
    """
    registered = {m.hotkey: m.registered_block for m in await load_miners(conn, run.run_id)}
    before = await load_window(conn, run, policy.window.runs + _RUNS_ON_THE_WAY)
    runs = [run, *(each for each in before if known_by is None or each.opened_at <= known_by)]
    return [await _outcome(conn, each, registered, now, known_by) for each in runs]


async def _outcome(
    conn: Connection, run: Run, registered: Mapping[Hotkey, int], now: datetime, known_by: datetime | None
) -> RunOutcome:
    """The outcome of one run. A hotkey that has registered again since then starts without a history."""
    everybody = await load_miners(conn, run.run_id)
    miners = [m for m in everybody if registered.get(m.hotkey, m.registered_block) == m.registered_block]
    still_in = await failed_after(conn, run.run_id, known_by) if known_by else frozenset()
    out = [m for m in miners if m.state is MinerState.FAILED and m.hotkey not in still_in]
    due = leads_due_at(run, now)
    # A due lead without a score waits for us or for a source. If it were the miner's fault, the miner would be zeroed.
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
