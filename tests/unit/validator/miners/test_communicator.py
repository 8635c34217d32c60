"""MinerCommunicator against real servers on loopback: honest ones, and every kind of misbehaviour."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest
from aiohttp import web

from gaia.contracts.clock import SystemClock
from gaia.contracts.errors import Fault, GaiaError, MinerFault
from gaia.contracts.ports import MinerAddress, RefusedByMiner
from gaia.protocol.forecast_messages import (
    FORECASTS_PATH,
    MAX_REVEAL_BYTES,
    CommitmentMessage,
    RequestAccepted,
    RevealMessage,
    chunk_path,
    commitment_path,
    reveal_path,
)
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.messages import MAX_ANSWER_BYTES, ErrorMessage, MalformedAnswer, custom_serializer
from gaia.protocol.signing import RequestIdentity
from gaia.validator.miners.communicator import ClientLimits, MinerCommunicator
from gaia.validator.miners.failures import (
    AnswerNotSigned,
    AnswerTooLarge,
    ConnectionBroken,
    EndpointRefused,
    MinerTimedOut,
    MinerUnreachable,
)
from tests.support.clock import ManualClock
from tests.unit.validator.miners.miner_servers import (
    CHUNK,
    CHUNK_KEY,
    DIGEST,
    RUN_ID,
    HonestMiner,
    RawAnswer,
    ask,
    half_an_answer,
    honest_miner,
    raw_miner,
)

IMPATIENT = ClientLimits(connect_timeout_s=2.0, message_timeout_s=0.5, chunk_timeout_s=0.5)
COMMITMENT = commitment_path(RUN_ID)
CHUNK_PATH = chunk_path(RUN_ID, CHUNK_KEY)


async def test_a_request_arrives_signed_and_unchanged(miner: HonestMiner, client: MinerCommunicator) -> None:
    answer = await client.ask(
        miner.address, "POST", FORECASTS_PATH, b'{"any":"body"}', expected=202, max_bytes=MAX_ANSWER_BYTES
    )
    assert answer == custom_serializer(RequestAccepted(run_id=RUN_ID))
    assert miner.bodies == [b'{"any":"body"}']
    assert (miner.callers[0].method, miner.callers[0].path) == ("POST", FORECASTS_PATH)


async def test_an_answer_may_be_as_long_as_the_asker_says_and_no_longer(
    miner: HonestMiner, client: MinerCommunicator
) -> None:
    miner.manifest = "x" * 2_000_000
    body = await client.ask(miner.address, "GET", reveal_path(RUN_ID), max_bytes=MAX_REVEAL_BYTES)
    assert body == custom_serializer(RevealMessage(manifest=miner.manifest, nonce=DIGEST))
    assert await client.ask(miner.address, "GET", reveal_path(RUN_ID), max_bytes=len(body)) == body
    with pytest.raises(AnswerTooLarge):
        await client.ask(miner.address, "GET", reveal_path(RUN_ID), max_bytes=len(body) - 1)


async def test_a_chunk_is_stored_whole_and_nothing_beside_it(
    miner: HonestMiner, client: MinerCommunicator, tmp_path: Path
) -> None:
    destination = tmp_path / "new" / "chunk"
    await client.fetch(miner.address, CHUNK_PATH, destination, len(CHUNK))
    assert destination.read_bytes() == CHUNK
    assert list(destination.parent.iterdir()) == [destination]


async def test_requests_of_the_same_instant_are_no_replays() -> None:
    clock = ManualClock()
    client = MinerCommunicator(HotkeySigner.generate(), clock, allow_private_endpoints=True)
    async with honest_miner(clock) as miner:
        await asyncio.gather(*(ask(client, miner.address) for _ in range(20)))
        await client.close()
    assert len({caller.nonce_ns for caller in miner.callers}) == 20


async def test_an_unsigned_answer_is_refused(miner: HonestMiner, client: MinerCommunicator) -> None:
    async def unsigned(request: web.Request, identity: RequestIdentity) -> web.Response:
        return web.json_response({"run_id": RUN_ID, "hotkey": miner.signer.hotkey, "digest": DIGEST})

    miner.instead[COMMITMENT] = unsigned
    with pytest.raises(AnswerNotSigned):
        await ask(client, miner.address)


async def test_an_answer_signed_by_another_key_is_refused(miner: HonestMiner, client: MinerCommunicator) -> None:
    async def forged(request: web.Request, identity: RequestIdentity) -> web.Response:
        message = CommitmentMessage(run_id=RUN_ID, hotkey=miner.signer.hotkey, digest=DIGEST)
        return miner.signed(identity, message, signer=HotkeySigner.generate())

    miner.instead[COMMITMENT] = forged
    with pytest.raises(AnswerNotSigned):
        await ask(client, miner.address)


async def test_an_old_answer_played_again_is_refused(miner: HonestMiner, client: MinerCommunicator) -> None:
    kept: list[RequestIdentity] = []

    async def replayed(request: web.Request, identity: RequestIdentity) -> web.Response:
        kept.append(identity)
        return miner.honest_answer(request, kept[0])

    miner.instead[COMMITMENT] = replayed
    assert await ask(client, miner.address)
    with pytest.raises(AnswerNotSigned) as refusal:
        await ask(client, miner.address)
    assert refusal.value.fault is Fault.MINER


async def test_a_refusal_is_quoted_in_safe_letters(miner: HonestMiner, client: MinerCommunicator) -> None:
    async def refusing(request: web.Request, identity: RequestIdentity) -> web.Response:
        return miner.signed(identity, ErrorMessage(code="too_early", message="\x1b[31mwait"), status=425)

    miner.instead[reveal_path(RUN_ID)] = refusing
    with pytest.raises(RefusedByMiner) as refusal:
        await client.ask(miner.address, "GET", reveal_path(RUN_ID), max_bytes=MAX_REVEAL_BYTES)
    assert str(refusal.value) == "the miner answered HTTP 425: too_early: ?[31mwait"
    assert (refusal.value.status, refusal.value.retryable) == (425, True)


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b"x" * 1_000_000])
async def test_a_refusal_without_a_sensible_reason_is_still_a_refusal(
    miner: HonestMiner, client: MinerCommunicator, body: bytes
) -> None:
    async def refusing(request: web.Request, identity: RequestIdentity) -> web.Response:
        return web.Response(status=403, body=body)

    miner.instead[FORECASTS_PATH] = refusing
    with pytest.raises(RefusedByMiner, match=r"^the miner answered HTTP 403$") as refusal:
        await client.ask(miner.address, "POST", FORECASTS_PATH, b"{}", expected=202, max_bytes=MAX_ANSWER_BYTES)
    assert not refusal.value.retryable


async def test_a_redirect_is_not_followed(miner: HonestMiner, client: MinerCommunicator) -> None:
    async def redirecting(request: web.Request, identity: RequestIdentity) -> web.Response:
        return web.Response(status=307, headers={"Location": reveal_path(RUN_ID)})

    miner.instead[COMMITMENT] = redirecting
    with pytest.raises(RefusedByMiner, match="307"):
        await ask(client, miner.address)
    assert len(miner.requests) == 1


async def test_cookies_are_neither_kept_nor_sent(miner: HonestMiner, client: MinerCommunicator) -> None:
    async def tracking(request: web.Request, identity: RequestIdentity) -> web.Response:
        response = miner.honest_answer(request, identity)
        response.set_cookie("track", "1")
        return response

    miner.instead[COMMITMENT] = tracking
    for _ in range(2):
        await ask(client, miner.address)
    assert all("Cookie" not in request.headers for request in miner.requests)


async def test_a_proxy_of_the_environment_is_not_used(
    miner: HonestMiner, client: MinerCommunicator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await ask(client, miner.address)


async def test_a_compressed_bomb_is_not_unpacked(miner: HonestMiner, client: MinerCommunicator) -> None:
    bomb = gzip.compress(b" " * 4_000_000)
    assert len(bomb) < 4_096

    async def bombing(request: web.Request, identity: RequestIdentity) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    miner.instead[COMMITMENT] = bombing
    with pytest.raises(AnswerNotSigned):
        await ask(client, miner.address)
    assert miner.requests[0].headers["Accept-Encoding"] == "identity"


async def test_an_endless_body_is_cut_off(miner: HonestMiner, client: MinerCommunicator) -> None:
    hung_up = asyncio.Event()

    async def endless(request: web.Request, identity: RequestIdentity) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65_536)
        except OSError:
            hung_up.set()
            raise

    miner.instead[COMMITMENT] = endless
    with pytest.raises(AnswerTooLarge):
        await ask(client, miner.address)
    async with asyncio.timeout(10):
        await hung_up.wait()


async def test_a_body_that_announces_too_much_is_not_read(client: MinerCommunicator) -> None:
    async def announce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await reader.read()

    async with raw_miner(announce) as address:
        with pytest.raises(AnswerTooLarge):
            await ask(client, address)


async def test_a_slow_drip_runs_out_of_time(impatient: MinerCommunicator) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b" ")
            await writer.drain()
            await asyncio.wait([asyncio.ensure_future(reader.read(1))], timeout=0.05)

    async with raw_miner(drip) as address:
        with pytest.raises(MinerTimedOut) as failure:
            await ask(impatient, address)
    assert failure.value.fault is Fault.MINER


async def test_silence_runs_out_of_time(impatient: MinerCommunicator) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_miner(silence) as address:
        with pytest.raises(MinerTimedOut):
            await impatient.ask(address, "POST", FORECASTS_PATH, b"{}", expected=202, max_bytes=MAX_ANSWER_BYTES)


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def _half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 O")
    await writer.drain()


async def _broken_chunking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    await writer.drain()


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01\x02 garbage \xff" * 50 + b"\r\n\r\n")
    await writer.drain()


async def _endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000)
    await writer.drain()


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (_nothing, ConnectionBroken),
        (half_an_answer, ConnectionBroken),
        (_half_a_head, ConnectionBroken),
        (_broken_chunking, (ConnectionBroken, MalformedAnswer)),  # by whether it comes with the head
        (_garbage, MalformedAnswer),
        (_endless_head, MalformedAnswer),
    ],
)
async def test_broken_http_is_the_miners_fault(
    client: MinerCommunicator, behaviour: RawAnswer, failure: type[GaiaError] | tuple[type[GaiaError], ...]
) -> None:
    async with raw_miner(behaviour) as address:
        with pytest.raises(failure) as raised:
            await ask(client, address)
    assert raised.value.fault is Fault.MINER


async def test_nobody_at_the_port_is_unreachable(miner: HonestMiner, client: MinerCommunicator) -> None:
    nowhere = MinerAddress(hotkey=miner.signer.hotkey, endpoint="http://127.0.0.1:1")
    with pytest.raises(MinerUnreachable) as failure:
        await ask(client, nowhere)
    assert (failure.value.code, failure.value.retryable) == ("miner_unreachable", True)


async def test_one_bad_miner_does_not_spoil_the_next_request(miner: HonestMiner, client: MinerCommunicator) -> None:
    async with raw_miner(_garbage) as bad:
        results = await asyncio.gather(
            ask(client, bad),
            ask(client, miner.address),
            return_exceptions=True,
        )
    assert isinstance(results[0], MinerFault)
    assert results[1] is not None
    assert not isinstance(results[1], BaseException)


async def test_a_private_endpoint_is_refused_unless_allowed(miner: HonestMiner) -> None:
    guarded = MinerCommunicator(HotkeySigner.generate(), SystemClock(), allow_private_endpoints=False)
    try:
        for host in ("127.0.0.1", "localhost", "[::1]", "2130706433"):
            address = MinerAddress(hotkey=miner.signer.hotkey, endpoint=f"http://{host}:{miner.port}")
            with pytest.raises(EndpointRefused):
                await ask(guarded, address)
    finally:
        await guarded.close()
    assert miner.requests == []


async def test_a_name_is_resolved_where_private_endpoints_are_allowed(
    miner: HonestMiner, client: MinerCommunicator
) -> None:
    address = MinerAddress(hotkey=miner.signer.hotkey, endpoint=f"http://localhost:{miner.port}")
    assert await ask(client, address)
