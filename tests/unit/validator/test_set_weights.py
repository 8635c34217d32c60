"""Which weights are set: the new ones, unless they move too far; a change of shares is no movement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from gaia.contracts.ids import Hotkey, RunId
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.validator.db.weight_sets import WeightSet
from gaia.validator.set_weights import _parts, _Scored, _sound

UIDS = {Hotkey(name): uid for uid, name in enumerate("abcd")}
WEATHER = {"a": 0.5, "b": 0.5}
OTHER = {"c": 0.5, "d": 0.5}


def _scored(task: str, scores: Mapping[str, float]) -> _Scored:
    found = [MinerScore(hotkey=Hotkey(h), score=s, reason_code=None, reason=None) for h, s in scores.items()]
    return _Scored(task=task, run_id=RunId(task), scores=found)


def _set(shares: Mapping[str, float], earlier: WeightSet | None, *scored: _Scored) -> WeightSet:
    parts = _parts(scored, UIDS, shares)
    emission, alarm = _sound(parts, scored, UIDS, earlier, earlier)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return WeightSet(
        id=1, netuid=57, parts=tuple(parts), emission=emission, submitted={}, submitted_at=now, read_back_at=now,
        alarm=alarm,
    )  # fmt: skip


def test_the_first_scores_of_a_task_are_paid_at_once() -> None:
    shares = {"weather": 0.9, "other": 0.1}
    first = _set(shares, None, _scored("other", OTHER))
    both = _set(shares, first, _scored("weather", WEATHER), _scored("other", OTHER))
    assert both.alarm is None
    assert both.emission == pytest.approx({"a": 0.45, "b": 0.45, "c": 0.05, "d": 0.05})


def test_a_change_of_shares_is_no_movement() -> None:
    scored = (_scored("weather", WEATHER), _scored("other", OTHER))
    before = _set({"weather": 0.9, "other": 0.1}, None, *scored)
    after = _set({"weather": 0.1, "other": 0.9}, before, *scored)
    assert after.alarm is None
    assert after.emission == pytest.approx({"a": 0.05, "b": 0.05, "c": 0.45, "d": 0.45})


def test_pay_that_moves_far_within_a_task_is_still_refused() -> None:
    before = _set({"weather": 1.0}, None, _scored("weather", {"a": 0.9, "b": 0.1}))
    after = _set({"weather": 1.0}, before, _scored("weather", {"a": 0.1, "b": 0.9}))
    assert after.alarm is not None
    assert "moved by" in after.alarm
    assert after.emission == pytest.approx(before.emission)
