"""Explains a miner's pay: computes the weights after a run again, from the stored scores of all miners.

Owns the comparison. Never talks to the chain. The curve itself is `weights.emission_weights`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from gaia.contracts.ids import Hotkey
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.tasks.defined_tasks.views import Pay
from gaia.validator.db.weight_sets import WeightPart, WeightSet
from gaia.validator.weights import EmissionPolicy, emission_weights


def explain_pay(
    scores: Sequence[MinerScore], hotkey: Hotkey, run_id: str, stored: WeightSet | None, combined_at: datetime | None
) -> Pay:
    """A miner's pay after a run. `scores`: the stored scores of all. `stored`: the last weights from that run.

    The pay from other tasks is taken as it is stored.
    """
    policy = EmissionPolicy()
    by_hotkey = {miner.hotkey: miner.score for miner in scores}
    part = stored.part_of(run_id) if stored else None
    # The stored vector has every miner that was on the chain, even those with zero.
    registered = by_hotkey.keys() if part is None else by_hotkey.keys() & part.emission.keys()
    in_task = emission_weights({hotkey: by_hotkey[hotkey] for hotkey in registered}, policy)
    own = by_hotkey.get(hotkey)
    top = max(in_task, key=lambda name: by_hotkey[name] or 0.0, default=None)
    total = (by_hotkey[top] or 0.0) ** policy.sharpness / in_task[top] if top else None
    share = 1.0 if part is None else part.share
    others = [
        other.share * other.emission.get(hotkey, 0.0) for other in (stored.parts if stored else ()) if other != part
    ]
    own_pay = [share * in_task[hotkey]] if hotkey in in_task else []
    paid_elsewhere = part is not None and stored is not None and hotkey in stored.emission
    recomputed = math.fsum((*own_pay, *others)) if own_pay or paid_elsewhere else None
    return Pay(
        sharpness=policy.sharpness,
        miners=len(registered),
        better=sum(1 for score in by_hotkey.values() if score is not None and score > (own or 0.0)),
        powered=in_task[hotkey] * total if total is not None and hotkey in in_task else None,
        powered_sum=total,
        weight_in_task=in_task.get(hotkey),
        share=share,
        from_other_tasks=math.fsum(others),
        weight_recomputed=recomputed,
        weight_stored=stored.emission.get(hotkey) if stored else None,
        submitted_at=stored.submitted_at if stored else None,
        read_back_at=stored.read_back_at if stored else None,
        alarm=stored.alarm if stored else None,
        not_comparable=_why_not(stored, part, hotkey, combined_at, recomputed),
    )


def _why_not(
    stored: WeightSet | None,
    part: WeightPart | None,
    hotkey: Hotkey,
    combined_at: datetime | None,
    recomputed: float | None,
) -> str | None:
    if stored is None:
        return "no weights have been set after this run"
    if part is not None and part.share == 0.0 and hotkey in part.emission and hotkey not in stored.emission:
        return "this task had no share of the emission when the weights were set"
    if hotkey not in stored.emission:
        return "the miner was no longer on the chain when the weights were set"
    if combined_at is not None and stored.submitted_at < combined_at:
        return "the scores have been combined again since these weights were set"
    if stored.alarm is not None and stored.emission[hotkey] != recomputed:
        return f"the new weights were not set; the last good ones were set again: {stored.alarm}"
    return None
