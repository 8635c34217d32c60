"""Explains a miner's pay: computes the weights after a run again, from the stored scores of all miners.

Owns the comparison. Never talks to the chain. The curve itself is `weights.emission_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from gaia.contracts.ids import Hotkey
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.validator.db.weight_sets import WeightSet
from gaia.validator.weights import EmissionPolicy, emission_weights


class Pay(Struct, frozen=True, kw_only=True):
    """A miner's pay: score^sharpness divided by the sum of all."""

    sharpness: float
    miners: int
    """How many miners took part, with a known or an unknown score."""
    better: int
    """How many miners have a higher score."""
    powered: float | None
    """score^sharpness, where the quantile replaces an unknown score. None if no weights can be set."""
    powered_sum: float | None
    """The sum of these over all miners that were on the chain."""
    weight_recomputed: float | None
    """The share of the emission. None if no weights can be set, because no score is above zero."""
    weight_stored: float | None
    """The submitted share. None: no weights were set after this run, or the miner was not on the chain then."""
    submitted_at: datetime | None
    read_back_at: datetime | None
    alarm: str | None
    not_comparable: str | None
    """Why the stored weight may differ from the recomputed one."""


def explain_pay(
    scores: Sequence[MinerScore], hotkey: Hotkey, stored: WeightSet | None, combined_at: datetime | None
) -> Pay:
    """A miner's pay after a run. `scores`: the stored scores of all. `stored`: the last weights after that run."""
    policy = EmissionPolicy()
    by_hotkey = {miner.hotkey: miner.score for miner in scores}
    # The stored vector has every miner that was on the chain, even those with zero.
    registered = by_hotkey.keys() if stored is None else by_hotkey.keys() & stored.emission.keys()
    recomputed = emission_weights({hotkey: by_hotkey[hotkey] for hotkey in registered}, policy)
    own = by_hotkey.get(hotkey)
    top = max(recomputed, key=lambda name: by_hotkey[name] or 0.0, default=None)
    total = (by_hotkey[top] or 0.0) ** policy.sharpness / recomputed[top] if top else None
    return Pay(
        sharpness=policy.sharpness,
        miners=len(registered),
        better=sum(1 for score in by_hotkey.values() if score is not None and score > (own or 0.0)),
        powered=recomputed[hotkey] * total if total is not None and hotkey in recomputed else None,
        powered_sum=total,
        weight_recomputed=recomputed.get(hotkey),
        weight_stored=stored.emission.get(hotkey) if stored else None,
        submitted_at=stored.submitted_at if stored else None,
        read_back_at=stored.read_back_at if stored else None,
        alarm=stored.alarm if stored else None,
        not_comparable=_why_not(stored, hotkey, combined_at, recomputed.get(hotkey)),
    )


def _why_not(
    stored: WeightSet | None, hotkey: Hotkey, combined_at: datetime | None, recomputed: float | None
) -> str | None:
    if stored is None:
        return "no weights have been set after this run"
    if hotkey not in stored.emission:
        return "the miner was no longer on the chain when the weights were set"
    if combined_at is not None and stored.submitted_at < combined_at:
        return "the scores have been combined again since these weights were set"
    if stored.alarm is not None and stored.emission[hotkey] != recomputed:
        return f"the new weights were not set; the last good ones were set again: {stored.alarm}"
    return None
