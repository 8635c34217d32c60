"""What a miner's score earns it: the weights that were set after a run, once more from the stored scores of all.

Owns the comparison. Never talks to the chain, and never has the curve itself: that is `weights.emission_weights`.
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
    """score^sharpness over the sum of all."""

    sharpness: float
    miners: int
    """How many have a score or an unknown one."""
    better: int
    """How many have a higher score."""
    powered: float | None
    """score^sharpness, of an unknown score the quantile's; None where nothing can be set."""
    powered_sum: float | None
    """The same of all who were on the chain."""
    weight_recomputed: float | None
    """The share of the emission; None: nothing can be set, for nobody has a score above zero."""
    weight_stored: float | None
    """As it was submitted; None: no weights have been set after this run, or the miner was not on the chain then."""
    submitted_at: datetime | None
    read_back_at: datetime | None
    alarm: str | None
    not_comparable: str | None
    """Why the stored weight need not be the recomputed one."""


def explain_pay(
    scores: Sequence[MinerScore], hotkey: Hotkey, stored: WeightSet | None, combined_at: datetime | None
) -> Pay:
    """A miner's pay after a run: `scores` are the stored ones of all, `stored` is what was set last after that run."""
    policy = EmissionPolicy()
    by_hotkey = {miner.hotkey: miner.score for miner in scores}
    # Whoever had left the chain was not in the vector: all that were stand in it, with their zeros.
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
        return f"the weights that followed were not set, the last good ones were set again: {stored.alarm}"
    return None
