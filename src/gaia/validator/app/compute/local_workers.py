"""Compute workers kept alive from an asyncio program, for a pool that has no supervisor: tests, one-off
commands.

Spawns and restarts; never looks into a unit. Must be used from the main thread, which spawned children live
by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gaia.contracts.errors import ValidatorFault
from gaia.validator.app.compute.worker_launch import WorkerLaunch
from gaia.validator.app.processes.child import Child
from gaia.validator.app.processes.child_slot import describe_exit
from gaia.validator.app.processes.restart_policy import RestartHistory, RestartPolicy


class WorkersKeepFailing(ValidatorFault):
    """Workers end before they get as far as dialling in, again and again."""


class LocalWorkers:
    """`count` workers; `async with` starts them and ends them."""

    def __init__(
        self,
        count: int,
        launch: WorkerLaunch,
        *,
        policy: RestartPolicy | None = None,
        grace_s: float = 10.0,
        on_all_given_up: Callable[[WorkersKeepFailing], None] | None = None,
    ) -> None:
        """`on_all_given_up` is told when no slot is left, so that nobody waits for workers that will never come."""
        self._on_all_given_up = on_all_given_up
        self._given_up = 0
        self._launch = launch
        self._grace_s = grace_s
        self._histories = [RestartHistory(policy or RestartPolicy()) for _ in range(count)]
        self._children: dict[int, Child] = {}
        self._due: dict[int, asyncio.TimerHandle] = {}
        self._log = structlog.get_logger("local_workers")
        self._stopping = False
        self._all_gone = asyncio.Event()
        self.failure: WorkersKeepFailing | None = None
        """Why a slot has been given up."""

    async def __aenter__(self) -> LocalWorkers:
        self._loop = asyncio.get_running_loop()
        for slot in range(len(self._histories)):
            self._start(slot)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def pid(self, slot: int) -> int | None:
        """The process in a slot now."""
        child = self._children.get(slot)
        return child.pid if child is not None else None

    async def close(self) -> None:
        """Ask all to end after the unit that they have; kill those that have not within the grace time."""
        self._stopping = True
        for handle in self._due.values():
            handle.cancel()
        for child in self._children.values():
            child.ask_to_end()
        self._note_gone()
        try:
            async with asyncio.timeout(self._grace_s):
                await self._all_gone.wait()
        except TimeoutError:
            for child in self._children.values():
                child.kill()
            async with asyncio.timeout(self._grace_s + 1.0):
                await self._all_gone.wait()

    def _start(self, slot: int) -> None:
        self._due.pop(slot, None)
        try:
            child = self._launch.spawn(slot)
        except OSError as error:  # no memory, no descriptor, no process to be had just now
            self._start_again_later(slot, str(error.strerror), lived_s=0.0, expected=False, blameless=False)
            return
        self._children[slot] = child
        self._loop.add_reader(child.pidfd, self._ended, slot, child)

    def _ended(self, slot: int, child: Child) -> None:
        self._loop.remove_reader(child.pidfd)
        child.messages()
        status = child.exit_status
        child.close()
        del self._children[slot]
        self._note_gone()
        if not self._stopping:
            self._start_again_later(
                slot,
                describe_exit(status or 0),
                lived_s=self._loop.time() - child.started_at,
                expected=status == 0 and child.said_ready,
                blameless=child.said_ready,
            )

    def _start_again_later(self, slot: int, why: str, *, lived_s: float, expected: bool, blameless: bool) -> None:
        delay_s = self._histories[slot].delay_after_end(
            now=self._loop.time(), lived_s=lived_s, expected=expected, blameless=blameless
        )
        if delay_s is None:
            self.failure = WorkersKeepFailing(f"worker {slot} does not start ({why}): see its output")
            self._log.error("worker_given_up", slot=slot, why=why)
            self._given_up += 1
            if self._given_up == len(self._histories) and self._on_all_given_up is not None:
                self._on_all_given_up(self.failure)
        else:
            self._due[slot] = self._loop.call_later(delay_s, self._start, slot)

    def _note_gone(self) -> None:
        if self._stopping and not self._children:
            self._all_gone.set()
