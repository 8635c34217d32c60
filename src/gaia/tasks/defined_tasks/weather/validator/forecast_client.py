"""The validator's side of the weather's messages: asks miners through the port, and holds answers to their form.

Owns which message goes where. It never retries and judges no forecast: that is the steps' business.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from msgspec import Struct

from gaia.contracts.clock import Clock
from gaia.contracts.ids import RunId
from gaia.contracts.ports import MinerAddress, MinerPort, RefusedByMiner
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
from gaia.protocol.messages import MAX_ANSWER_BYTES, MalformedAnswer, decode_answer


class Commitment(Struct, frozen=True, kw_only=True):
    """A miner's binding promise, received and checked for its signature. `received_at` is the validator's clock."""

    digest: bytes
    received_at: datetime


class Reveal(Struct, frozen=True, kw_only=True):
    """The opened promise: the manifest's canonical bytes and the nonce of the commitment. Not yet checked."""

    manifest: bytes
    nonce: bytes


class ForecastClient:
    """Every failure is a MinerFault (theirs) or a ValidatorFault (ours), with its reason."""

    def __init__(self, miners: MinerPort, clock: Clock) -> None:
        self._miners = miners
        self._clock = clock

    async def request_forecast(self, miner: MinerAddress, request: bytes) -> None:
        """Send the JSON of a ForecastRequest; returns when the miner has accepted it."""
        answer = await self._miners.ask(
            miner, "POST", FORECASTS_PATH, request, expected=202, max_bytes=MAX_ANSWER_BYTES
        )
        decode_answer(answer, RequestAccepted)

    async def fetch_commitment(self, miner: MinerAddress, run_id: RunId) -> Commitment | None:
        """None: the miner has no commitment yet."""
        try:
            answer = await self._miners.ask(miner, "GET", commitment_path(run_id), max_bytes=MAX_ANSWER_BYTES)
        except RefusedByMiner as refusal:
            if refusal.status == 404:
                return None
            raise
        received_at = self._clock.now()
        message = decode_answer(answer, CommitmentMessage)
        if (message.run_id, message.hotkey) != (run_id, miner.hotkey):
            raise MalformedAnswer("the commitment is for another run or hotkey")
        return Commitment(digest=bytes.fromhex(message.digest), received_at=received_at)

    async def fetch_reveal(self, miner: MinerAddress, run_id: RunId) -> Reveal:
        """What the commitment promised, by the miner."""
        answer = await self._miners.ask(miner, "GET", reveal_path(run_id), max_bytes=MAX_REVEAL_BYTES)
        message = decode_answer(answer, RevealMessage, max_bytes=MAX_REVEAL_BYTES)
        return Reveal(manifest=message.manifest.encode(), nonce=bytes.fromhex(message.nonce))

    async def fetch_chunk(
        self, miner: MinerAddress, run_id: RunId, chunk: str, destination: Path, size_bytes: int
    ) -> None:
        """Stream one chunk into `destination` (written whole or not at all); refuses any other size."""
        await self._miners.fetch(miner, chunk_path(run_id, chunk), destination, size_bytes)
