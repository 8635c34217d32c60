"""From the lead scores of several runs to one score per hotkey. Pure: plain structs in, plain structs out.

Owns the rules of design section 6, "Window". Never asks a database or a clock, and never reads "no data" as
zero. Imports no numpy: the IO-Engine calls it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy, WindowPolicy


class Zeroed(Struct, frozen=True, kw_only=True):
    """Why a miner's whole run counts zero."""

    reason_code: str
    reason: str
    delivered: bool = False
    """A forecast came, but is a clone or failed the gate: such a miner did not *fail* for the void rule."""


class RunOutcome(Struct, frozen=True, kw_only=True):
    """What came of one run."""

    run_id: RunId
    asked: frozenset[Hotkey]
    """Everybody in the run's snapshot, less those whose result is missing by our fault or a source's."""
    due_lead_h: frozenset[int]
    """Leads that could be scored by now. One of them without an entry in `lead_scores` counts zero."""
    lead_scores: Mapping[Hotkey, Mapping[int, float | None]]
    """Hotkey -> lead -> score; None: not known yet, by no fault of the miner."""
    zeroed: Mapping[Hotkey, Zeroed] = {}
    """Those whose run is zero, for all leads and at once."""


class LeadStanding(Struct, frozen=True, kw_only=True):
    """How a hotkey stands at one lead."""

    lead_h: int
    score: float
    run_count: int
    """How many runs that is averaged over; 0: nothing is known, and the score is the unknown's quantile."""


class HotkeyScore(Struct, frozen=True, kw_only=True):
    """One hotkey's score over the window, 0 to 1. None: nothing is known. A zero always has a reason."""

    score: float | None
    reason_code: str | None = None
    reason: str | None = None
    leads: tuple[LeadStanding, ...] = ()


def is_void(run: RunOutcome, policy: ScoringPolicy) -> bool:
    """Whether so many miners failed that the fault is taken to be ours: the run then counts for nobody."""
    failed = sum(1 for hotkey in run.asked if hotkey in run.zeroed and not run.zeroed[hotkey].delivered)
    return failed > policy.window.void_failed_share * len(run.asked)


def window_scores(runs: Sequence[RunOutcome], policy: ScoringPolicy) -> dict[Hotkey, HotkeyScore]:
    """Every hotkey that any of `runs` asked, with its score. `runs`: newest first.

    Per lead and hotkey: the mean score over its latest (10) runs in which that lead is due. Who is known in every one
    of the latest runs has just that, whatever the others do: to leave something out takes exactly it from the miner,
    and nothing from anybody else. Who was not asked in one of them, or is unknown there by our fault, has the sum of
    its scores by the sum of its runs' eases, at most 1: it neither gains nor loses by having been there on easy days.
    A quotient, so that zero stays zero. A lead of which nothing is known stands at the 25th percentile of those with
    a score above zero there.
    """
    counted = [run for run in runs if not is_void(run, policy)]
    hotkeys = sorted({hotkey for run in runs for hotkey in run.asked})
    leads = sorted({lead for run in counted for lead in run.due_lead_h})
    known = {lead: _known_at(lead, counted, hotkeys, policy.window) for lead in leads}
    unknown = {lead: _quantile([s.score for s in known[lead].values()], policy) for lead in leads}
    return {hotkey: _combine(hotkey, counted, known, unknown, policy) for hotkey in hotkeys}


def _known_at(
    lead_h: int, runs: Sequence[RunOutcome], hotkeys: Sequence[Hotkey], window: WindowPolicy
) -> dict[Hotkey, LeadStanding]:
    """The standings at one lead of all of whom something is known there."""
    due = [run for run in runs if lead_h in run.due_lead_h]
    ahead = [run for run in runs if lead_h not in run.due_lead_h]
    scores = {hotkey: _scores_of(hotkey, lead_h, due) for hotkey in hotkeys}
    ease = _ease(due, scores, window)
    standings = {}
    for hotkey in hotkeys:
        counted = dict(list(scores[hotkey].items())[: window.runs])
        # Who was put out of a run has a zero there at once; until the lead is due it pushes no older score out.
        zeros = sum(1 for run in ahead if hotkey in run.asked and hotkey in run.zeroed)
        if counted or zeros:
            is_whole = list(counted) == [run.run_id for run in due[: window.runs]]
            eases = float(len(counted)) if is_whole else sum(ease[run_id] for run_id in counted)
            mean = min(sum(counted.values()) / (eases + zeros), 1.0)
            standings[hotkey] = LeadStanding(lead_h=lead_h, score=mean, run_count=len(counted) + zeros)
    return standings


def _ease(
    due: Sequence[RunOutcome], scores: Mapping[Hotkey, Mapping[RunId, float]], window: WindowPolicy
) -> dict[RunId, float]:
    """How easy each run in which a lead is due was, by the latest runs' mean; all 1 if too few can say.

    That say those who are known in all of the latest runs, so that comers and goers make no run hard or easy: the mean
    of the best quarter of their scores there. Who was put out counts with its zero, so that nobody can make a run look
    easier by leaving it out than by doing badly in it; the best quarter, and a limit, so that an outage of many makes
    no run hard.
    """
    latest = [run.run_id for run in due[: window.runs]]
    judges = [known for known in scores.values() if latest and all(run_id in known for run_id in latest)]
    if len(judges) < window.ease_judges:
        judges = []
    best = math.ceil(window.ease_share * len(judges))
    heights = {run_id: math.fsum(sorted((known[run_id] for known in judges), reverse=True)[:best]) for run_id in latest}
    usual = math.fsum(heights.values()) / len(heights) if heights else 0.0
    limit = window.ease_limit
    eases = (
        {run_id: min(max(height / usual, 1.0 / limit), limit) for run_id, height in heights.items()} if usual else {}
    )
    return {run.run_id: eases.get(run.run_id, 1.0) for run in due}


def _scores_of(hotkey: Hotkey, lead_h: int, due: Sequence[RunOutcome]) -> dict[RunId, float]:
    """A hotkey's scores at a lead in the runs of which something is known; 0 where it is zeroed or the lead missing."""
    scores = {}
    for run in due:
        if hotkey in run.asked:
            score = 0.0 if hotkey in run.zeroed else run.lead_scores.get(hotkey, {}).get(lead_h, 0.0)
            if score is not None:
                scores[run.run_id] = score
    return scores


def _quantile(scores: Sequence[float], policy: ScoringPolicy) -> float | None:
    """The quantile of the scores above zero: an actual miner's score, never interpolated upward."""
    established = sorted(score for score in scores if score > 0.0)
    return established[int(policy.window.unknown_quantile * (len(established) - 1))] if established else None


def _combine(
    hotkey: Hotkey,
    runs: Sequence[RunOutcome],
    known: Mapping[int, Mapping[Hotkey, LeadStanding]],
    unknown: Mapping[int, float | None],
    policy: ScoringPolicy,
) -> HotkeyScore:
    standings = []
    for lead_h, by_hotkey in known.items():
        stand_in = unknown[lead_h]
        if hotkey in by_hotkey:
            standings.append(by_hotkey[hotkey])
        elif stand_in is not None:
            standings.append(LeadStanding(lead_h=lead_h, score=stand_in, run_count=0))
    score = _weighted_mean(standings, policy)
    zeroed = any(hotkey in run.asked and hotkey in run.zeroed for run in runs)
    if not any(standing.run_count for standing in standings):
        # A zero is known at once, before any truth is due; everything else that is not known is not zero.
        score = 0.0 if zeroed else None
    if score is None:
        return HotkeyScore(score=None)
    zero = _latest_reason(hotkey, runs, score)
    return HotkeyScore(
        score=score,
        reason_code=zero.reason_code if zero else None,
        reason=zero.reason if zero else None,
        leads=tuple(standings),
    )


def _weighted_mean(standings: Sequence[LeadStanding], policy: ScoringPolicy) -> float | None:
    weights = [policy.lead_weight(standing.lead_h) for standing in standings]
    if not sum(weights):
        return None
    return sum(w * standing.score for w, standing in zip(weights, standings, strict=True)) / sum(weights)


def _latest_reason(hotkey: Hotkey, runs: Sequence[RunOutcome], score: float) -> Zeroed | None:
    """Why the score is zero, or the newest run's was. None: nothing to explain."""
    newest = next((run for run in runs if hotkey in run.asked), None)
    if newest is not None and hotkey in newest.zeroed:
        return newest.zeroed[hotkey]
    if score > 0.0:
        return None
    older = next((run.zeroed[hotkey] for run in runs if hotkey in run.asked and hotkey in run.zeroed), None)
    if older is not None:
        return older
    if any(run.lead_scores.get(hotkey) for run in runs):
        return Zeroed(reason_code="no_skill", reason="the forecasts were scored and none had any skill")
    return Zeroed(reason_code="leads_missing", reason="no lead that was due has a score")
