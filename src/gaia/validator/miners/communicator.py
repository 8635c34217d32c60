"""MinerCommunicator: sends signed HTTP requests to miners, and trusts nothing in their answers.

Every answer is limited in size and time. Redirects, cookies, compression and proxies are off. It never retries; the
jobs do that. It checks no digests and does not know what the messages mean.
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
from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import MinerAddress, RefusedByMiner, Signer
from gaia.protocol.messages import (
    MAX_ANSWER_BYTES,
    ErrorMessage,
    MalformedAnswer,
    custom_serializer,
    decode_answer,
    printable,
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
    WrongChunkSize,
    failure_of,
    lacks_route,
)
from gaia.validator.miners.reachability import Reachability

__all__ = ["ClientLimits", "MinerCommunicator", "custom_serializer"]

_PIECE_BYTES = 65_536


class ClientLimits(Struct, frozen=True, kw_only=True):
    """How long to wait for miners, and how many exchanges may run at once."""

    connect_timeout_s: float = 5.0
    message_timeout_s: float = 15.0
    """The time until an answer begins, and again until a message's body is complete."""
    chunk_timeout_s: float = 60.0
    """The total time of waiting for a chunk's bytes. Time of our own disk does not count."""
    max_exchanges: int = 64
    max_exchanges_per_miner: int = 8
    """The most exchanges that one slow miner can occupy."""


class _Exchange(Struct, frozen=True, kw_only=True):
    """A sent request, and its response with the body still to be read."""

    request: RequestIdentity
    response: aiohttp.ClientResponse


class MinerCommunicator:
    """`gaia.contracts.ports.MinerPort` over HTTP. Create it inside the event loop that uses it, and `close` it.

    `allow_private_endpoints` is for private networks, demonstrations and tests. With the real chain it must be off.
    Otherwise a miner could make the validator call machines in its own network.
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
            # our own slots limit the connections, because a wait in aiohttp's pool would count as the miner's time
            connector=aiohttp.TCPConnector(limit=0, resolver=self._resolver, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_timeout_s),
        )

    async def close(self) -> None:
        """Close all connections. May be called twice."""
        await self._session.close()
        await self._resolver.close()

    async def ask(
        self, miner: MinerAddress, method: str, path: str, body: bytes = b"", *, expected: int = 200, max_bytes: int
    ) -> bytes:
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
        return answer

    async def fetch(self, miner: MinerAddress, path: str, destination: Path, size_bytes: int) -> None:
        async with self._exchange(miner, "GET", path, b"") as exchange:
            response = exchange.response
            if response.status != 200:
                raise RefusedByMiner(response.status, await self._quoted(response))
            if response.content_length not in (None, size_bytes):
                raise WrongChunkSize(
                    f"the miner offers {response.content_length} bytes at {printable(path)}; {size_bytes} are announced"
                )
            await store_chunk(self._pieces(response, self._limits.chunk_timeout_s), destination, size_bytes)

    @asynccontextmanager
    async def _exchange(self, miner: MinerAddress, method: str, path: str, body: bytes) -> AsyncIterator[_Exchange]:
        """Send a signed request. A failure here, or while the block reads the body, is raised as a GaiaError."""
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
        """The time of the wall clock, but never the same value twice."""
        self._last_nonce_ns = max(unix_ns(self._clock.now()), self._last_nonce_ns + 1)
        return self._last_nonce_ns

    async def _read(self, response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
        """The body of a response. Raises AnswerTooLarge as soon as it exceeds the limit."""
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
        """The body in pieces, as they arrive. Raises TimeoutError if all waiting together exceeds `timeout_s`."""
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
        """The miner's reason for a refusal; empty if it gives no readable one."""
        try:
            error = decode_answer(await self._read(response, MAX_ANSWER_BYTES), ErrorMessage)
        except (AnswerTooLarge, MalformedAnswer):
            return ""
        return printable(f"{error.code}: {error.message}")
