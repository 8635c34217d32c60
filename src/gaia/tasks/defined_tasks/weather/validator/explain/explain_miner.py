"""Explains a miner's score: computes it again from the stored metrics, with the functions that computed it first.

Owns the assembly. Has no formula of its own, never reads a forecast's fields, and changes nothing. It imports the
scoring functions and therefore numpy, so it is for commands and not for the IO-Engine.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection
from gaia.protocol.manifest import commitment_digest
from gaia.tasks.defined_tasks.checks import Check, checked, identical
from gaia.tasks.defined_tasks.weather.policy.clones import are_clones
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY, ScoringPolicy
from gaia.tasks.defined_tasks.weather.policy.window import HotkeyScore, RunOutcome, is_void, window_scores
from gaia.tasks.defined_tasks.weather.validator.explain.explain_lead import explain_gate, explain_lead
from gaia.tasks.defined_tasks.weather.validator.explain.explanation import (
    CloneEvidence,
    CloneField,
    Explanation,
    Gate,
    Identities,
    LeadShare,
    Window,
    WindowLead,
)
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import CloneFound
from gaia.tasks.defined_tasks.weather.validator.records import results
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import Forecast, ForecastUnknown, load_forecast
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    RunState,
    load_miners,
    load_run,
)
from gaia.tasks.defined_tasks.weather.validator.steps.compare_forecasts import CLONE_OF_MINER, CLONE_OF_REFERENCE
from gaia.tasks.defined_tasks.weather.validator.steps.window_outcomes import GATE_FAILED, load_outcomes
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

_NAMED_AT_MOST = 12
_COMBINED_WITHIN = timedelta(seconds=10)
"""How long a combination may take. Its date is that of its beginning, but it reads the runs one after the other."""


class MinerUnknown(ConfigurationError):
    """No miner with this hotkey or uid is in the run."""


class NothingToExplain(ValidatorFault):
    """The miner has neither a score nor a failure in this run yet."""


class _Notes(msgspec.Struct, kw_only=True):
    """The checks, and the notes on what could not be recomputed, collected while the explanation is made."""

    checks: list[Check] = msgspec.field(default_factory=list)
    not_recomputed: list[str] = msgspec.field(default_factory=list)
    without_baselines_h: list[int] = msgspec.field(default_factory=list)
    of_other_policies: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Policy digest -> the values that were made under it."""

    def can_redo(self, what: str, policy_digest: str, policy: ScoringPolicy) -> bool:
        """Whether a stored value was made under `policy`. If not, this is noted."""
        if policy_digest == policy.digest():
            return True
        self.of_other_policies.setdefault(policy_digest, []).append(what)
        return False

    def reasons(self, policy: ScoringPolicy) -> tuple[str, ...]:
        """Why some values were not recomputed."""
        others = (
            f"{', '.join(what)}: made under the policy {digest[:12]}, but this program has version {policy.version}, "
            f"{policy.digest()[:12]}; use the release that made it"
            for digest, what in self.of_other_policies.items()
        )
        fallen_back = (
            f"the components at +{', +'.join(map(str, self.without_baselines_h))} h: without climatology and reference "
            "they depend on the truth's variability, which is not stored; `gaia score` computes them from the files",
        )
        return (*self.not_recomputed, *others, *(fallen_back if self.without_baselines_h else ()))


async def explain(
    conn: Connection, run_id: str, miner_name: str, policy: ScoringPolicy = DEFAULT_POLICY
) -> Explanation:
    """Everything that led to a miner's score in a run.

    Args:
        conn: If it is in a repeatable-read transaction, all is read in one snapshot.
        run_id: Such as `sn57-weather-20170101T00Z`.
        miner_name: The miner's hotkey or uid.
        policy: Values made under another policy are shown as stored, and not recomputed.

    Raises:
        RunUnknown: There is no such run.
        MinerUnknown: The run has no such miner.
        NothingToExplain: The miner has neither a score nor a failure yet.
    """
    run = await load_run(conn, run_id)
    miner = _find(await load_miners(conn, run_id), run_id, miner_name)
    forecast = await _forecast(conn, run, miner)
    stored_leads = await results.stored_leads(conn, run_id, miner.hotkey)
    notes = _Notes()
    gate = await _gate(conn, run, miner, policy, notes)
    leads = tuple(_lead(stored, policy, notes) for stored in stored_leads)
    window = await _window(conn, run, miner, policy, notes)
    if gate is None and not leads and window is None and miner.state is not MinerState.FAILED:
        _refuse_unscored(run, miner)
    return Explanation(
        run_id=run.run_id,
        init_time=run.init_time,
        run_state=run.state,
        void_reason=run.void_reason,
        commit_deadline=run.commit_deadline,
        hotkey=miner.hotkey,
        paid_from=None if window is None or run.state is RunState.VOID else window.combined_at,
        uid=miner.uid,
        miner_state=miner.state,
        failed_at=_failed_at(miner, forecast) if miner.state is MinerState.FAILED else None,
        reason_code=miner.reason_code,
        reason=miner.reason,
        fault=miner.fault,
        committed_at=miner.committed_at,
        gate=gate,
        clones=await _clones(conn, run, miner, policy, notes),
        scored_lead_h=run.spec.scored_lead_h,
        leads=leads,
        window=window,
        identities=_identities(run, miner, forecast, policy, notes),
        checks=tuple(notes.checks),
        not_recomputed=notes.reasons(policy),
    )


def _find(miners: Sequence[RunMiner], run_id: str, name: str) -> RunMiner:
    for miner in miners:
        if name in (miner.hotkey, str(miner.uid)):
            return miner
    if not miners:
        raise MinerUnknown(f"the run {run_id} has no miners: the subnet had none when the run was opened")
    there = "".join(f"\n  uid {miner.uid}  {miner.hotkey}" for miner in miners[:_NAMED_AT_MOST])
    more = len(miners) - _NAMED_AT_MOST
    rest = f"\n  and {more} more: `gaia leaderboard {run_id}` lists them" if more > 0 else ""
    raise MinerUnknown(f"{name!r} is not a hotkey or uid of the run {run_id}; its miners are{there}{rest}")


def _refuse_unscored(run: Run, miner: RunMiner) -> None:
    if run.state is RunState.VOID:
        return
    waits_for = {
        MinerState.LISTED: f"its answer, until {run.commit_deadline:%Y-%m-%d %H:%M:%S} UTC",
        MinerState.ACKNOWLEDGED: f"its commitment, until {run.commit_deadline:%Y-%m-%d %H:%M:%S} UTC",
        MinerState.COMMITTED: f"its manifest, until {run.reveal_deadline:%Y-%m-%d %H:%M:%S} UTC",
        MinerState.FROZEN: "its first chunks to be verified",
    }.get(miner.state, "the truth of the first lead")
    raise NothingToExplain(
        f"uid {miner.uid} has no score in the run {run.run_id} yet: it is {miner.state}, and the validator waits for "
        f"{waits_for}. Ask again later; `gaia runs` shows the progress of the run"
        + (f". Last error: {miner.reason}" if miner.reason else "")
    )


def _failed_at(miner: RunMiner, forecast: Forecast | None) -> str:
    """The step in which the miner failed: the one after the last step that left something in the database."""
    if miner.reason_code == GATE_FAILED:
        return "at the day-1 gate"
    if miner.reason_code in (CLONE_OF_REFERENCE, CLONE_OF_MINER):
        return "when the forecasts were compared"
    if miner.commitment is None:
        return "before it had committed to a forecast"
    if forecast is None:
        return "when its manifest was fetched and compared with its commitment"
    if forecast.verified_at is None:
        return "when the first chunks of its forecast were verified"
    return "when further chunks of its forecast were fetched, to be scored or compared"


async def _forecast(conn: Connection, run: Run, miner: RunMiner) -> Forecast | None:
    try:
        return await load_forecast(conn, run.run_id, miner.hotkey)
    except ForecastUnknown:
        return None


async def _gate(conn: Connection, run: Run, miner: RunMiner, policy: ScoringPolicy, notes: _Notes) -> Gate | None:
    stored = await results.stored_gate(conn, run.run_id, miner.hotkey)
    if stored is None:
        return None
    can_redo = notes.can_redo("the gate", stored.policy_digest, policy)
    gate, checks = explain_gate(stored, run.spec, policy if can_redo else None)
    notes.checks += checks
    return gate


def _lead(stored: results.StoredLead, policy: ScoringPolicy, notes: _Notes) -> LeadShare:
    can_redo = notes.can_redo(f"the scores at +{stored.lead_h} h", stored.policy_digest, policy)
    lead, checks = explain_lead(stored, policy if can_redo else None)
    if can_redo and any(f.component is not None and f.component_recomputed is None for f in lead.fields):
        notes.without_baselines_h.append(lead.lead_h)
    notes.checks += checks
    return lead


async def _clones(
    conn: Connection, run: Run, miner: RunMiner, policy: ScoringPolicy, notes: _Notes
) -> tuple[CloneEvidence, ...]:
    evidence = []
    for search in await results.clone_searches(conn, run.run_id):
        for found in search.clones:
            if found.hotkey != miner.hotkey:
                continue
            evidence.append(_evidence(found, search.lead_h, run, miner, policy))
            if notes.can_redo(f"the comparison at +{search.lead_h} h", search.policy_digest, policy):
                notes.checks += _clone_checks(found, search.lead_h, run, policy)
    return tuple(evidence)


def _evidence(found: CloneFound, lead_h: int, run: Run, miner: RunMiner, policy: ScoringPolicy) -> CloneEvidence:
    variables = {str(f): VARIABLES[f.variable] for f in run.spec.fields()}
    return CloneEvidence(
        lead_h=lead_h,
        original=found.original,
        agreement=policy.clone_agreement,
        is_found_besides=miner.reason_code not in (CLONE_OF_REFERENCE, CLONE_OF_MINER),
        fields=tuple(
            CloneField(
                field=name,
                unit=_squared(variables[name].unit),
                mean_squared_difference=mse,
                threshold=found.threshold[name],
                is_near=mse < found.threshold[name],
            )
            for name, mse in found.mse.items()
        ),
    )


def _squared(unit: str) -> str:
    return f"({unit})2" if " " in unit else f"{unit}2"


def _clone_checks(found: CloneFound, lead_h: int, run: Run, policy: ScoringPolicy) -> list[Check]:
    distances = {f: found.mse[str(f)] for f in run.spec.fields() if str(f) in found.mse}
    verdict = "one forecast" if are_clones(distances, policy, lead_h) else "two forecasts"
    thresholds = [
        checked(f"the threshold of {f} at +{lead_h} h", found.threshold[str(f)], policy.clone_threshold(f, lead_h))
        for f in distances
    ]
    return [*thresholds, identical(f"the comparison at +{lead_h} h", "one forecast", verdict)]


async def _window(conn: Connection, run: Run, miner: RunMiner, policy: ScoringPolicy, notes: _Notes) -> Window | None:
    """The stored score over the window, and the same recomputed from what was known at that time."""
    stored = await results.stored_score(conn, run.run_id, miner.hotkey)
    if stored is None:
        return None
    outcomes: Sequence[RunOutcome] = ()
    found: HotkeyScore | None = None
    if run.state is RunState.VOID:
        notes.not_recomputed.append(f"the score: the run has become void, {run.void_reason}")
    elif notes.can_redo("the score over the window", stored.policy_digest, policy):
        outcomes = await load_outcomes(conn, run, policy, now=stored.combined_at, known_by=stored.combined_at)
        scores = await asyncio.to_thread(window_scores, outcomes, policy)
        found = scores.get(miner.hotkey, HotkeyScore(score=None))
        await _check_window(conn, stored, found, outcomes, notes)
    return Window(
        combined_at=stored.combined_at,
        run_ids=tuple(outcome.run_id for outcome in outcomes if not is_void(outcome, policy)),
        leads=_window_leads(found, policy) if found else (),
        score=stored.score,
        score_recomputed=found.score if found else None,
        reason_code=stored.reason_code,
        reason=stored.reason,
        policy_digest=stored.policy_digest,
    )


async def _check_window(
    conn: Connection, stored: results.StoredScore, found: HotkeyScore, outcomes: Sequence[RunOutcome], notes: _Notes
) -> None:
    checks = [
        checked("the score over the window", stored.score, found.score),
        identical("the score's reason", stored.reason_code, found.reason_code),
    ]
    if all(check.agrees for check in checks):
        notes.checks += checks
        return
    run_ids = [outcome.run_id for outcome in outcomes]
    until = stored.combined_at + _COMBINED_WITHIN
    meanwhile = await results.written_between(conn, run_ids, stored.combined_at, until)
    if meanwhile == 0:
        notes.checks += checks
        return
    notes.not_recomputed.append(
        f"the score over the window: {meanwhile} scores or failures of its runs were written while it was computed, "
        "and it is not known whether it used them; the next combination uses all of them"
    )


def _window_leads(found: HotkeyScore, policy: ScoringPolicy) -> tuple[WindowLead, ...]:
    weights = [policy.lead_weight(standing.lead_h) for standing in found.leads]
    return tuple(
        WindowLead(
            lead_h=standing.lead_h,
            lead_weight=weight,
            standing=standing.score,
            run_count=standing.run_count,
            contribution=weight * standing.score / sum(weights),
        )
        for standing, weight in zip(found.leads, weights, strict=True)
    )


def _identities(
    run: Run, miner: RunMiner, forecast: Forecast | None, policy: ScoringPolicy, notes: _Notes
) -> Identities:
    notes.checks.append(identical("the specification's digest", run.spec_digest, run.spec.digest()))
    if forecast is not None:
        digest = hashlib.sha256(forecast.manifest).digest()
        notes.checks.append(identical("the manifest's digest", forecast.manifest_digest.hex(), digest.hex()))
    if forecast is not None and miner.commitment is not None:
        promised = commitment_digest(run.run_id, Hotkey(miner.hotkey), forecast.nonce, forecast.manifest)
        notes.checks.append(identical("the commitment", miner.commitment.hex(), promised.hex()))
    return Identities(
        program_policy_version=policy.version,
        program_policy_digest=policy.digest(),
        run_policy_digest=run.policy_digest,
        spec_digest=run.spec_digest,
        grid=run.spec.grid,
        fields=tuple(str(f) for f in run.spec.fields()),
        commitment=miner.commitment.hex() if miner.commitment else None,
        manifest_digest=forecast.manifest_digest.hex() if forecast else None,
    )
