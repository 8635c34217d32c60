"""Pay by hand: what a score earns beside the others, and when the weights that were set need not follow from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from gaia.contracts.ids import Hotkey, RunId
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.validator.db.weight_sets import WeightSet
from gaia.validator.explain_pay import explain_pay

A, B, C = (Hotkey(name) for name in "ABC")
COMBINED = datetime(2026, 1, 1, tzinfo=UTC)
# 0.8^3 : 0.4^3 = 0.512 : 0.064, together 0.576.
STORED = WeightSet(
    id=1,
    netuid=57,
    run_id=RunId("r"),
    emission={A: 0.512 / 0.576, B: 0.064 / 0.576},
    submitted={1: 65535, 2: 8192},
    submitted_at=COMBINED + timedelta(seconds=1),
    read_back_at=None,
    alarm=None,
)


def scores(**by_name: float | None) -> list[MinerScore]:
    return [
        MinerScore(hotkey=Hotkey(name), score=score, reason_code=None, reason=None) for name, score in by_name.items()
    ]


def test_pay_is_the_third_power_over_the_sum_of_all() -> None:
    pay = explain_pay(scores(A=0.8, B=0.4), B, STORED, COMBINED)
    assert (pay.powered, pay.powered_sum) == pytest.approx((0.064, 0.576), rel=1e-12)
    assert pay.weight_recomputed == pytest.approx(pay.weight_stored, rel=1e-12)
    assert (pay.miners, pay.better, pay.not_comparable) == (2, 1, None)


def test_an_unknown_score_stands_at_the_lower_quartile() -> None:
    pay = explain_pay(scores(A=0.8, B=0.4, C=None), C, None, COMBINED)
    # The lower quartile of two is the lower one: 0.4.
    assert (pay.powered, pay.powered_sum) == pytest.approx((0.064, 0.64), rel=1e-12)
    assert pay.not_comparable == "no weights have been set after this run"


def test_who_was_not_on_the_chain_is_not_in_the_sum() -> None:
    pay = explain_pay(scores(A=0.8, B=0.4, C=0.9), C, STORED, COMBINED)
    assert pay.weight_recomputed is None
    assert pay.not_comparable == "the miner was no longer on the chain when the weights were set"
    assert explain_pay(scores(A=0.8, B=0.4, C=0.9), A, STORED, COMBINED).powered_sum == pytest.approx(0.576)


def test_older_weights_and_good_ones_that_were_set_again_are_not_compared() -> None:
    later = explain_pay(scores(A=0.8, B=0.4), A, STORED, COMBINED + timedelta(days=1))
    assert later.not_comparable == "the scores have been combined again since these weights were set"
    kept = replace(STORED, emission={A: 0.5, B: 0.5}, alarm="moved too far")
    again = explain_pay(scores(A=0.8, B=0.4), A, kept, COMBINED)
    assert again.not_comparable is not None
    assert again.not_comparable.endswith("the last good ones were set again: moved too far")


def test_where_nobody_has_a_score_nothing_follows() -> None:
    pay = explain_pay(scores(A=0.0, B=None), A, None, COMBINED)
    assert (pay.powered, pay.powered_sum, pay.weight_recomputed) == (None, None, None)
