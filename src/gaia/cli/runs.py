"""`gaia runs` and `gaia leaderboard`: show the validator's runs and scores, read from its database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gaia.cli.exit import plain_errors
from gaia.cli.inquiry.database import ask_database, open_database
from gaia.cli.tasks import configured_tasks, views_of, views_of_run
from gaia.contracts.errors import ValidatorFault
from gaia.contracts.job import Connection

if TYPE_CHECKING:
    from gaia.cli.inquiry.computing import Computing
    from gaia.tasks.defined_tasks.definition import TaskDefinition
    from gaia.tasks.defined_tasks.views import RunSummary

_OPEN_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.2
_FILE_COLUMNS = 1000
_LAST_COLUMN = 12
"""If less width than this is left for the last column, all columns are folded."""
_LAST_ERROR = "SELECT last_error FROM job WHERE key = $1"


class NotOpened(ValidatorFault):
    """A run was asked for, but the validator has not opened it."""


def runs(
    open_init_time: Annotated[
        datetime | None,
        typer.Option("--open", formats=["%Y-%m-%dT%H"], help="First open the run with this initial time (UTC)."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Only this task. With --open: the first of GAIA_TASKS, unless given.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The greatest number of runs to list.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the latest runs and the units that workers compute now. With --open the validator first opens a hindcast."""
    from gaia.tasks.defined_tasks.registry import task_called

    with plain_errors():
        tasks = configured_tasks()
        if task is not None:
            tasks = (task_called(task, tasks),)
        if open_init_time is not None:
            asyncio.run(_open(tasks[0], open_init_time))
        found = asyncio.run(ask_database(lambda conn: _latest(conn, tasks, limit)))
        told = _computing()
    if as_json:
        _print_json({"runs": found, "computing": told})
        return
    _print(found, ("run_id", "state", "commit_deadline", "miners", "scored", "void_reason"))
    if told:
        _print(told, ("worker", "handler", "run_id", "done"))


def leaderboard(
    run_id: Annotated[str, typer.Argument(help="The run, such as sn57-weather-20200115T12Z.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the score and the pay of every miner in a run, with the reasons."""
    from gaia.validator.leaderboard import leaderboard as leaderboard_of

    with plain_errors():
        views = views_of_run(run_id)
        found = asyncio.run(ask_database(lambda conn: leaderboard_of(conn, views, run_id)))
    if as_json:
        _print_json(found)
    else:
        _print(found, ("rank", "uid", "hotkey", "score", "emission_weight", "status", "reason"))


async def _latest(conn: Connection, tasks: Sequence[TaskDefinition], limit: int) -> Sequence[RunSummary]:
    """The latest runs of all tasks that have views, newest first."""
    found = [run for task in tasks if task.views is not None for run in await views_of(task).runs(conn, limit)]
    return sorted(found, key=lambda run: run.init_time, reverse=True)[:limit]


def _computing() -> Sequence[Computing]:
    from gaia.cli.inquiry.computing import computing
    from gaia.validator.utils.config import load_settings

    settings = load_settings()
    return computing(settings.metrics_host, settings.data_dir / "run" / "metrics.port")


async def _open(task: TaskDefinition, init_time: datetime) -> None:
    """Put the job into the queue, and wait until the validator has opened the run or noted an error."""
    from gaia.contracts.ids import run_id_for
    from gaia.validator.db.queue import PostgresQueue
    from gaia.validator.utils.config import load_settings

    views = views_of(task)
    run_id = run_id_for(load_settings().netuid, task.name, init_time.replace(tzinfo=UTC))
    job = views.open_job(run_id)
    async with open_database() as database:
        await PostgresQueue(database, owner="cli", lease=timedelta(seconds=30)).put(job)
        for _ in range(round(_OPEN_WITHIN_S / _LOOK_EVERY_S)):
            async with database.acquire() as conn:
                trouble = None if await views.has_run(conn, run_id) else await _trouble(conn, job.key)
            if trouble is None:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
    raise NotOpened(f"{run_id} is not open after {_OPEN_WITHIN_S:g} s: {trouble}")


async def _trouble(conn: Connection, job_key: str) -> str:
    """Why a run is not open yet."""
    error = await conn.fetchval(_LAST_ERROR, job_key)
    if error is None:
        return "no validator has started it; is `gaia up` running?"
    return f"{error}; make it with `gaia register`" if "SubnetNotExists" in error else str(error)


def _print_json(found: object) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(found)).decode())


def _print(found: Sequence[object], columns: tuple[str, ...]) -> None:
    """Print a table with all its text. On a terminal long cells are folded. In a file they are not."""
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=_FILE_COLUMNS)
    rows = [[_cell(getattr(row, name)) for name in columns] for row in found]
    whole = sum(max(map(len, column)) + 2 for column in list(zip(columns, *rows, strict=True))[:-1])
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name != columns[-1] and whole + _LAST_COLUMN <= console.width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table if found else "none yet")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case _:
            return str(value)
