"""A validator's side of the protocol, a chain in memory and a run: what the miner's tests need."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
from msgspec import Struct

from gaia.contracts.clock import Clock
from gaia.contracts.ids import Hotkey, RunId, run_id_for
from gaia.contracts.ports import Neuron, Signer, SubnetParameters, WeightRow
from gaia.protocol.forecast_messages import ForecastRequest
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.messages import custom_serializer
from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.protocol.signing import RequestIdentity, sign_request, unix_ns, verify_response
from gaia.simulation.initial_error import random_anomaly
from gaia.simulation.nature import rest_state
from gaia.simulation.structure import ChartMaker
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store

NETUID = 57
INIT = datetime(2017, 1, 1, tzinfo=UTC)
RUN = run_id_for(NETUID, "weather", INIT)
START = datetime(2026, 1, 1, 18, 5, tzinfo=UTC)
DEADLINE = START + timedelta(hours=2)
REVEAL_UNTIL = START + timedelta(days=20)
SPEC = RunSpec(
    variables=(VariableSpec(name="z", levels_hpa=(500, 850)), VariableSpec(name="2t")),
    lead_h=(12, 24),
    scored_lead_h=(12, 24),
    gate_lead_h=None,
    grid=GridSpec.global_grid(4.0),
)


class MemoryChain:
    """A chain port with nothing behind it but a dictionary of permits."""

    def __init__(self, permits: Mapping[Hotkey, bool]) -> None:
        self.permits = dict(permits)
        self.endpoints: dict[Hotkey, str] = {}
        self.down = False

    async def block(self) -> int:
        return 1

    async def parameters(self, netuid: int) -> SubnetParameters:
        raise NotImplementedError

    async def neurons(self, netuid: int) -> Sequence[Neuron]:
        if self.down:
            raise ConnectionError("the chain is down")
        return [
            Neuron(
                uid=uid, hotkey=hotkey, stake_tao=0.0, validator_permit=permit,
                endpoint=self.endpoints.get(hotkey), registered_block=1, last_update_block=0,
            )
            for uid, (hotkey, permit) in enumerate(self.permits.items())
        ]  # fmt: skip

    async def announce_endpoint(self, netuid: int, signer: Signer, endpoint: str) -> None:
        self.endpoints[signer.hotkey] = endpoint

    async def set_weights(self, netuid: int, signer: Signer, weights: Mapping[int, int], version_key: int) -> None:
        raise NotImplementedError

    async def weights(self, netuid: int, hotkey: Hotkey) -> WeightRow | None:
        raise NotImplementedError


class Reply(Struct, frozen=True, kw_only=True):
    """An answer whose signature has been checked, if it had one."""

    status: int
    body: bytes
    signed: bool

    @property
    def code(self) -> str:
        """The code of an error message."""
        return str(msgspec.json.decode(self.body)["code"])


class Caller:
    """Asks a miner as a validator does, with real signatures over real HTTP."""

    def __init__(self, session: aiohttp.ClientSession, signer: HotkeySigner, clock: Clock) -> None:
        self._session = session
        self.signer = signer
        self._clock = clock
        self._serial = itertools.count()

    def sign(self, method: str, path: str, body: bytes, receiver: Hotkey) -> dict[str, str]:
        return sign_request(
            self.signer, method=method, path=path, body=body, receiver=receiver, nonce_ns=self._nonce_ns()
        )

    async def ask(self, endpoint: str, receiver: Hotkey, path: str, *, method: str = "GET", body: bytes = b"") -> Reply:
        nonce_ns = self._nonce_ns()
        headers = sign_request(self.signer, method=method, path=path, body=body, receiver=receiver, nonce_ns=nonce_ns)
        identity = RequestIdentity(hotkey=self.signer.hotkey, method=method, path=path, nonce_ns=nonce_ns)
        reply = await self.send(endpoint, path, headers, method=method, body=body)
        status, content, answer_headers = reply
        if "X-Bittensor-Signature" not in answer_headers:
            return Reply(status=status, body=content, signed=False)
        verify_response(answer_headers, content, request=identity, status=status, responder=receiver)
        return Reply(status=status, body=content, signed=True)

    async def send(
        self, endpoint: str, path: str, headers: Mapping[str, str], *, method: str = "GET", body: bytes = b""
    ) -> tuple[int, bytes, Mapping[str, str]]:
        from yarl import URL

        url = URL(endpoint + path, encoded=True)
        async with asyncio.timeout(20), self._session.request(method, url, data=body, headers=headers) as response:
            return response.status, await response.read(), response.headers

    def _nonce_ns(self) -> int:
        return unix_ns(self._clock.now()) + next(self._serial)


def a_request(run_id: RunId = RUN, **changes: object) -> ForecastRequest:
    """The request of the tests' run."""
    request = ForecastRequest(
        run_id=run_id, netuid=NETUID, init_time=INIT, spec=SPEC,
        commit_deadline=DEADLINE, reveal_until=REVEAL_UNTIL,
    )  # fmt: skip
    return msgspec.structs.replace(request, **changes)


def body_of(request: ForecastRequest) -> bytes:
    return custom_serializer(request)


def write_archive(folder: Path) -> dict[FieldId, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """An archive of the embedded world with one analysis, at INIT; returns its fields."""
    flow = rest_state() + random_anomaly((57,), 900.0)
    charts = ChartMaker(SPEC.grid).charts(flow, SPEC.fields())
    folder.mkdir(parents=True)
    (folder / ARCHIVE_HEADER).write_text("{}")
    write_flat_store(
        archive_store(folder, SourceRole.TRUTH, valid_time=INIT),
        grid=SPEC.grid, valid_time=INIT, fields=SPEC.fields(), data=charts, source="test",
    )  # fmt: skip
    return dict(zip(SPEC.fields(), charts, strict=True))
