"""SQL and typed rows of runs, and of the miners in their snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from gaia.contracts.errors import Fault, GaiaError
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection
from gaia.contracts.ports import Neuron
from gaia.protocol.messages import printable
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.views import RunUnknown
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceSet


class RunState(StrEnum):
    """The state of a run."""

    COLLECTING = "collecting"  # requests are sent, commitments arrive
    SCORING = "scoring"  # forecasts are frozen, verified and scored, one by one
    SCORED = "scored"  # all due leads are scored and combined
    VOID = "void"  # given up; presumed to be our fault


class MinerState(StrEnum):
    """The state of a miner in a run."""

    LISTED = "listed"  # in the snapshot, not yet reached
    ACKNOWLEDGED = "acknowledged"
    COMMITTED = "committed"
    FROZEN = "frozen"  # its manifest is in the database and matches the commitment
    VERIFIED = "verified"  # the first chunks have the right digests and plausible values
    SCORED = "scored"  # every lead is scored
    FAILED = "failed"  # out of the run; the row has the reason


class Run(Struct, frozen=True, kw_only=True):
    """One row of `run`."""

    run_id: RunId
    netuid: int
    init_time: datetime
    spec: RunSpec
    spec_digest: str
    policy_digest: str
    sources: SourceSet
    world_offset: timedelta
    opened_at: datetime
    commit_deadline: datetime
    reveal_deadline: datetime
    state: RunState
    void_reason: str | None = None
    polled_at: datetime | None = None
    finished_at: datetime | None = None

    def valid_time(self, lead_h: int) -> datetime:
        """The instant for which a lead is the forecast."""
        return self.init_time + timedelta(hours=lead_h)


class RunMiner(Struct, frozen=True, kw_only=True):
    """One row of `run_miner`."""

    run_id: RunId
    hotkey: Hotkey
    uid: int
    endpoint: str | None
    registered_block: int
    state: MinerState
    commitment: bytes | None = None
    committed_at: datetime | None = None
    reason_code: str | None = None
    reason: str | None = None
    fault: Fault | None = None


_INSERT_RUN = """
INSERT INTO run (run_id, netuid, init_time, spec, spec_digest, policy_digest, sources, world_offset, opened_at,
                 commit_deadline, reveal_deadline, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'collecting')
ON CONFLICT (run_id) DO NOTHING RETURNING run_id
"""
_RUN_COLUMNS = """run_id, netuid, init_time, spec, spec_digest, policy_digest, sources, world_offset, opened_at,
  commit_deadline, reveal_deadline, state, void_reason, polled_at, finished_at"""
_SELECT_RUN = f"SELECT {_RUN_COLUMNS} FROM run WHERE run_id = $1"  # noqa: S608  a constant list of columns
_LOCK_RUN = f"{_SELECT_RUN} FOR UPDATE"
_SELECT_WINDOW = f"""
SELECT {_RUN_COLUMNS} FROM run
WHERE netuid = $1 AND init_time < $2 AND state IN ('scoring', 'scored') AND policy_digest = $3
ORDER BY init_time DESC LIMIT $4
"""  # noqa: S608
_INSERT_MINER = """
INSERT INTO run_miner (run_id, hotkey, uid, endpoint, registered_block, state)
VALUES ($1, $2, $3, $4, $5, 'listed') ON CONFLICT DO NOTHING
"""
_MINER_COLUMNS = """run_id, hotkey, uid, endpoint, registered_block, state, commitment, committed_at, reason_code,
  reason, fault"""
_SELECT_MINERS = f"SELECT {_MINER_COLUMNS} FROM run_miner WHERE run_id = $1 ORDER BY uid"  # noqa: S608
_SELECT_MINER = f"SELECT {_MINER_COLUMNS} FROM run_miner WHERE run_id = $1 AND hotkey = $2"  # noqa: S608
_ADVANCE = """
UPDATE run_miner SET state = $3, reason_code = NULL, reason = NULL, fault = NULL, updated_at = now()
WHERE run_id = $1 AND hotkey = $2 AND state = ANY($4::text[]) RETURNING hotkey
"""
_COMMIT = """
UPDATE run_miner SET state = 'committed', commitment = $3, committed_at = $4, reason_code = NULL, reason = NULL,
       fault = NULL, updated_at = now()
WHERE run_id = $1 AND hotkey = $2 AND state IN ('listed', 'acknowledged') RETURNING hotkey
"""
_NOTE = """
UPDATE run_miner SET reason_code = $3, reason = $4, fault = $5, updated_at = now()
WHERE run_id = $1 AND hotkey = $2 AND state <> 'failed'
"""
_FAIL = """
UPDATE run_miner SET state = 'failed', reason_code = $3, reason = $4, fault = $5, updated_at = now()
WHERE run_id = $1 AND hotkey = $2 AND state <> 'failed' RETURNING hotkey
"""
_FAILED_AFTER = "SELECT hotkey FROM run_miner WHERE run_id = $1 AND state = 'failed' AND updated_at > $2"
_REASON_LIMIT = 500
"""A reason may quote a miner or a driver, so it is cut to this length. (PostgreSQL also refuses a text with a NUL.)"""


async def insert_run(conn: Connection, run: Run, neurons: Sequence[Neuron]) -> bool:
    """Insert a run with its snapshot of miners. False if the run exists already."""
    row = await conn.fetchval(
        _INSERT_RUN, run.run_id, run.netuid, run.init_time, msgspec.to_builtins(run.spec), run.spec_digest,
        run.policy_digest, msgspec.to_builtins(run.sources), run.world_offset, run.opened_at, run.commit_deadline,
        run.reveal_deadline,
    )  # fmt: skip
    if row is None:
        return False
    await conn.executemany(
        _INSERT_MINER, [(run.run_id, n.hotkey, n.uid, n.endpoint, n.registered_block) for n in neurons]
    )
    return True


async def load_run(conn: Connection, run_id: str, *, lock: bool = False) -> Run:
    """A run. With `lock` its row is locked until the transaction ends. Raises RunUnknown."""
    row = await conn.fetchrow(_LOCK_RUN if lock else _SELECT_RUN, run_id)
    if row is None:
        raise RunUnknown(f"there is no run {run_id!r}; `gaia runs` lists all runs")
    return _run(row)


async def load_window(conn: Connection, run: Run, limit: int) -> list[Run]:
    """The runs before this one that were not void and were scored by the same policy, newest first."""
    rows = await conn.fetch(_SELECT_WINDOW, run.netuid, run.init_time, run.policy_digest, limit)
    return [_run(row) for row in rows]


async def load_miners(conn: Connection, run_id: str) -> list[RunMiner]:
    """The miners of a run's snapshot, by uid."""
    return [_miner(row) for row in await conn.fetch(_SELECT_MINERS, run_id)]


async def load_miner(conn: Connection, run_id: str, hotkey: str) -> RunMiner:
    """One miner of a run. Raises RunUnknown if the run has no such miner."""
    row = await conn.fetchrow(_SELECT_MINER, run_id, hotkey)
    if row is None:
        raise RunUnknown(f"run {run_id!r} has no miner {hotkey!r}")
    return _miner(row)


async def advance_miner(
    conn: Connection, run_id: str, hotkey: str, state: MinerState, *, after: Sequence[MinerState]
) -> bool:
    """Set a miner's state and clear its noted error. False if it was in none of the states `after`."""
    return await conn.fetchval(_ADVANCE, run_id, hotkey, state, list(after)) is not None


async def record_commitment(conn: Connection, run_id: str, hotkey: str, digest: bytes, received_at: datetime) -> bool:
    """Store a miner's commitment. False if the miner has already committed or failed."""
    return await conn.fetchval(_COMMIT, run_id, hotkey, digest, received_at) is not None


async def note_trouble(conn: Connection, run_id: str, hotkey: str, error: GaiaError) -> None:
    """Note why the last attempt with a miner failed. The miner stays in the run."""
    await conn.execute(_NOTE, run_id, hotkey, error.code, printable(str(error), _REASON_LIMIT), error.fault)


async def fail_miner(conn: Connection, run_id: str, hotkey: str, *, code: str, reason: str, fault: Fault) -> bool:
    """Fail a miner in a run, with the reason that it will read. False if it has failed already; that reason stays."""
    return await conn.fetchval(_FAIL, run_id, hotkey, code, printable(reason, _REASON_LIMIT), fault) is not None


async def failed_after(conn: Connection, run_id: str, at: datetime) -> frozenset[Hotkey]:
    """The miners that failed in a run after a time of the database's clock."""
    return frozenset(Hotkey(row["hotkey"]) for row in await conn.fetch(_FAILED_AFTER, run_id, at))


async def set_polled(conn: Connection, run_id: str, at: datetime) -> None:
    """Note when the validator last asked for commitments."""
    await conn.execute("UPDATE run SET polled_at = greatest(polled_at, $2) WHERE run_id = $1", run_id, at)


async def set_run_state(conn: Connection, run_id: str, state: RunState, *, at: datetime | None = None) -> None:
    """Set the state of a run."""
    await conn.execute("UPDATE run SET state = $2, finished_at = $3 WHERE run_id = $1", run_id, state, at)


async def void_run(conn: Connection, run_id: str, why: str, at: datetime) -> None:
    """Declare a run void: it counts for nobody."""
    await conn.execute(
        "UPDATE run SET state = 'void', void_reason = $2, finished_at = $3 WHERE run_id = $1", run_id, why, at
    )


def _run(row: Any) -> Run:
    fields = dict(row)
    fields["spec"] = msgspec.convert(fields["spec"], RunSpec)
    fields["sources"] = msgspec.convert(fields["sources"], SourceSet)
    fields["state"] = RunState(fields["state"])
    return Run(**fields)


def _miner(row: Any) -> RunMiner:
    fields = dict(row)
    fields["state"] = MinerState(fields["state"])
    fields["fault"] = Fault(fields["fault"]) if fields["fault"] else None
    return RunMiner(**fields)
