"""What the core asks of the outside: computing, the chain, the miners, a key that signs.

Adapters are built in one place, `gaia.validator.app.wiring`; everybody else sees these protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, WorkUnit


class Signer(Protocol):
    """Holds a hotkey's secret and signs with it (sr25519)."""

    @property
    def hotkey(self) -> Hotkey: ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        ...


class ComputeBackend(Protocol):
    """Runs units of numerical work somewhere else. Suite: tests/contract/compute_backend_suite.py."""

    async def run(self, unit: WorkUnit, on_progress: Callable[[Progress], None] | None = None) -> ResultUnit:
        """Wait for the unit's result. A failed unit is a ResultUnit with an error, not an exception.

        `on_progress` is called in the event loop with what the unit's handler reports, thinned out.
        """
        ...

    def queue_depth(self) -> int:
        """Units that wait for a worker."""
        ...


class ChainRefused(ValidatorFault):
    """The chain would not take a transaction. `name` is the chain's own name for the reason."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name
        self.retryable = name in ("SettingWeightsTooFast", "CommittingWeightsTooFast")


class Neuron(Struct, frozen=True, kw_only=True):
    """One registered participant of a subnet, as the metagraph shows it."""

    uid: int
    hotkey: Hotkey
    stake_tao: float
    validator_permit: bool
    endpoint: str | None
    """Base URL of its HTTP server, if it has announced one."""
    registered_block: int
    last_update_block: int
    """When it last set weights."""


class SubnetParameters(Struct, frozen=True, kw_only=True):
    """The hyperparameters that a weight setter has to respect."""

    tempo_blocks: int
    weights_rate_limit_blocks: int
    min_allowed_weights: int
    max_weights_limit: float
    weights_version: int
    min_stake_tao: float


class WeightRow(Struct, frozen=True, kw_only=True):
    """The weights that a validator has on the chain."""

    weights: Mapping[int, int]
    """uid -> 16-bit weight, scaled so that the largest is 65535."""
    last_update_block: int


class ChainPort(Protocol):
    """The subnet's chain. Suite: tests/contract/chain_suite.py."""

    async def block(self) -> int: ...

    async def parameters(self, netuid: int) -> SubnetParameters: ...

    async def neurons(self, netuid: int) -> Sequence[Neuron]:
        """Everybody registered, by uid."""
        ...

    async def announce_endpoint(self, netuid: int, signer: Signer, endpoint: str) -> None:
        """Publish where a neuron's server listens."""
        ...

    async def set_weights(self, netuid: int, signer: Signer, weights: Mapping[int, int], version_key: int) -> None:
        """Submit uid -> 16-bit weights; raises ChainRefused under the chain's own name for the reason."""
        ...

    async def weights(self, netuid: int, hotkey: Hotkey) -> WeightRow | None:
        """Read back what a validator has set; None if nothing."""
        ...


class MinerAddress(Struct, frozen=True, kw_only=True):
    """Whom to ask, and where."""

    hotkey: Hotkey
    endpoint: str


class Acknowledgement(Struct, frozen=True, kw_only=True):
    """A miner has accepted a request."""

    received_at: datetime


class Commitment(Struct, frozen=True, kw_only=True):
    """A miner's binding promise, received and checked for its signature. `received_at` is the validator's clock."""

    digest: bytes
    received_at: datetime


class Reveal(Struct, frozen=True, kw_only=True):
    """The opened promise: the manifest's canonical bytes and the nonce of the commitment. Not yet checked."""

    manifest: bytes
    nonce: bytes


class MinerPort(Protocol):
    """Talks to miners. Every failure is a MinerFault (theirs) or a ValidatorFault (ours), with its reason."""

    async def request_forecast(self, miner: MinerAddress, request: bytes) -> Acknowledgement:
        """Send the JSON of a protocol.messages.ForecastRequest."""
        ...

    async def fetch_commitment(self, miner: MinerAddress, run_id: RunId) -> Commitment | None:
        """None: the miner has no commitment yet."""
        ...

    async def fetch_reveal(self, miner: MinerAddress, run_id: RunId) -> Reveal: ...

    async def fetch_chunk(
        self, miner: MinerAddress, run_id: RunId, chunk: str, destination: Path, size_bytes: int
    ) -> None:
        """Stream one chunk into `destination` (written whole or not at all); refuses any other size."""
        ...
