"""`gaia explain`: shows why a miner has its score, recomputed from what is stored. For operators and miners."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gaia.cli.database import ask_database
from gaia.cli.exit import FAILED, fail, plain_errors
from gaia.contracts.job import Connection

if TYPE_CHECKING:
    from gaia.cli.explain_view import Explained


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

    from gaia.cli.explain_view import lines_of

    with plain_errors():
        explained = asyncio.run(ask_database(lambda conn: _explained(conn, run_id, miner)))
    there = [lead.lead_h for lead in explained.score.leads]
    if lead_h is not None and lead_h not in there:
        fail(_no_such_lead(explained, lead_h, there))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(explained)).decode())
    else:
        print("\n".join(lines_of(explained, lead_h)))
    if explained.differing:
        raise typer.Exit(FAILED)


async def _explained(conn: Connection, run_id: str, miner: str) -> Explained:
    import msgspec

    from gaia.cli.explain_view import Explained
    from gaia.tasks.defined_tasks.weather.validator.explain.explain_miner import explain as explain_score
    from gaia.tasks.defined_tasks.weather.validator.explain.explanation import checked
    from gaia.tasks.defined_tasks.weather.validator.records.scores import load_combined
    from gaia.validator.db.weight_sets import newest_of_run
    from gaia.validator.explain_pay import explain_pay

    score = await explain_score(conn, run_id, miner)
    pay = None
    if score.window is not None and score.run_state != "void":
        pay = explain_pay(
            await load_combined(conn, run_id),
            score.hotkey,
            await newest_of_run(conn, run_id),
            score.window.combined_at,
        )
        if pay.not_comparable is None:
            last = checked("the emission weight", pay.weight_stored, pay.weight_recomputed)
            score = msgspec.structs.replace(score, checks=(*score.checks, last))
    return Explained(score=score, pay=pay, differing=tuple(check for check in score.checks if not check.agrees))


def _no_such_lead(explained: Explained, lead_h: int, there: list[int]) -> str:
    score = explained.score
    leads = ", ".join(map(str, there)) or "none"
    if lead_h not in score.scored_lead_h:
        return f"the run {score.run_id} does not score +{lead_h} h; this miner's scored leads: {leads}"
    return (
        f"+{lead_h} h of uid {score.uid} has no score: its truth is not published yet, or the miner failed before; "
        f"scored leads: {leads}"
    )
