"""The weather's messages to miners: what is read out of their answers, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gaia.contracts.clock import SystemClock
from gaia.contracts.ids import RunId
from gaia.contracts.ports import RefusedByMiner
from gaia.protocol.forecast_messages import CommitmentMessage, RevealMessage, commitment_path, reveal_path
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.messages import ErrorMessage, MalformedAnswer
from gaia.protocol.signing import RequestIdentity
from gaia.tasks.defined_tasks.weather.validator.forecast_client import ForecastClient
from gaia.validator.miners.communicator import MinerCommunicator
from tests.unit.validator.miners.miner_servers import (
    CHUNK,
    CHUNK_KEY,
    DIGEST,
    RUN_ID,
    HonestMiner,
    honest_miner,
)

COMMITMENT = commitment_path(RUN_ID)


@pytest.fixture
async def miner() -> AsyncIterator[HonestMiner]:
    async with honest_miner(SystemClock()) as miner:
        yield miner


@pytest.fixture
async def client() -> AsyncIterator[ForecastClient]:
    communicator = MinerCommunicator(HotkeySigner.generate(), SystemClock(), allow_private_endpoints=True)
    yield ForecastClient(communicator, SystemClock())
    await communicator.close()


async def test_a_request_is_accepted(miner: HonestMiner, client: ForecastClient) -> None:
    await client.request_forecast(miner.address, b'{"any":"body"}')
    assert miner.bodies == [b'{"any":"body"}']


async def test_a_commitment_is_read(miner: HonestMiner, client: ForecastClient) -> None:
    before = SystemClock().now()
    commitment = await client.fetch_commitment(miner.address, RUN_ID)
    assert commitment is not None
    assert commitment.digest == bytes.fromhex(DIGEST)
    assert before <= commitment.received_at <= SystemClock().now()


async def test_no_commitment_yet_is_not_a_failure(miner: HonestMiner, client: ForecastClient) -> None:
    assert await client.fetch_commitment(miner.address, RunId("sn57-weather-20180101T00Z")) is None


async def test_a_large_reveal_is_read(miner: HonestMiner, client: ForecastClient) -> None:
    miner.manifest = "x" * 2_000_000
    reveal = await client.fetch_reveal(miner.address, RUN_ID)
    assert (reveal.manifest, reveal.nonce) == (b"x" * 2_000_000, bytes.fromhex(DIGEST))


@pytest.mark.parametrize("wrong", ["run", "hotkey"])
async def test_a_commitment_for_something_else_is_refused(
    miner: HonestMiner, client: ForecastClient, wrong: str
) -> None:
    async def other(request: web.Request, identity: RequestIdentity) -> web.Response:
        run_id = RunId("sn57-weather-20180101T00Z") if wrong == "run" else RUN_ID
        hotkey = "5other" if wrong == "hotkey" else miner.signer.hotkey
        return miner.signed(identity, CommitmentMessage(run_id=run_id, hotkey=hotkey, digest=DIGEST))

    miner.instead[COMMITMENT] = other
    with pytest.raises(MalformedAnswer, match="another run or hotkey"):
        await client.fetch_commitment(miner.address, RUN_ID)


async def test_a_signed_answer_of_another_kind_is_refused(miner: HonestMiner, client: ForecastClient) -> None:
    async def confused(request: web.Request, identity: RequestIdentity) -> web.Response:
        return miner.signed(identity, RevealMessage(manifest="{}", nonce=DIGEST))

    miner.instead[COMMITMENT] = confused
    with pytest.raises(MalformedAnswer):
        await client.fetch_commitment(miner.address, RUN_ID)


async def test_another_refusal_than_not_found_is_passed_on(miner: HonestMiner, client: ForecastClient) -> None:
    async def refusing(request: web.Request, identity: RequestIdentity) -> web.Response:
        return miner.signed(identity, ErrorMessage(code="too_early", message="wait"), status=425)

    miner.instead[COMMITMENT] = miner.instead[reveal_path(RUN_ID)] = refusing
    with pytest.raises(RefusedByMiner, match="425"):
        await client.fetch_commitment(miner.address, RUN_ID)
    with pytest.raises(RefusedByMiner, match="425"):
        await client.fetch_reveal(miner.address, RUN_ID)


async def test_a_chunk_is_stored_where_it_is_wanted(miner: HonestMiner, client: ForecastClient, tmp_path: Path) -> None:
    await client.fetch_chunk(miner.address, RUN_ID, CHUNK_KEY, tmp_path / "chunk", len(CHUNK))
    assert (tmp_path / "chunk").read_bytes() == CHUNK
