"""Emission weights: their properties, the chain's own rounding, and the guard before the chain."""

from __future__ import annotations

import math

import pytest
from bittensor.intents.weights import normalize
from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.ids import Hotkey
from gaia.validator.weights import (
    AnomalyLimits,
    BadScore,
    EmissionPolicy,
    anomaly,
    combined_emission,
    emission_weights,
    shares_in_use,
    to_u16,
)

A, B, C, D = (Hotkey(name) for name in "ABCD")

_HOTKEYS = st.integers(0, 255).map(lambda i: Hotkey(f"hotkey-{i:03d}"))
_POSITIVE = st.floats(0.01, 1.0)
_KNOWN = st.one_of(st.just(0.0), _POSITIVE)
_SCORES = st.dictionaries(_HOTKEYS, st.one_of(st.none(), _KNOWN), max_size=40)


def _some_positive(scores: dict[Hotkey, float | None]) -> bool:
    return any(scores.values())


def test_weights_by_hand() -> None:
    # 1^2 : 0.5^2 = 4 : 1
    assert emission_weights({A: 0.8, B: 0.4, C: 0.0}, EmissionPolicy(sharpness=2.0)) == {
        A: pytest.approx(0.8),
        B: pytest.approx(0.2),
        C: 0.0,
    }


def test_ten_percent_less_score_is_about_three_quarters_of_the_pay() -> None:
    weights = emission_weights({A: 0.8, B: 0.72})
    assert weights[B] / weights[A] == pytest.approx(0.729)


@given(_SCORES.filter(_some_positive))
def test_weights_sum_to_one_and_cover_everybody(scores: dict[Hotkey, float | None]) -> None:
    weights = emission_weights(scores)
    assert set(weights) == set(scores)
    assert math.fsum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert all(0.0 <= weight <= 1.0 for weight in weights.values())


@given(_SCORES)
def test_the_order_of_miners_does_not_matter(scores: dict[Hotkey, float | None]) -> None:
    assert emission_weights(dict(list(scores.items())[::-1])) == emission_weights(scores)


@given(_SCORES.filter(_some_positive), st.data())
def test_renaming_miners_renames_their_weights(scores: dict[Hotkey, float | None], data: st.DataObject) -> None:
    names = list(scores)
    renamed = dict(zip(names, data.draw(st.permutations(names)), strict=True))
    before = emission_weights(scores)
    after = emission_weights({renamed[name]: score for name, score in scores.items()})
    assert after == {renamed[name]: weight for name, weight in before.items()}


@given(_SCORES)
def test_a_better_score_never_earns_less(scores: dict[Hotkey, float | None]) -> None:
    weights = emission_weights(scores)
    ranked = sorted((score, weights[name]) for name, score in scores.items() if score is not None and weights)
    assert [weight for _, weight in ranked] == sorted(weight for _, weight in ranked)


@given(_SCORES, _HOTKEYS, _KNOWN, _KNOWN)
def test_raising_ones_own_score_never_costs(
    others: dict[Hotkey, float | None], hotkey: Hotkey, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    before = emission_weights({**others, hotkey: low}).get(hotkey, 0.0)
    after = emission_weights({**others, hotkey: high}).get(hotkey, 0.0)
    assert after >= before * (1 - 1e-12)


@given(_SCORES)
def test_zero_stays_zero(scores: dict[Hotkey, float | None]) -> None:
    weights = emission_weights(scores)
    assert all(weights.get(name, 0.0) == 0.0 for name, score in scores.items() if score == 0.0)


@given(_SCORES.filter(_some_positive))
def test_unknown_is_not_zero_and_no_more_than_the_lower_quartile(scores: dict[Hotkey, float | None]) -> None:
    weights = emission_weights(scores)
    positive = sorted(weights[name] for name, score in scores.items() if score)
    for name, score in scores.items():
        if score is None:
            assert weights[name] > 0.0
            assert weights[name] <= positive[math.ceil(0.25 * (len(positive) - 1))]


@pytest.mark.parametrize("scores", [{}, {A: 0.0, B: 0.0}, {A: None, B: None}, {A: 0.0, B: None}])
def test_without_one_score_above_zero_there_is_nothing_to_set(scores: dict[Hotkey, float | None]) -> None:
    assert emission_weights(scores) == {}


@pytest.mark.parametrize("score", [-0.1, math.nan, math.inf])
def test_a_score_that_is_no_score_is_refused(score: float) -> None:
    with pytest.raises(BadScore, match="the score of B is"):
        emission_weights({A: 0.5, B: score})


@given(st.dictionaries(st.integers(0, 65535), st.floats(0, 1), max_size=50))
def test_rounding_is_that_of_the_chains_own_sdk(weights: dict[int, float]) -> None:
    uids, values = normalize(sorted(weights), [weights[uid] for uid in sorted(weights)])
    assert to_u16(weights) == dict(zip(uids, values, strict=True))


def test_the_largest_weight_is_scaled_up_to_the_maximum() -> None:
    assert to_u16({7: 0.5, 3: 0.25, 9: 0.0, 1: 1e-9}) == {3: 32768, 7: 65535}


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_that_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(BadScore, match="the weight of uid 2 is"):
        to_u16({1: 0.5, 2: weight})


@given(_SCORES.filter(lambda scores: sum(1 for score in scores.values() if score) > 1))
def test_weights_made_here_are_not_anomalous_unless_one_has_it_all(scores: dict[Hotkey, float | None]) -> None:
    weights = emission_weights(scores)
    if max(weights.values()) < AnomalyLimits().lone_share:
        assert anomaly(weights, None) is None
        assert anomaly(weights, weights) is None


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({A: math.nan, B: 1.0}, "the weight of A is nan"),
        ({A: 1.1, B: -0.1}, "the weight of B is -0.1"),
        ({A: 0.5, B: 0.6}, "the weights sum to 1.1, not to 1"),
        ({}, "the weights sum to 0, not to 1"),
        ({A: 1.0, B: 0.0}, "all weight is on A, and the zeros of the others have no reason"),
    ],
)
def test_a_broken_vector_is_anomalous(weights: dict[Hotkey, float], reason: str) -> None:
    assert anomaly(weights, None) == reason


def test_one_miner_may_have_it_all_if_the_others_have_their_reasons() -> None:
    weights = {A: 1.0, B: 0.0, C: 0.0}
    assert anomaly(weights, None, explained_zeros={B, C}) is None
    assert anomaly(weights, None, explained_zeros={B}) is not None
    assert anomaly({A: 1.0}, None) is None


def test_one_miner_may_have_nearly_all_if_the_others_earn_a_little() -> None:
    assert anomaly({A: 0.995, B: 0.004, C: 0.001}, None) is None
    assert anomaly({A: 0.995, B: 0.005, C: 0.0}, None) is not None


def test_a_large_move_since_the_last_vector_is_anomalous() -> None:
    last = {A: 0.9, B: 0.1}
    assert anomaly({A: 0.45, B: 0.55}, last) is None  # moved by 0.9
    assert anomaly({A: 0.1, B: 0.9}, last) == "the weights moved by 1.600 (L1) since the last; the limit is 1"
    assert anomaly({A: 0.1, B: 0.9}, last, AnomalyLimits(l1_moved=2.0)) is None


def test_miners_who_left_do_not_count_as_a_move() -> None:
    # Of A 0.6, B 0.2, C 0.2 the first has left: B and C had 0.5 each of what remains.
    assert anomaly({B: 0.5, C: 0.5, D: 0.0}, {A: 0.6, B: 0.2, C: 0.2}, AnomalyLimits(l1_moved=0.01)) is None
    assert anomaly({B: 0.5, C: 0.5}, {A: 1.0}, AnomalyLimits(l1_moved=0.01)) is None


def test_each_task_gives_away_its_share_of_the_emission() -> None:
    emissions = {"weather": {A: 0.75, B: 0.25}, "stations": {B: 0.5, C: 0.5}}
    shares = shares_in_use({"weather": 0.8, "stations": 0.2}, emissions)
    assert shares == {"weather": 0.8, "stations": 0.2}
    assert combined_emission(shares, emissions) == pytest.approx({A: 0.6, B: 0.3, C: 0.1}, rel=1e-12)


def test_the_share_of_a_task_without_scores_goes_to_the_others() -> None:
    emissions: dict[str, dict[Hotkey, float]] = {"weather": {A: 0.75, B: 0.25}, "stations": {}, "more": {A: 1.0}}
    shares = shares_in_use({"weather": 0.6, "stations": 0.2, "more": 0.2}, emissions)
    assert shares == pytest.approx({"weather": 0.75, "more": 0.25}, rel=1e-12)
    assert shares_in_use({"weather": 0.0, "stations": 1.0}, emissions) == {}


@given(st.dictionaries(st.sampled_from([A, B, C]), st.floats(1e-9, 1.0), min_size=1))
def test_of_a_single_task_not_a_digit_changes(scores: dict[Hotkey, float]) -> None:
    emission = emission_weights(scores)
    shares = shares_in_use({"weather": 1.0, "stations": 0.0}, {"weather": emission, "stations": {C: 1.0}})
    combined = combined_emission(shares, {"weather": emission})
    assert list(combined.items()) == list(emission.items())
    alone = shares_in_use({"weather": 0.9, "stations": 0.1}, {"weather": emission})
    assert list(combined_emission(alone, {"weather": emission}).items()) == list(emission.items())
