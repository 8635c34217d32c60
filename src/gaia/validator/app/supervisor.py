"""The supervisor: starts the validator's processes in order, keeps them running, ends them in order.

Synchronous and tiny: one loop over descriptors in the main thread (the parent-death signal of every child
follows it). Owns the children and nothing else; never imports numerics, database drivers, HTTP clients or
task code, and never looks into the work that the others do.
"""

from __future__ import annotations

import os
import select
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.validator.app.children import Child, WorkerLaunch, python_module
from gaia.validator.app.engine_snapshot import EngineSnapshot, decode_snapshot
from gaia.validator.app.handler_registry import DEFAULT_REGISTRY
from gaia.validator.app.memory import process_usage
from gaia.validator.app.post import EXIT_REFUSED, ChildKeepsFailing, ChildRefuses, Post, Role, describe_exit
from gaia.validator.app.signal_wakeup import SignalWakeup
from gaia.validator.app.supervisor_settings import SupervisorSettings
from gaia.validator.app.supervisor_view import ChildView, SupervisorView
from gaia.validator.db.embedded import FAST_STOP_SIGNAL, EmbeddedPostgres

_LOOK_EVERY_S: Final = 1.0
_START_LOOK_S: Final = 0.03
_POSTGRES_START_S: Final = 300.0  # recovery after a crash replays the log
_POSTGRES_STOP_S: Final = 30.0
_SETUP_S: Final = 600.0  # a migration may rewrite a table
_ENGINE_MARGIN_S: Final = 5.0  # the engine itself keeps the grace time; this much later it is stuck
_WORKER_STOP_S: Final = 2.0  # the engine has gone: whatever a worker still does is for nobody
_KILL_S: Final = 5.0


class StartFailed(ValidatorFault):
    """A part of the validator did not come up."""


class StopRequested(Exception):
    """SIGTERM or SIGINT has come."""


class Programs(Struct, frozen=True, kw_only=True):
    """What the children run, so that the supervisor can be tried with others."""

    engine: Sequence[str] = tuple(python_module("gaia.validator.app.io_engine"))
    setup: Sequence[str] = tuple(python_module("gaia.validator.db.setup"))
    registry: str = DEFAULT_REGISTRY


class Supervisor:
    """One life of the validator: `run()` returns when it was asked to stop, raises when it could not go on."""

    def __init__(self, settings: SupervisorSettings, programs: Programs | None = None) -> None:
        self._settings = settings
        self._programs = programs if programs is not None else Programs()
        self._database = embedded_postgres(settings) if settings.database_url is None else None
        self._posts: list[Post] = []
        self._stop_requests = 0
        self._stopping = False
        self._look_at = 0.0
        self._engine: EngineSnapshot | None = None
        self._log = structlog.get_logger("supervisor")
        self.view = SupervisorView()
        """Replaced as a whole, once a second; safe to read from another thread."""

    def run(self) -> None:
        """Start everything, watch it until asked to stop, stop everything; the last also on an error."""
        with SignalWakeup(signal.SIGTERM, signal.SIGINT) as self._signals:
            try:
                self._start_database()
                self._set_up_database()
                self._start_engine_and_workers()
                while True:
                    self._turn()
            except StopRequested:
                self._log.info("stop_requested")
            finally:
                self._stop_all()

    # Starting

    def _start_database(self) -> None:
        database = self._database
        if database is None:
            return
        database.prepare()
        stderr_path = self._settings.run_dir / "postgres.stderr"
        post = self._add(Role.POSTGRES, 0, lambda: _spawn_postgres(database, stderr_path), keep=False)
        child = self._fill(post)
        self._turn_until(lambda: post.child is not child or database.is_ready(), _POSTGRES_START_S, "PostgreSQL")
        if post.child is not child:
            raise _start_error(child, stderr_path.read_bytes(), database.last_complaint())
        post.keep = True
        self._log.info("database_started", socket_dir=str(database.socket_dir))

    def _set_up_database(self) -> None:
        with tempfile.TemporaryFile() as stderr:
            argv = self._programs.setup
            post = self._add(
                Role.SETUP, 0, lambda: Child.spawn(argv, environment=self._with_database(), stderr=stderr.fileno()),
                keep=False,
            )  # fmt: skip
            child = self._fill(post)
            self._turn_until(lambda: post.child is None, _SETUP_S, "the database's set-up")
            self._posts.remove(post)
            if child.exit_status != 0:
                stderr.seek(0)
                raise _start_error(child, stderr.read(), "the database's set-up failed")
        self._log.info("database_ready")

    def _start_engine_and_workers(self) -> None:
        engine_argv = [*self._programs.engine, "--ppid", str(os.getpid())]
        self._add(
            Role.ENGINE, 0,
            lambda: Child.spawn(engine_argv, environment=self._with_database(), with_status=True),
        )  # fmt: skip
        launch = WorkerLaunch(
            socket_path=self._settings.engine_socket,
            cache_dir=self._settings.worker_cache_dir,
            registry=self._programs.registry,
            hard_memory_bytes=self._settings.hard_memory_bytes,
        )
        for slot in range(self._settings.compute_workers):
            self._add(Role.WORKER, slot, partial(launch.spawn, slot))
        for post in self._posts:
            if post.child is None:
                self._fill(post)

    def _add(self, role: Role, slot: int, launch: Callable[[], Child], *, keep: bool = True) -> Post:
        post = Post(role, slot, launch, self._settings.restart, keep=keep)
        self._posts.append(post)
        return post

    def _fill(self, post: Post) -> Child:
        child = post.fill()
        self._log.info("child_started", role=post.role, slot=post.slot, pid=child.pid, restarts=post.restarts)
        return child

    def _refill(self, post: Post) -> None:
        child = post.refill()
        if child is None:
            self._log.warning("child_not_started", role=post.role, slot=post.slot)
        else:
            self._log.info("child_started", role=post.role, slot=post.slot, pid=child.pid, restarts=post.restarts)

    def _with_database(self) -> dict[str, str]:
        """What engine and set-up need on top of the environment that they inherit."""
        dsn = self._database.dsn if self._database is not None else self._settings.database_url
        return {"DATABASE_URL": dsn} if dsn is not None else {}

    # Watching

    def _turn_until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Go on turning until `done`. Raises StartFailed when it takes too long, StopRequested as any turn
        does.
        """
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise StartFailed(f"{what} is not ready after {timeout_s:g} s")
            self._turn(_START_LOOK_S)

    def _turn(self, longest_s: float = _LOOK_EVERY_S) -> None:
        """Wait for something to happen, or for what is due, and deal with it. Raises StopRequested once
        asked to stop.
        """
        self._wait(longest_s)
        for number in self._signals.received():
            self._log.info("signal_received", signal=number.name)
            self._stop_requests += 1
        for post in list(self._posts):
            self._attend(post)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_S
            self.view = self._seen()
        if self._stop_requests and not self._stopping:
            raise StopRequested

    def _wait(self, longest_s: float) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        now = time.monotonic()
        until = min(now + longest_s, self._look_at if self._look_at > now else now + longest_s)
        for post in self._posts:
            if post.child is not None:
                poll.register(post.child.pidfd, select.POLLIN)
                if post.child.status is not None and not post.child.status_ended:
                    poll.register(post.child.status.fileno(), select.POLLIN)
            elif post.due_at is not None:
                until = min(until, post.due_at)
        poll.poll(max(0.0, until - now) * 1000)

    def _attend(self, post: Post) -> None:
        child = post.child
        if child is not None:
            self._hear(post, child)
            if not child.alive:
                self._note_end(post, child)
        elif post.due_at is not None and time.monotonic() >= post.due_at and not self._stopping:
            self._refill(post)

    def _hear(self, post: Post, child: Child) -> None:
        ready_before = child.said_ready
        messages = child.messages()
        if child.said_ready and not ready_before:
            self._log.info("child_ready", role=post.role, slot=post.slot, pid=child.pid)
        if post.role is Role.ENGINE and messages:
            try:
                self._engine = decode_snapshot(messages[-1])
            except msgspec.MsgspecError as error:
                self._log.warning("snapshot_unreadable", error=str(error))

    def _note_end(self, post: Post, child: Child) -> None:
        expected = child.expected_to_end
        try:
            status = post.ended(child)
        except (ChildKeepsFailing, ChildRefuses):
            if not self._stopping:
                raise
            return
        log = self._log.info if expected or status == 0 else self._log.warning
        log("child_ended", role=post.role, slot=post.slot, pid=child.pid, how=describe_exit(status))

    def _seen(self) -> SupervisorView:
        itself = ChildView(role="supervisor", slot=0, restarts=0, usage=process_usage(os.getpid()))
        return SupervisorView(children=(itself, *(post.view() for post in self._posts)), engine=self._engine)

    # Stopping

    def _stop_all(self) -> None:
        """Engine, then workers, then the database: each has what it needs to finish until it has finished."""
        self._stopping = True
        self._stop(Role.SETUP, signal.SIGTERM, _WORKER_STOP_S)
        self._stop(Role.ENGINE, signal.SIGTERM, self._settings.grace_s + _ENGINE_MARGIN_S)
        self._stop(Role.WORKER, signal.SIGTERM, _WORKER_STOP_S)
        self._stop(Role.POSTGRES, FAST_STOP_SIGNAL, _POSTGRES_STOP_S)
        self._log.info("all_stopped")

    def _stop(self, role: Role, number: signal.Signals, grace_s: float) -> None:
        """Ask all of a role to end; kill those that have not within the grace, or when asked to stop once
        more.
        """
        posts = [post for post in self._posts if post.role is role]
        for post in posts:
            post.due_at = None
            if post.child is not None:
                post.child.ask_to_end(number)
        # A database that is killed outright must recover at its next start, so an impatient second signal
        # gives it time.
        patience = self._stop_requests if role is not Role.POSTGRES else None
        self._turn_while_alive(posts, grace_s, patience)
        for post in posts:
            if post.child is not None:
                self._log.warning("child_killed", role=role, slot=post.slot, pid=post.child.pid)
                post.child.kill()
        self._turn_while_alive(posts, _KILL_S, None)

    def _turn_while_alive(self, posts: Sequence[Post], timeout_s: float, patience: int | None) -> None:
        """Until all are gone, the time is up, or more than `patience` stop requests have come (at least
        one).
        """
        deadline = time.monotonic() + timeout_s
        while any(post.child is not None for post in posts):
            impatient = patience is not None and self._stop_requests > max(patience, 1)
            if impatient or time.monotonic() > deadline:
                return
            self._turn(min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic())))


def embedded_postgres(settings: SupervisorSettings) -> EmbeddedPostgres:
    """The private server of a data folder."""
    return EmbeddedPostgres(
        data_dir=Path(settings.data_dir) / "postgres",
        socket_dir=settings.postgres_socket_dir,
        log_path=Path(settings.data_dir) / "postgres.log",
    )


def _spawn_postgres(database: EmbeddedPostgres, stderr_path: Path) -> Child:
    with stderr_path.open("wb") as stderr:  # only until the server has opened its log
        return Child.spawn(database.argv(), stderr=stderr.fileno())


def _start_error(child: Child, stderr: bytes, otherwise: str) -> ValidatorFault:
    """What a child that ended too early has to say, in one line: its last on stderr."""
    status = child.exit_status or 0
    lines = stderr.decode("utf-8", errors="replace").strip().splitlines()
    message = lines[-1].strip() if lines else f"{otherwise} ({describe_exit(status)})"
    return ChildRefuses(message) if status in EXIT_REFUSED else StartFailed(message)
