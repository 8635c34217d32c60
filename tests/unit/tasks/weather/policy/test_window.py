"""From runs to one score per hotkey: by hand, and what must hold whatever the runs were."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gaia.contracts.ids import Hotkey, RunId
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY, WindowPolicy
from gaia.tasks.defined_tasks.weather.policy.window import (
    RunOutcome,
    Zeroed,
    is_void,
    window_scores,
)

A, B, C, D, E = (Hotkey(name) for name in "ABCDE")
_SILENT = Zeroed(reason_code="no_commitment", reason="no commitment by the deadline")
_CLONE = Zeroed(reason_code="clone_of_reference", reason="is the GFS", delivered=True)


def _run(
    scores: Mapping[Hotkey, Mapping[int, float | None]],
    *,
    zeroed: Mapping[Hotkey, Zeroed] | None = None,
    due: frozenset[int] = frozenset({24}),
    number: int = 0,
) -> RunOutcome:
    return RunOutcome(
        run_id=RunId(f"run-{number}"),
        asked=frozenset({*scores, *(zeroed or {})}),
        due_lead_h=due,
        lead_scores=scores,
        zeroed=zeroed or {},
    )


def _scores(*runs: RunOutcome) -> dict[Hotkey, float | None]:
    return {hotkey: found.score for hotkey, found in window_scores(runs, DEFAULT_POLICY).items()}


def test_one_run_gives_the_scores_themselves() -> None:
    found = _scores(_run({A: {12: 0.8, 24: 0.6}, B: {12: 0.5, 24: 0.3}}, due=frozenset({12, 24})))
    assert found == {A: pytest.approx(0.7), B: pytest.approx(0.4)}


def test_long_leads_count_half() -> None:
    found = _scores(_run({A: {24: 0.9, 240: 0.3}}, due=frozenset({24, 240})))
    assert found == {A: pytest.approx((0.9 + 0.5 * 0.3) / 1.5)}


def test_a_zeroed_miner_has_zero_and_its_reason() -> None:
    scored = window_scores([_run({A: {24: 0.5}, B: {24: 0.9}}, zeroed={B: _CLONE})], DEFAULT_POLICY)
    assert (scored[B].score, scored[B].reason_code, scored[B].reason) == (
        0.0,
        "clone_of_reference",
        "is the GFS",
    )
    assert (scored[A].score, scored[A].reason_code) == (0.5, None)


def test_a_zeroed_miner_does_not_make_the_run_look_easy() -> None:
    # Run 0: A alone counts (field 0.5), B's 0.9 is a copy. Run 1: field 0.5. Level 0.5: A has 0.5 and 0.5.
    runs = [_run({A: {24: 0.5}, B: {24: 0.9}}, zeroed={B: _CLONE}), _run({A: {24: 0.5}}, number=1)]
    assert _scores(*runs)[A] == pytest.approx(0.5)


_JUDGES = [Hotkey(f"judge-{number}") for number in range(8)]


def test_easy_runs_do_not_pay() -> None:
    # The best two judges have 0.8 and 0.4: eases 4/3 and 2/3. A was in the easy run only and B in the hard one only.
    easy = _run({A: {24: 0.8}} | {judge: {24: 0.8} for judge in _JUDGES}, number=0)
    hard = _run({B: {24: 0.4}} | {judge: {24: 0.4} for judge in _JUDGES}, number=1)
    found = _scores(easy, hard)
    assert found == pytest.approx(dict.fromkeys([A, B, *_JUDGES], 0.6))


def test_few_miners_cannot_say_how_easy_a_run_was() -> None:
    easy = _run({A: {24: 0.8}} | {judge: {24: 0.8} for judge in _JUDGES[1:]}, number=0)
    hard = _run({B: {24: 0.4}} | {judge: {24: 0.4} for judge in _JUDGES[1:]}, number=1)
    found = _scores(easy, hard)
    assert (found[A], found[B], found[_JUDGES[1]]) == pytest.approx((0.8, 0.4, 0.6))


def test_an_outage_of_many_makes_no_run_hard() -> None:
    # Eight of twenty judges are silent in the first run; the best five had the same score in both.
    judges = [Hotkey(f"judge-{number}") for number in range(20)]
    scores: dict[Hotkey, dict[int, float | None]] = {judge: {24: 0.4} for judge in judges}
    outage = _run(scores | {A: {24: 0.3}}, zeroed=dict.fromkeys(judges[12:], _SILENT), number=0)
    found = _scores(outage, _run(scores, number=1))
    assert (found[A], found[judges[0]], found[judges[12]]) == pytest.approx((0.3, 0.4, 0.2))


def test_no_run_counts_as_more_than_twice_as_hard_as_usual() -> None:
    runs = [_run({judge: {24: 0.6} for judge in _JUDGES}, number=number) for number in (1, 2, 3)]
    hard = _run({A: {24: 0.1}} | {judge: {24: 0.1} for judge in _JUDGES}, number=0)
    assert _scores(hard, *runs)[A] == pytest.approx(0.2)


def test_a_due_and_missing_lead_is_zero() -> None:
    scored = window_scores([_run({A: {12: 0.8}, B: {12: 0.8, 24: 0.4}}, due=frozenset({12, 24}))], DEFAULT_POLICY)
    assert scored[A].score == pytest.approx(0.4)
    assert [(lead.lead_h, lead.score, lead.run_count) for lead in scored[A].leads] == [(12, 0.8, 1), (24, 0.0, 1)]


def test_missing_every_due_lead_has_its_own_reason() -> None:
    found = window_scores([_run({A: {}, B: {24: 0.5}})], DEFAULT_POLICY)[A]
    assert (found.score, found.reason_code) == (0.0, "leads_missing")


def test_scored_without_any_skill_has_its_own_reason() -> None:
    found = window_scores([_run({A: {24: 0.0}, B: {24: 0.5}})], DEFAULT_POLICY)[A]
    assert (found.score, found.reason_code) == (0.0, "no_skill")


def test_an_unknown_lead_stands_at_the_lower_quartile_of_the_established() -> None:
    known = {Hotkey(f"m{i}"): {12: 0.5, 24: 0.1 * i} for i in range(1, 6)}  # 0.1 ... 0.5: quartile 0.2
    scored = window_scores([_run(known | {A: {12: 0.5, 24: None}}, due=frozenset({12, 24}))], DEFAULT_POLICY)
    assert scored[A].score == pytest.approx((0.5 + 0.2) / 2)
    assert [(lead.lead_h, lead.run_count) for lead in scored[A].leads] == [(12, 1), (24, 0)]


def test_miners_at_zero_do_not_lower_the_quartile() -> None:
    known: dict[Hotkey, dict[int, float | None]] = {Hotkey(f"m{i}"): {12: 0.5, 24: 0.0} for i in range(5)}
    run = _run(known | {B: {12: 0.5, 24: 0.4}, A: {12: 0.5, 24: None}}, due=frozenset({12, 24}))
    assert _scores(run)[A] == pytest.approx((0.5 + 0.4) / 2)


def test_nothing_known_is_not_zero() -> None:
    scored = window_scores([_run({A: {24: 0.5}, B: {24: None}})], DEFAULT_POLICY)
    assert (scored[B].score, scored[B].reason_code) == (None, None)


def test_before_any_truth_only_a_miner_put_out_is_known() -> None:
    scored = window_scores([_run({A: {}, B: {}, C: {}}, zeroed={C: _SILENT}, due=frozenset())], DEFAULT_POLICY)
    assert (scored[A].score, scored[C].score, scored[C].reason_code) == (None, 0.0, "no_commitment")


def test_a_fresh_zero_counts_for_leads_that_are_not_due_yet() -> None:
    old = _run({A: {24: 0.6}, B: {24: 0.6}, C: {24: 0.6}}, number=1)
    new = _run({A: {}, B: {}, C: {}}, zeroed={A: _SILENT}, due=frozenset(), number=0)
    scored = window_scores([new, old], DEFAULT_POLICY)
    assert scored[A].score == pytest.approx(0.3)
    assert scored[A].reason_code == "no_commitment"
    assert scored[B].score == pytest.approx(0.6)


def test_only_the_latest_runs_count() -> None:
    policy = replace(DEFAULT_POLICY, window=WindowPolicy(runs=2))
    runs = [
        _run({A: {24: 0.5}, B: {24: 0.5}}, number=0),
        _run({A: {24: 0.5}, B: {24: 0.5}}, number=1),
        _run({B: {24: 0.5}, C: {24: 0.5}}, zeroed={A: _SILENT}, number=2),
    ]
    assert window_scores(runs, policy)[A].score == pytest.approx(0.5)


def test_a_run_that_most_miners_fail_counts_for_nobody() -> None:
    bad = _run({A: {24: 0.9}}, zeroed={B: _SILENT, C: _SILENT}, number=0)
    good = _run({A: {24: 0.4}, B: {24: 0.4}, C: {24: 0.4}}, number=1)
    assert is_void(bad, DEFAULT_POLICY)
    assert not is_void(good, DEFAULT_POLICY)
    assert _scores(bad, good) == {A: pytest.approx(0.4), B: pytest.approx(0.4), C: pytest.approx(0.4)}
    assert _scores(bad) == {A: None, B: None, C: None}


def test_half_is_not_more_than_half_and_clones_have_not_failed() -> None:
    assert not is_void(_run({A: {24: 0.5}}, zeroed={B: _SILENT}), DEFAULT_POLICY)
    assert not is_void(_run({A: {24: 0.5}}, zeroed={B: _CLONE, C: _CLONE, D: _CLONE}), DEFAULT_POLICY)


def test_a_miner_excused_by_our_fault_loses_nothing() -> None:
    first = {judge: {24: 0.5} for judge in _JUDGES}
    runs = [_run(first, number=0), _run({A: {24: 0.6}} | {judge: {24: 0.4} for judge in _JUDGES}, number=1)]
    # The judges say how easy the runs were, 0.5 : 0.4, that is 10/9 and 8/9. A: 0.6 / (8/9).
    assert _scores(*runs)[A] == pytest.approx(0.675)


def test_who_was_there_when_the_judges_had_nothing_gets_a_number() -> None:
    runs = [_run({judge: {24: height} for judge in _JUDGES}, number=number) for number, height in enumerate((0.0, 0.8))]
    runs.append(_run({A: {24: 0.3}} | {judge: {24: 2e-311} for judge in _JUDGES}, number=2))
    assert _scores(*runs)[A] == pytest.approx(0.6)  # at the limit, as in a run that is half as easy as the usual one


_SCORES = st.dictionaries(
    st.sampled_from([A, B, C, D, E]),
    st.dictionaries(st.sampled_from([12, 24, 240]), st.one_of(st.none(), st.floats(0, 1)), max_size=3),
    min_size=1,
)
_RUNS = st.lists(
    st.builds(
        _run,
        _SCORES,
        zeroed=st.dictionaries(st.sampled_from([A, B, C, D, E]), st.sampled_from([_SILENT, _CLONE])),
        due=st.frozensets(st.sampled_from([12, 24, 240])),
    ),
    max_size=4,
).map(lambda runs: [replace(run, run_id=RunId(f"run-{i}")) for i, run in enumerate(runs)])


@given(_RUNS)
def test_scores_are_within_bounds_and_every_zero_has_a_reason(runs: list[RunOutcome]) -> None:
    for found in window_scores(runs, DEFAULT_POLICY).values():
        assert found.score is None or 0.0 <= found.score <= 1.0 + 1e-12
        assert found.score != 0.0 or (found.reason_code and found.reason)


@given(st.dictionaries(st.sampled_from([A, B, C, D, E]), st.floats(0, 1), min_size=2))
def test_one_run_ranks_by_lead_score(scores: dict[Hotkey, float]) -> None:
    found = _scores(_run({hotkey: {24: score} for hotkey, score in scores.items()}))
    assert found == {hotkey: pytest.approx(score, rel=1e-12) for hotkey, score in scores.items()}


@given(_RUNS, st.data())
def test_a_zeroed_miner_never_gains_by_its_zero(runs: list[RunOutcome], data: st.DataObject) -> None:
    hotkey = data.draw(st.sampled_from([A, B, C, D, E]))
    if not runs or hotkey not in runs[0].asked or hotkey in runs[0].zeroed:
        return
    zeroed = replace(runs[0], zeroed={**runs[0].zeroed, hotkey: _CLONE})
    only_run = window_scores([zeroed], DEFAULT_POLICY)[hotkey]
    assert only_run.score in (None, 0.0) if is_void(zeroed, DEFAULT_POLICY) else only_run.score == 0.0
