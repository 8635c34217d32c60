"""The local ComputeBackend: hands units to the workers that have dialled in, one unit to each at a time.

Owns the waiting line, the deadlines and the memory bounds; kills workers. It never starts one: the parent-
death signal follows whoever spawns, so that is the supervisor's part (or `LocalWorkers`, where there is
none).

No unit is lost or done twice because: a unit leaves the pool only by settling its future, once; the future
settles by a result of the present attempt, or by an error of the pool's own; a worker's death is settled
only at the kernel's exit notice, after all it wrote was read, so a unit is given to another worker only when
nobody has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, UnitError, WorkUnit
from gaia.validator.app.compute.ipc import MAX_FRAME_BYTES, FrameTooLarge
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.app.compute.unit_counts import UnitCounts
from gaia.validator.app.compute.unit_errors import (
    DeadlinePassed,
    MemoryExceeded,
    PayloadUnserialisable,
    PoisonUnit,
    PoolClosed,
    UnitTimedOut,
    unit_error,
)
from gaia.validator.app.compute.waiting_line import WaitingLine
from gaia.validator.app.compute.worker_link import PendingUnit, WorkerLink
from gaia.validator.app.compute.worker_places import WorkerPlaces
from gaia.validator.app.telemetry.pool_statistics import PoolStatistics, RunningUnit
from gaia.validator.utils.ipc_types import Progressed, Result

OVERDUE: Final = 1.25
"""Past so many times the soft memory limit a worker goes even while nobody stands by for its place."""
_GOLDEN: Final = 0.618033988749895
_CLOSE_TIMEOUT_S: Final = 5.0
_BACKLOG: Final = 256  # as many workers as the settings allow may dial in at once
_SOCKET_PATH_BYTES: Final = 100  # sun_path holds 108: unix(7)


class ComputePool:
    """One per event loop. `start()` before use, `close()` after; `drain()` first to let running units
    finish.
    """

    def __init__(self, *, socket_path: Path, settings: PoolSettings = PoolSettings()) -> None:  # noqa: B008  frozen
        self._socket_path = socket_path
        self._settings = settings
        self._line = WaitingLine(settings.queue_capacity)
        self._links: set[WorkerLink] = set()
        self._places = WorkerPlaces(settings.compute_workers)
        self._orders = 0
        self._arrivals = 0
        self._wears_out = settings.recycle_units is not None or settings.worker_soft_memory_bytes is not None
        self._closed: ValidatorFault | None = None
        self._quiet: asyncio.Event = asyncio.Event()
        self._tick: asyncio.TimerHandle | None = None
        self._counts = UnitCounts()
        self._proven: set[str] = set()
        """Handlers that have succeeded: safe to import in a worker that stands by."""

    async def start(self) -> None:
        """Listen. Raises ConfigurationError if the socket's folder is not private or its path too long."""
        self._loop = asyncio.get_running_loop()
        claim_socket_path(self._socket_path)
        self._server = await self._loop.create_unix_server(self._new_link, str(self._socket_path), backlog=_BACKLOG)

    async def run(self, unit: WorkUnit, on_progress: Callable[[Progress], None] | None = None) -> ResultUnit:
        """Wait for the unit's result; waits for a place first while the line is full.

        Cancelling it withdraws the unit: from the line, or by killing the worker that has it. `on_progress` is called
        with what the handler reports, a few times a second at most.
        """
        loop, line = self._loop, self._line
        submitted_at = loop.time()
        if line.claims and self._closed is None and (refusal := await self._admission(unit)) is not None:
            return self._refused(unit, refusal)
        if self._closed is not None:
            return self._refused(unit, self._closed)
        self._orders += 1
        pending = PendingUnit(unit, self._orders, loop.create_future(), submitted_at, on_progress)
        expiry = None
        if unit.deadline_s is not None:
            expiry = loop.call_at(submitted_at + unit.deadline_s, self._expire, pending)
        if (idle := self._places.idle) and not line.waiting:
            self._hand_out(pending, idle.pop())
            if line.claims:
                line.admit()  # it has not used the place that it may have waited for
        else:
            line.push(pending)
            self._pump()
        try:
            return await pending.future
        except asyncio.CancelledError:
            self._withdraw(pending)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    async def _admission(self, unit: WorkUnit) -> ValidatorFault | None:
        """Wait for a place in the line while it is full; why there is none, if the unit's deadline comes first."""
        if self._line.is_full:
            try:
                async with asyncio.timeout(unit.deadline_s):
                    await self._line.room()
            except TimeoutError:
                return _deadline_passed(unit)
        return None

    def queue_depth(self) -> int:
        """Units that wait for a worker."""
        return self._line.waiting

    def statistics(self) -> PoolStatistics:
        """Where the pool stands."""
        return PoolStatistics(
            workers=sum(link.slot >= 0 for link in self._links),
            workers_busy=sum(link.pending is not None for link in self._links),
            standing_by=len(self._places.standing_by),
            waiting=self._line.waiting,
            submitters=self._line.submitters,
            running=tuple(self._running()),
            units_done=self._counts.done,
            units_failed=self._counts.failed,
            workers_lost=self._counts.lost,
            timed_out=self._counts.timed_out,
            memory_exceeded=self._counts.over_memory,
            retired=self._counts.retired,
            stale_results=self._counts.stale,
            waits=self._counts.waits(),
            durations=self._counts.durations(),
        )

    async def drain(self, grace_s: float) -> None:
        """Refuse new units, fail those that wait, let running ones finish within the grace time, then kill."""
        self.refuse(PoolClosed("the compute pool is being stopped"))
        try:
            async with asyncio.timeout(grace_s):
                await self._quiet.wait()
        except TimeoutError:
            for link in self._busy():
                self._fail_and_kill(link, PoolClosed(f"the unit did not finish within {grace_s:g} s of the stop"))

    def refuse(self, error: ValidatorFault) -> None:
        """From now on nobody works for new units: they, and those that wait, fail with `error`."""
        self._closed = error
        for pending in self._line.clear():
            self._fail(pending, error)
        self._note_quiet()

    async def close(self) -> None:
        """Stop at once: running units fail, their workers are killed, idle ones are left to dial elsewhere."""
        await self.drain(0.0)
        if self._tick is not None:
            self._tick.cancel()
        self._server.close()
        for link in list(self._links):
            link.close()
            self._places.left(link)
        self._links.clear()
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await self._server.wait_closed()
        self._socket_path.unlink(missing_ok=True)

    # What a worker does, told by its link.

    def worker_came(self, link: WorkerLink) -> None:
        self._arrivals += 1
        if self._settings.recycle_units is not None:
            # The golden ratio spreads the lives of successive workers evenly over +- 20 %.
            spread = 0.8 + 0.4 * (self._arrivals * _GOLDEN % 1.0)
            link.retire_after_units = max(1, round(self._settings.recycle_units * spread))
        if self._places.came(link):
            self._pump()
        elif self._proven:
            link.prepare(tuple(self._proven))

    def worker_answered(self, link: WorkerLink, answer: Result) -> None:
        pending = link.pending
        if pending is None or answer.unit_id != pending.unit.unit_id or answer.attempt != pending.attempt:
            self._counts.stale += 1
            return
        self._free(link)
        link.units_done += 1
        self._settle(pending, answer.value, answer.error, answer.duration_s, link.slot)
        if link.leaving:
            self._places.left(link)
            link.retire()
        elif not (self._wears_out and self._retires(link)):
            self._places.idle.append(link)
        if self._line.waiting:
            self._pump()

    def worker_progressed(self, link: WorkerLink, message: Progressed) -> None:
        pending = link.pending
        if pending is None or message.unit_id != pending.unit.unit_id or message.attempt != pending.attempt:
            return  # the unit has been settled meanwhile
        pending.progress = message.progress
        if pending.on_progress is not None:
            self._loop.call_soon(pending.on_progress, message.progress)  # what it raises is not the link's affair

    def worker_leaves(self, link: WorkerLink) -> None:
        if link.pending is None:
            self._places.left(link)
            link.retire()
            self._pump()
        else:  # the unit crossed its wish on the way: it is still done
            link.leaving = True

    def worker_hung_up(self, link: WorkerLink) -> None:
        self._places.left(link)
        self._pump()

    def worker_gone(self, link: WorkerLink) -> None:
        self._links.discard(link)
        self._places.left(link)
        if (pending := link.pending) is not None:
            self._free(link)
            self._counts.lost += 1
            self._try_again(pending, link)
        self._pump()

    # What follows from it.

    def _new_link(self) -> WorkerLink:
        link = WorkerLink(self, self._loop)
        self._links.add(link)
        return link

    def _pump(self) -> None:
        idle = self._places.idle
        while idle and (pending := self._line.pop()) is not None:
            self._hand_out(pending, idle.pop())

    def _hand_out(self, pending: PendingUnit, link: WorkerLink) -> None:
        """Send a unit to a worker that was idle until now; one that cannot be sent fails, and the worker stays idle."""
        handler = pending.unit.handler
        try:
            _refuse_unfit(pending.unit)
            link.dispatch(pending.unit, pending.attempt)
        except (FrameTooLarge, PayloadUnserialisable, UnitTimedOut) as error:
            self._places.idle.append(link)
            self._counts.timed_out += isinstance(error, UnitTimedOut)
            self._fail(pending, error)
        except Exception as error:  # noqa: BLE001  anybody's code runs here: it must not cost us the worker
            self._places.idle.append(link)
            self._fail(pending, PayloadUnserialisable(f"the payload of {handler}: {type(error).__name__}: {error}"))
        else:
            link.pending, pending.link = pending, link
            link.started_at = now = self._loop.time()
            self._counts.waited(now - pending.submitted_at)
            if self._tick is None:
                self._tick = self._loop.call_later(self._settings.sample_s, self._look_at_workers)

    def _expire(self, pending: PendingUnit) -> None:
        """The unit's own deadline has come."""
        link = pending.link
        if link is not None:
            link.read_now()  # a result that has fully arrived counts
        if pending.future.done():
            return
        self._counts.timed_out += 1
        error = _deadline_passed(pending.unit)
        if pending.link is not None:
            self._fail_and_kill(pending.link, error)
        else:
            self._fail(pending, error)
            self._line.withdraw(pending)

    def _look_at_workers(self) -> None:
        """Every sample while units run: who is past its time, who past its memory."""
        now = self._loop.time()
        for link in self._busy():
            self._look_at(link, now)
        busy = any(link.pending is not None for link in self._links)
        self._tick = self._loop.call_later(self._settings.sample_s, self._look_at_workers) if busy else None

    def _look_at(self, link: WorkerLink, now: float) -> None:
        pending = link.pending
        if pending is None:
            return
        unit, hard = pending.unit, self._settings.worker_hard_memory_bytes
        error: ValidatorFault
        if now - link.started_at > unit.timeout_s:
            error = UnitTimedOut(f"{unit.handler} ran past its {unit.timeout_s:g} s")
        elif hard is not None and (used := link.memory_bytes()) > hard:
            error = MemoryExceeded(f"{unit.handler} took {used >> 20} MiB; a worker may have {hard >> 20} MiB")
        else:
            return
        link.read_now()  # a result that has fully arrived counts
        if link.pending is pending:
            self._counts.timed_out += isinstance(error, UnitTimedOut)
            self._counts.over_memory += isinstance(error, MemoryExceeded)
            self._fail_and_kill(link, error)

    def _retires(self, link: WorkerLink) -> bool:
        """Send a worker that is worn out away, if the places can spare one now or its memory cannot wait; else it goes
        after a later unit.
        """
        soft = self._settings.worker_soft_memory_bytes
        used_bytes = link.memory_bytes() if soft is not None else 0
        swollen = soft is not None and used_bytes > soft
        overdue = soft is not None and used_bytes > OVERDUE * soft
        worn = swollen or 0 < link.retire_after_units <= link.units_done
        if not worn or not (overdue or self._places.can_spare_one()):
            return False
        self._places.spared(link)
        self._counts.retired += 1
        link.retire()
        return True

    def _try_again(self, pending: PendingUnit, link: WorkerLink) -> None:
        unit = pending.unit
        if self._closed is not None:
            self._fail(pending, self._closed)
        elif pending.attempt >= unit.max_attempts:
            self._fail(
                pending,
                PoisonUnit(
                    f"{unit.handler} lost its worker {pending.attempt} times, last in slot {link.slot}; see the "
                    "worker's own output for a crash, and the kernel's log for an out-of-memory kill"
                ),
            )
        elif not pending.future.done():  # else it was cancelled a moment ago
            pending.attempt += 1
            pending.progress = None
            self._line.push(pending)

    def _withdraw(self, pending: PendingUnit) -> None:
        link = pending.link
        if link is not None:
            self._free(link)
            self._dismiss(link)
        else:
            self._line.withdraw(pending)

    def _fail_and_kill(self, link: WorkerLink, error: ValidatorFault) -> None:
        """The unit is settled now, whatever the worker still does; it gets no other."""
        pending = link.pending
        if pending is not None:
            duration_s = self._loop.time() - link.started_at
            self._free(link)
            self._fail(pending, error, duration_s=duration_s, slot=link.slot)
        self._dismiss(link)

    def _dismiss(self, link: WorkerLink) -> None:
        """Kill a worker; who stands by takes its place now, before it has ended."""
        link.leaving = True
        self._places.left(link)
        link.kill()
        self._pump()

    def _fail(self, pending: PendingUnit, error: ValidatorFault, *, duration_s: float = 0.0, slot: int = -1) -> None:
        self._settle(pending, None, unit_error(error), duration_s, slot)

    def _settle(
        self,
        pending: PendingUnit,
        value: Mapping[str, Any] | None,
        error: UnitError | None,
        duration_s: float,
        slot: int,
    ) -> None:
        handler = pending.unit.handler
        self._counts.settled(handler, duration_s)
        if error is None:
            self._counts.done += 1
            if handler not in self._proven:
                self._learn(handler)
        else:
            self._counts.failed += 1
        if not pending.future.done():
            pending.future.set_result(
                ResultUnit(
                    unit_id=pending.unit.unit_id,
                    handler=handler,
                    value=value,
                    error=error,
                    attempt=pending.attempt,
                    duration_s=duration_s,
                    worker_slot=slot,
                )
            )

    def _refused(self, unit: WorkUnit, error: ValidatorFault) -> ResultUnit:
        """A unit that never got into the line."""
        self._counts.timed_out += isinstance(error, DeadlinePassed)
        self._counts.failed += 1
        return ResultUnit(unit_id=unit.unit_id, handler=unit.handler, error=unit_error(error))

    def _learn(self, handler: str) -> None:
        """A handler has worked for the first time: whoever stands by imports it now."""
        self._proven.add(handler)
        for link in self._places.standing_by:
            link.prepare((handler,))

    def _free(self, link: WorkerLink) -> None:
        if link.pending is not None:
            link.pending.link = None
            link.pending = None
        if self._closed is not None:
            self._note_quiet()

    def _note_quiet(self) -> None:
        if self._closed is not None and not any(link.pending is not None for link in self._links):
            self._quiet.set()

    def _busy(self) -> list[WorkerLink]:
        return [link for link in self._links if link.pending is not None]

    def _running(self) -> Iterator[RunningUnit]:
        now = self._loop.time()
        for link in self._busy():
            if (pending := link.pending) is not None:
                yield RunningUnit(
                    unit_id=pending.unit.unit_id,
                    handler=pending.unit.handler,
                    run_id=_run_of(pending.unit),
                    worker_slot=link.slot,
                    attempt=pending.attempt,
                    running_s=now - link.started_at,
                    progress=pending.progress,
                )


def _run_of(unit: WorkUnit) -> str | None:
    run_id = unit.payload.get("run_id")
    return run_id if isinstance(run_id, str) else None


def _deadline_passed(unit: WorkUnit) -> DeadlinePassed:
    return DeadlinePassed(f"{unit.handler} was not done within {unit.deadline_s:g} s of its submission")


def _refuse_unfit(unit: WorkUnit) -> None:
    if not unit.timeout_s > 0.0:  # nor is NaN: the worker's own timer takes neither
        raise UnitTimedOut(f"{unit.handler} was given {unit.timeout_s:g} s; no worker saw it")
    for key, value in unit.payload.items():
        if type(key) is not str:  # MessagePack would carry it, but the worker could not take it in
            raise PayloadUnserialisable(f"the payload of {unit.handler} has the key {key!r}; keys are text")
        # Known before hundreds of megabytes are copied in the event loop; the rest shows when it is encoded.
        if type(value) is bytes and len(value) > MAX_FRAME_BYTES:
            raise FrameTooLarge(
                f"{key!r} in the payload of {unit.handler} has {len(value)} bytes; a frame may have {MAX_FRAME_BYTES}: "
                "write big data to a file and send its path"
            )


def claim_socket_path(socket_path: Path) -> None:
    """Make sure that only this user can reach the socket, and that no dead one is in the way."""
    if len(bytes(socket_path)) > _SOCKET_PATH_BYTES:
        raise ConfigurationError(f"the socket path {socket_path} is too long: use a shorter data folder")
    folder = socket_path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_mode & 0o077 or status.st_uid != Path("/proc/self").stat().st_uid:
        raise ConfigurationError(f"{folder} must belong to this user alone: chmod 700 it, or remove it")
    socket_path.unlink(missing_ok=True)
