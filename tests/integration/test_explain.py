"""`gaia explain` on a stored run that was made by hand: what it says, what it finds, and what it refuses."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from gaia.cli.main import app
from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import Neuron
from gaia.protocol.manifest import commitment_digest
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.tasks.defined_tasks.views import RunUnknown
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet
from gaia.tasks.defined_tasks.weather.validator.explain.explain_miner import MinerUnknown, NothingToExplain, explain
from gaia.tasks.defined_tasks.weather.validator.explain.explanation import Explanation
from gaia.tasks.defined_tasks.weather.validator.explain.explanation_view import WIDTH, lines_of
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import (
    CloneFound,
    ClonesResult,
    Day1Result,
    Era5Result,
    ScoredAgainst,
)
from gaia.tasks.defined_tasks.weather.validator.records.clone_searches import put_clone_search
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import Forecast, freeze, mark_verified
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run, record_commitment, void_run
from gaia.tasks.defined_tasks.weather.validator.records.scores import put_combined, put_day1, put_era5
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.weight_sets import WeightPart, insert_weight_set
from tests.support.small_world import NETUID, SPEC, a_run, insert_run_at
from tests.support.step_desk import step_desk

pytestmark = pytest.mark.database

GOOD, SECOND, SILENT, COPY, LOST = (Hotkey(f"5{letter * 47}") for letter in "GSMCL")
NONCE, MANIFEST = b"n" * 32, b"the manifest, as it was revealed"
POLICY = DEFAULT_POLICY.digest()
AGAINST = ScoredAgainst(grid=SPEC.grid, truth="blake3:t", climatology="blake3:c", reference="blake3:r")

# By hand, the worked example of docs/reference/scoring.md: MSE 1, MSE_clim 4, MSE_ref 9,
# so that x = 9/4 and MSE_base = MSE_clim; ACC 1.
T2 = 0.1 * 0.75 + 0.8 * 0.75 + 0.07 * 1.0 + 0.03 / (1.0 + 1.0 / 2.0)
# By hand: MSE 4, MSE_clim 8, MSE_ref 8, so that x = 1 and MSE_base = 3/4 of 8; ACC 1/2.
Z500 = 0.1 * 0.5 + 0.8 * (1.0 - 4.0 / 6.0) + 0.07 * 0.5 + 0.03 / (1.0 + math.sqrt(4.0 / 8.0))
AT_24 = (T2 + Z500) / 2.0  # 2t and z weigh 0.2 each, and are all there is
AT_36 = T2  # the same metrics in both
SCORE = (AT_24 + AT_36) / 2.0  # one run, and both leads weigh 1
OTHER = 0.4
GATE = 0.6 * (8.0 / 9.0 + 0.5) / 2.0 + 0.4 * (1.0 + 0.75) / 2.0


def lead(lead_h: int, *, z_is_like_2t: bool = False) -> Era5Result:
    """What the two fields of the small world were given above."""
    z = (1.0, 1.0, 0.75, 8.0 / 9.0, T2) if z_is_like_2t else (2.0, 0.5, 0.5, 0.5, Z500)
    return Era5Result(
        lead_h=lead_h,
        fields=(("2t", None), ("z", 500)),
        bias=(1.0, -0.5),
        mae=(1.0, 1.5),
        rmse=(1.0, z[0]),
        coverage=(1.0, 1.0),
        acc=(1.0, z[1]),
        skill_clim=(0.75, z[2]),
        skill_ref=(8.0 / 9.0, z[3]),
        component=(T2, z[4]),
        lead_score=(T2 + z[4]) / 2.0,
        policy_digest=POLICY,
        against=AGAINST,
    )


def gate(score: float = GATE, *, passed: bool = True) -> Day1Result:
    names = ("rmse", "mae", "bias", "mse", "acc", "skill_clim", "skill_ref")
    fields = {"2t": (1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 8.0 / 9.0), "z500": (2.0, 1.5, -0.5, 4.0, 0.5, 0.5, 0.5)}
    return Day1Result(
        metrics={
            f"day1_{name}_{field}": value
            for field, values in fields.items()
            for name, value in zip(names, values, strict=True)
        },
        score=score,
        passed=passed,
        clone_of_reference=False,
        not_applicable=None,
        policy_digest=POLICY,
        against=AGAINST,
    )


def neurons(*hotkeys: Hotkey) -> list[Neuron]:
    return [
        Neuron(
            uid=uid, hotkey=hotkey, stake_tao=0.0, validator_permit=False, endpoint=None, registered_block=1,
            last_update_block=0,
        )
        for uid, hotkey in enumerate(hotkeys, start=1)
    ]  # fmt: skip


async def new_run(database: DatabasePool, hotkeys: Sequence[Hotkey] = (GOOD, SECOND, SILENT), day: int = 0) -> Run:
    run = a_run(day, sources=SourceSet(truth=SourceRef(format="archive", path="/nowhere")))
    async with database.transaction() as conn:
        await insert_run_at(conn, run, neurons(*hotkeys))
    return run


async def put_out(database: DatabasePool, run: Run, hotkey: Hotkey, why: tuple[str, str], fault: str = "miner") -> None:
    async with database.acquire() as conn:
        await conn.execute(
            "UPDATE run_miner SET state = 'failed', reason_code = $3, reason = $4, fault = $5, updated_at = now()"
            " WHERE run_id = $1 AND hotkey = $2", run.run_id, hotkey, *why, fault,
        )  # fmt: skip


async def scored(database: DatabasePool, run: Run) -> None:
    """The gate and the leads of the good one and the second, and the good one's forecast."""
    promise = commitment_digest(run.run_id, GOOD, NONCE, MANIFEST)
    async with database.transaction() as conn:
        assert await record_commitment(conn, run.run_id, GOOD, promise, run.commit_deadline)
        await freeze(conn, forecast_of(run))
        await mark_verified(conn, run.run_id, GOOD, datetime.now(UTC))
        await conn.execute("UPDATE run_miner SET state = 'scored' WHERE hotkey = ANY($1::text[])", [GOOD, SECOND])
        await put_day1(conn, run.run_id, GOOD, gate(), POLICY)
        await put_era5(conn, run.run_id, GOOD, lead(24), POLICY)
        await put_era5(conn, run.run_id, GOOD, lead(36, z_is_like_2t=True), POLICY)
        for lead_h in (24, 36):
            plain = replace(lead(lead_h), component=(OTHER, OTHER), lead_score=OTHER)
            await put_era5(conn, run.run_id, SECOND, plain, POLICY)


def forecast_of(run: Run) -> Forecast:
    return Forecast(
        run_id=run.run_id,
        hotkey=GOOD,
        manifest=MANIFEST,
        manifest_digest=hashlib.sha256(MANIFEST).digest(),
        nonce=NONCE,
        frozen_at=datetime.now(UTC),
        verified_at=None,
        store_path="/nowhere",
    )


async def combined(
    database: DatabasePool, run: Run, scores: Mapping[Hotkey, float | None], zero: tuple[str, str] = ("zero", "because")
) -> None:
    rows = [
        MinerScore(
            hotkey=hotkey,
            score=score,
            reason_code=zero[0] if score == 0.0 else None,
            reason=zero[1] if score == 0.0 else None,
        )
        for hotkey, score in scores.items()
    ]
    async with database.transaction() as conn:
        await put_combined(conn, run.run_id, rows, POLICY)


@pytest.fixture
async def run(database: DatabasePool) -> Run:
    """A run from snapshot to weights, every number by hand: a good miner, a second one, and a silent one."""
    run = await new_run(database)
    await scored(database, run)
    zero = ("no_commitment", "no commitment by the deadline")
    await put_out(database, run, SILENT, zero)
    await combined(database, run, {GOOD: SCORE, SECOND: OTHER, SILENT: 0.0}, zero)
    whole = SCORE**3 + OTHER**3
    emission = {GOOD: SCORE**3 / whole, SECOND: OTHER**3 / whole, SILENT: 0.0}
    async with database.transaction() as conn:
        await insert_weight_set(
            conn, netuid=NETUID, emission=emission, submitted={1: 65535},
            parts=[WeightPart(task="weather", run_id=run.run_id, share=1.0, emission=emission)],
            submitted_at=datetime.now(UTC) + timedelta(seconds=1), alarm=None,
        )  # fmt: skip
    return run


async def explained(database: DatabasePool, run: Run, miner: str = GOOD) -> Explanation:
    async with database.acquire() as conn:
        return await explain(conn, run.run_id, miner)


def differing(found: Explanation) -> list[str]:
    return [check.what for check in found.checks if not check.agrees]


def text_of(found: Explanation, lead_h: int | None = None) -> str:
    """As a person reads it, line ends aside."""
    lines = lines_of(found, None, (), lead_h)
    assert max(map(len, lines)) <= WIDTH
    return " ".join(" ".join(lines).split())


# ---- a score


async def test_a_score_is_made_again_from_the_gate_to_the_window(database: DatabasePool, run: Run) -> None:
    found = await explained(database, run)
    assert differing(found) == []
    assert found.gate is not None
    assert found.gate.score_recomputed == pytest.approx(GATE, rel=1e-12)
    assert (found.gate.mean_skill, found.gate.mean_acc) == pytest.approx(((8.0 / 9.0 + 0.5) / 2.0, 0.875), rel=1e-12)
    at_24 = found.leads[0]
    assert at_24.lead_score_recomputed == pytest.approx(AT_24, rel=6e-8)
    assert [f.component_recomputed for f in at_24.fields] == pytest.approx([T2, Z500], rel=1e-6)
    assert [f.skill_base for f in at_24.fields] == pytest.approx([0.75, 1.0 / 3.0], rel=1e-6)
    assert [f.contribution for f in at_24.fields] == pytest.approx([T2 / 2.0, Z500 / 2.0], rel=1e-6)
    assert found.window is not None
    assert found.window.score_recomputed == pytest.approx(SCORE, rel=1e-12)
    assert [(w.lead_h, w.run_count) for w in found.window.leads] == [(24, 1), (36, 1)]
    assert [w.contribution for w in found.window.leads] == pytest.approx([AT_24 / 2.0, AT_36 / 2.0], rel=1e-12)
    assert found.identities.commitment == commitment_digest(run.run_id, GOOD, NONCE, MANIFEST).hex()


async def test_the_widest_fields_fit_the_page(database: DatabasePool, run: Run) -> None:
    found = await explained(database, run)
    first = found.leads[0]
    wide = replace(
        first.fields[0], field="q1000", unit="kg kg-1", rmse=0.00012345, mae=0.00012345, bias=-0.00012345, acc=-0.12345,
        skill_clim=-12345.6, skill_ref=-12345.6, skill_base=-12345.6,
    )  # fmt: skip
    assert "q1000" in text_of(replace(found, leads=(replace(first, fields=(wide,) * 69),)), 24)


async def test_uid_and_hotkey_name_the_same_miner(database: DatabasePool, run: Run) -> None:
    assert await explained(database, run, "1") == await explained(database, run, GOOD)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE score SET lead_score = lead_score * 1.000001 WHERE lead_h = 36", "the lead score at +36 h"),
        ("UPDATE score SET component[2] = component[2] + 1e-5 WHERE lead_h = 24", "the component of z500 at +24 h"),
        ("UPDATE score SET skill_ref[2] = 0.50001 WHERE lead_h = 24", "the component of z500 at +24 h"),
        ("UPDATE score SET acc[1] = 0.9999 WHERE lead_h = 24", "the component of 2t at +24 h"),
        ("UPDATE gate_score SET score = score + 1e-9", "the gate's score"),
        ("UPDATE gate_score SET passed = false", "the gate's verdict"),
        ("UPDATE run_score SET score = score + 1e-9", "the score over the window"),
        ("UPDATE forecast SET manifest = 'another'", "the manifest's digest"),
        ("UPDATE run_miner SET commitment = decode(repeat('00', 32), 'hex')", "the commitment"),
        ("UPDATE run SET spec_digest = 'another'", "the specification's digest"),
        ("UPDATE field_set SET digest = 'another'", "the field set's digest at +24 h"),
    ],
)
async def test_a_stored_value_that_was_changed_is_found(
    database: DatabasePool, run: Run, change: str, what: str
) -> None:
    async with database.acquire() as conn:
        await conn.execute(change)
    assert what in differing(await explained(database, run))


async def test_what_came_after_the_combination_is_not_held_against_it(database: DatabasePool, run: Run) -> None:
    await put_out(database, run, SECOND, ("chunk_missing", "gone"))
    async with database.transaction() as conn:
        await put_era5(conn, run.run_id, SILENT, lead(24), POLICY)
    found = await explained(database, run)
    assert differing(found) == []


async def test_what_a_combination_may_have_seen_or_not_accuses_nobody(database: DatabasePool, run: Run) -> None:
    await put_out(database, run, SECOND, ("chunk_missing", "gone"))
    async with database.acquire() as conn:
        await conn.execute("UPDATE run_score SET score = score / 2 WHERE hotkey = $1", GOOD)
    found = await explained(database, run)
    assert differing(found) == []
    assert "NOT RECOMPUTED: the score over the window: 1 scores or failures of its runs were written" in text_of(found)


async def test_scores_of_another_policy_are_shown_and_not_made_again(database: DatabasePool, run: Run) -> None:
    async with database.acquire() as conn:
        for table in ("score", "gate_score", "run_score"):
            await conn.execute(f"UPDATE {table} SET policy_digest = 'an older one'")  # noqa: S608  constant names
        await conn.execute("UPDATE score SET lead_score = 0.123")
    found = await explained(database, run)
    assert differing(found) == []
    assert [lead.lead_score for lead in found.leads] == [0.123, 0.123]
    assert found.leads[0].lead_score_recomputed is None
    assert "NOT RECOMPUTED: the gate, the scores at +24 h, the scores at +36 h, the score over the window" in text_of(
        found
    )
    assert f"made under the policy an older one, but this program has version {DEFAULT_POLICY.version}" in text_of(
        found
    )


async def test_a_window_of_two_runs_is_made_again_as_the_validator_combined_it(
    migrated_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    ungated = replace(SPEC, gate_lead_h=None, scored_lead_h=(24,))
    async with step_desk(migrated_server, tmp_path) as desk:
        for day, own in enumerate((0.8, 0.4)):
            run = a_run(day, spec=ungated, sources=desk.sources)
            await desk.insert(run, neurons(GOOD, SECOND))
            await desk.score(run, GOOD, {24: own})
            await desk.score(run, SECOND, {24: OTHER})
            await desk.do(run_job(Kind.COMBINE, run.run_id))
        async with desk.context.database.acquire() as conn:
            found = await explain(conn, run.run_id, GOOD)
    assert differing(found) == []
    assert found.window is not None
    assert found.window.score_recomputed == pytest.approx((0.8 + 0.4) / 2.0, rel=1e-12)
    assert [(lead.lead_h, lead.run_count) for lead in found.window.leads] == [(24, 2)]
    assert "The window is 2 runs from sn57-weather-20170101T00Z on" in text_of(found)


# ---- a zero, and no score at all


async def test_who_never_committed_reads_so(database: DatabasePool, run: Run) -> None:
    text = text_of(await explained(database, run, SILENT))
    assert "Score 0, because of no_commitment." in text
    assert "It failed in this run before it had committed to a forecast (no_commitment): no commitment by the" in text
    assert "the miner's own fault: the run counts zero for it" in text


async def test_who_was_stopped_at_the_gate_reads_the_sum(database: DatabasePool) -> None:
    run = await new_run(database, [GOOD, SECOND])
    poor = replace(gate(score=0.2, passed=False), metrics={"day1_rmse_2t": 1.0, "day1_mae_2t": 1.0, "day1_bias_2t": 0.0,
                                                           "day1_acc_2t": 0.0, "day1_skill_ref_2t": -3.0})  # fmt: skip
    async with database.transaction() as conn:
        await put_day1(conn, run.run_id, GOOD, poor, POLICY)
    await put_out(database, run, GOOD, ("day1_gate_failed", "the day-1 score 0.2000 is below the gate"))
    await combined(database, run, {GOOD: 0.0, SECOND: None}, ("day1_gate_failed", "below"))
    found = await explained(database, run)
    assert differing(found) == []
    text = text_of(found)
    assert "It failed in this run at the day-1 gate" in text
    assert "= 0.6 x 0.000000 + 0.4 x 0.500000 = 0.200000" in text
    assert "The minimum is 0.3: failed" in text


async def test_a_copy_reads_whose_it_is_and_how_near(database: DatabasePool) -> None:
    run = await new_run(database, [GOOD, COPY])
    found = CloneFound(
        hotkey=COPY, original=GOOD, mse={"2t": 0.01, "z500": 120.0}, threshold={"2t": 0.04, "z500": 250.0}
    )
    search = ClonesResult(
        lead_h=24, clones=(found,), unreadable={}, uncompared=0, not_applicable=None, policy_digest=POLICY
    )
    async with database.transaction() as conn:
        await put_clone_search(conn, run.run_id, search)
    await put_out(database, run, COPY, ("clone_of_miner", "at +24 h the forecast is another's"))
    explanation = await explained(database, run, COPY)
    assert differing(explanation) == []
    text = text_of(explanation)
    assert "Comparison at +24 h: the forecast is that of another miner, who committed earlier" in text
    assert f"The earlier one: {GOOD}" in text
    assert "Nearer than the threshold in 2 of 2 fields; with 60% of them two forecasts count as one." in text
    assert "z500 120 250 (m2 s-2)2 near" in text

    async with database.transaction() as conn:
        await conn.execute("UPDATE clone_search SET result = jsonb_set(result, '{clones,0,mse}', '{\"2t\": 0.05}')")
    assert differing(await explained(database, run, COPY)) == ["the comparison at +24 h"]


async def test_a_fault_of_ours_is_told_as_ours_and_is_no_zero(database: DatabasePool) -> None:
    run = await new_run(database, [GOOD, LOST])
    await put_out(database, run, LOST, ("no_space", "the disk was full"), fault="validator")
    await combined(database, run, {GOOD: None, LOST: None})
    found = await explained(database, run, LOST)
    assert differing(found) == []
    text = text_of(found)
    assert "The score is unknown" in text
    assert "the validator's fault and not the miner's: its result in this run is unknown, and costs it nothing" in text


async def test_forecasts_without_any_skill_have_a_zero_that_says_so(database: DatabasePool) -> None:
    run = await new_run(database, [GOOD, SECOND])
    nothing = replace(lead(24), component=(0.0, 0.0), lead_score=0.0, rmse=(1.0, 1.0), acc=(-1.0, -1.0),
                      skill_clim=(None, None), skill_ref=(None, None))  # fmt: skip
    async with database.transaction() as conn:
        for lead_h in (24, 36):
            await put_era5(conn, run.run_id, GOOD, replace(nothing, lead_h=lead_h), POLICY)
    reason = "the forecasts were scored and none had any skill"
    await combined(database, run, {GOOD: 0.0, SECOND: None}, ("no_skill", reason))
    found = await explained(database, run)
    assert differing(found) == []
    assert f"The reason for the score (no_skill): {reason}." in text_of(found)


async def test_without_any_baseline_it_is_said_what_a_component_rests_on(database: DatabasePool) -> None:
    run = await new_run(database, [GOOD])
    none = (None, None)
    async with database.transaction() as conn:
        await put_era5(conn, run.run_id, GOOD, replace(lead(24), acc=none, skill_clim=none, skill_ref=none), POLICY)
    found = await explained(database, run)
    assert differing(found) == []
    text = text_of(found, 24)
    assert "component = 1 / (1 + RMSE / eddy), without climatology and reference" in text
    assert "NOT RECOMPUTED: the components at +24 h: without climatology and reference they depend on" in text


async def test_a_void_run_gives_nobody_a_score(database: DatabasePool) -> None:
    run = await new_run(database)
    async with database.transaction() as conn:
        await void_run(conn, run.run_id, "more than half of the miners failed", datetime.now(UTC))
    text = text_of(await explained(database, run))
    assert "No score: the run is void, and counts for nobody." in text
    assert "is void: more than half of the miners failed. No weights follow from it." in text


async def test_the_unknown_and_the_unscored_are_refused_with_what_to_do(database: DatabasePool) -> None:
    run = await new_run(database)
    with pytest.raises(RunUnknown, match="`gaia runs` lists"):
        await explained(database, replace(run, run_id="sn57-weather-20000101T00Z"))
    with pytest.raises(MinerUnknown, match=f"its miners are\n  uid 1  {GOOD}\n  uid 2  {SECOND}"):
        await explained(database, run, "99")
    with pytest.raises(NothingToExplain, match=r"is listed, and the validator waits for its answer, until .* UTC"):
        await explained(database, run)


# ---- the command


Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def command(database_dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`gaia explain` with these arguments, on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database_dsn)
    monkeypatch.chdir(tmp_path)  # no .env there

    async def invoke(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["explain", *arguments])

    return invoke


async def test_the_command_prints_score_fields_and_pay(command: Command, run: Run) -> None:
    done = await command(run.run_id, "1", "--lead", "24")
    assert done.exit_code == 0, done.output
    assert f"Score {SCORE:.6f}, rank 1 of 3." in done.output
    assert f"The fields add up to {AT_24:.6f}; the lead score is {AT_24:.6f}." in done.output
    whole = SCORE**3 + OTHER**3
    assert f"= {SCORE**3:.6f} / {whole:.6f} = {SCORE**3 / whole:.6f}" in done.output
    assert max(map(len, done.output.splitlines())) <= WIDTH


async def test_the_command_s_json_is_unrounded_and_a_changed_weight_is_its_status(
    command: Command, database: DatabasePool, run: Run
) -> None:
    async with database.acquire() as conn:
        await conn.execute("UPDATE weight_set SET emission = jsonb_set(emission, $1, '0.5')", [GOOD])
    done = await command(run.run_id, GOOD, "--json")
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert found["score"]["window"]["score"] == SCORE
    assert [check["what"] for check in found["differing"]] == ["the emission weight"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("1", "--lead", "13"), 1, "does not score +13 h; this miner's scored leads: 24, 36"),
        (("3", "--lead", "24"), 1, "+24 h of uid 3 has no score"),
        (("nobody",), 2, "'nobody' is not a hotkey or uid of the run"),
    ],
)
async def test_the_command_says_in_a_line_what_cannot_be_had(
    command: Command, run: Run, arguments: tuple[str, ...], status: int, says: str
) -> None:
    done = await command(run.run_id, *arguments)
    assert done.exit_code == status
    assert says in done.output
