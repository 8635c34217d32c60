"""The calls of the simulated chain, how they are signed, and the checks that refuse them. Pure: no database.

The checks, their names and their order follow subtensor's `do_set_weights` (pallets/subtensor, weights.rs). A call that
passes here has therefore passed the checks of the real chain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import ChainRefused, Neuron, SubnetParameters
from gaia.protocol.keys import signature_is_valid
from gaia.protocol.messages import custom_serializer

WEIGHT_MAX = 65_535
MORTALITY_BLOCKS = 64
"""A signed call is valid for this many blocks, so that an old call cannot be replayed."""

_DOMAIN = b"gaia/simulated-chain/1\n"


class UnencodableWeight(ValidatorFault):
    """A weight or uid does not fit into the chain's 16 bits."""


class WeightsCall(Struct, frozen=True, kw_only=True, tag="set_weights"):
    """Set a validator's weights on other neurons."""

    netuid: int
    hotkey: Hotkey
    uids: tuple[int, ...]
    values: tuple[int, ...]
    version_key: int
    birth_block: int

    def __post_init__(self) -> None:
        strange = [number for number in (*self.uids, *self.values) if not 0 <= number <= WEIGHT_MAX]
        if strange:
            raise UnencodableWeight(f"uids and weights must lie in 0 ... {WEIGHT_MAX}, got {strange[0]}")


class EndpointCall(Struct, frozen=True, kw_only=True, tag="serve_axon"):
    """Publish the address of a neuron's server."""

    netuid: int
    hotkey: Hotkey
    endpoint: str
    birth_block: int


def signing_bytes(call: WeightsCall | EndpointCall) -> bytes:
    """The bytes that the hotkey signs: a domain and the call's canonical JSON."""
    return _DOMAIN + custom_serializer(call)


def check_signed(call: WeightsCall | EndpointCall, signature: bytes, *, block: int) -> None:
    """Raise ChainRefused for a call that its hotkey did not sign (BadProof) or not recently (AncientBirthBlock)."""
    if not signature_is_valid(signing_bytes(call), signature, call.hotkey):
        raise ChainRefused("BadProof", "the call is not signed by its hotkey")
    if not block - MORTALITY_BLOCKS < call.birth_block <= block:
        raise ChainRefused("AncientBirthBlock", f"signed for block {call.birth_block}; it is block {block}")


def check_weights(
    call: WeightsCall,
    *,
    caller: Neuron | None,
    registered_uids: Collection[int],
    parameters: SubnetParameters,
    block: int,
) -> None:
    """Raise ChainRefused for the first reason to refuse these weights, under the real chain's name for it."""
    if len(call.uids) != len(call.values):
        raise ChainRefused("WeightVecNotEqualSize", f"{len(call.uids)} uids, {len(call.values)} weights")
    if len(call.uids) > len(registered_uids):
        raise ChainRefused("UidsLengthExceedUidsInSubNet", f"{len(call.uids)} of {len(registered_uids)}")
    if caller is None:
        raise ChainRefused("HotKeyNotRegisteredInSubNet", call.hotkey)
    if caller.stake_tao < parameters.min_stake_tao:
        raise ChainRefused("NotEnoughStakeToSetWeights", f"{caller.stake_tao} of {parameters.min_stake_tao} TAO")
    if call.version_key < parameters.weights_version:
        raise ChainRefused(
            "IncorrectWeightVersionKey", f"{call.version_key} is older than {parameters.weights_version}"
        )
    _check_rate(caller, parameters, block)
    only_itself = call.uids == (caller.uid,)
    if not caller.validator_permit and not only_itself:
        raise ChainRefused("NeuronNoValidatorPermit", call.hotkey)
    _check_vector(call, only_itself, registered_uids, parameters)


def _check_rate(caller: Neuron, parameters: SubnetParameters, block: int) -> None:
    never_set = caller.last_update_block == 0
    passed_blocks = block - caller.last_update_block
    if not never_set and passed_blocks < parameters.weights_rate_limit_blocks:
        raise ChainRefused(
            "SettingWeightsTooFast",
            f"{passed_blocks} of {parameters.weights_rate_limit_blocks} blocks have passed",
        )


def _check_vector(
    call: WeightsCall, only_itself: bool, registered_uids: Collection[int], parameters: SubnetParameters
) -> None:
    if len(set(call.uids)) != len(call.uids):
        raise ChainRefused("DuplicateUids")
    unknown = [uid for uid in call.uids if uid not in registered_uids]
    if unknown:
        raise ChainRefused("UidVecContainInvalidOne", f"uid {unknown[0]} is not registered")
    if only_itself:
        return
    fewest = min(parameters.min_allowed_weights, len(registered_uids))
    if len(call.uids) < fewest:
        raise ChainRefused("WeightVecLengthIsLow", f"{len(call.uids)} of {fewest}")
    total = sum(call.values)
    if total and Fraction(max(call.values), total) > Fraction(parameters.max_weights_limit):
        raise ChainRefused("MaxWeightExceeded", f"{max(call.values) / total:.4f} > {parameters.max_weights_limit}")


def max_upscaled(values: Sequence[int]) -> tuple[int, ...]:
    """The weights as the chain stores them: scaled so that the largest is 65535, rounded to the nearest.

    Source: subtensor, `vec_u16_max_upscale_to_u16`.

    >>> max_upscaled((0, 1, 2))
    (0, 32768, 65535)
    """
    largest = max(values, default=0)
    if largest == 0:
        return tuple(values)
    return tuple((2 * value * WEIGHT_MAX + largest) // (2 * largest) for value in values)
