"""The score rows as arrays, and the view that unnests them; the table's own refusals."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from gaia.contracts.job import Connection
from gaia.validator.db.pool import DatabasePool

pytestmark = pytest.mark.database

_ROWS = """
INSERT INTO run (run_id, netuid, init_time, spec, spec_digest, policy_digest, sources, world_offset, opened_at,
                 commit_deadline, reveal_deadline, state)
VALUES ('r', 57, '2017-01-01Z', '{}', 'd', 'p', '{}', '0', now(), now(), now(), 'scoring');
INSERT INTO run_miner (run_id, hotkey, uid, registered_block, state) VALUES ('r', 'h', 1, 0, 'verified');
INSERT INTO field_set (digest, variable, level_hpa) VALUES ('f', '{2t,z}', '{0,500}');
"""
_SCORE = """
INSERT INTO score (run_id, hotkey, lead_h, field_set_id, bias, mae, rmse, acc, skill_clim, skill_ref, component,
                   lead_score, policy_digest, truth)
SELECT 'r', 'h', 12, id, '{0.5,-10}', '{1,20}', $1, '{0.75,0.5}', '{0.25,NULL}', '{NULL,NULL}', '{0.125,0.5}',
       0.3, 'p', 'blake3:t'
FROM field_set
"""


async def _insert(conn: Connection, rmse: list[float]) -> None:
    await conn.execute(_ROWS)
    await conn.execute(_SCORE, rmse)


async def test_view_gives_one_row_a_field_in_the_field_set_s_order(database: DatabasePool) -> None:
    async with database.transaction() as conn:
        await _insert(conn, [1.5, 30.0])
        rows = await conn.fetch("SELECT * FROM score_component ORDER BY position")
    shared: dict[str, Any] = {"run_id": "r", "hotkey": "h", "lead_h": 12, "skill_ref": None}
    surface = {"variable": "2t", "level_hpa": None, "bias": 0.5, "mae": 1.0, "rmse": 1.5, "acc": 0.75}
    level = {"variable": "z", "level_hpa": 500, "bias": -10.0, "mae": 20.0, "rmse": 30.0, "acc": 0.5}
    assert [dict(row) for row in rows] == [
        {**shared, **surface, "skill_clim": 0.25, "component": 0.125, "position": 1},
        {**shared, **level, "skill_clim": None, "component": 0.5, "position": 2},
    ]


async def test_metrics_of_unequal_length_are_refused(database: DatabasePool) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="score_same_length"):
        async with database.transaction() as conn:
            await _insert(conn, [1.5])


async def test_level_has_one_way_to_say_surface(database: DatabasePool) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO field_set (digest, variable, level_hpa) VALUES ('f', '{2t}', '{NULL}')")


async def test_zero_without_a_reason_is_refused(database: DatabasePool) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as conn:
            await conn.execute(_ROWS)
            await conn.execute("INSERT INTO run_score (run_id, hotkey, score, policy_digest) VALUES ('r', 'h', 0, 'p')")


async def test_deleting_a_run_takes_all_that_belongs_to_it(database: DatabasePool) -> None:
    async with database.transaction() as conn:
        await _insert(conn, [1.5, 30.0])
        await conn.execute("DELETE FROM run")
        assert await conn.fetchval("SELECT count(*) FROM score") == 0
        assert await conn.fetchval("SELECT count(*) FROM run_miner") == 0
