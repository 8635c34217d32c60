"""Pay by hand: what a score earns beside the others, and when the weights that were set need not follow from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from gaia.contracts.ids import Hotkey, RunId
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.validator.db.weight_sets import WeightPart, WeightSet
from gaia.validator.explain_pay import explain_pay

A, B, C = (Hotkey(name) for name in "ABC")
RUN = RunId("r")
COMBINED = datetime(2026, 1, 1, tzinfo=UTC)
# 0.8^3 : 0.4^3 = 0.512 : 0.064, together 0.576.
EMISSION = {A: 0.512 / 0.576, B: 0.064 / 0.576}
STORED = WeightSet(
    id=1,
    netuid=57,
    parts=(WeightPart(task="weather", run_id=RUN, share=1.0, emission=EMISSION),),
    emission=EMISSION,
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
    pay = explain_pay(scores(A=0.8, B=0.4), B, RUN, STORED, COMBINED)
    assert (pay.powered, pay.powered_sum) == pytest.approx((0.064, 0.576), rel=1e-12)
    assert pay.weight_recomputed == pytest.approx(pay.weight_stored, rel=1e-12)
    assert (pay.miners, pay.better, pay.not_comparable) == (2, 1, None)


def test_an_unknown_score_stands_at_the_lower_quartile() -> None:
    pay = explain_pay(scores(A=0.8, B=0.4, C=None), C, RUN, None, COMBINED)
    # The lower quartile of two is the lower one: 0.4.
    assert (pay.powered, pay.powered_sum) == pytest.approx((0.064, 0.64), rel=1e-12)
    assert pay.not_comparable == "no weights have been set after this run"


def test_who_earns_nothing_in_a_task_still_has_the_pay_of_another() -> None:
    parts = (
        WeightPart(task="weather", run_id=RUN, share=0.0, emission={}),
        WeightPart(task="other", run_id=RunId("o"), share=1.0, emission={A: 0.5, B: 0.5}),
    )
    pay = explain_pay(scores(A=0.8), A, RUN, replace(STORED, parts=parts, emission={A: 0.5, B: 0.5}), COMBINED)
    assert (pay.weight_stored, pay.weight_recomputed, pay.not_comparable) == (0.5, 0.5, None)


def test_a_task_without_a_share_says_so() -> None:
    parts = (replace(STORED.parts[0], share=0.0), WeightPart(task="o", run_id=RunId("o"), share=1.0, emission={C: 1.0}))
    pay = explain_pay(scores(A=0.8, B=0.4), A, RUN, replace(STORED, parts=parts, emission={C: 1.0}), COMBINED)
    assert pay.not_comparable == "this task had no share of the emission when the weights were set"


def test_who_was_not_on_the_chain_is_not_in_the_sum() -> None:
    pay = explain_pay(scores(A=0.8, B=0.4, C=0.9), C, RUN, STORED, COMBINED)
    assert pay.weight_recomputed is None
    assert pay.not_comparable == "the miner was no longer on the chain when the weights were set"
    assert explain_pay(scores(A=0.8, B=0.4, C=0.9), A, RUN, STORED, COMBINED).powered_sum == pytest.approx(0.576)


def test_older_weights_and_good_ones_that_were_set_again_are_not_compared() -> None:
    later = explain_pay(scores(A=0.8, B=0.4), A, RUN, STORED, COMBINED + timedelta(days=1))
    assert later.not_comparable == "the scores have been combined again since these weights were set"
    kept = replace(STORED, emission={A: 0.5, B: 0.5}, alarm="moved too far")
    again = explain_pay(scores(A=0.8, B=0.4), A, RUN, kept, COMBINED)
    assert again.not_comparable is not None
    assert again.not_comparable.endswith("the last good ones were set again: moved too far")


def test_where_nobody_has_a_score_nothing_follows() -> None:
    pay = explain_pay(scores(A=0.0, B=None), A, RUN, None, COMBINED)
    assert (pay.powered, pay.powered_sum, pay.weight_recomputed) == (None, None, None)


def test_of_several_tasks_each_adds_its_share_of_what_the_miner_has_there() -> None:
    other = WeightPart(task="other", run_id=RunId("o"), share=0.25, emission={B: 0.6, C: 0.4})
    mine = replace(STORED.parts[0], share=0.75)
    both = {A: 0.75 * 0.512 / 0.576, B: 0.75 * 0.064 / 0.576 + 0.25 * 0.6, C: 0.25 * 0.4}
    pay = explain_pay(scores(A=0.8, B=0.4), B, RUN, replace(STORED, parts=(other, mine), emission=both), COMBINED)
    assert pay.weight_in_task == pytest.approx(0.064 / 0.576, rel=1e-12)
    assert (pay.share, pay.from_other_tasks) == pytest.approx((0.75, 0.15), rel=1e-12)
    assert pay.weight_recomputed == pytest.approx(pay.weight_stored, rel=1e-12)
    assert pay.not_comparable is None
