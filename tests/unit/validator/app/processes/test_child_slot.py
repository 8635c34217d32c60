"""A slot: who is started again, who is not, and what is said then."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gaia.validator.app.processes.child import Child
from gaia.validator.app.processes.child_slot import (
    ChildKeepsFailing,
    ChildNotStarted,
    ChildRefuses,
    ChildRole,
    ChildSlot,
)
from gaia.validator.app.processes.restart_policy import RestartPolicy

pytestmark = pytest.mark.processes

POLICY = RestartPolicy(first_delay_s=0.0, max_failures=2)
READY = "import os, sys; os.write(int(sys.argv[-1]), b'1'); "


def launching(code: str) -> Callable[[], Child]:
    return lambda: Child.spawn([sys.executable, "-c", code], with_status=True)


def end_once(slot: ChildSlot) -> int:
    child = slot.fill()
    assert child.wait(30)
    return slot.ended(child)


def test_a_child_that_fails_too_often_is_given_up_with_its_last_end() -> None:
    slot = ChildSlot(ChildRole.ENGINE, 0, launching(READY + "sys.exit(7)"), POLICY, keep=True)
    assert [end_once(slot), end_once(slot)] == [7, 7]
    assert slot.restarts == 2
    with pytest.raises(
        ChildKeepsFailing, match=r"io_engine ended more than 2 times within 60 s \(last exit status 7\)"
    ):
        end_once(slot)


def test_a_worker_that_was_ready_is_started_again_for_ever() -> None:
    slot = ChildSlot(ChildRole.WORKER, 1, launching(READY + "os.kill(os.getpid(), 9)"), POLICY, keep=True)
    assert [end_once(slot) for _ in range(5)] == [-signal.SIGKILL] * 5
    assert slot.due_at is not None


def test_a_worker_that_never_gets_ready_is_given_up() -> None:
    slot = ChildSlot(ChildRole.WORKER, 1, launching("raise SystemExit(1)"), POLICY, keep=True)
    end_once(slot)
    end_once(slot)
    with pytest.raises(ChildKeepsFailing, match="compute_worker 1 ended"):
        end_once(slot)


@pytest.mark.parametrize("status", [2, 3])
def test_a_child_that_refuses_is_not_tried_again(status: int) -> None:
    slot = ChildSlot(ChildRole.ENGINE, 0, launching(f"raise SystemExit({status})"), POLICY, keep=True)
    with pytest.raises(ChildRefuses, match="io_engine cannot start"):
        end_once(slot)


def test_a_child_that_refuses_where_one_has_worked_is_tried_again_for_ever(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    code = f"import os, sys; os.path.exists({str(broken)!r}) and sys.exit(2); os.write(int(sys.argv[-1]), b'1')"
    slot = ChildSlot(ChildRole.ENGINE, 0, launching(code), POLICY, keep=True)
    assert end_once(slot) == 0
    broken.touch()
    assert [end_once(slot) for _ in range(POLICY.max_failures + 2)] == [2] * (POLICY.max_failures + 2)
    assert str(slot.refusal) == "io_engine cannot start: see its message above"
    assert slot.due_at is not None
    broken.unlink()
    assert end_once(slot) == 0
    assert slot.view().restarts == POLICY.max_failures + 4


def test_while_the_machine_is_to_blame_a_child_is_tried_again_for_ever() -> None:
    full = True
    slot = ChildSlot(ChildRole.ENGINE, 0, launching("raise SystemExit(1)"), POLICY, keep=True, excused=lambda: full)
    for _ in range(POLICY.max_failures + 3):
        end_once(slot)
    full = False
    with pytest.raises(ChildKeepsFailing):
        for _ in range(POLICY.max_failures + 1):
            end_once(slot)


def test_an_end_that_was_asked_for_costs_nothing_and_nobody_follows() -> None:
    slot = ChildSlot(ChildRole.ENGINE, 0, launching("input()"), POLICY, keep=True)
    child = slot.fill()
    child.kill()
    assert child.wait(30)
    assert slot.ended(child) == -signal.SIGKILL
    assert (slot.due_at, slot.restarts) == (None, 0)


def test_a_program_that_cannot_be_started_is_named_and_then_tried_again_for_a_while() -> None:
    slot = ChildSlot(ChildRole.ENGINE, 0, lambda: Child.spawn(["/no/such/program"]), POLICY, keep=True)
    with pytest.raises(ChildNotStarted, match="io_engine cannot be started: No such file or directory"):
        slot.fill()
    assert slot.refill() is None
    assert slot.refill() is None
    with pytest.raises(ChildKeepsFailing):
        slot.refill()


def test_a_view_shows_who_fills_the_post() -> None:
    slot = ChildSlot(ChildRole.WORKER, 4, lambda: Child.spawn([sys.executable, "-c", "input()"]), POLICY, keep=True)
    assert slot.view().usage is None
    child = slot.fill()
    view = slot.view()
    assert (view.role, view.slot, view.restarts) == ("compute_worker", 4, 0)
    assert view.usage is not None
    child.kill()
    assert child.wait(30)
    slot.ended(child)
    assert slot.view().usage is None
