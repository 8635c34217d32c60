"""Turns scores into each miner's share of the emission, and checks the weights before they go to the chain. Pure.

Owns the curve from score to emission weight. Never reads "unknown" as "zero". Imports only contracts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey

U16_MAX = 65535


class BadScore(ValidatorFault):
    """A score or weight is not a finite number of at least zero."""


class EmissionPolicy(Struct, frozen=True, kw_only=True):
    """The rule by which score becomes pay."""

    sharpness: float = 3.0
    """Pay grows with this power of the score: 90 % of the best score earns 73 % of its pay, 50 % earns 12.5 %."""
    unknown_quantile: float = 0.25
    """A miner with an unknown score gets this quantile of the scores above zero."""


class AnomalyLimits(Struct, frozen=True, kw_only=True):
    """The limits beyond which a weight vector is not set."""

    sum_tolerance: float = 1e-9
    """How far the sum of the weights may be from 1."""
    lone_share: float = 0.99
    """A miner with at least this share counts as having all."""
    l1_moved: float = 1.0
    """The largest sum of absolute changes (at most 2). At 1, half of the emission goes to other miners."""


def emission_weights(
    scores: Mapping[Hotkey, float | None], policy: EmissionPolicy | None = None
) -> dict[Hotkey, float]:
    """The share of the emission that each hotkey earns: weight = score^sharpness / sum of all score^sharpness.

    Zero stays zero. An unknown score counts as the lower quartile of the scores above zero, so that a newcomer earns
    something, and never more for being new. Only ratios of scores matter. The order of the miners does not matter.

    Args:
        scores: Hotkey -> score, 0 to 1. None: unknown.
        policy: The sharpness, and the quantile for unknown scores.

    Returns:
        Hotkey -> weight; the weights sum to 1. Empty if no score is above zero: then nothing is set, and the last
        weights stay.

    Raises:
        BadScore: A score is negative, infinite or NaN (validator's fault).
    """
    policy = policy or EmissionPolicy()
    for hotkey, score in scores.items():
        if score is not None and not (math.isfinite(score) and score >= 0.0):
            raise BadScore(f"the score of {hotkey} is {score}; expected a number from 0 to 1, or None")
    positive = sorted(score for score in scores.values() if score)
    if not positive:
        return {}
    unknown = positive[int(policy.unknown_quantile * (len(positive) - 1))]
    pay = {
        hotkey: ((unknown if score is None else score) / positive[-1]) ** policy.sharpness
        for hotkey, score in scores.items()
    }
    total = math.fsum(pay.values())  # fsum is exact, so the order has no effect
    return {hotkey: value / total for hotkey, value in pay.items()}


def shares_in_use(shares: Mapping[str, float], emissions: Mapping[str, Mapping[Hotkey, float]]) -> dict[str, float]:
    """The share of the emission that each task pays out now. Empty if no task with a share has weights.

    These are the `shares` of the tasks that have weights in `emissions`, scaled to sum to 1. A task without weights
    gives its share to the others, because missing data must not count as zero.
    """
    there = {task: share for task, share in shares.items() if share > 0.0 and emissions.get(task)}
    total = math.fsum(there.values())
    return {task: share / total for task, share in there.items()}


def combined_emission(
    shares: Mapping[str, float], emissions: Mapping[str, Mapping[Hotkey, float]]
) -> dict[Hotkey, float]:
    """The share of the whole emission that each hotkey earns: the sum of share times weight over all tasks.

    With a single task the result is exactly its weights.
    """
    hotkeys = dict.fromkeys(hotkey for task in shares for hotkey in emissions[task])
    return {
        hotkey: math.fsum(share * emissions[task].get(hotkey, 0.0) for task, share in shares.items())
        for hotkey in hotkeys
    }


def to_u16(weights: Mapping[int, float]) -> dict[int, int]:
    """The weights as the chain stores them: uid -> integer, scaled so that the largest is 65535, without zeros.

    The chain divides by the sum again, so the scale does not matter, and the largest one keeps the most digits. Raises
    BadScore for a weight that is negative, infinite or NaN.
    """
    for uid, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0.0):
            raise BadScore(f"the weight of uid {uid} is {weight}; expected a finite number of at least 0")
    top = max(weights.values(), default=0.0)
    if top == 0.0:
        return {}
    scaled = {uid: round(weight / top * U16_MAX) for uid, weight in sorted(weights.items())}
    return {uid: value for uid, value in scaled.items() if value}


def anomaly(
    weights: Mapping[Hotkey, float],
    last: Mapping[Hotkey, float] | None,
    limits: AnomalyLimits | None = None,
    *,
    explained_zeros: Collection[Hotkey] = (),
) -> str | None:
    """The reason why a weight vector must not be set, in words; None if it may be set.

    Args:
        weights: The new weights of all miners, including zeros.
        last: The vector that was set last; None if there is none. Miners who have left since then are dropped from it,
            and the rest is scaled up.
        limits: The limits.
        explained_zeros: Miners whose zero has a reason. If these are all others, one miner may have everything.
    """
    limits = limits or AnomalyLimits()
    wrong = [hotkey for hotkey, weight in weights.items() if not (math.isfinite(weight) and weight >= 0.0)]
    if wrong:
        return f"the weight of {wrong[0]} is {weights[wrong[0]]}"
    total = math.fsum(weights.values())
    if abs(total - 1.0) > limits.sum_tolerance:
        return f"the weights sum to {total:.9g}, not to 1"
    if lone := _unexplained_lone(weights, limits.lone_share, explained_zeros):
        return f"all weight is on {lone}, and the zeros of the others have no reason"
    moved = _l1_moved(weights, last or {})
    if moved > limits.l1_moved:
        return f"the weights moved by {moved:.3f} (L1) since the last; the limit is {limits.l1_moved:g}"
    return None


def _unexplained_lone(
    weights: Mapping[Hotkey, float], lone_share: float, explained_zeros: Collection[Hotkey]
) -> Hotkey | None:
    top = max(weights, key=lambda hotkey: weights[hotkey])
    # Only a zero needs a reason. A miner that earns a little has a score, which is the reason.
    zeros = {hotkey for hotkey, weight in weights.items() if weight == 0.0}
    return top if weights[top] >= lone_share and zeros - set(explained_zeros) else None


def _l1_moved(weights: Mapping[Hotkey, float], last: Mapping[Hotkey, float]) -> float:
    stayed = math.fsum(weight for hotkey, weight in last.items() if hotkey in weights)
    if stayed <= 0.0:
        return 0.0
    return math.fsum(abs(weight - last.get(hotkey, 0.0) / stayed) for hotkey, weight in weights.items())
