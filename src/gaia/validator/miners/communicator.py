"""MinerCommunicator: asks miners, over signed HTTP, and believes nothing that they answer.

Every answer is bounded in size and time; redirects, cookies, compression and proxies are off. It never
retries: that is the jobs' business. It digests no chunk and judges no forecast.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import aiohttp
from msgspec import Struct
from yarl import URL

from gaia.contracts.clock import Clock
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.ports import Acknowledgement, Commitment, MinerAddress, Reveal, Signer
from gaia.protocol.messages import (
    FORECASTS_PATH,
    MAX_ANSWER_BYTES,
    MAX_REVEAL_BYTES,
    Answer,
    CommitmentMessage,
    ErrorMessage,
    MalformedAnswer,
    RequestAccepted,
    RevealMessage,
    chunk_path,
    commitment_path,
    custom_serializer,
    decode_answer,
    printable,
    reveal_path,
)
from gaia.protocol.signing import (
    RequestIdentity,
    SignatureRefused,
    sign_request,
    unix_ns,
    verify_response,
)
from gaia.validator.miners.chunk_file import store_chunk
from gaia.validator.miners.endpoints import GuardedResolver, parse_endpoint
from gaia.validator.miners.failures import (
    AnswerNotSigned,
    AnswerTooLarge,
    RefusedByMiner,
    WrongChunkSize,
    failure_of,
    lacks_route,
)
from gaia.validator.miners.reachability import Reachability

__all__ = ["ClientLimits", "MinerCommunicator", "custom_serializer"]

_PIECE_BYTES = 65_536


class ClientLimits(Struct, frozen=True, kw_only=True):
    """How long to wait for miners, and how many exchanges to hold at once."""

    connect_timeout_s: float = 5.0
    message_timeout_s: float = 15.0
    """Until an answer begins; and then until a message's body is complete."""
    chunk_timeout_s: float = 60.0
    """Of waiting for a chunk's bytes in all. Time spent on our own disk does not count."""
    max_exchanges: int = 64
    max_exchanges_per_miner: int = 8
    """One slow miner holds no more than these."""


class _Exchange(Struct, frozen=True, kw_only=True):
    """A request that has been sent, and its response, whose body has not been read."""

    request: RequestIdentity
    response: aiohttp.ClientResponse


class MinerCommunicator:
    """`gaia.contracts.ports.MinerPort` over HTTP. Make it inside the event loop that uses it; end with
    `close`.

    `allow_private_endpoints` is for networks of one's own: demonstrations and tests. With the real chain it
    must be off, or a miner could point the validator at its neighbours.
    """

    def __init__(
        self,
        signer: Signer,
        clock: Clock,
        *,
        allow_private_endpoints: bool,
        limits: ClientLimits | None = None,
    ) -> None:
        self._signer = signer
        self._clock = clock
        self._allow_private = allow_private_endpoints
        self._limits = limits or ClientLimits()
        self._slots = asyncio.Semaphore(self._limits.max_exchanges)
        self._miner_slots: WeakValueDictionary[Hotkey, asyncio.Semaphore] = WeakValueDictionary()
        self._last_nonce_ns = 0
        self._resolver = GuardedResolver(allow_private=allow_private_endpoints)
        self._network = Reachability(clock, self._resolver, dial_timeout_s=self._limits.connect_timeout_s)
        self._session = aiohttp.ClientSession(
            # our own slots bound the connections: waiting in a pool would count against the miner's timeout
            connector=aiohttp.TCPConnector(limit=0, resolver=self._resolver, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_timeout_s),
        )

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        await self._session.close()
        await self._resolver.close()

    async def request_forecast(self, miner: MinerAddress, request: bytes) -> Acknowledgement:
        await self._ask(miner, "POST", FORECASTS_PATH, request, RequestAccepted, expected=202)
        return Acknowledgement(received_at=self._clock.now())

    async def fetch_commitment(self, miner: MinerAddress, run_id: RunId) -> Commitment | None:
        try:
            message = await self._ask(miner, "GET", commitment_path(run_id), b"", CommitmentMessage)
        except RefusedByMiner as refusal:
            if refusal.status == 404:
                return None
            raise
        received_at = self._clock.now()
        if (message.run_id, message.hotkey) != (run_id, miner.hotkey):
            raise MalformedAnswer("the commitment is for another run or hotkey")
        return Commitment(digest=bytes.fromhex(message.digest), received_at=received_at)

    async def fetch_reveal(self, miner: MinerAddress, run_id: RunId) -> Reveal:
        path = reveal_path(run_id)
        message = await self._ask(miner, "GET", path, b"", RevealMessage, max_bytes=MAX_REVEAL_BYTES)
        return Reveal(manifest=message.manifest.encode(), nonce=bytes.fromhex(message.nonce))

    async def fetch_chunk(
        self, miner: MinerAddress, run_id: RunId, chunk: str, destination: Path, size_bytes: int
    ) -> None:
        path = chunk_path(run_id, chunk)
        async with self._exchange(miner, "GET", path, b"") as exchange:
            response = exchange.response
            if response.status != 200:
                raise RefusedByMiner(response.status, await self._quoted(response))
            if response.content_length not in (None, size_bytes):
                raise WrongChunkSize(
                    f"the miner offers {response.content_length} bytes for chunk {chunk};"
                    f" its manifest states {size_bytes}"
                )
            await store_chunk(self._pieces(response, self._limits.chunk_timeout_s), destination, size_bytes)

    async def _ask(
        self,
        miner: MinerAddress,
        method: str,
        path: str,
        body: bytes,
        kind: type[Answer],
        *,
        expected: int = 200,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        async with self._exchange(miner, method, path, body) as exchange:
            response = exchange.response
            if response.status != expected:
                raise RefusedByMiner(response.status, await self._quoted(response))
            answer = await self._read(response, max_bytes)
            headers = response.headers
        try:
            verify_response(headers, answer, request=exchange.request, status=expected, responder=miner.hotkey)
        except SignatureRefused as error:
            raise AnswerNotSigned(f"the miner's answer is not accepted: {error}") from error
        return decode_answer(answer, kind, max_bytes=max_bytes)

    @asynccontextmanager
    async def _exchange(self, miner: MinerAddress, method: str, path: str, body: bytes) -> AsyncIterator[_Exchange]:
        """Send a signed request; whatever then fails, here or in the reading of the body, leaves as a
        GaiaError.
        """
        base = parse_endpoint(miner.endpoint, allow_private=self._allow_private)
        slot = self._miner_slots.setdefault(miner.hotkey, asyncio.Semaphore(self._limits.max_exchanges_per_miner))
        async with slot, self._slots:
            request = RequestIdentity(
                hotkey=self._signer.hotkey, method=method, path=path, nonce_ns=self._next_nonce_ns()
            )
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(self._limits.message_timeout_s):
                        response = await stack.enter_async_context(self._send(miner, base, request, body))
                    self._network.answered(miner.hotkey, base)
                    yield _Exchange(request=request, response=response)
            except (TimeoutError, OSError, aiohttp.ClientError) as error:
                others = not lacks_route(error) or await self._network.reaches_others_than(miner.hotkey)
                raise failure_of(error, others_reachable=others) from error

    def _send(
        self, miner: MinerAddress, base: URL, request: RequestIdentity, body: bytes
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            request.method,
            URL(f"{base}{request.path}", encoded=True),
            data=body or None,
            headers=self._headers(miner, request, body),
            allow_redirects=False,
        )

    def _headers(self, miner: MinerAddress, request: RequestIdentity, body: bytes) -> dict[str, str]:
        signature = sign_request(
            self._signer,
            method=request.method,
            path=request.path,
            body=body,
            receiver=miner.hotkey,
            nonce_ns=request.nonce_ns,
        )
        return signature | {"Accept-Encoding": "identity", "Content-Type": "application/json"}

    def _next_nonce_ns(self) -> int:
        """The wall clock, never the same twice."""
        self._last_nonce_ns = max(unix_ns(self._clock.now()), self._last_nonce_ns + 1)
        return self._last_nonce_ns

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
        """The body; raises AnswerTooLarge without reading further than the bound."""
        too_large = AnswerTooLarge(f"the miner's answer is larger than {max_bytes} bytes")
        if (response.content_length or 0) > max_bytes:
            raise too_large
        body = bytearray()
        async for piece in self._pieces(response, self._limits.message_timeout_s):
            body += piece
            if len(body) > max_bytes:
                raise too_large
        return bytes(body)

    async def _pieces(self, response: aiohttp.ClientResponse, timeout_s: float) -> AsyncIterator[bytes]:
        """The body as it comes; raises TimeoutError once waiting for it has taken `timeout_s` in all."""
        pieces = response.content.iter_chunked(_PIECE_BYTES)
        waited_s = 0.0
        while True:
            began_s = self._clock.monotonic()
            async with asyncio.timeout(timeout_s - waited_s):
                piece = await anext(pieces, b"")
            waited_s += self._clock.monotonic() - began_s
            if not piece:
                return
            yield piece

    async def _quoted(self, response: aiohttp.ClientResponse) -> str:
        """What the miner says about its refusal; nothing if it says nothing sensible."""
        try:
            error = decode_answer(await self._read(response, MAX_ANSWER_BYTES), ErrorMessage)
        except (AnswerTooLarge, MalformedAnswer):
            return ""
        return printable(f"{error.code}: {error.message}")
