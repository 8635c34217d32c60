"""`gaia runs` and `gaia leaderboard`: what the validator has done, read from its database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, TypeVar

import typer

from gaia.cli.exit import plain_errors
from gaia.contracts.job import Connection

T = TypeVar("T")


def runs(
    open_init_time: Annotated[
        datetime | None,
        typer.Option("--open", formats=["%Y-%m-%dT%H"], help="Open the run of this initial time (UTC) first."),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many to list.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the latest runs; with --open, have the running validator open a hindcast."""
    from gaia.tasks.defined_tasks.weather.validator.records import results

    with plain_errors():
        if open_init_time is not None:
            asyncio.run(_open(open_init_time))
        found = asyncio.run(_ask(lambda conn: results.runs(conn, limit)))
    _print(found, as_json, ("run_id", "state", "commit_deadline", "miners", "scored", "void_reason"))


def leaderboard(
    run_id: Annotated[str, typer.Argument(help="Which run, e.g. sn57-20200115T12Z.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show who earned what in a run, and why."""
    from gaia.tasks.defined_tasks.weather.validator.records import results
    from gaia.tasks.defined_tasks.weather.validator.records.runs import load_run

    async def ask(conn: Connection) -> object:
        await load_run(conn, run_id)
        return await results.leaderboard(conn, run_id)

    with plain_errors():
        found = asyncio.run(_ask(ask))
    _print(found, as_json, ("rank", "uid", "hotkey", "score", "emission_weight", "status", "reason"))


async def _ask(question: Callable[[Connection], Awaitable[T]]) -> T:
    from gaia.validator.db.pool import DatabasePool
    from gaia.validator.utils.config import load_settings

    database = await DatabasePool.connect(
        load_settings().database_dsn, min_size=1, max_size=1, connect_timeout_s=5.0, command_timeout_s=30.0
    )
    try:
        async with database.acquire() as conn:
            return await question(conn)
    finally:
        await database.close()


async def _open(init_time: datetime) -> None:
    from datetime import UTC, timedelta

    from gaia.contracts.ids import run_id_for
    from gaia.tasks.defined_tasks.weather.validator.lifecycle import Kind, run_job
    from gaia.validator.db.pool import DatabasePool
    from gaia.validator.db.queue import PostgresQueue
    from gaia.validator.utils.config import load_settings

    settings = load_settings()
    database = await DatabasePool.connect(
        settings.database_dsn, min_size=1, max_size=1, connect_timeout_s=5.0, command_timeout_s=30.0
    )
    try:
        queue = PostgresQueue(database, owner="cli", lease=timedelta(seconds=30))
        await queue.put(run_job(Kind.OPEN_RUN, run_id_for(settings.netuid, init_time.replace(tzinfo=UTC))))
    finally:
        await database.close()


def _print(found: object, as_json: bool, columns: tuple[str, ...]) -> None:
    import msgspec
    from rich.console import Console
    from rich.table import Table

    rows = msgspec.to_builtins(found)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(
            *(
                "" if row[name] is None else f"{row[name]:.6f}" if isinstance(row[name], float) else str(row[name])
                for name in columns
            )
        )
    Console().print(table)
