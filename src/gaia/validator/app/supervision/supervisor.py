"""The supervisor: starts the validator's processes in order, keeps them running, and ends them in order.

It is synchronous and small: one loop over descriptors in the main thread. The children must be started in the main
thread, because a child gets its parent-death signal when the thread that started it ends. Owns the children and nothing
else. Never imports numerics, database drivers, HTTP clients or task code, and does not know the work of the other
processes.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.validator.app.compute.worker_launch import WorkerLaunch
from gaia.validator.app.machine.bytecode import keeping
from gaia.validator.app.machine.disk_space import DiskSpace
from gaia.validator.app.machine.memory import process_usage
from gaia.validator.app.machine.service_manager import ServiceManager
from gaia.validator.app.machine.signal_wakeup import SignalWakeup
from gaia.validator.app.machine.terminal import Terminal
from gaia.validator.app.processes.child import Child, python_module
from gaia.validator.app.processes.child_slot import (
    EXIT_REFUSED,
    ChildKeepsFailing,
    ChildNotStarted,
    ChildRefuses,
    ChildRole,
    ChildSlot,
    describe_exit,
    file_in_memory,
)
from gaia.validator.app.processes.restart_policy import RestartPolicy
from gaia.validator.app.supervision.child_bounds import ChildBounds
from gaia.validator.app.supervision.database_child import embedded_postgres, spawn_postgres
from gaia.validator.app.supervision.memory_groups import MemoryGroups
from gaia.validator.app.supervision.open_files import TooFewOpenFiles, allow_files, files_needed
from gaia.validator.app.supervision.rolling_restart import RollingRestart
from gaia.validator.app.supervision.settings_change import SettingsChange
from gaia.validator.app.supervision.state_report import child_states, engine_state
from gaia.validator.app.supervision.status_line import StatusLine, Trouble
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot, Refusal, decode_message
from gaia.validator.app.telemetry.event_log import EventLog
from gaia.validator.app.telemetry.supervisor_view import ChildView, SupervisorView
from gaia.validator.db.embedded import FAST_STOP_SIGNAL
from gaia.validator.db.prepare import preparation_argv
from gaia.validator.utils.settings import Settings, SettingsOfAnotherVersion

_LOOK_EVERY_S: Final = 1.0
_START_LOOK_S: Final = 0.03
_POSTGRES_START_S: Final = 300.0  # recovery after a crash replays the log
_POSTGRES_STOP_S: Final = 30.0
_SETUP_S: Final = 600.0  # a migration may rewrite a table
_PREPARATION_S: Final = 300.0
_SETTINGS_S: Final = 60.0
_ENGINE_MARGIN_S: Final = 5.0  # the engine itself observes the grace time; this much later it is killed
_WORKER_STOP_S: Final = 2.0  # the engine has ended, so nobody needs a worker's result any more
_KILL_S: Final = 5.0

_ERRANDS: Final = (ChildRole.SETTINGS, ChildRole.PREPARATION, ChildRole.SETUP)


class StartFailed(ValidatorFault):
    """A part of the validator did not start."""


class StartRefused(ConfigurationError):
    """A part of the validator reports that it cannot start until the operator corrects something."""


class RanDegraded(ValidatorFault):
    """The stop was orderly, but some workers had been given up."""


_NO_NEW_SETTINGS: Final = (StartFailed, StartRefused, ChildNotStarted, TooFewOpenFiles, SettingsOfAnotherVersion)


class StopRequested(Exception):
    """SIGTERM or SIGINT has come."""


class Programs(Struct, frozen=True, kw_only=True):
    """The programs of the children, and the rule for their restarts. Tests can give others."""

    settings: Sequence[str] = tuple(python_module("gaia.validator.utils.config"))
    engine: Sequence[str] = tuple(python_module("gaia.validator.app.io_engine", "--settings-on-stdin"))
    setup: Sequence[str] = tuple(python_module("gaia.validator.db.setup", "--settings-on-stdin"))
    registry: str | None = None
    """The workers' handlers. None: those of the tasks in the settings."""
    restart: RestartPolicy = RestartPolicy()


class Supervisor:
    """The supervisor. `run()` returns after a requested stop, and raises if the validator cannot continue."""

    def __init__(self, settings: Settings, log: EventLog, programs: Programs | None = None) -> None:
        self._settings = settings
        self._log = log
        self._programs = programs if programs is not None else Programs()
        self._database = embedded_postgres(settings) if settings.database_url is None else None
        self._slots: list[ChildSlot] = []
        self._stop_requests = 0
        self._stopping = False
        self._look_at = 0.0
        self._engine: EngineSnapshot | None = None
        self._given_up: list[ChildKeepsFailing] = []
        self._rolling = RollingRestart(log)
        self._renewal_requested = False
        self._terminal = Terminal()
        self._disk = DiskSpace(settings.data_dir, log)
        self._service = ServiceManager.of_this_process()
        self._status = StatusLine(self._service)
        self._bounds = ChildBounds(settings, log)
        self.view = SupervisorView()
        """The state for the metrics. It is replaced as a whole once a second, so another thread may read it."""

    def run(self) -> None:
        """Start everything, watch it until asked to stop, and stop everything, also after an error.

        Raises RanDegraded at the end if a worker's slot was given up.
        """
        with SignalWakeup(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1) as self._signals:
            self._memory_groups = MemoryGroups.delegated(self._bounds.memory_bytes, self._log)
            try:
                self._start_database()
                self._set_up_database()
                self._start_engine_and_workers()
                while True:
                    self._turn()
                    if self._renewal_requested:
                        self._renew()
            except StopRequested:
                self._log.info("stop_requested")
            finally:
                self._stop_all()
                self._service.close()
        if self._given_up:
            raise RanDegraded(f"stopped as asked, but it had run degraded: {self._given_up[0]}")

    # Starting

    def _start_database(self) -> None:
        database = self._database
        if database is None:
            return
        self._run_errand(
            ChildRole.PREPARATION, preparation_argv(database), _PREPARATION_S, "the database's preparation"
        )
        database.prepare()  # everything exists by now, so this only checks
        stderr_path = self._settings.run_dir / "postgres.stderr"
        slot = self._add(ChildRole.POSTGRES, 0, lambda: spawn_postgres(database, stderr_path), keep=False)
        child = self._fill(slot)
        self._turn_until(lambda: slot.child is not child or database.is_ready(), _POSTGRES_START_S, "PostgreSQL")
        if slot.child is not child:
            raise _start_error(child, stderr_path.read_bytes(), database.last_complaint())
        slot.keep = True
        self._log.info("database_started", socket_dir=str(database.socket_dir))

    def _set_up_database(self) -> None:
        self._run_errand(
            ChildRole.SETUP, self._programs.setup, _SETUP_S, "the database's set-up", self._settings.to_json()
        )
        self._log.info("database_ready")

    def _run_errand(
        self, role: ChildRole, argv: Sequence[str], timeout_s: float, what: str, stdin: bytes = b""
    ) -> bytes:
        """Run a child to its end, and handle signals meanwhile. Returns its output. Raises an error if it fails."""
        kept = keeping(argv, self._settings.worker_cache_dir)
        with file_in_memory(stdin) as source, file_in_memory() as stdout, file_in_memory() as stderr:

            def launch() -> Child:
                return Child.spawn(kept, stdin=source.fileno(), stdout=stdout.fileno(), stderr=stderr.fileno())

            slot = self._add(role, 0, launch, keep=False)
            try:
                child = self._fill(slot)
                self._turn_until(lambda: slot.child is None, timeout_s, what)
            except (StartFailed, ChildNotStarted):
                if slot.child is not None:
                    slot.child.kill()
                self._turn_while_alive([slot], _KILL_S, None)
                self._slots.remove(slot)
                raise
            self._slots.remove(slot)
            if child.exit_status != 0:
                stderr.seek(0)
                raise _start_error(child, stderr.read(), f"{what} failed")
            stdout.seek(0)
            return stdout.read()

    def _start_engine_and_workers(self) -> None:
        self._add(ChildRole.ENGINE, 0, self._spawn_engine)
        launch = self._worker_launch()
        for number in range(self._settings.compute_workers + self._settings.compute_spares):
            self._add(ChildRole.WORKER, number, partial(self._spawn_worker, launch, number))
        for slot in self._slots:
            if slot.child is None:
                self._fill(slot)

    def _spawn_engine(self) -> Child:
        with file_in_memory(self._settings.to_json()) as stdin:
            return Child.spawn(
                keeping([*self._programs.engine, "--ppid", str(os.getpid())], self._settings.worker_cache_dir),
                with_status=True,
                stdin=stdin.fileno(),
            )

    def _worker_launch(self) -> WorkerLaunch:
        return WorkerLaunch(
            socket_path=self._settings.engine_socket,
            cache_dir=self._settings.worker_cache_dir,
            registry=self._programs.registry or ",".join(self._settings.tasks),
            worker_hard_memory_bytes=self._settings.worker_hard_memory_bytes,
        )

    def _spawn_worker(self, launch: WorkerLaunch, number: int) -> Child:
        child = launch.spawn(number)
        if self._memory_groups is not None:
            self._memory_groups.hold(number, child.pid)
        return child

    def _add(self, role: ChildRole, number: int, launch: Callable[[], Child], *, keep: bool = True) -> ChildSlot:
        slot = ChildSlot(role, number, launch, self._programs.restart, keep=keep, excused=self._disk.look)
        self._slots.append(slot)
        return slot

    def _fill(self, slot: ChildSlot) -> Child:
        child = slot.fill()
        self._log.info("child_started", role=slot.role, slot=slot.number, pid=child.pid, restarts=slot.restarts)
        return child

    def _refill(self, slot: ChildSlot) -> None:
        try:
            child = slot.refill()
        except ChildKeepsFailing as error:
            self._give_up(slot, error)
            return
        if child is None:
            self._log.warning("child_not_started", role=slot.role, slot=slot.number)
        else:
            self._log.info("child_started", role=slot.role, slot=slot.number, pid=child.pid, restarts=slot.restarts)

    # Watching

    def _turn_until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Turn the loop until `done`. Raises StartFailed if it takes too long, and StopRequested."""
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise StartFailed(f"{what} is not ready after {timeout_s:g} s")
            self._turn(_START_LOOK_S)

    def _turn(self, longest_s: float = _LOOK_EVERY_S) -> None:
        """Wait for the next event or due time, and handle it. Raises StopRequested after a request to stop."""
        self._wait(longest_s)
        for number in self._signals.received():
            self._log.info("signal_received", signal=number.name)
            self._obey(number)
        for slot in list(self._slots):
            self._attend(slot)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_S
            self._status.note(Trouble.DISK, "" if self._disk.look() else None)
            self.view = self._seen()
        self._rolling.advance(time.monotonic())
        self._service.feed(time.monotonic())
        self._note_ready()
        if self._stop_requests and not self._stopping:
            raise StopRequested

    def _wait(self, longest_s: float) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        now = time.monotonic()
        until = min(now + longest_s, self._look_at if self._look_at > now else now + longest_s)
        if (feeding_in_s := self._service.next_feeding_in_s(now)) is not None:
            until = min(until, now + feeding_in_s)
        for slot in self._slots:
            if slot.child is not None:
                poll.register(slot.child.pidfd, select.POLLIN)
                if slot.child.status is not None and not slot.child.status_ended:
                    poll.register(slot.child.status.fileno(), select.POLLIN)
            elif slot.due_at is not None:
                until = min(until, slot.due_at)
        poll.poll(max(0.0, until - now) * 1000)

    def _attend(self, slot: ChildSlot) -> None:
        child = slot.child
        if child is not None:
            has_ended = not child.alive  # checked before its messages are read, so that none of them is lost
            self._hear(slot, child)
            if has_ended:
                self._note_end(slot, child)
            elif slot.role is ChildRole.ENGINE and not self._stopping:
                self._bounds.hold_to_talk(child)
        elif slot.due_at is not None and time.monotonic() >= slot.due_at and not self._stopping:
            self._refill(slot)

    def _hear(self, slot: ChildSlot, child: Child) -> None:
        ready_before = child.said_ready
        messages = child.messages()
        if slot.role is ChildRole.ENGINE and messages:
            try:
                told = decode_message(messages[-1])
            except msgspec.MsgspecError as error:
                self._log.warning("snapshot_unreadable", error=str(error))
                return
            if isinstance(told, Refusal):
                child.refusal, child.said_ready = told.message, False
            else:
                self._engine = told
        if child.said_ready and not ready_before:
            if slot.role is ChildRole.ENGINE:
                self._status.note(Trouble.ENGINE, None)
            self._log.info("child_ready", role=slot.role, slot=slot.number, pid=child.pid)

    def _note_end(self, slot: ChildSlot, child: Child) -> None:
        expected = child.expected_to_end
        try:
            status = slot.ended(child)
        except ChildKeepsFailing as error:
            self._give_up(slot, error)
            return
        except ChildRefuses:
            if not self._stopping:
                raise
            return
        log = self._log.info if expected or status == 0 else self._log.warning
        log("child_ended", role=slot.role, slot=slot.number, pid=child.pid, how=describe_exit(status))
        if slot.refusal is not None:
            self._log.error("child_refused", role=slot.role, slot=slot.number, why=slot.refusal)
            if slot.role is ChildRole.ENGINE:
                self._status.note(Trouble.ENGINE, slot.refusal)

    def _give_up(self, slot: ChildSlot, error: ChildKeepsFailing) -> None:
        """Give up a worker's slot, as long as another worker's slot is left. Otherwise raises the error."""
        if self._stopping:
            return
        others = [each for each in self._slots if each.role is ChildRole.WORKER and each is not slot]
        if slot.role is not ChildRole.WORKER or all(each.given_up for each in others):
            raise error
        slot.give_up()
        self._given_up.append(error)
        self._log.error("slot_given_up", role=slot.role, slot=slot.number, error=str(error))
        self._status.note(Trouble.SLOTS, "; ".join(map(str, self._given_up)))

    def _note_ready(self) -> None:
        """Report once that the engine and all workers are ready."""
        if self._status.is_ready or self._stopping:
            return
        kept = [slot for slot in self._slots if slot.role in (ChildRole.ENGINE, ChildRole.WORKER) and not slot.given_up]
        if kept and all(slot.child is not None and slot.child.said_ready for slot in kept):
            self._log.info("validator_ready")
            self._status.come_up()

    def _seen(self) -> SupervisorView:
        itself = ChildView(role="supervisor", slot=0, restarts=0, given_up=False, usage=process_usage(os.getpid()))
        children = [itself]
        for slot in self._slots:
            view = slot.view()
            self._bounds.hold_to_memory(slot, view.usage)
            children.append(view)
        return SupervisorView(children=tuple(children), engine=self._engine, disk_free_bytes=self._disk.free_bytes)

    # Obeying

    def _obey(self, number: signal.Signals) -> None:
        if number is signal.SIGUSR1:
            free = self._disk.free_bytes
            self._log.info(
                "state",
                children=child_states(self._slots),
                engine=engine_state(self._engine),
                disk_free_mib=None if free is None else free >> 20,
            )
        elif number is signal.SIGHUP and not self._terminal.has_closed():
            self._renewal_requested = True
        else:  # the SIGHUP of a closed terminal is a request to stop
            self._stop_requests += 1

    def _renew(self) -> None:
        """Read the settings again, and replace every worker by one with the present code and settings.

        The engine is replaced too if settings have changed. It drains first, so no job is lost. Settings that cannot
        change while the supervisor runs keep their values.
        """
        self._renewal_requested = False
        self._status.reloading()
        try:
            told = self._run_errand(ChildRole.SETTINGS, self._programs.settings, _SETTINGS_S, "reading the settings")
            change = SettingsChange.of(self._settings, Settings.from_json(told))
            allow_files(files_needed(change.settings))
        except _NO_NEW_SETTINGS as error:  # only these: other children may raise other errors in the meantime
            self._log.error("settings_refused", error=str(error))
            self._status.reloaded(refused=str(error))
            return
        self._take_up(change)
        workers = [slot for slot in self._slots if slot.role is ChildRole.WORKER]
        for slot in workers:
            slot.launch = partial(self._spawn_worker, self._worker_launch(), slot.number)
            if slot.given_up:
                slot.revive()
        self._given_up.clear()
        self._status.note(Trouble.SLOTS, None)
        engines = [slot for slot in self._slots if slot.role is ChildRole.ENGINE and change.taken_up]
        self._rolling.begin([*engines, *workers])
        self._status.reloaded()

    def _take_up(self, change: SettingsChange) -> None:
        if change.taken_up:
            self._log.info("settings_taken_up", names=change.taken_up)
        if change.need_restart:
            self._log.warning("settings_need_restart", names=change.need_restart)
        self._settings = change.settings
        self._bounds = ChildBounds(self._settings, self._log)
        if self._memory_groups is not None:
            self._memory_groups.limit_bytes = self._bounds.memory_bytes

    # Stopping

    def _stop_all(self) -> None:
        """Stop the engine, then the workers, then the database. This way each can finish its work."""
        self._stopping = True
        self._status.stopping()
        for errand in _ERRANDS:
            self._stop(errand, signal.SIGTERM, _WORKER_STOP_S)
        self._stop(ChildRole.ENGINE, signal.SIGTERM, self._settings.drain_grace_s + _ENGINE_MARGIN_S)
        self._stop(ChildRole.WORKER, signal.SIGTERM, _WORKER_STOP_S)
        self._stop(ChildRole.POSTGRES, FAST_STOP_SIGNAL, _POSTGRES_STOP_S)
        self._log.info("all_stopped")

    def _stop(self, role: ChildRole, number: signal.Signals, grace_s: float) -> None:
        """Ask all children of a role to end. Kill the rest after the grace time, or at a second request to stop."""
        slots = [slot for slot in self._slots if slot.role is role]
        for slot in slots:
            slot.due_at = None
            if slot.child is not None:
                slot.child.ask_to_end(number)
        # A database that is killed must recover at its next start. So a second request to stop does not kill it.
        patience = self._stop_requests if role is not ChildRole.POSTGRES else None
        self._turn_while_alive(slots, grace_s, patience)
        for slot in slots:
            if slot.child is not None:
                self._log.warning("child_killed", role=role, slot=slot.number, pid=slot.child.pid)
                slot.child.kill()
        self._turn_while_alive(slots, _KILL_S, None)

    def _turn_while_alive(self, slots: Sequence[ChildSlot], timeout_s: float, patience: int | None) -> None:
        """Turn the loop until all have ended, the time is up, or more stop requests have come than `patience`.

        A `patience` of 0 counts as 1. None: stop requests have no effect.
        """
        deadline = time.monotonic() + timeout_s
        while any(slot.child is not None for slot in slots):
            impatient = patience is not None and self._stop_requests > max(patience, 1)
            if impatient or time.monotonic() > deadline:
                return
            self._turn(min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic())))


def _start_error(child: Child, stderr: bytes, otherwise: str) -> ValidatorFault:
    """The error of a child that ended too early: all that one that refuses says on stderr, of others the last line."""
    status = child.exit_status or 0
    lines = stderr.decode("utf-8", errors="replace").strip().splitlines()
    if status in EXIT_REFUSED and lines:
        return StartRefused("; ".join(line.strip() for line in lines))
    message = lines[-1].strip() if lines else f"{otherwise} ({describe_exit(status)})"
    return StartRefused(message) if status in EXIT_REFUSED else StartFailed(message)
