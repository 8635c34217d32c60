"""The text that `gaia explain` prints: words and small tables, at most 100 columns wide.

Owns the wording and the rounding (six decimals for every published score). Computes no score.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime

from gaia.contracts.errors import Fault, ValidatorFault
from gaia.tasks.defined_tasks.checks import Check
from gaia.tasks.defined_tasks.views import Pay
from gaia.tasks.defined_tasks.weather.validator.explain.explanation import (
    CloneEvidence,
    Explanation,
    FieldShare,
    Gate,
    LeadShare,
    Window,
)

WIDTH = 100


class NoSuchLead(ValidatorFault):
    """The run does not score this lead, or has not scored it yet."""


def lines_of(score: Explanation, pay: Pay | None, differing: Sequence[Check], lead_h: int | None = None) -> list[str]:
    """The whole explanation. With a lead also each field of that lead. Raises NoSuchLead.

    `differing` are the failed checks of `score.checks`.
    """
    if lead_h is not None and lead_h not in [lead.lead_h for lead in score.leads]:
        raise NoSuchLead(_why_no_such_lead(score, lead_h))
    lines = [*_headline(score, pay), *_standing(score), *_gate(score.gate)]
    for evidence in score.clones:
        lines += _clone(evidence)
    lines += _leads(score)
    for lead in score.leads:
        if lead.lead_h == lead_h:
            lines += _fields(lead)
    if pay is not None:
        lines += _pay(pay)
    return [*lines, *_identities(score), *_verdict(score, differing)]


def _why_no_such_lead(score: Explanation, lead_h: int) -> str:
    leads = ", ".join(str(lead.lead_h) for lead in score.leads) or "none"
    if lead_h not in score.scored_lead_h:
        return f"the run {score.run_id} does not score +{lead_h} h; this miner's scored leads: {leads}"
    return (
        f"+{lead_h} h of uid {score.uid} has no score: its truth is not published yet, or the miner failed before; "
        f"scored leads: {leads}"
    )


def _headline(score: Explanation, pay: Pay | None) -> Iterator[str]:
    window = score.window
    yield f"{score.run_id}, uid {score.uid}, {score.hotkey}"
    if score.void_reason is not None:
        yield "No score: the run is void, and counts for nobody."
    elif window is None:
        yield "No score yet: the run has not been combined since this miner joined it."
    elif window.score is None:
        yield "The score is unknown: this miner has no result that counts yet. Unknown is not zero."
    elif window.score == 0.0:
        yield f"Score 0, because of {window.reason_code}."
    else:
        yield f"Score {window.score:.6f}" + (f", rank {pay.better + 1} of {pay.miners}." if pay else ".")
    if pay is not None and pay.weight_stored is not None:
        yield f"Pay: {pay.weight_stored:.6f} of the emission."


def _standing(score: Explanation) -> Iterator[str]:
    """The state of the run, and of the miner in it."""
    yield ""
    yield from _wrapped(
        f"The run started from {_time(score.init_time)} and is {score.run_state}"
        + (f": {score.void_reason}. No weights follow from it." if score.void_reason else ".")
    )
    if score.committed_at is not None:
        yield f"The miner committed at {_time(score.committed_at)}; the deadline was {_time(score.commit_deadline)}."
    if score.failed_at is not None:
        yield from _wrapped(f"It failed in this run {score.failed_at} ({score.reason_code}): {score.reason}.")
        yield from _wrapped(_whose(score.fault))
    else:
        yield f"It is {score.miner_state}; {len(score.leads)} of {len(score.scored_lead_h)} leads are scored."
        if score.reason is not None:
            yield from _wrapped(f"Last error, which has cost it nothing so far ({score.reason_code}): {score.reason}")
    window = score.window
    if window is not None and window.reason is not None and window.reason != score.reason:
        yield from _wrapped(f"The reason for the score ({window.reason_code}): {window.reason}.")


def _whose(fault: Fault | None) -> str:
    if fault is Fault.MINER:
        return "This is the miner's own fault: the run counts zero for it, at every lead and at once."
    owner = "a source's" if fault is Fault.SOURCE else "the validator's"
    return f"This is {owner} fault and not the miner's: its result in this run is unknown, and costs it nothing."


def _gate(gate: Gate | None) -> Iterator[str]:
    if gate is None:
        return
    yield from _title(f"Day-1 gate, +{gate.lead_h} h")
    if gate.not_applicable is not None:
        yield f"  Not applicable: {gate.not_applicable}."
        return
    verdict = "passed" if gate.passed else "failed, so the whole run counts zero"
    if gate.minimum is None or gate.mean_skill is None or gate.mean_acc is None:
        yield f"  Score {_six(gate.score)}: {verdict}."
        return
    skill, acc = f"{gate.skill_ref_share:g}", f"{gate.acc_share:g}"
    yield f"  {skill} mean(max(0, skill ref)) + {acc} mean((ACC + 1)/2)"
    yield f"    = {skill} x {gate.mean_skill:.6f} + {acc} x {gate.mean_acc:.6f} = {_six(gate.score)}"
    yield f"  The minimum is {gate.minimum:g}: {verdict}."
    yield from _table(("field", "skill ref", "ACC"), [(f.field, _four(f.skill_ref), _four(f.acc)) for f in gate.fields])


def _clone(evidence: CloneEvidence) -> Iterator[str]:
    what = "the operational reference" if evidence.original is None else "that of another miner, who committed earlier"
    yield from _title(f"Comparison at +{evidence.lead_h} h: the forecast is {what}")
    if evidence.original is not None:
        yield f"  The earlier one: {evidence.original}"
    near = sum(field.is_near for field in evidence.fields)
    yield (
        f"  Nearer than the threshold in {near} of {len(evidence.fields)} fields; "
        f"with {evidence.agreement:.0%} of them two forecasts count as one."
    )
    if evidence.is_found_besides:
        yield "  The miner had already failed when this was found, so this is not the reason."
    yield from _table(
        ("field", "mean squared difference", "threshold", "unit", ""),
        [
            (f.field, f"{f.mean_squared_difference:.4g}", f"{f.threshold:.4g}", f.unit, "near" if f.is_near else "far")
            for f in evidence.fields
        ],
    )


def _leads(score: Explanation) -> Iterator[str]:
    """The scores of this run at each lead, beside those over the window, of which the score is the mean."""
    own = {lead.lead_h: lead for lead in score.leads}
    leaderboard = {lead.lead_h: lead for lead in score.window.leads} if score.window else {}
    if not own and not leaderboard:
        return
    yield from _title("Leads")
    if score.window is not None and not own and not any(lead.standing for lead in leaderboard.values()):
        runs = max(lead.run_count for lead in leaderboard.values())
        yield f"  No lead is scored in this run. Over the window all are 0 (runs that count: {runs})."
        return
    rows = []
    for lead_h in sorted(own.keys() | leaderboard.keys()):
        lead, standing = own.get(lead_h), leaderboard.get(lead_h)
        weight = standing.lead_weight if standing else lead.lead_weight if lead else None
        rows.append(
            (
                f"+{lead_h} h",
                "" if weight is None else f"{weight:g}",
                _six(lead.lead_score) if lead else "",
                _six(standing.standing) if standing else "",
                "" if standing is None else str(standing.run_count or "0, unknown"),
                _six(standing.contribution) if standing else "",
            )
        )
    yield from _table(("lead", "lead weight", "this run", "over the window", "runs", "adds to the score"), rows)
    if score.window is not None and leaderboard:
        yield from _sum(score.window)


def _sum(window: Window) -> Iterator[str]:
    yield (
        f"  Sum of (lead weight x over the window) / sum of the lead weights = {_six(window.score_recomputed)} = score"
    )
    runs = window.run_ids
    what = f"{len(runs)} runs from {runs[-1]} on" if len(runs) > 1 else "this run alone"
    yield f"  The window is {what}, combined {_time(window.combined_at)}."


def _fields(lead: LeadShare) -> Iterator[str]:
    yield from _title(f"Fields at +{lead.lead_h} h")
    names = ("field", "RMSE", "bias", "MAE", "ACC", "clim", "ref", "base", "component", "weight", "adds")
    yield from _table(names, [_field_row(field) for field in lead.fields])
    yield "  clim, ref: skill against climatology and reference; base: skill beyond the reference."
    if all(field.acc is None and field.skill_clim is None and field.skill_ref is None for field in lead.fields):
        yield "  component = 1 / (1 + RMSE / eddy), without climatology and reference."
        yield "  docs/reference/scoring.md has the formula, under Policy."
    elif (terms := lead.terms) is not None:
        yield (
            f"  component = {terms.skill_clim:g} clim + {terms.skill_ref:g} base + {terms.acc:g} ACC + "
            f"{terms.closeness:g} / (1 + RMSE / RMSE_clim), each 0 to 1."
        )
    yield f"  The fields add up to {_six(lead.lead_score_recomputed)}; the lead score is {lead.lead_score:.6f}."
    units = dict.fromkeys(field.unit for field in lead.fields)
    by_unit = [f"{' '.join(f.field for f in lead.fields if f.unit == unit)} in {unit}" for unit in units]
    yield from _wrapped(f"RMSE, bias and MAE of {'; '.join(by_unit)}.", "  ")
    yield "  Scored against"
    yield f"    truth        {lead.truth}"
    yield f"    climatology  {lead.climatology or 'none'}"
    yield f"    reference    {lead.reference or 'none'}"


def _field_row(field: FieldShare) -> tuple[str, ...]:
    errors = (f"{field.rmse:.4g}", f"{field.bias:.3g}", f"{field.mae:.3g}")
    skills = (_four(field.acc), _four(field.skill_clim), _four(field.skill_ref), _four(field.skill_base))
    return (field.field, *errors, *skills, _six(field.component), _four(field.field_weight), _six(field.contribution))


def _pay(pay: Pay) -> Iterator[str]:
    yield from _title("Pay")
    if pay.weight_recomputed is None or pay.powered_sum is None:
        yield "  No miner has a score above zero, or this miner had left the chain: it gets nothing."
    else:
        yield (
            f"  score^{pay.sharpness:g} / the sum over all {pay.miners} miners = {pay.powered:.6f} / "
            f"{pay.powered_sum:.6f} = {pay.weight_in_task:.6f}"
        )
        if pay.share < 1.0:
            yield (
                f"  times this task's share of the emission, {pay.share:g}, plus the miner's pay from other tasks: "
                f"{pay.weight_recomputed:.6f}"
            )
    if pay.submitted_at is not None and pay.weight_stored is not None:
        seen = f"read back from the chain {_time(pay.read_back_at)}" if pay.read_back_at else "not read back yet"
        yield f"  Set: {pay.weight_stored:.6f}, submitted {_time(pay.submitted_at)}, {seen}."
    if pay.not_comparable is not None:
        yield from _wrapped(f"Not compared: {pay.not_comparable}.", "  ")
    elif pay.alarm is not None:
        yield from _wrapped(f"Alarm: {pay.alarm}.", "  ")


def _identities(score: Explanation) -> Iterator[str]:
    known = score.identities
    grid = known.grid
    yield from _title("To check and to repeat it")
    yield f"  policy         version {known.program_policy_version} of this program"
    yield f"                 {known.program_policy_digest}"
    yield (
        f"  resolution     {grid.latitude_count} x {grid.longitude_count} points, {abs(grid.latitude_step):g} x "
        f"{abs(grid.longitude_step):g} degrees"
    )
    yield from _wrapped(f"fields         {' '.join(known.fields)}", "  ", " " * 17)
    yield f"  specification  {known.spec_digest}"
    yield f"  commitment     {known.commitment or 'none'}"
    yield f"  manifest       {known.manifest_digest or 'none'}"
    if score.gate is not None:
        yield f"  At the gate, analysis     {score.gate.truth}"
        yield f"               climatology  {score.gate.climatology or 'none'}"
        yield f"               reference    {score.gate.reference or 'none'}"
    yield "  Truth, climatology and reference of a lead: --lead HOURS, or --json."


def _verdict(score: Explanation, differing: Sequence[Check]) -> Iterator[str]:
    yield ""
    for reason in score.not_recomputed:
        yield from _wrapped(f"NOT RECOMPUTED: {reason}.", "", "  ")
    for check in differing:
        yield from _wrapped(
            f"DIFFERS: {check.what}: stored {check.stored}, recomputed {check.recomputed}"
            + (f" (allowed: {check.allowed:.2g})" if check.allowed else "")
            + ".",
            "",
            "  ",
        )
    agree = len(score.checks) - len(differing)
    yield from _wrapped(
        f"Recomputed with the validator's own functions: {agree} of {len(score.checks)} values agree (to 1e-12, or to "
        "single precision where the metrics are stored so). To compute the metrics themselves from the files, use "
        "`gaia score`."
    )


def _title(text: str) -> Iterator[str]:
    yield ""
    yield text


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table with the first column aligned left and the others right, each as narrow as possible."""
    widths = [max(len(cell) for cell in column) for column in zip(names, *rows, strict=True)]
    gap = "  " if sum(widths) + 2 * len(widths) <= WIDTH else " "
    for row in (names, *rows):
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {gap.join((first, *others))}".rstrip()


def _wrapped(text: str, first: str = "", then: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=first if then is None else then, break_on_hyphens=False
    )


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _six(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _four(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 10.0 else f"{value:.3g}"
