"""The interfaces through which the core uses the outside world: computing, the chain, the miners, a signing key.

Adapters are built in one place, `gaia.validator.app.wiring`. All other code sees only these protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from gaia.contracts.errors import MinerFault, ValidatorFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, WorkUnit

_RETRYABLE_STATUS = frozenset((408, 425, 429))


class Signer(Protocol):
    """Holds the secret key of a hotkey and signs with it (sr25519)."""

    @property
    def hotkey(self) -> Hotkey:
        """The ss58 address of the public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature of a message: 64 bytes. Two signatures of one message may differ."""
        ...


class ComputeBackend(Protocol):
    """Runs units of numerical work outside of the event loop. Suite: tests/contract/compute_backend_suite.py."""

    async def run(self, unit: WorkUnit, on_progress: Callable[[Progress], None] | None = None) -> ResultUnit:
        """Run a unit and wait for its result.

        Args:
            unit: The handler and its payload.
            on_progress: Called in the event loop with some of the handler's progress reports.

        Returns:
            The result. A failed unit gives a ResultUnit with an error, not an exception.
        """
        ...

    def queue_depth(self) -> int:
        """The number of units that wait for a worker."""
        ...


class ChainRefused(ValidatorFault):
    """The chain refused a transaction. `name` is the chain's own name for the reason."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name
        self.retryable = name in ("SettingWeightsTooFast", "CommittingWeightsTooFast")


class Neuron(Struct, frozen=True, kw_only=True):
    """A registered participant of a subnet, as in the metagraph."""

    uid: int
    hotkey: Hotkey
    stake_tao: float
    validator_permit: bool
    endpoint: str | None
    """The base URL of its HTTP server; None if it has announced none."""
    registered_block: int
    last_update_block: int
    """The block in which it last set weights; 0: never."""


class SubnetParameters(Struct, frozen=True, kw_only=True):
    """The hyperparameters of a subnet that a validator must respect when it sets weights."""

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
    """The block in which they were set."""


class ChainPort(Protocol):
    """The subnet's chain. Suite: tests/contract/chain_suite.py.

    Every method may raise a ValidatorFault if the chain does not answer, and ChainRefused if the subnet does not exist.
    """

    async def block(self) -> int:
        """The number of the current block."""
        ...

    async def parameters(self, netuid: int) -> SubnetParameters:
        """The hyperparameters of a subnet."""
        ...

    async def neurons(self, netuid: int) -> Sequence[Neuron]:
        """All registered neurons, by uid."""
        ...

    async def announce_endpoint(self, netuid: int, signer: Signer, endpoint: str) -> None:
        """Publish the address of a neuron's server. Raises ChainRefused if the hotkey is not registered."""
        ...

    async def set_weights(self, netuid: int, signer: Signer, weights: Mapping[int, int], version_key: int) -> None:
        """Submit weights.

        Args:
            netuid: The subnet.
            signer: The validator's key.
            weights: uid -> 16-bit weight, 0 to 65535.
            version_key: Must not be below the subnet's `weights_version`.

        Raises:
            ChainRefused: The chain refuses them; `name` is its own name for the reason (validator's fault).
        """
        ...

    async def weights(self, netuid: int, hotkey: Hotkey) -> WeightRow | None:
        """The weights that a validator has on the chain; None if it has never set any."""
        ...


class MinerAddress(Struct, frozen=True, kw_only=True):
    """A miner's hotkey and the base URL of its server."""

    hotkey: Hotkey
    endpoint: str


class RefusedByMiner(MinerFault):
    """The miner answered with an error. The message quotes it."""

    def __init__(self, status: int, quote: str) -> None:
        super().__init__(f"the miner answered HTTP {status}" + (f": {quote}" if quote else ""))
        self.status = status
        self.retryable = status in _RETRYABLE_STATUS or status >= 500


class MinerPort(Protocol):
    """Exchanges the messages of tasks with miners. It does not know what they mean, and never asks twice.

    Every failure raises a MinerFault (theirs) or a ValidatorFault (ours), with its reason.
    """

    async def ask(
        self, miner: MinerAddress, method: str, path: str, body: bytes = b"", *, expected: int = 200, max_bytes: int
    ) -> bytes:
        """Send a signed request. Returns the body of the answer, whose signature has been verified.

        Args:
            miner: The miner.
            method: The HTTP method.
            path: The path of the URL.
            body: The request's body.
            expected: The status of a good answer.
            max_bytes: The limit of the answer. A longer one is refused as the miner's fault.

        Raises:
            RefusedByMiner: The answer has another status (miner's fault).
        """
        ...

    async def fetch(self, miner: MinerAddress, path: str, destination: Path, size_bytes: int) -> None:
        """Stream a file of the miner's into a file of ours. It is not signed, because the caller knows its digest.

        Args:
            miner: The miner.
            path: The path of the URL.
            destination: The file, which is written whole or not at all.
            size_bytes: The announced size. Any other size is refused as the miner's fault.
        """
        ...
