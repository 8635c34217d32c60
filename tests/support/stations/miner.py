"""A miner of both tasks: that of the small world, which besides knows tomorrow's temperatures up to an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from gaia.contracts.clock import SystemClock
from gaia.miner.serving.front import Front
from gaia.protocol.messages import custom_serializer
from gaia.protocol.signing import NonceStore, sign_response, unix_ns, verify_request
from tests.support.small_world import FormulaMiner, Recipe
from tests.support.stations.messages import PATH, TemperatureForecast, TemperatureRequest


class StationMiner(FormulaMiner):
    """Without temperatures it knows nothing of the stations: 404."""

    def __init__(self, folder: Path, recipe: Recipe | None, celsius: Sequence[float] | None) -> None:
        super().__init__(folder, recipe)
        self._celsius = celsius
        self._nonces = NonceStore()

    def application(self, front: Front) -> web.Application:
        app = super().application(front)
        if self._celsius is not None:
            app.router.add_post(PATH, self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        import msgspec

        body, now_ns = await request.read(), unix_ns(SystemClock().now())
        caller = verify_request(
            request.headers, body, method="POST", path=request.raw_path, self_hotkey=self.hotkey, now_ns=now_ns,
            nonces=self._nonces,
        )  # fmt: skip
        wanted = msgspec.json.decode(body, type=TemperatureRequest)
        answer = custom_serializer(TemperatureForecast(run_id=wanted.run_id, celsius=tuple(self._celsius or ())))
        headers = sign_response(self.signer, caller, status=200, body=answer, nonce_ns=now_ns)
        return web.Response(body=answer, headers=headers, content_type="application/json")
