"""A stored score names what it was made from: policy, fields, resolution, and the contents it was scored against."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gaia.contracts.ids import RunId
from gaia.protocol.run_spec import GridSpec
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import Day1Result, ScoredAgainst
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_gates, put_day1, put_era5
from gaia.validator.db.pool import DatabasePool
from tests.support.step_desk import lead_result

pytestmark = pytest.mark.database

_ROWS = """
INSERT INTO run (run_id, netuid, init_time, spec, spec_digest, policy_digest, sources, world_offset, opened_at,
                 commit_deadline, reveal_deadline, state)
VALUES ('r', 57, '2017-01-01Z', '{}', 'd', 'p', '{}', '0', now(), now(), now(), 'scoring');
INSERT INTO run_miner (run_id, hotkey, uid, registered_block, state) VALUES ('r', 'h', 1, 0, 'verified');
"""
_AGAINST = ScoredAgainst(grid=GridSpec.global_grid(3.0), truth="blake3:t", climatology="blake3:c", reference="path:/r")
_POLICY = DEFAULT_POLICY.digest()
_IDENTITY = {"truth": "blake3:t", "climatology": "blake3:c", "reference": "path:/r", "policy_digest": _POLICY}
_COLUMNS = ", ".join(_IDENTITY)


async def test_a_lead_score_keeps_what_it_was_scored_against_also_when_scored_again(database: DatabasePool) -> None:
    async with database.transaction() as conn:
        await conn.execute(_ROWS)
        first = lead_result(24, 0.5)
        await put_era5(conn, "r", "h", first, _POLICY)
        await put_era5(conn, "r", "h", replace(first, against=_AGAINST), _POLICY)
        row = await conn.fetchrow(
            f"SELECT {_COLUMNS}, variable FROM score JOIN field_set ON field_set.id = field_set_id"  # noqa: S608
        )
    assert dict(row or {}) == {**_IDENTITY, "variable": ["z"]}


async def test_the_gate_keeps_its_own_with_the_grid(database: DatabasePool) -> None:
    result = Day1Result(
        metrics={"day1_rmse_2t": 1.0},
        score=0.9,
        passed=True,
        clone_of_reference=False,
        not_applicable=None,
        policy_digest=_POLICY,
        against=_AGAINST,
    )
    async with database.transaction() as conn:
        await conn.execute(_ROWS)
        await put_day1(conn, "r", "h", result, _POLICY)
        row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM gate_score")  # noqa: S608  constant columns
        loaded = await load_gates(conn, RunId("r"))
    assert dict(row or {}) == _IDENTITY
    assert list(loaded.values()) == [result]
