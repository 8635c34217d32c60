"""Back-off and restart intensity, on a clock of numbers."""

from __future__ import annotations

from gaia.validator.app.processes.restart_policy import RestartHistory, RestartPolicy

POLICY = RestartPolicy(first_delay_s=0.1, longest_delay_s=1.0, steady_s=30.0, max_failures=3, window_s=60.0)


def delay(
    history: RestartHistory, now: float, *, lived_s: float = 0.0, expected: bool = False, blameless: bool = False
) -> float | None:
    return history.delay_after_end(now=now, lived_s=lived_s, expected=expected, blameless=blameless)


def test_delays_double_up_to_the_longest() -> None:
    history = RestartHistory(POLICY)
    delays = [delay(history, float(turn), blameless=True) for turn in range(6)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_child_that_lived_long_starts_again_from_the_first_delay() -> None:
    history = RestartHistory(POLICY)
    assert [delay(history, 0.0, blameless=True), delay(history, 1.0, blameless=True)] == [0.1, 0.2]
    assert delay(history, 40.0, lived_s=30.0, blameless=True) == 0.1


def test_who_worked_a_second_before_its_unit_ended_it_starts_again_at_once() -> None:
    history = RestartHistory(POLICY)
    lives = [0.1, 0.9, 1.0, 5.0, 0.5, 0.5]
    delays = [delay(history, float(turn), lived_s=lived, blameless=True) for turn, lived in enumerate(lives)]
    assert delays == [0.1, 0.2, 0.1, 0.1, 0.2, 0.4]


def test_who_failed_by_itself_must_live_longer_for_that() -> None:
    history = RestartHistory(POLICY)
    assert [delay(history, 0.0, lived_s=5.0), delay(history, 5.0, lived_s=5.0)] == [0.1, 0.2]


def test_excused_ends_wait_longer_and_longer_and_never_end_it() -> None:
    history = RestartHistory(POLICY)
    delays = [
        history.delay_after_end(now=float(turn), lived_s=2.0, expected=False, blameless=False, excused=True)
        for turn in range(8)
    ]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]


def test_one_failure_more_than_allowed_within_the_window_is_the_end() -> None:
    history = RestartHistory(POLICY)
    assert None not in [delay(history, at) for at in (0.0, 10.0, 20.0)]
    assert delay(history, 30.0) is None


def test_failures_outside_the_window_are_forgotten() -> None:
    history = RestartHistory(POLICY)
    assert None not in [delay(history, at) for at in (0.0, 10.0, 20.0, 61.0, 71.0, 81.0)]


def test_expected_ends_cost_nothing_and_reset_the_delay() -> None:
    history = RestartHistory(POLICY)
    assert [delay(history, float(turn), expected=True) for turn in range(100)] == [0.0] * 100
    assert delay(history, 100.0) == 0.1


def test_ends_that_do_not_count_never_end_it() -> None:
    history = RestartHistory(POLICY)
    assert None not in [delay(history, 0.01 * turn, blameless=True) for turn in range(1000)]
