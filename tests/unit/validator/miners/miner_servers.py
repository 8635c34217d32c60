"""Miners to talk to: an honest one over aiohttp whose answers a test may spoil, and a raw one that speaks
anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from msgspec import Struct

from gaia.contracts.clock import Clock
from gaia.contracts.ids import RunId
from gaia.contracts.ports import MinerAddress
from gaia.protocol.forecast_messages import (
    FORECASTS_PATH,
    CommitmentMessage,
    RequestAccepted,
    RevealMessage,
    chunk_path,
    commitment_path,
    reveal_path,
)
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.messages import MAX_ANSWER_BYTES, ErrorMessage, custom_serializer
from gaia.protocol.signing import NonceStore, RequestIdentity, sign_response, unix_ns, verify_request
from gaia.validator.miners.communicator import MinerCommunicator

RUN_ID = RunId("sn57-weather-20170101T00Z")
DIGEST = "ab" * 32
CHUNK_KEY = "z/c/0/0/0/0"
CHUNK = bytes(range(256)) * 4096  # 1 MiB

Handler = Callable[[web.Request, RequestIdentity], Awaitable[web.StreamResponse]]


class HonestMiner:
    """Answers by the protocol; `instead` maps a path to another behaviour."""

    def __init__(self, clock: Clock) -> None:
        self.signer = HotkeySigner.generate()
        self.clock = clock
        self.nonces = NonceStore()
        self.instead: dict[str, Handler] = {}
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.callers: list[RequestIdentity] = []
        self.manifest = '{"format":"gaia-manifest/1"}'
        self.port = 0

    @property
    def address(self) -> MinerAddress:
        return MinerAddress(hotkey=self.signer.hotkey, endpoint=f"http://127.0.0.1:{self.port}")

    def signed(
        self, identity: RequestIdentity, message: Struct, status: int = 200, signer: HotkeySigner | None = None
    ) -> web.Response:
        body = custom_serializer(message)
        headers = sign_response(
            signer or self.signer, identity, status=status, body=body, nonce_ns=unix_ns(self.clock.now())
        )
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        identity = verify_request(
            request.headers,
            body,
            method=request.method,
            path=request.raw_path,
            self_hotkey=self.signer.hotkey,
            now_ns=unix_ns(self.clock.now()),
            nonces=self.nonces,
        )
        self.requests.append(request)
        self.bodies.append(body)
        self.callers.append(identity)
        if request.raw_path in self.instead:
            return await self.instead[request.raw_path](request, identity)
        return self.honest_answer(request, identity)

    def honest_answer(self, request: web.Request, identity: RequestIdentity) -> web.Response:
        if request.raw_path == FORECASTS_PATH:
            return self.signed(identity, RequestAccepted(run_id=RUN_ID), status=202)
        if request.raw_path == commitment_path(RUN_ID):
            commitment = CommitmentMessage(run_id=RUN_ID, hotkey=self.signer.hotkey, digest=DIGEST)
            return self.signed(identity, commitment)
        if request.raw_path == reveal_path(RUN_ID):
            return self.signed(identity, RevealMessage(manifest=self.manifest, nonce=DIGEST))
        if request.raw_path == chunk_path(RUN_ID, CHUNK_KEY):
            return web.Response(body=CHUNK)
        return self.signed(identity, ErrorMessage(code="unknown_run", message="no such run"), status=404)


@asynccontextmanager
async def honest_miner(clock: Clock) -> AsyncIterator[HonestMiner]:
    """A running one, on a port of its own."""
    miner = HonestMiner(clock)
    app = web.Application(client_max_size=1_000_000)
    app.router.add_route("*", "/{path:.*}", miner.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    miner.port = runner.addresses[0][1]
    try:
        yield miner
    finally:
        await runner.cleanup()


RawAnswer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_miner(answer: RawAnswer) -> AsyncIterator[MinerAddress]:
    """Reads a request's head, then does whatever `answer` does with the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client hung up, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield MinerAddress(hotkey=HotkeySigner.generate().hotkey, endpoint=f"http://127.0.0.1:{port}")
    finally:
        server.close()
        await server.wait_closed()


async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
    await writer.drain()


async def ask(client: MinerCommunicator, miner: MinerAddress) -> bytes:
    """Any small message of a miner: its commitment."""
    return await client.ask(miner, "GET", commitment_path(RUN_ID), max_bytes=MAX_ANSWER_BYTES)
