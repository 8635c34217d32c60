"""Why a miner has the score that it has: the shapes in which `gaia explain` says so.

Owns only data, every number unrounded. What was stored stands beside what the scoring functions make of it now; None
where it cannot be recomputed, with the reason in `Explanation.not_recomputed`.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import GridSpec
from gaia.tasks.defined_tasks.weather.policy.policy import TermWeights

ROUNDING = 1e-12
"""Relative: by so much the same sum may differ on another processor."""


class Check(Struct, frozen=True, kw_only=True):
    """One stored value and the same recomputed."""

    what: str
    stored: float | str | None
    recomputed: float | str | None
    allowed: float = 0.0
    """By so much, absolutely, they may differ; texts may not."""
    agrees: bool


def checked(what: str, stored: float | None, recomputed: float | None, allowed: float | None = None) -> Check:
    """Two numbers; without `allowed` they may differ by `ROUNDING`. None agrees with None alone, NaN with nothing."""
    if stored is None or recomputed is None:
        agrees = stored is recomputed
        return Check(what=what, stored=stored, recomputed=recomputed, agrees=agrees)
    most = ROUNDING * max(abs(stored), abs(recomputed)) if allowed is None else allowed
    agrees = abs(stored - recomputed) <= most
    return Check(what=what, stored=stored, recomputed=recomputed, allowed=most, agrees=agrees)


def identical(what: str, stored: str | None, recomputed: str | None) -> Check:
    """Two texts, such as digests."""
    return Check(what=what, stored=stored, recomputed=recomputed, agrees=stored == recomputed)


class FieldShare(Struct, frozen=True, kw_only=True):
    """One field of a lead: its metrics as stored, in single precision, and what it adds to the lead score."""

    field: str
    unit: str
    rmse: float
    mae: float
    bias: float
    acc: float | None
    skill_clim: float | None
    skill_ref: float | None
    skill_base: float | None
    """Skill beyond the reference, from the stored skills."""
    component: float | None
    component_recomputed: float | None
    field_weight: float | None
    """Its share of the lead, all fields together 1."""
    contribution: float | None
    """Weight x component, over the weights of the fields that have one; these sum to the lead score."""


class LeadShare(Struct, frozen=True, kw_only=True):
    """One lead of this run."""

    lead_h: int
    lead_weight: float | None
    lead_score: float
    lead_score_recomputed: float | None
    terms: TermWeights | None
    """What the terms of a component weigh."""
    fields: tuple[FieldShare, ...]
    field_set_digest: str
    policy_digest: str
    truth: str
    """Digest of the content that it was scored against; so are the next two."""
    climatology: str | None
    reference: str | None
    scored_at: datetime


class GateField(Struct, frozen=True, kw_only=True):
    """What one field says at the gate."""

    field: str
    acc: float | None
    skill_ref: float | None


class Gate(Struct, frozen=True, kw_only=True):
    """The day-1 gate: skill_ref_share x mean_skill + acc_share x mean_acc >= minimum. The first three of these are the
    policy's, and None if the verdict was made under another one.
    """

    lead_h: int | None
    fields: tuple[GateField, ...]
    skill_ref_share: float | None
    acc_share: float | None
    minimum: float | None
    mean_skill: float | None
    """The mean of max(0, skill_ref)."""
    mean_acc: float | None
    """The mean of (ACC + 1) / 2."""
    score: float | None
    passed: bool | None
    not_applicable: str | None
    score_recomputed: float | None
    truth: str
    climatology: str | None
    reference: str | None
    policy_digest: str
    scored_at: datetime


class CloneField(Struct, frozen=True, kw_only=True):
    """How far apart two forecasts are in one field."""

    field: str
    unit: str
    """Of the distance: the variable's, squared."""
    mean_squared_difference: float
    threshold: float
    is_near: bool


class CloneEvidence(Struct, frozen=True, kw_only=True):
    """A lead at which the forecast was found to be another one."""

    lead_h: int
    original: Hotkey | None
    """Who committed to it earlier; None: it is the operational reference."""
    fields: tuple[CloneField, ...]
    agreement: float
    """So large a share of the fields must be nearer than the threshold."""
    is_found_besides: bool
    """The miner was out already, for another reason."""


class WindowLead(Struct, frozen=True, kw_only=True):
    """How the miner stands at one lead over the window."""

    lead_h: int
    lead_weight: float
    standing: float
    run_count: int
    """Runs that it is the mean of; 0: nothing is known, and it is the unknown's quantile."""
    contribution: float
    """Lead weight x standing over the sum of the lead weights; these sum to the score."""


class Window(Struct, frozen=True, kw_only=True):
    """The score that followed from the run, and how."""

    combined_at: datetime
    run_ids: tuple[RunId, ...]
    """The runs that were looked at, newest first. Void ones are not among them."""
    leads: tuple[WindowLead, ...]
    score: float | None
    score_recomputed: float | None
    reason_code: str | None
    reason: str | None
    policy_digest: str


class Identities(Struct, frozen=True, kw_only=True):
    """All that it takes to check and to repeat a score."""

    program_policy_version: int
    program_policy_digest: str
    run_policy_digest: str
    """Of the policy in force when the run was opened."""
    spec_digest: str
    grid: GridSpec
    fields: tuple[str, ...]
    commitment: str | None
    """Hexadecimal, as received before the deadline."""
    manifest_digest: str | None
    """sha256 of the frozen manifest, hexadecimal."""


class Explanation(Struct, frozen=True, kw_only=True):
    """All of it, of one miner in one run."""

    run_id: RunId
    init_time: datetime
    run_state: str
    void_reason: str | None
    commit_deadline: datetime
    hotkey: Hotkey
    uid: int
    miner_state: str
    failed_at: str | None
    """In words, the step at which it was put out."""
    reason_code: str | None
    reason: str | None
    fault: Fault | None
    committed_at: datetime | None
    gate: Gate | None
    clones: tuple[CloneEvidence, ...]
    scored_lead_h: tuple[int, ...]
    """Every lead that the run scores, the sooner or the later."""
    leads: tuple[LeadShare, ...]
    window: Window | None
    identities: Identities
    checks: tuple[Check, ...]
    not_recomputed: tuple[str, ...]
    """What could not be recomputed, and why."""
