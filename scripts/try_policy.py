"""Who would earn what: a spectrum of honest and sly miners in the embedded world, paid by a scoring policy.

    python scripts/try_policy.py [--quick] [--json FILE] [--policy FILE] [--first]

Ten runs (five starts in each of two worlds), ten days each; moments, metrics, components, gate, distances, window and
emission are the validator's own functions. Tried is the policy in force, or `--first` (version 1), or one in a JSON
file, which need name only what differs. `make policy` calls it; its table is in docs/explanation/policy-trial.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from policy_likeness import (
    ClosestPair,
    ErrorLikeness,
    Likeness,
    Pair,
    closest_pairs,
    error_likenesses,
    likenesses,
)
from policy_miners import (
    BENCHMARK,
    FIELDS,
    GATE_LEAD_H,
    QUICK,
    Charts,
    Entry,
    Start,
    Trial,
    best_fade,
    compute_world,
    entries,
    trial_grid,
)

from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.policy.clones import are_clones, distance, has_faded
from gaia.tasks.defined_tasks.weather.policy.policy import (
    DEFAULT_POLICY,
    CloneThreshold,
    GatePolicy,
    ReferenceBaseline,
    ScoringPolicy,
    TermWeights,
)
from gaia.tasks.defined_tasks.weather.policy.skill import component_score, gate, lead_score
from gaia.tasks.defined_tasks.weather.policy.window import RunOutcome, Zeroed, window_scores
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics, metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments
from gaia.validator.weights import EmissionPolicy, emission_weights

FIRST_POLICY = ScoringPolicy(
    version=1,
    terms=TermWeights(skill_clim=0.3, skill_ref=0.4, acc=0.2, closeness=0.1),
    reference_baseline=ReferenceBaseline.PLAIN,
    gate=GatePolicy(minimum=0.1),
    clone_agreement=1.0,
    clone_growth=(),
    clone_thresholds=(
        CloneThreshold(variable="2t", mse=0.0025),
        CloneThreshold(variable="msl", mse=400.0),
        CloneThreshold(variable="10u", mse=0.01),
        CloneThreshold(variable="10v", mse=0.01),
        CloneThreshold(variable="z", level_hpa=500, mse=100.0),
    ),
)
"""The first values of the design, to compare with."""
FIRST_EMISSION = EmissionPolicy(sharpness=3.0)


class Scored(Struct, frozen=True, kw_only=True):
    """One miner in one run: metrics by lead and field, and by lead its distances from the reference."""

    kind: str
    metrics: Mapping[int, Sequence[ComponentMetrics]]
    reference_distance: Mapping[int, Mapping[FieldId, float]]
    twin_distance: Mapping[int, Mapping[FieldId, float]]
    """From the miner that it copied, who committed earlier; empty: it copied none."""


class ScoredStart(Struct, frozen=True, kw_only=True):
    """All that is kept of one run: charts are big and this is small."""

    miners: Mapping[str, Scored]
    likeness: Mapping[Pair, Likeness]


class Row(Struct, frozen=True, kw_only=True):
    """A line of the table."""

    miner: str
    kind: str
    mse_ratio: float
    """z500 squared error by the reference's, over all runs and scored leads."""
    mean_lead_score: float
    window_score: float | None
    emission_share: float
    """Of a field of the honest miners and this one."""
    pay: float
    """Emission by that of `BENCHMARK` in the same field."""
    verdict: str
    by_lead: tuple[float, ...]
    """Mean lead score at each scored lead."""


class Report(Struct, frozen=True, kw_only=True):
    """What `--json` writes."""

    policy: ScoringPolicy
    policy_digest: str
    emission: EmissionPolicy
    trial: Trial
    rows: tuple[Row, ...]
    closest: tuple[ClosestPair, ...]
    errors: tuple[ErrorLikeness, ...]


def run_world(world: int, trial: Trial, policy: ScoringPolicy) -> list[ScoredStart]:
    """Everybody's metrics at every start of one world, in a process of its own."""
    starts = compute_world(world, trial)
    fades = {name: best_fade(starts, [s.honest[name] for s in starts]) for name in (BENCHMARK, "T42, error 1.0")}
    fades["reference"] = best_fade(starts, [s.reference for s in starts])
    return [score_start(s, fades, policy, trial, (world, index)) for index, s in enumerate(starts)]


def score_start(
    start: Start, fades: Mapping[str, NDArray[np.float32]], policy: ScoringPolicy, trial: Trial, seed: tuple[int, int]
) -> ScoredStart:
    """Metrics and distances of everybody at one start."""
    everybody = entries(start, fades, policy, trial, seed)
    miners = {
        name: Scored(
            kind=entry.kind,
            metrics={
                lead: _metrics(start, entry.charts[k], k, policy)
                for k, lead in enumerate(trial.lead_h)
                if lead not in entry.missing_lead_h
            },
            reference_distance=_distances(entry, start.reference, start.climatology, policy, trial),
            twin_distance={}
            if entry.twin is None
            else _distances(entry, everybody[entry.twin].charts, start.climatology, policy, trial),
        )
        for name, entry in everybody.items()
    }
    return ScoredStart(miners=miners, likeness=likenesses(start, everybody, policy, trial))


def _metrics(start: Start, charts: Charts, k: int, policy: ScoringPolicy) -> list[ComponentMetrics]:
    """Of every field at the k-th lead."""
    area_weights = trial_grid().area_weights(policy.area_weighting)
    return [
        metrics_of(
            field_moments(
                forecast=np.ascontiguousarray(charts[i]),
                truth=start.truth[k, i],
                climatology=start.climatology[i],
                reference=start.reference[k, i],
                area_weights=area_weights,
            )
        )
        for i in range(len(FIELDS))
    ]


def _distances(
    mine: Entry, other: Charts, climatology: Charts, policy: ScoringPolicy, trial: Trial
) -> dict[int, dict[FieldId, float]]:
    """Of the gate fields, by each lead that was handed in; infinite where mine has faded to the climatology."""
    area_weights = trial_grid().area_weights(policy.area_weighting)

    def difference(scored: FieldId, k: int, lead: int) -> float:
        i = FIELDS.index(scored)
        chart = np.ascontiguousarray(mine.charts[k, i])
        if has_faded(distance(chart, climatology[i], area_weights), scored, policy, lead):
            return math.inf
        return distance(chart, np.ascontiguousarray(other[k, i]), area_weights)

    return {
        lead: {scored: difference(scored, k, lead) for scored in policy.gate_fields(FIELDS)}
        for k, lead in enumerate(trial.lead_h)
        if lead not in mine.missing_lead_h
    }


def verdict_of(found: Scored, policy: ScoringPolicy) -> Zeroed | None:
    """The gate and the clone check, in the words of the validator's reasons."""
    gate_metrics = [m for f, m in zip(FIELDS, found.metrics[GATE_LEAD_H], strict=True) if policy.clone_threshold(f)]
    result = gate(gate_metrics, policy)
    if result.passed is False:
        return Zeroed(reason_code="day1_gate_failed", reason=f"gate {result.score}", delivered=True)
    for code, by_lead in (
        ("clone_of_reference", found.reference_distance),
        ("clone_of_miner", found.twin_distance),
    ):
        leads = [lead for lead, distances in by_lead.items() if are_clones(distances, policy, lead)]
        if leads:
            return Zeroed(reason_code=code, reason=f"within the thresholds at +{leads[0]} h", delivered=True)
    return None


class Judged(Struct, frozen=True, kw_only=True):
    """One miner in one run, as the policy sees it."""

    zero: Zeroed | None
    lead_scores: Mapping[int, float]


def judge(found: Scored, policy: ScoringPolicy, trial: Trial) -> Judged:
    """Verdict, and the score at each scored lead that was handed in."""
    scores = {
        lead: lead_score(FIELDS, [component_score(m, policy) for m in found.metrics[lead]], policy)
        for lead in trial.scored_lead_h
        if lead in found.metrics
    }
    return Judged(zero=verdict_of(found, policy), lead_scores=scores)


def window_of(
    names: Sequence[str], runs: Sequence[Mapping[str, Judged]], policy: ScoringPolicy, trial: Trial
) -> dict[Hotkey, float | None]:
    """Window scores of some miners among themselves."""
    outcomes = [
        RunOutcome(
            run_id=RunId(f"run-{number}"),
            asked=frozenset(map(Hotkey, names)),
            due_lead_h=frozenset(trial.scored_lead_h),
            lead_scores={Hotkey(name): run[name].lead_scores for name in names},
            zeroed={Hotkey(name): zero for name in names if (zero := run[name].zero)},
        )
        for number, run in enumerate(runs)
    ]
    return {hotkey: score.score for hotkey, score in window_scores(outcomes, policy).items()}


def table(
    runs: Sequence[Mapping[str, Scored]], policy: ScoringPolicy, emission: EmissionPolicy, trial: Trial
) -> list[Row]:
    """What each would earn beside the honest miners."""
    judged = [{name: judge(found, policy, trial) for name, found in run.items()} for run in runs]
    honest = [name for name, scored in runs[0].items() if scored.kind == "honest"]
    rows = []
    for name, scored in runs[0].items():
        scores = window_of(sorted({*honest, name}), judged, policy, trial)
        weights = emission_weights(scores, emission)
        of_name = [run[name] for run in judged]
        by_lead = tuple(sum(one.lead_scores.get(h, 0.0) for one in of_name) / len(of_name) for h in trial.scored_lead_h)
        verdicts = [one.zero.reason_code for one in of_name if one.zero]
        rows.append(
            Row(
                miner=name,
                kind=scored.kind,
                mse_ratio=_mse_ratio([run[name] for run in runs], trial),
                mean_lead_score=sum(by_lead) / len(by_lead),
                window_score=scores[Hotkey(name)],
                emission_share=weights[Hotkey(name)],
                pay=weights[Hotkey(name)] / weights[Hotkey(BENCHMARK)],
                verdict=f"{verdicts[0]}, {len(verdicts)} of {len(of_name)} runs" if verdicts else "paid",
                by_lead=by_lead,
            )
        )
    return rows


def _mse_ratio(found: Sequence[Scored], trial: Trial) -> float:
    z500 = FIELDS.index(FieldId("z", 500))
    metrics = [one.metrics[lead][z500] for one in found for lead in trial.scored_lead_h if lead in one.metrics]
    ratio: float = sum(m.mse for m in metrics) / sum((m.rmse_ref or 0.0) ** 2 for m in metrics)
    return ratio


def show(report: Report) -> str:
    """The table as text, ready for Markdown."""
    lines = [
        f"policy version {report.policy.version}, digest {report.policy_digest[:12]}, "
        f"sharpness {report.emission.sharpness:g}; pay: {BENCHMARK!r} = 1",
        "",
        "| kind | miner | MSE / reference's | lead score | window | share | pay | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.kind} | {row.miner} | {row.mse_ratio:.2f} | {row.mean_lead_score:.3f} | "
        f"{'unknown' if row.window_score is None else format(row.window_score, '.3f')} | "
        f"{100 * row.emission_share:.1f} % | {row.pay:.2f} | {row.verdict} |"
        for row in report.rows
    ]
    lines += [
        "",
        "| lead | closest independent forecasts | distance, in thresholds | factor | margin |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| +{near.lead_h} h | {' / '.join(near.pair)} | {near.distance:.2f} | {near.factor:g} | {near.margin:.2f} |"
        for near in report.closest
    ]
    lines += ["", "| pair | correlation of errors | least | most |", "|---|---|---|---|"]
    lines += [
        f"| {' / '.join(alike.pair)} | {alike.mean:.3f} | {alike.least:.3f} | {alike.most:.3f} |"
        for alike in report.errors
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute, print, and write what is asked for."""
    options = _parser().parse_args(arguments)
    trial = QUICK if options.quick else Trial()
    policy, emission = DEFAULT_POLICY, EmissionPolicy()
    if options.first:
        policy, emission = FIRST_POLICY, FIRST_EMISSION
    if options.policy is not None:
        policy = msgspec.json.decode(options.policy.read_bytes(), type=ScoringPolicy)
    if options.sharpness is not None:
        emission = EmissionPolicy(sharpness=options.sharpness)
    with ProcessPoolExecutor(max_workers=trial.worlds, mp_context=get_context("spawn")) as pool:
        worlds = [pool.submit(run_world, world, trial, policy) for world in range(trial.worlds)]
        starts = [start for world in worlds for start in world.result()]
    report = Report(
        policy=policy,
        policy_digest=policy.digest(),
        emission=emission,
        trial=trial,
        rows=tuple(table([start.miners for start in starts], policy, emission, trial)),
        closest=closest_pairs([start.likeness for start in starts], policy, trial),
        errors=error_likenesses([start.likeness for start in starts]),
    )
    print(show(report))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Who would earn what under a scoring policy, in the embedded world.")
    parser.add_argument("--quick", action="store_true", help="two starts of three days, some 15 seconds")
    parser.add_argument("--json", type=Path, help="write policy, rows and scores by lead here")
    parser.add_argument("--first", action="store_true", help="try version 1, the first values, instead")
    parser.add_argument("--policy", type=Path, help="a JSON file with what differs from the policy in force")
    parser.add_argument("--sharpness", type=float, help="another sharpness of the emission")
    return parser


if __name__ == "__main__":
    sys.exit(main())
