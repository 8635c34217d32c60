"""The structs in which `gaia explain` reports why a miner has its score.

Owns only data; every number is unrounded. A stored value stands beside the value that the scoring functions give now.
That one is None if it cannot be recomputed; `Explanation.not_recomputed` then has the reason.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import GridSpec
from gaia.tasks.defined_tasks.views import Account
from gaia.tasks.defined_tasks.weather.policy.policy import TermWeights


class FieldShare(Struct, frozen=True, kw_only=True):
    """One field of a lead: its metrics as stored (single precision), and its contribution to the lead score."""

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
    """Its share of the lead; all fields together have 1."""
    contribution: float | None
    """Weight x component, divided by the weights of all fields with a component. These sum to the lead score."""


class LeadShare(Struct, frozen=True, kw_only=True):
    """One lead of this run."""

    lead_h: int
    lead_weight: float | None
    lead_score: float
    lead_score_recomputed: float | None
    terms: TermWeights | None
    """The weights of the terms of a component."""
    fields: tuple[FieldShare, ...]
    field_set_digest: str
    policy_digest: str
    truth: str
    """The digest of the truth's content; the next two are those of the baselines."""
    climatology: str | None
    reference: str | None
    scored_at: datetime


class GateField(Struct, frozen=True, kw_only=True):
    """The metrics of one field at the gate."""

    field: str
    acc: float | None
    skill_ref: float | None


class Gate(Struct, frozen=True, kw_only=True):
    """The day-1 gate: skill_ref_share x mean_skill + acc_share x mean_acc >= minimum.

    Both shares and the minimum are the policy's. They are None if the verdict was made under another policy.
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
    """The difference of two forecasts in one field."""

    field: str
    unit: str
    """The unit of the difference: the variable's unit, squared."""
    mean_squared_difference: float
    threshold: float
    is_near: bool


class CloneEvidence(Struct, frozen=True, kw_only=True):
    """A lead at which the forecast was found to be a copy."""

    lead_h: int
    original: Hotkey | None
    """The miner who committed to the original; None: the original is the operational reference."""
    fields: tuple[CloneField, ...]
    agreement: float
    """The share of fields that must be nearer than their threshold."""
    is_found_besides: bool
    """Whether the miner had already failed for another reason."""


class WindowLead(Struct, frozen=True, kw_only=True):
    """The miner's score at one lead over the window."""

    lead_h: int
    lead_weight: float
    standing: float
    run_count: int
    """The number of runs behind it. 0: nothing is known, and it is the quantile for unknown leads."""
    contribution: float
    """Lead weight x standing, divided by the sum of the lead weights. These sum to the score."""


class Window(Struct, frozen=True, kw_only=True):
    """The score over the window that ends with this run, and its calculation."""

    combined_at: datetime
    run_ids: tuple[RunId, ...]
    """The runs of the window, newest first, without void ones."""
    leads: tuple[WindowLead, ...]
    score: float | None
    score_recomputed: float | None
    reason_code: str | None
    reason: str | None
    policy_digest: str


class Identities(Struct, frozen=True, kw_only=True):
    """Everything that is needed to check and repeat a score."""

    program_policy_version: int
    program_policy_digest: str
    run_policy_digest: str
    """The digest of the policy in force when the run was opened."""
    spec_digest: str
    grid: GridSpec
    fields: tuple[str, ...]
    commitment: str | None
    """The commitment received before the deadline, in hexadecimal."""
    manifest_digest: str | None
    """sha256 of the frozen manifest, in hexadecimal."""


class Explanation(Account, frozen=True, kw_only=True):
    """The whole explanation for one miner in one run."""

    run_id: RunId
    init_time: datetime
    run_state: str
    void_reason: str | None
    commit_deadline: datetime
    uid: int
    miner_state: str
    failed_at: str | None
    """The step in which the miner failed, in words."""
    reason_code: str | None
    reason: str | None
    fault: Fault | None
    committed_at: datetime | None
    gate: Gate | None
    clones: tuple[CloneEvidence, ...]
    scored_lead_h: tuple[int, ...]
    """Every lead that the run scores, now or later."""
    leads: tuple[LeadShare, ...]
    window: Window | None
    identities: Identities
    not_recomputed: tuple[str, ...]
    """The values that could not be recomputed, and why."""
