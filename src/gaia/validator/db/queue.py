"""The durable job queue on PostgreSQL. docs/explanation/database.md says why the project has its own.

Every claim of a job has a number, the fence, which grows with each claim. Every statement on a claimed job names it. So
a worker that lost its lease can neither extend the lease nor finish the job. A job ends in the same transaction that
writes its results, so every effect happens exactly once. Leases and `run_at` use the database's clock. This module owns
the SQL of the table `job`, and runs no handlers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from gaia.contracts.clock import Clock, SystemClock
from gaia.contracts.job import SHORTEST_POSTPONEMENT, Connection, Job, JobState, LeaseLost, NewJob
from gaia.validator.db.figures import QueueDepth
from gaia.validator.db.outage import Outage
from gaia.validator.db.pool import DatabasePool

_log = structlog.get_logger(__name__)

CHANNEL = "gaia_job"
_LISTEN_PROBE_S = 30.0
_PROBE_TIMEOUT_S = 5.0
_ERROR_LENGTH = 4000

# All statements insert the keys in the same order, so that two puts of the same keys cannot deadlock.
_PUT = """
WITH added AS (
  INSERT INTO job (kind, key, payload, priority, run_at, max_attempts)
  SELECT kind, key, payload::jsonb, priority, coalesce(run_at, now()), max_attempts
  FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::timestamptz[], $6::integer[])
       AS new (kind, key, payload, priority, run_at, max_attempts)
  ORDER BY key
  ON CONFLICT (key) DO NOTHING
  RETURNING id
)
SELECT count(*) AS added, CASE WHEN count(*) > 0 THEN pg_notify($7, '') END FROM added
"""

_CLAIM = """
WITH next AS MATERIALIZED (
  SELECT id FROM job
  WHERE state = 'ready' AND kind = ANY ($1::text[]) AND run_at <= now()
  ORDER BY priority DESC, run_at, id
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE job SET
  state = 'leased', fence = fence + 1, attempt = attempt + 1, leased_by = $3, lease_until = now() + $4
FROM next WHERE job.id = next.id
RETURNING job.id, kind, key, payload, priority, run_at, attempt, max_attempts, fence, state
"""

_HEARTBEAT = """
UPDATE job SET lease_until = now() + $3
FROM unnest($1::bigint[], $2::bigint[]) AS held (id, fence)
WHERE job.id = held.id AND job.fence = held.fence AND state = 'leased'
RETURNING job.id
"""

_COMPLETE = """
UPDATE job SET state = 'done', finished_at = now(), lease_until = NULL, leased_by = NULL, last_error = NULL
WHERE id = $1 AND fence = $2 AND state = 'leased'
RETURNING id
"""

_RETRY = """
UPDATE job SET
  state = CASE WHEN attempt >= max_attempts THEN 'dead' ELSE 'ready' END,
  finished_at = CASE WHEN attempt >= max_attempts THEN now() END,
  run_at = now() + $4, last_error = $3, lease_until = NULL, leased_by = NULL
WHERE id = $1 AND fence = $2 AND state = 'leased'
RETURNING state
"""

_BURY = """
UPDATE job SET state = 'dead', finished_at = now(), last_error = $3, lease_until = NULL, leased_by = NULL
WHERE id = $1 AND fence = $2 AND state = 'leased'
RETURNING state
"""

_POSTPONE = """
UPDATE job SET state = 'ready', attempt = attempt - 1, run_at = greatest($4, now() + $5), last_error = $3,
  lease_until = NULL, leased_by = NULL
WHERE id = $1 AND fence = $2 AND state = 'leased'
RETURNING state
"""

_RELEASE = """
WITH freed AS (
  UPDATE job SET state = 'ready', attempt = attempt - 1, lease_until = NULL, leased_by = NULL
  WHERE id = $1 AND fence = $2 AND state = 'leased'
  RETURNING state
)
SELECT state, pg_notify($3, '') FROM freed
"""

# A worker that vanished may have crashed because of the job. So the attempt counts, and such a job dies in the end.
_FREE = """
WITH lost AS MATERIALIZED (
  SELECT id FROM job WHERE state = 'leased' AND {lost}
  ORDER BY id LIMIT 500
  FOR UPDATE SKIP LOCKED
), freed AS (
  UPDATE job SET
    state = CASE WHEN attempt >= max_attempts THEN 'dead' ELSE 'ready' END,
    finished_at = CASE WHEN attempt >= max_attempts THEN now() END,
    last_error = 'its worker ' || leased_by || ' vanished', lease_until = NULL, leased_by = NULL
  FROM lost WHERE job.id = lost.id
  RETURNING job.id
)
SELECT count(*) AS freed, CASE WHEN count(*) > 0 THEN pg_notify($1, '') END FROM freed
"""
_RESCUE = _FREE.format(lost="lease_until < now()")
_RECLAIM = _FREE.format(lost="leased_by = $2")

# Finished jobs are kept by the ten thousand and do not count here. The partial indexes cover the other states.
_DEPTH = """
SELECT count(*) FILTER (WHERE state = 'ready' AND run_at <= now()) AS due,
       count(*) FILTER (WHERE state = 'ready' AND run_at > now()) AS waiting,
       count(*) FILTER (WHERE state = 'leased') AS leased,
       count(*) FILTER (WHERE state = 'dead') AS dead,
       coalesce(extract(epoch FROM max(now() - run_at) FILTER (WHERE state = 'ready' AND run_at <= now())), 0)
         AS oldest_due_s
FROM job WHERE state IN ('ready', 'leased', 'dead')
"""


def backoff(attempt: int) -> timedelta:
    """The time to wait after a failed attempt: 2 s, 4 s, 8 s ... one hour, each +-50 % at random.

    The spread prevents that jobs which failed together come back together.
    """
    delay_s: float = min(3600.0, 2.0 ** min(attempt, 12))
    return timedelta(seconds=delay_s * random.uniform(0.5, 1.5))  # noqa: S311  not a secret


class PostgresQueue:
    """gaia.contracts.job.Queue on PostgreSQL. It passes tests/contract/queue_suite.py.

    `owner` names this process in the table. It must be the same after a restart, so that `reclaim` finds the jobs of
    the earlier process. Every method raises DatabaseUnavailable while the server does not answer.
    """

    def __init__(self, pool: DatabasePool, *, owner: str, lease: timedelta, clock: Clock | None = None) -> None:
        self._pool = pool
        self._clock = clock or SystemClock()
        self._owner = owner
        self._lease = lease

    async def put(self, *jobs: NewJob, conn: Connection | None = None) -> int:
        """Add jobs, in the caller's transaction if `conn` is given. Returns how many were new."""
        if not jobs:
            return 0
        columns: tuple[list[Any], ...] = (
            [job.kind for job in jobs],
            [job.key for job in jobs],
            [msgspec.json.encode(job.payload).decode() for job in jobs],
            [job.priority for job in jobs],
            [job.run_at for job in jobs],
            [job.max_attempts for job in jobs],
        )
        if conn is not None:
            return int(await conn.fetchval(_PUT, *columns, CHANNEL))
        return int(await self._fetchval(_PUT, *columns, CHANNEL))

    async def claim(self, kinds: Collection[str], limit: int) -> Sequence[Job]:
        """Lease up to `limit` ready jobs of these kinds, most urgent first."""
        async with self._pool.acquire() as conn:
            rows = await conn.fetch(_CLAIM, list(kinds), limit, self._owner, self._lease)
        jobs = [msgspec.convert(dict(row), Job) for row in rows]
        return sorted(jobs, key=lambda job: (-job.priority, job.run_at, job.id))  # RETURNING keeps no order

    async def heartbeat(self, jobs: Collection[Job]) -> Collection[int]:
        """Extend the leases that are still held. Returns the ids of these jobs."""
        held = list(jobs)
        async with self._pool.acquire() as conn:
            rows = await conn.fetch(_HEARTBEAT, [job.id for job in held], [job.fence for job in held], self._lease)
        return {row["id"] for row in rows}

    @asynccontextmanager
    async def completing(self, job: Job) -> AsyncIterator[Connection]:
        """A transaction that marks the job as done at its end.

        Raises LeaseLost, and rolls everything back, if the lease is lost by then.
        """
        async with self._pool.transaction() as conn:
            yield conn
            if await conn.fetchval(_COMPLETE, job.id, job.fence) is None:
                raise _lost(job)

    async def retry(self, job: Job, error: str, delay: timedelta | None = None) -> JobState:
        """Give the job back after a failure: ready after `delay` (or `backoff`), or dead after its last attempt."""
        wait = backoff(job.attempt) if delay is None else delay
        return await self._give_back(_RETRY, job, _as_text(error), wait)

    async def bury(self, job: Job, error: str) -> None:
        """Mark the job as dead."""
        await self._give_back(_BURY, job, _as_text(error))

    async def postpone(self, job: Job, until: datetime, why: str) -> None:
        """Give the job back until the time `until`. This uses up no attempt. The fence does not go back."""
        await self._give_back(_POSTPONE, job, _as_text(why), until, SHORTEST_POSTPONEMENT)

    async def release(self, job: Job) -> None:
        """Hand the job back unchanged, at a drain. This uses up no attempt."""
        await self._give_back(_RELEASE, job, CHANNEL)

    async def rescue(self) -> int:
        """Free the jobs whose lease has expired; those without attempts left are dead. Returns how many."""
        return int(await self._fetchval(_RESCUE, CHANNEL))

    async def reclaim(self) -> int:
        """Free the jobs that an earlier process of this owner held. Called at the start. Returns how many.

        The attempt counts, because the job may have killed that process. If that process still lives, the fence keeps
        it from finishing anything.
        """
        return int(await self._fetchval(_RECLAIM, CHANNEL, self._owner))

    async def depth(self) -> QueueDepth:
        """The number of unfinished jobs by state."""
        async with self._pool.acquire() as conn:
            row = await conn.fetchrow(_DEPTH)
        return QueueDepth(**{**dict(row), "oldest_due_s": float(row["oldest_due_s"])})

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever jobs were put, until cancelled. Survives restarts of the server.

        A notification can be lost while there is no connection. So `wake` is also called at each new connection, and
        callers must poll as well.
        """
        outage = Outage()

        def connected() -> None:
            if (lasted_s := outage.over(self._clock.monotonic())) is not None:
                _log.info("job_listener_back", away_s=round(lasted_s, 1))
            wake()

        while True:
            why = "the server has closed the connection"
            try:
                await self._listen_once(connected, wake)
            except Exception as error:  # noqa: BLE001  a service loop; the driver may raise anything
                why = str(error)
            missed = outage.missed(self._clock.monotonic())
            if missed.worth_saying:
                _log.warning(
                    "job_listener_interrupted", error=why, away_s=round(missed.lasted_s, 1), tries=missed.tries
                )
            await self._clock.sleep(missed.retry_s)

    async def _listen_once(self, connected: Callable[[], None], wake: Callable[[], None]) -> None:
        gone = asyncio.Event()
        async with self._pool.dedicated() as connection:
            connection.add_termination_listener(lambda _: gone.set())
            await asyncio.wait_for(connection.add_listener(CHANNEL, lambda *_: wake()), _PROBE_TIMEOUT_S)
            connected()
            while True:
                try:
                    await asyncio.wait_for(gone.wait(), _LISTEN_PROBE_S)
                except TimeoutError:  # no notification for a while: check that the server still answers
                    await connection.execute("SELECT 1", timeout=_PROBE_TIMEOUT_S)
                else:
                    return

    async def _fetchval(self, query: str, *args: Any) -> Any:
        async with self._pool.acquire() as conn:
            return await conn.fetchval(query, *args)

    async def _give_back(self, query: str, job: Job, *args: Any) -> JobState:
        state = await self._fetchval(query, job.id, job.fence, *args)
        if state is None:
            raise _lost(job)
        return JobState(state)


def _as_text(error: str) -> str:
    return error[:_ERROR_LENGTH].replace("\0", "?")  # PostgreSQL's text cannot hold NUL


def _lost(job: Job) -> LeaseLost:
    return LeaseLost(f"{job.kind} {job.key}: claim {job.fence} is over; another has the job, or it has ended")
