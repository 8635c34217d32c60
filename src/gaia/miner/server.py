"""A whole miner: starts, announces itself, serves, and stops without leaving anything behind.

The only place of the miner that puts its parts together. It must not know which chain or which model it runs.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from aiohttp import web

from gaia.contracts.clock import Clock
from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ports import ChainPort, ChainRefused, Signer
from gaia.miner.conduct import Conduct
from gaia.miner.forecasting.forecaster import Forecaster
from gaia.miner.run_store import RunStore, StoredRun
from gaia.miner.serving.front import Front
from gaia.miner.serving.permits import PermitList
from gaia.miner.settings import MinerSettings

log = structlog.get_logger(__name__)

EXPIRY_EVERY_S = 60.0
STOP_GRACE_S = 2.0
"""For answers under way when the server is told to stop."""
ANNOUNCE_TIMEOUT_S = 30.0


class MinerServer:
    """The reference miner. `start`, then `stop` once; or `run` until an event is set."""

    def __init__(
        self,
        settings: MinerSettings,
        *,
        signer: Signer,
        chain: ChainPort,
        clock: Clock,
        conduct: Conduct | None = None,
    ) -> None:
        settings.check()
        self._settings = settings
        self._signer = signer
        self._chain = chain
        self._clock = clock
        self._conduct = conduct or Conduct()
        self._permits = PermitList(chain, settings.netuid, clock)
        self._forecaster = Forecaster(settings, signer.hotkey, self._conduct, clock)
        self._cleanup = contextlib.AsyncExitStack()
        self._port = settings.port

    @property
    def endpoint(self) -> str:
        """The URL that is announced; its port is known once the server has started."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return self._settings.public_url or f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Take the data folder and the port, resume what was accepted, and announce the endpoint on the
        chain.

        Raises ConfigurationError for a folder or port that cannot be used, and what the chain raises.
        """
        try:
            store = RunStore(self._settings.data_dir, self._settings.max_runs)
            self._cleanup.callback(store.close)
            await self._permits.refresh()
            await self._listen(store)
            self._resume(store)
            for service in (self._forecaster.work(), self._permits.keep_fresh(), self._expire(store)):
                self._cleanup.push_async_callback(_end, asyncio.create_task(service))
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                await self._chain.announce_endpoint(self._settings.netuid, self._signer, self.endpoint)
        except ChainRefused as error:
            await self._cleanup.aclose()
            raise ConfigurationError(
                f"the chain refuses to announce this miner ({error});"
                f" is its hotkey registered on subnet {self._settings.netuid}?"
            ) from error
        except BaseException:
            await self._cleanup.aclose()
            raise
        log.info(
            "miner_started",
            hotkey=self._signer.hotkey,
            endpoint=self.endpoint,
            model=self._settings.model.name,
        )

    async def stop(self) -> None:
        """Stop serving and computing. A forecast under way is begun again at the next start."""
        await self._cleanup.aclose()
        log.info("miner_stopped", hotkey=self._signer.hotkey)

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set."""
        await self.start()
        try:
            await stopping.wait()
        finally:
            await self.stop()

    async def _listen(self, store: RunStore) -> None:
        front = Front(
            settings=self._settings,
            signer=self._signer,
            permits=self._permits,
            store=store,
            forecaster=self._forecaster,
            conduct=self._conduct,
            clock=self._clock,
        )
        runner = web.AppRunner(front.application(), access_log=None, shutdown_timeout=STOP_GRACE_S)
        self._cleanup.push_async_callback(runner.cleanup)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port).start()
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"cannot listen on {self._settings.host}:{self._settings.port}: "
                f"{getattr(error, 'strerror', None) or error}; give another --port, or 0 for any free one"
            ) from error
        self._port = runner.addresses[0][1]

    def _resume(self, store: RunStore) -> None:
        """Take up the runs that were acknowledged and not yet committed when the miner last stopped."""
        for run in store.all():
            if run.committed is None:
                self._forecaster.submit(run)

    async def _expire(self, store: RunStore) -> None:
        """Delete forecasts whose reveal is over, for ever."""
        while True:
            for run in store.all():
                if self._clock.now() > run.accepted.request.reveal_until:
                    await self._delete(store, run)
            await self._clock.sleep(EXPIRY_EVERY_S)

    async def _delete(self, store: RunStore, run: StoredRun) -> None:
        try:
            await asyncio.to_thread(store.forget, run)
        except OSError as error:
            log.error("forecast_not_deleted", run_id=run.run_id, error=str(error))  # noqa: TRY400  no traceback needed
        else:
            log.info("forecast_deleted", run_id=run.run_id)


async def _end(service: asyncio.Task[None]) -> None:
    service.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await service
