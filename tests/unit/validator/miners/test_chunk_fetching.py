"""Chunks fetched by MinerCommunicator: sizes, cuts, our own disk and descriptors, who holds whom up."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from gaia.contracts.clock import SystemClock
from gaia.contracts.errors import Fault
from gaia.contracts.ports import RefusedByMiner
from gaia.protocol.forecast_messages import chunk_path, commitment_path
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.signing import RequestIdentity
from gaia.validator.miners.communicator import ClientLimits, MinerCommunicator
from gaia.validator.miners.failures import (
    ChunkNotStored,
    ConnectionBroken,
    OutOfLocalResources,
    WrongChunkSize,
)
from tests.support.disks import tmpfs_of
from tests.unit.validator.miners.miner_servers import (
    CHUNK,
    CHUNK_KEY,
    RUN_ID,
    HonestMiner,
    ask,
    half_an_answer,
    honest_miner,
    raw_miner,
)

IMPATIENT = ClientLimits(connect_timeout_s=2.0, message_timeout_s=0.5, chunk_timeout_s=0.5)
COMMITMENT = commitment_path(RUN_ID)
CHUNK_PATH = chunk_path(RUN_ID, CHUNK_KEY)


@pytest.mark.parametrize("size_bytes", [len(CHUNK) - 1, len(CHUNK) + 1])
async def test_a_chunk_of_another_size_than_the_manifests_is_refused(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path, size_bytes: int
) -> None:
    with pytest.raises(WrongChunkSize):
        await client.fetch(miner.address, CHUNK_PATH, tmp_path / "chunk", size_bytes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [len(CHUNK) - 1, len(CHUNK) + 1])
async def test_a_chunk_that_hides_its_length_is_measured(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path, size_bytes: int
) -> None:
    async def hiding(request: web.Request, identity: RequestIdentity) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(CHUNK)
        await response.write_eof()
        return response

    miner.instead[CHUNK_PATH] = hiding
    with pytest.raises(WrongChunkSize):
        await client.fetch(miner.address, CHUNK_PATH, tmp_path / "chunk", size_bytes)
    assert list(tmp_path.iterdir()) == []


async def test_a_chunk_cut_short_leaves_no_file(client: MinerCommunicator, tmp_path: Path) -> None:
    async with raw_miner(half_an_answer) as address:
        with pytest.raises(ConnectionBroken):
            await client.fetch(address, CHUNK_PATH, tmp_path / "chunk", 1000)
    assert list(tmp_path.iterdir()) == []


async def test_a_failed_fetch_leaves_the_chunk_that_was_there(client: MinerCommunicator, tmp_path: Path) -> None:
    destination = tmp_path / "chunk"
    destination.write_bytes(b"good")
    async with raw_miner(half_an_answer) as address:
        with pytest.raises(ConnectionBroken):
            await client.fetch(address, CHUNK_PATH, destination, 1000)
    assert destination.read_bytes() == b"good"


async def test_a_refused_chunk_says_why(miner: HonestMiner, client: MinerCommunicator, tmp_path: Path) -> None:
    with pytest.raises(RefusedByMiner, match="404: unknown_run: no such run"):
        await client.fetch(miner.address, chunk_path(RUN_ID, "t/c/0/0/0"), tmp_path / "chunk", 10)


async def test_a_disk_that_fails_is_not_the_miners_fault(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ChunkNotStored) as failure:
        await client.fetch(miner.address, CHUNK_PATH, tmp_path / "file" / "chunk", len(CHUNK))
    assert failure.value.fault is Fault.VALIDATOR


async def test_a_full_disk_is_not_the_miners_fault(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # files end there, as on a full disk
    try:
        with pytest.raises(ChunkNotStored) as failure:
            await client.fetch(miner.address, CHUNK_PATH, tmp_path / "chunk", len(CHUNK))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure.value.fault is Fault.VALIDATOR
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room_bytes", [0, 1, len(CHUNK) // 2, len(CHUNK) - 1])
async def test_wherever_the_disk_is_full_the_chunk_is_there_whole_or_not_at_all(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path, room_bytes: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, hard))  # the last write that fits is done by half
    try:
        with pytest.raises(ChunkNotStored):
            await client.fetch(miner.address, CHUNK_PATH, tmp_path / "chunk", len(CHUNK))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


async def test_a_chunk_of_which_the_disk_has_no_room_for_the_last_page_is_not_stored(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path
) -> None:
    room_bytes = len(CHUNK) - 4096
    with tmpfs_of(tmp_path / "disk", f"size={room_bytes}") as disk:
        with pytest.raises(ChunkNotStored, match="No space left on device"):
            await client.fetch(miner.address, CHUNK_PATH, disk / "chunk", len(CHUNK))
        assert list(disk.iterdir()) == []
        subprocess.run(["mount", "-o", f"remount,size={2 * room_bytes}", str(disk)], check=True, timeout=30)
        await client.fetch(miner.address, CHUNK_PATH, disk / "chunk", len(CHUNK))
        assert (disk / "chunk").read_bytes() == CHUNK


async def test_running_out_of_descriptors_is_not_the_miners_fault(
    miner: HonestMiner, client: MinerCommunicator
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]  # no gap is left below the limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        with pytest.raises(OutOfLocalResources) as failure:
            await ask(client, miner.address)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in spare:
            os.close(descriptor)
    assert (failure.value.fault, failure.value.retryable) == (Fault.VALIDATOR, True)


async def test_a_slow_miner_holds_only_its_own_slots(miner: HonestMiner) -> None:
    limits = ClientLimits(max_exchanges=3, max_exchanges_per_miner=2)
    client = MinerCommunicator(HotkeySigner.generate(), SystemClock(), allow_private_endpoints=True, limits=limits)
    release, running, most = asyncio.Event(), 0, 0

    async def slow(request: web.Request, identity: RequestIdentity) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        return slow_miner.honest_answer(request, identity)

    async with honest_miner(SystemClock()) as slow_miner:
        slow_miner.instead[COMMITMENT] = slow
        waiting = [asyncio.create_task(ask(client, slow_miner.address)) for _ in range(6)]
        assert await ask(client, miner.address)
        release.set()
        assert all(await asyncio.gather(*waiting))
        await client.close()
    assert most <= 2


async def test_a_cancelled_fetch_leaves_no_file_and_frees_its_slot(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def stuck(request: web.Request, identity: RequestIdentity) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(CHUNK))})
        await response.prepare(request)
        await response.write(CHUNK[:300_000])
        begun.set()
        await asyncio.Event().wait()
        return response

    miner.instead[CHUNK_PATH] = stuck
    fetches = [
        asyncio.create_task(client.fetch(miner.address, CHUNK_PATH, tmp_path / f"chunk{n}", len(CHUNK)))
        for n in range(8)
    ]
    async with asyncio.timeout(10):
        await begun.wait()
    for fetch in fetches:
        fetch.cancel()
    assert all(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*fetches, return_exceptions=True))
    assert await ask(client, miner.address)
    assert list(tmp_path.iterdir()) == []
