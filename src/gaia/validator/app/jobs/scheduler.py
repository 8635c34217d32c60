"""Puts the jobs that the tasks' schedules want. Holds no schedule of its own and remembers nothing: keys are unique."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from gaia.contracts.errors import GaiaError
from gaia.tasks.defined_tasks.base import GaiaTask, TaskContext

_EVERY_S = 2.0


class Scheduler:
    """One loop over all tasks."""

    def __init__(self, tasks: Sequence[GaiaTask], context: TaskContext) -> None:
        self._tasks = tasks
        self._context = context
        self._log = structlog.get_logger("scheduler")

    async def run(self) -> None:
        """Ask every task what is due, until cancelled."""
        while True:
            for task in self._tasks:
                try:
                    await self.put_due(task)
                except GaiaError as error:
                    self._log.warning("schedule_failed", task=task.name, code=error.code, error=str(error))
                except Exception:  # noqa: BLE001  a service loop: a query that took too long must not end the engine
                    self._log.exception("schedule_crashed", task=task.name)
            await self._context.clock.sleep(_EVERY_S)

    async def put_due(self, task: GaiaTask) -> int:
        """One task's jobs; returns how many were new."""
        return await self._context.queue.put(*await task.due_jobs(self._context))
