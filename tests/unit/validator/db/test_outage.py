"""How a loop waits for what is away, and how little it says meanwhile."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gaia.validator.db.outage import Outage


def test_it_waits_twice_as_long_each_time_up_to_a_bound() -> None:
    outage = Outage(first_wait_s=0.5, longest_wait_s=15.0)
    assert [outage.missed(float(n)).retry_s for n in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_the_first_failure_is_worth_saying_then_one_a_minute_and_the_end() -> None:
    outage = Outage()
    said = [second for second in range(100, 400, 7) if outage.missed(float(second)).worth_saying]
    assert said == [100, 163, 226, 289, 352]  # the first multiple of seven after each minute
    assert outage.over(400.0) == 300.0
    assert outage.over(401.0) is None


def test_the_next_outage_begins_anew() -> None:
    outage = Outage()
    for second in range(10):
        outage.missed(float(second))
    outage.over(10.0)
    again = outage.missed(11.0)
    assert (again.tries, again.lasted_s, again.retry_s, again.worth_saying) == (1, 0.0, 0.5, True)


@given(st.lists(st.floats(0.0, 30.0), max_size=200))
def test_whatever_the_pauses_it_is_said_at_most_once_a_minute(pauses_s: list[float]) -> None:
    outage, now_s, said = Outage(), 0.0, []
    for pause_s in pauses_s:
        now_s += pause_s
        if outage.missed(now_s).worth_saying:
            said.append(now_s)
    assert all(later - earlier >= 60.0 for earlier, later in itertools.pairwise(said))
