"""The miner's HTTP routes: they check who asks and whether they may, and answer.

Answers to a verified caller are signed. `terms` decides what may be given out when. This module computes nothing, and
blocks the event loop no longer than a signature takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from aiohttp import web
from msgspec import Struct

from gaia.contracts.clock import Clock
from gaia.contracts.errors import GaiaError
from gaia.contracts.ports import Signer
from gaia.miner.conduct import Conduct
from gaia.miner.forecasting.forecaster import Forecaster
from gaia.miner.run_store import AcceptedRun, RunStore, StoredRun
from gaia.miner.serving.permits import PermitList
from gaia.miner.serving.refusals import ConflictingRequest, UnknownRun, status_of
from gaia.miner.serving.terms import check_terms, chunk_key, commitment_to_show, forecast_to_open
from gaia.miner.settings import MinerSettings
from gaia.protocol.forecast_messages import (
    FORECASTS_PATH,
    MAX_REQUEST_BYTES,
    CommitmentMessage,
    ForecastRequest,
    RequestAccepted,
    RevealMessage,
    decode_request,
)
from gaia.protocol.messages import ErrorMessage, custom_serializer, printable
from gaia.protocol.signing import (
    CallerNotPermitted,
    NonceStore,
    RequestIdentity,
    sign_response,
    unix_ns,
    verify_request,
)

log = structlog.get_logger(__name__)

BODY_TIMEOUT_S = 10.0
_JSON = "application/json"

Answerer = Callable[[web.Request, bytes], Awaitable["Answer | Path"]]
"""Gives a message that is to be signed, or a file. The signed manifest already has the digest of that file."""


class Answer(Struct, frozen=True, kw_only=True):
    """The answer of a route, before it is signed."""

    status: int
    body: bytes


class Front:
    """The routes of the protocol."""

    def __init__(
        self,
        *,
        settings: MinerSettings,
        signer: Signer,
        permits: PermitList,
        store: RunStore,
        forecaster: Forecaster,
        conduct: Conduct,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._signer = signer
        self._permits = permits
        self._store = store
        self._forecaster = forecaster
        self._conduct = conduct
        self._clock = clock
        self._nonces = NonceStore()
        self._accepting = asyncio.Lock()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        one_run = f"{FORECASTS_PATH}/{{run_id}}"
        app.router.add_post(FORECASTS_PATH, self._route(self._accept))
        app.router.add_get(f"{one_run}/commitment", self._route(self._commitment), allow_head=False)
        app.router.add_get(f"{one_run}/reveal", self._route(self._reveal), allow_head=False)
        app.router.add_get(f"{one_run}/chunks/{{chunk:.+}}", self._route(self._chunk), allow_head=False)
        return app

    def _route(self, answerer: Answerer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            await self._conduct.before_answer()
            try:
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    body = await request.read()
                identity = await self._caller(request, body)
            except TimeoutError:
                raise web.HTTPRequestTimeout from None
            except GaiaError as error:
                log.warning("request_refused", path=printable(request.path), code=error.code, reason=str(error))
                refusal = _refusal(error)
                return web.Response(status=refusal.status, body=refusal.body, content_type=_JSON)
            answer = await self._answered(answerer, request, body)
            return web.FileResponse(answer) if isinstance(answer, Path) else self._signed(identity, answer)

        return handle

    async def _caller(self, request: web.Request, body: bytes) -> RequestIdentity:
        """The identity of the request. Raises SignatureRefused, PermitsUnknown."""

        def verified() -> RequestIdentity:
            return verify_request(
                request.headers,
                body,
                method=request.method,
                path=request.raw_path,
                self_hotkey=self._signer.hotkey,
                now_ns=unix_ns(self._clock.now()),
                nonces=self._nonces,
                permitted=self._permits.allows,
            )

        try:
            return verified()
        except CallerNotPermitted:
            await self._permits.look_again()
            return verified()

    async def _answered(self, answerer: Answerer, request: web.Request, body: bytes) -> Answer | Path:
        try:
            return await answerer(request, body)
        except GaiaError as error:
            declined = log.debug if error.retryable else log.info  # validators poll, so "not yet" is not worth a line
            declined("request_declined", path=printable(request.path), code=error.code, reason=str(error))
            return _refusal(error)
        except Exception:  # a process boundary: the caller gets an answer in any case
            log.exception("request_failed", path=printable(request.path))
            return Answer(status=500, body=custom_serializer(ErrorMessage(code="miner_failed", message="our fault")))

    def _signed(self, identity: RequestIdentity, answer: Answer) -> web.Response:
        headers = sign_response(
            self._signer,
            identity,
            status=answer.status,
            body=answer.body,
            nonce_ns=unix_ns(self._clock.now()),
        )
        return web.Response(status=answer.status, body=answer.body, content_type=_JSON, headers=headers)

    async def _accept(self, request: web.Request, body: bytes) -> Answer:
        wanted = decode_request(body)
        async with self._accepting:
            run = self._store.get(wanted.run_id)
            if run is None:
                await self._take_on(wanted)
            elif run.accepted.request != wanted:
                raise ConflictingRequest(f"{wanted.run_id} was already requested with other terms")
        return _message(RequestAccepted(run_id=wanted.run_id), status=202)

    async def _take_on(self, wanted: ForecastRequest) -> None:
        now = self._clock.now()
        check_terms(wanted, self._settings, now)
        run = await asyncio.to_thread(self._store.accept, AcceptedRun(request=wanted, accepted_at=now))
        self._forecaster.submit(run)
        log.info("request_accepted", run_id=run.run_id, commit_deadline=wanted.commit_deadline.isoformat())

    async def _commitment(self, request: web.Request, body: bytes) -> Answer:
        run = self._run(request)
        committed = commitment_to_show(run, self._clock.now())
        return _message(CommitmentMessage(run_id=run.run_id, hotkey=self._signer.hotkey, digest=committed.digest))

    async def _reveal(self, request: web.Request, body: bytes) -> Answer:
        run = self._run(request)
        committed = forecast_to_open(run, self._clock.now())
        manifest = self._conduct.manifest(run, committed)
        return _message(RevealMessage(manifest=manifest.decode(), nonce=committed.nonce))

    async def _chunk(self, request: web.Request, body: bytes) -> Path:
        run = self._run(request)
        forecast_to_open(run, self._clock.now())
        return self._conduct.chunk(run, chunk_key(run, request.match_info["chunk"]))

    def _run(self, request: web.Request) -> StoredRun:
        run = self._store.get(request.match_info["run_id"])
        if run is None:
            raise UnknownRun("this miner has no such run")
        return run


def _message(message: Struct, status: int = 200) -> Answer:
    return Answer(status=status, body=custom_serializer(message))


def _refusal(error: GaiaError) -> Answer:
    return _message(ErrorMessage(code=error.code, message=str(error)[:1024]), status_of(error))
