"""`gaia explain`: shows why a miner has its score, recomputed from what is stored. For operators and miners."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaia.cli.exit import FAILED, plain_errors
from gaia.cli.inquiry.database import ask_database
from gaia.cli.tasks import views_of_run
from gaia.contracts.job import Connection

if TYPE_CHECKING:
    from gaia.tasks.defined_tasks.views import Account, Pay, TaskViews


def explain(
    run_id: Annotated[str, typer.Argument(help="The run, such as sn57-weather-20200115T12Z.")],
    miner: Annotated[str, typer.Argument(metavar="HOTKEY|UID", help="The miner.")],
    lead_h: Annotated[
        int | None, typer.Option("--lead", metavar="HOURS", help="Also show every field of this lead.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, unrounded.")] = False,
) -> None:
    """Explain a miner's score, and recompute it from what is stored. The exit status is 1 if anything differs."""
    import msgspec

    with plain_errors():
        views = views_of_run(run_id)
        account, pay = asyncio.run(ask_database(lambda conn: _explained(conn, views, run_id, miner)))
        differing = tuple(check for check in account.checks if not check.agrees)
        lines = views.lines(account, pay, differing, lead_h)
    if as_json:
        found = {"score": account, "pay": pay, "differing": differing}
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print("\n".join(lines))
    if differing:
        raise typer.Exit(FAILED)


async def _explained(conn: Connection, views: TaskViews[Any], run_id: str, miner: str) -> tuple[Account, Pay | None]:
    import msgspec

    from gaia.tasks.defined_tasks.checks import checked
    from gaia.validator.db.weight_sets import newest_of_run
    from gaia.validator.explain_pay import explain_pay

    account: Account = await views.explain(conn, run_id, miner)
    if account.paid_from is None:
        return account, None
    scores, stored = await views.scores(conn, run_id), await newest_of_run(conn, run_id)
    pay = explain_pay(scores, account.hotkey, run_id, stored, account.paid_from)
    if pay.not_comparable is None:
        last = checked("the emission weight", pay.weight_stored, pay.weight_recomputed)
        account = msgspec.structs.replace(account, checks=(*account.checks, last))
    return account, pay
