"""Who has a place and who stands by. Links are only told apart here, never used."""

from __future__ import annotations

import asyncio

import pytest

from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.worker_link import WorkerLink
from gaia.validator.app.compute.worker_places import WorkerPlaces


@pytest.fixture
async def links() -> list[WorkerLink]:
    loop = asyncio.get_running_loop()
    pool = ComputePool.__new__(ComputePool)
    return [WorkerLink(pool, loop) for _ in range(4)]


async def test_whoever_comes_above_the_size_stands_by(links: list[WorkerLink]) -> None:
    places = WorkerPlaces(2)
    assert [places.came(link) for link in links[:3]] == [True, True, False]
    assert places.idle == links[:2]
    assert places.standing_by == [links[2]]


async def test_a_free_place_goes_to_who_stands_by_at_once_and_only_once(links: list[WorkerLink]) -> None:
    places = WorkerPlaces(2)
    for link in links[:3]:
        places.came(link)
    places.left(links[0])
    places.left(links[0])
    assert places.idle == [links[1], links[2]]
    assert places.standing_by == []
    assert not places.came(links[3])


async def test_one_who_stood_by_and_left_frees_no_place(links: list[WorkerLink]) -> None:
    places = WorkerPlaces(1)
    places.came(links[0])
    places.came(links[1])
    places.left(links[1])
    assert (places.idle, places.standing_by) == ([links[0]], [])
    assert not places.can_spare_one()


async def test_a_worn_out_worker_is_spared_only_while_somebody_stands_by(links: list[WorkerLink]) -> None:
    places = WorkerPlaces(1)
    places.came(links[0])
    assert not places.can_spare_one()
    places.came(links[1])
    assert places.can_spare_one()
    places.spared(links[0])
    assert places.idle == [links[1]]
    assert not places.can_spare_one()


async def test_without_a_size_one_leaves_at_a_time_and_the_next_when_another_has_come(links: list[WorkerLink]) -> None:
    places = WorkerPlaces(None)
    for link in links[:3]:
        assert places.came(link)
    places.spared(links[0])
    assert not places.can_spare_one()
    places.came(links[3])
    assert places.can_spare_one()
    assert places.idle == links[1:]
