"""What every queue must do. A subclass supplies the fixture `bench`, a store with its clock in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from gaia.contracts.job import Connection, Job, JobState, LeaseLost, NewJob, Queue
from gaia.validator.db.figures import QueueDepth

LEASE = timedelta(seconds=30)
MOMENT = timedelta(milliseconds=1)
KIND = "score"


class DurableQueue(Queue, Protocol):
    """The contract, and what the IO-Engine needs at its start and for its metrics."""

    async def reclaim(self) -> int: ...

    async def depth(self) -> QueueDepth: ...


class QueueBench(Protocol):
    """A queue's store, as a test sees it."""

    def queue(self, owner: str = "engine") -> DurableQueue:
        """A claimer on the one store."""
        ...

    async def now(self) -> datetime:
        """The store's clock."""
        ...

    async def pass_time(self, step: timedelta) -> None:
        """Let the store's clock go on."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Connection]: ...

    async def write_effect(self, conn: Connection, text: str) -> None:
        """A domain write."""
        ...

    async def effects(self) -> Sequence[str]:
        """The committed domain writes."""
        ...

    async def state(self, key: str) -> tuple[JobState, int, str | None]:
        """A job's state, used attempts and last error."""
        ...


def job(key: str = "a", **more: object) -> NewJob:
    return NewJob(kind=KIND, key=key, **more)  # type: ignore[arg-type]  # fields of NewJob


async def claim_one(queue: Queue) -> Job:
    (claimed,) = await queue.claim([KIND], 1)
    return claimed


async def keys(queue: Queue, limit: int = 100) -> list[str]:
    return [claimed.key for claimed in await queue.claim([KIND], limit)]


class Boom(Exception):
    """A handler's bug."""


class QueueSuite:
    """Inherit, and supply `bench`."""

    async def test_claimed_job_carries_what_was_put(self, bench: QueueBench) -> None:
        at = datetime(2017, 1, 1, tzinfo=UTC)
        payload = {"run_id": "sn57-weather-20170101T00Z", "lead_h": 12, "ratio": 0.5, "none": None, "list": [1, "ü"]}
        new = NewJob(kind=KIND, key="k", payload=payload, priority=3, run_at=at, max_attempts=5)
        assert await bench.queue().put(new) == 1
        claimed = await claim_one(bench.queue())
        assert (claimed.kind, claimed.key, claimed.payload) == (KIND, "k", payload)
        assert (claimed.priority, claimed.run_at, claimed.max_attempts) == (3, at, 5)
        assert (claimed.attempt, claimed.fence, claimed.state) == (1, 1, JobState.LEASED)

    async def test_second_job_of_a_key_is_ignored(self, bench: QueueBench) -> None:
        queue = bench.queue()
        assert await queue.put(job("a"), job("b"), job("a")) == 2
        assert await queue.put(job("a"), job("c")) == 1
        assert sorted(await keys(queue)) == ["a", "b", "c"]

    async def test_nothing_to_put_is_no_error(self, bench: QueueBench) -> None:
        assert await bench.queue().put() == 0

    async def test_key_of_a_finished_job_stays_taken(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job("done"), job("dead"))
        done, dead = sorted(await queue.claim([KIND], 2), key=lambda claimed: claimed.key, reverse=True)
        async with queue.completing(done):
            pass
        await queue.bury(dead, "no use")
        assert await queue.put(job("done"), job("dead")) == 0
        assert await keys(queue) == []

    async def test_urgent_jobs_go_first_then_those_due_longest(self, bench: QueueBench) -> None:
        queue, now = bench.queue(), await bench.now()
        await queue.put(
            job("late", run_at=now - timedelta(minutes=1)),
            job("urgent", priority=5, run_at=now - MOMENT),
            job("early", run_at=now - timedelta(minutes=2)),
            job("idle", priority=-1, run_at=now - timedelta(minutes=3)),
        )
        assert await keys(queue, limit=3) == ["urgent", "early", "late"]
        assert await keys(queue) == ["idle"]

    async def test_job_is_not_claimed_before_its_time(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job(run_at=await bench.now() + timedelta(hours=1)))
        assert await keys(queue) == []
        await bench.pass_time(timedelta(hours=1))
        assert await keys(queue) == ["a"]

    async def test_only_the_wanted_kinds_are_claimed(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job("a"), NewJob(kind="weights", key="w"))
        assert [claimed.key for claimed in await queue.claim(["weights", "other"], 10)] == ["w"]
        assert await queue.claim([], 10) == []

    async def test_each_job_goes_to_exactly_one_of_many_claimers(self, bench: QueueBench) -> None:
        await bench.queue().put(*(job(f"j{number}") for number in range(30)))
        claims = await asyncio.gather(*(bench.queue(f"w{number}").claim([KIND], 4) for number in range(12)))
        claimed = [taken.key for batch in claims for taken in batch]
        assert sorted(claimed) == sorted(f"j{number}" for number in range(30))

    async def test_results_and_completion_are_one(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        claimed = await claim_one(queue)
        async with queue.completing(claimed) as conn:
            await bench.write_effect(conn, "scored")
            assert await bench.effects() == []
        assert await bench.effects() == ["scored"]
        assert await bench.state("a") == (JobState.DONE, 1, None)

    async def test_exception_while_completing_rolls_everything_back(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        claimed = await claim_one(queue)
        with pytest.raises(Boom):
            async with queue.completing(claimed) as conn:
                await bench.write_effect(conn, "half")
                await queue.put(job("next"), conn=conn)
                raise Boom
        assert await bench.effects() == []
        assert (await bench.state("a"))[0] is JobState.LEASED
        assert await keys(queue) == []

    async def test_cancelled_completion_rolls_everything_back(self, bench: QueueBench) -> None:
        queue, inside = bench.queue(), asyncio.Event()
        await queue.put(job())
        claimed = await claim_one(queue)

        async def complete() -> None:
            async with queue.completing(claimed) as conn:
                await bench.write_effect(conn, "half")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(complete())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await bench.effects() == []
        assert (await bench.state("a"))[0] is JobState.LEASED

    async def test_jobs_put_in_a_transaction_share_its_fate(self, bench: QueueBench) -> None:
        queue = bench.queue()
        with pytest.raises(Boom):
            async with bench.transaction() as conn:
                assert await queue.put(job("lost"), conn=conn) == 1
                raise Boom
        async with bench.transaction() as conn:
            await bench.write_effect(conn, "opened")
            assert await queue.put(job("kept"), conn=conn) == 1
            assert await queue.put(job("kept"), conn=conn) == 0
            assert await keys(queue) == []
        assert await bench.effects() == ["opened"]
        assert await keys(queue) == ["kept"]

    async def _overtaken(self, bench: QueueBench) -> tuple[Job, Job]:
        """A job whose first holder lost its lease to a second: (stale claim, live claim)."""
        await bench.queue().put(job())
        stale = await claim_one(bench.queue("slow"))
        await bench.pass_time(LEASE + MOMENT)
        assert await bench.queue().rescue() == 1
        return stale, await claim_one(bench.queue("quick"))

    async def test_fence_rises_with_each_claim(self, bench: QueueBench) -> None:
        stale, live = await self._overtaken(bench)
        assert (stale.id, stale.fence, live.fence) == (live.id, 1, 2)

    async def test_stale_holder_cannot_complete(self, bench: QueueBench) -> None:
        stale, live = await self._overtaken(bench)
        with pytest.raises(LeaseLost):
            async with bench.queue("slow").completing(stale) as conn:
                await bench.write_effect(conn, "stale")
                await bench.queue("slow").put(job("follow-up"), conn=conn)
        async with bench.queue("quick").completing(live) as conn:
            await bench.write_effect(conn, "fresh")
        with pytest.raises(LeaseLost):
            async with bench.queue("quick").completing(live) as conn:
                await bench.write_effect(conn, "again")
        assert await bench.effects() == ["fresh"]
        assert await keys(bench.queue()) == []

    async def test_stale_holder_can_do_nothing_else(self, bench: QueueBench) -> None:
        stale, live = await self._overtaken(bench)
        slow = bench.queue("slow")
        assert await slow.heartbeat([stale]) == set()
        with pytest.raises(LeaseLost):
            await slow.retry(stale, "failed")
        with pytest.raises(LeaseLost):
            await slow.bury(stale, "failed")
        with pytest.raises(LeaseLost):
            await slow.postpone(stale, await bench.now(), "not yet")
        with pytest.raises(LeaseLost):
            await slow.release(stale)
        assert await bench.queue("quick").heartbeat([live]) == {live.id}

    async def test_heartbeat_keeps_the_lease(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job("kept"), job("left"))
        claimed = {taken.key: taken for taken in await queue.claim([KIND], 2)}
        await bench.pass_time(LEASE - timedelta(seconds=1))
        assert await queue.heartbeat([claimed["kept"]]) == {claimed["kept"].id}
        await bench.pass_time(timedelta(seconds=2))
        assert await queue.rescue() == 1
        assert (await bench.state("kept"))[0] is JobState.LEASED
        assert (await bench.state("left"))[0] is JobState.READY

    async def test_expired_but_unclaimed_lease_may_still_complete(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        claimed = await claim_one(queue)
        await bench.pass_time(LEASE * 2)
        async with queue.completing(claimed) as conn:
            await bench.write_effect(conn, "late but alone")
        assert await bench.effects() == ["late but alone"]

    async def test_failed_job_comes_back_after_a_jittered_delay(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        for _ in range(5):
            await queue.retry(await claim_one(queue), "source timed out", timedelta(0))
        assert await queue.retry(await claim_one(queue), "source timed out") is JobState.READY
        assert await bench.state("a") == (JobState.READY, 6, "source timed out")
        assert await keys(queue) == []  # 2^6 s - 50 % is more than any test run takes
        await bench.pass_time(timedelta(seconds=96))  # + 50 %
        assert (await claim_one(queue)).attempt == 7

    async def test_failed_job_comes_back_after_the_given_delay(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        await queue.retry(await claim_one(queue), "busy", timedelta(hours=2))
        await bench.pass_time(timedelta(hours=1))
        assert await keys(queue) == []
        await bench.pass_time(timedelta(hours=1))
        assert await keys(queue) == ["a"]

    async def test_job_that_fails_too_often_is_dead(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job(max_attempts=2))
        assert await queue.retry(await claim_one(queue), "one", timedelta(0)) is JobState.READY
        assert await queue.retry(await claim_one(queue), "two", timedelta(0)) is JobState.DEAD
        assert await bench.state("a") == (JobState.DEAD, 2, "two")
        assert await keys(queue) == []

    async def test_poison_job_that_kills_its_workers_is_dead_in_the_end(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job(max_attempts=3), job("bystander"))
        for _ in range(3):
            await queue.claim([KIND], 1)
            await bench.pass_time(LEASE + MOMENT)
            assert await queue.rescue() == 1
        state, attempts, error = await bench.state("a")
        assert (state, attempts) == (JobState.DEAD, 3)
        assert error is not None
        assert "vanished" in error
        assert await keys(queue) == ["bystander"]

    async def test_buried_job_is_dead_with_its_reason(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        await queue.bury(await claim_one(queue), "no such run")
        assert await bench.state("a") == (JobState.DEAD, 1, "no such run")

    async def test_waiting_costs_no_attempt_but_raises_the_fence(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job(max_attempts=2))
        for fence in range(1, 6):
            claimed = await claim_one(queue)
            assert (claimed.fence, claimed.attempt) == (fence, 1)
            await queue.postpone(claimed, await bench.now() + timedelta(hours=6), "ERA5 is not published")
            assert await keys(queue) == []
            await bench.pass_time(timedelta(hours=6))
        assert await bench.state("a") == (JobState.READY, 0, "ERA5 is not published")

    async def test_postponed_into_the_past_a_job_does_not_come_back_at_once(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        await queue.postpone(await claim_one(queue), await bench.now() - timedelta(hours=1), "by another clock")
        assert await keys(queue) == []
        await bench.pass_time(timedelta(seconds=2))
        assert await keys(queue) == ["a"]

    async def test_released_job_is_ready_at_once_and_costs_no_attempt(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        await queue.release(await claim_one(queue))
        again = await claim_one(queue)
        assert (again.attempt, again.fence) == (1, 2)

    async def test_restarted_owner_gets_its_jobs_back_at_once(self, bench: QueueBench) -> None:
        await bench.queue().put(job("mine"), job("theirs", priority=-1))
        lost = await claim_one(bench.queue("me"))
        await claim_one(bench.queue("them"))
        reborn = bench.queue("me")
        assert await reborn.reclaim() == 1
        again = await claim_one(reborn)
        assert (again.key, again.attempt, again.fence) == ("mine", 2, 2)
        with pytest.raises(LeaseLost):
            async with reborn.completing(lost):
                pass
        assert (await bench.state("theirs"))[0] is JobState.LEASED

    async def test_reclaimed_job_without_attempts_left_is_dead(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job(max_attempts=1))
        await claim_one(queue)
        assert await queue.reclaim() == 1
        assert (await bench.state("a"))[0] is JobState.DEAD

    async def test_live_leases_are_not_rescued(self, bench: QueueBench) -> None:
        queue = bench.queue()
        await queue.put(job())
        await claim_one(queue)
        assert await queue.rescue() == 0

    async def test_depth_counts_the_unfinished(self, bench: QueueBench) -> None:
        queue, now = bench.queue(), await bench.now()
        for key in ("leased", "dead", "done"):
            await queue.put(job(key))
            claimed = await claim_one(queue)
            if key == "dead":
                await queue.bury(claimed, "")
            if key == "done":
                async with queue.completing(claimed):
                    pass
        await queue.put(job("due", run_at=now - timedelta(hours=1)), job("due too", run_at=now))
        await queue.put(job("waiting", run_at=now + timedelta(days=1)))
        depth = await queue.depth()
        assert (depth.due, depth.waiting, depth.leased, depth.dead) == (2, 1, 1, 1)
        assert 3600 <= depth.oldest_due_s < 4000

    async def test_empty_queue_has_no_depth(self, bench: QueueBench) -> None:
        depth = await bench.queue().depth()
        assert depth == QueueDepth(due=0, waiting=0, leased=0, dead=0, oldest_due_s=0.0)
