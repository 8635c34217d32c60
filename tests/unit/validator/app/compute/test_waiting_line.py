"""The line: order, bound, fairness, withdrawal."""

from __future__ import annotations

import asyncio

import pytest

from gaia.contracts.unit import WorkUnit
from gaia.validator.app.compute.waiting_line import WaitingLine
from gaia.validator.app.compute.worker_link import PendingUnit


def pending(order: int, priority: int = 0) -> PendingUnit:
    unit = WorkUnit(handler="h", payload={}, priority=priority)
    return PendingUnit(unit, order, asyncio.get_running_loop().create_future())


def popped(line: WaitingLine) -> int | None:
    taken = line.pop()
    return taken.order if taken is not None else None


async def test_higher_priority_goes_first_and_equals_in_order_of_arrival() -> None:
    line = WaitingLine(10)
    for order, priority in ((1, 0), (2, 5), (3, -1), (4, 5), (5, 0)):
        line.push(pending(order, priority))
    assert [popped(line) for _ in range(6)] == [2, 4, 1, 5, 3, None]


async def test_a_unit_that_comes_back_goes_ahead_of_younger_ones() -> None:
    line = WaitingLine(10)
    for order in (1, 2, 3):
        line.push(pending(order))
    lost = line.pop()
    assert lost is not None
    line.push(lost)
    assert [popped(line) for _ in range(3)] == [1, 2, 3]


async def test_a_withdrawn_unit_is_neither_counted_nor_given_out() -> None:
    line = WaitingLine(10)
    doomed, other = pending(1), pending(2)
    line.push(doomed)
    line.push(other)
    doomed.future.cancel()
    line.withdraw(doomed)
    line.withdraw(doomed)  # once more changes nothing
    assert line.waiting == 1
    assert popped(line) == 2
    assert line.waiting == 0


async def test_a_cancelled_unit_that_has_been_passed_over_counts_until_it_is_withdrawn() -> None:
    line = WaitingLine(10)
    doomed = pending(1)
    line.push(doomed)
    doomed.future.cancel()
    assert popped(line) is None
    line.withdraw(doomed)
    assert line.waiting == 0


async def test_withdrawn_units_do_not_pile_up_in_memory() -> None:
    line = WaitingLine(5)
    for order in range(1000):
        doomed = pending(order)
        line.push(doomed)
        doomed.future.cancel()
        line.withdraw(doomed)
    assert line.waiting == 0
    assert len(line._heap) <= 11


async def test_submitters_are_let_in_one_by_one_in_order() -> None:
    line = WaitingLine(1)
    line.push(pending(0))
    entered: list[int] = []

    async def submit(order: int) -> None:
        await line.room()
        entered.append(order)
        line.push(pending(order))

    tasks = [asyncio.create_task(submit(order)) for order in (1, 2, 3)]
    await asyncio.sleep(0)
    assert line.is_full
    assert entered == []
    for expected in ([1], [1, 2], [1, 2, 3]):
        line.pop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert entered == expected
    await asyncio.gather(*tasks)


async def test_a_submitter_cancelled_with_its_turn_in_hand_passes_the_turn_on() -> None:
    line = WaitingLine(1)
    line.push(pending(0))
    first, second = asyncio.create_task(line.room()), asyncio.create_task(line.room())
    await asyncio.sleep(0)
    line.pop()  # gives the turn to the first
    first.cancel()
    await asyncio.wait_for(second, 5)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_submitter_cancelled_while_it_waits_leaves() -> None:
    line = WaitingLine(1)
    line.push(pending(0))
    waiting = asyncio.create_task(line.room())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    line.pop()
    assert not line.is_full


async def test_clearing_gives_back_all_units_and_lets_all_submitters_go_on() -> None:
    line = WaitingLine(2)
    line.push(pending(1))
    line.push(pending(2))
    submitters = [asyncio.create_task(line.room()) for _ in range(3)]
    await asyncio.sleep(0)
    assert [unit.order for unit in line.clear()] == [1, 2]
    await asyncio.wait_for(asyncio.gather(*submitters), 5)


async def test_a_submitter_cancelled_at_the_moment_a_place_is_free_uses_it_up_for_nobody() -> None:
    line = WaitingLine(1)
    line.push(pending(1))
    doomed, behind = (asyncio.create_task(line.room()) for _ in range(2))
    await asyncio.sleep(0)
    doomed.cancel()  # it has not run since
    assert popped(line) == 1
    async with asyncio.timeout(5):
        await behind
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert line.submitters == 0


async def test_a_place_belongs_to_who_was_called_and_goes_on_if_it_does_not_use_it() -> None:
    line = WaitingLine(1)
    line.push(pending(1))
    called, behind = (asyncio.create_task(line.room()) for _ in range(2))
    await asyncio.sleep(0)
    assert popped(line) == 1
    assert line.is_full  # nobody who comes now goes ahead, or into a place too many
    await called
    assert not behind.done()
    line.admit()  # its unit went to a worker without the line
    async with asyncio.timeout(5):
        await behind
    assert not line.is_full
