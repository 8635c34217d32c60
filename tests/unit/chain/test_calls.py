"""Signed calls and refusals of the simulated chain, held against the installed Bittensor SDK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.chain import calls, simulated
from gaia.chain.calls import (
    EndpointCall,
    UnencodableWeight,
    WeightsCall,
    check_signed,
    check_weights,
    max_upscaled,
    signing_bytes,
)
from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import ChainRefused, Neuron
from gaia.protocol.keys import HotkeySigner
from tests.contract.chain_suite import PARAMETERS

SIGNER = HotkeySigner.generate()
CALLER = Neuron(
    uid=0,
    hotkey=SIGNER.hotkey,
    stake_tao=2000.0,
    validator_permit=True,
    endpoint=None,
    registered_block=1,
    last_update_block=100,
)


def weights_call(**changes: Any) -> WeightsCall:
    fields: dict[str, Any] = {
        "netuid": 57, "hotkey": SIGNER.hotkey, "uids": (3, 4), "values": (1, 1), "version_key": 4000,
        "birth_block": 1000,
    }  # fmt: skip
    return WeightsCall(**(fields | changes))


def refusal_of(call: WeightsCall, block: int = 1000) -> str:
    with pytest.raises(ChainRefused) as refusal:
        check_weights(call, caller=CALLER, registered_uids=set(range(6)), parameters=PARAMETERS, block=block)
    return refusal.value.name


def test_every_refusal_has_a_name_that_the_sdk_knows() -> None:
    from bittensor.error_map import INVALID_TRANSACTION_ERRORS, NAME_TO_CODE

    sources = [Path(str(module.__file__)).read_text() for module in (calls, simulated)]
    used = {name for source in sources for name in re.findall(r'ChainRefused\(\s*"(\w+)"', source)}
    known = NAME_TO_CODE.keys() | {name for _, name in INVALID_TRANSACTION_ERRORS}
    assert len(used) == 16
    assert used <= known


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (weights_call(values=(1,)), "WeightVecNotEqualSize"),
        (weights_call(uids=(3, 3)), "DuplicateUids"),
        (weights_call(version_key=0), "IncorrectWeightVersionKey"),
    ],
)
def test_calls_that_the_port_cannot_even_build_are_refused_too(call: WeightsCall, name: str) -> None:
    assert refusal_of(call) == name


@pytest.mark.parametrize(("block", "too_fast"), [(100, True), (199, True), (200, False)])
def test_the_rate_limit_counts_from_the_last_update(block: int, too_fast: bool) -> None:
    if too_fast:
        assert refusal_of(weights_call(), block) == "SettingWeightsTooFast"
        return
    check_weights(weights_call(), caller=CALLER, registered_uids=set(range(6)), parameters=PARAMETERS, block=block)


@pytest.mark.parametrize("weights", [{"values": (65_536, 1)}, {"values": (-1, 1)}, {"uids": (-1, 3)}])
def test_numbers_beyond_sixteen_bits_cannot_be_sent(weights: dict[str, Any]) -> None:
    with pytest.raises(UnencodableWeight):
        weights_call(**weights)


def test_a_call_signed_by_another_hotkey_is_refused() -> None:
    call = weights_call()
    with pytest.raises(ChainRefused, match="BadProof"):
        check_signed(call, HotkeySigner.generate().sign(signing_bytes(call)), block=1000)


def test_a_call_changed_after_signing_is_refused() -> None:
    signature = SIGNER.sign(signing_bytes(weights_call()))
    check_signed(weights_call(), signature, block=1000)
    with pytest.raises(ChainRefused, match="BadProof"):
        check_signed(weights_call(values=(1, 2)), signature, block=1000)


def test_a_signature_over_an_endpoint_sets_no_weights() -> None:
    endpoint = EndpointCall(netuid=57, hotkey=SIGNER.hotkey, endpoint="http://x:1", birth_block=1000)
    with pytest.raises(ChainRefused, match="BadProof"):
        check_signed(weights_call(), SIGNER.sign(signing_bytes(endpoint)), block=1000)


@pytest.mark.parametrize(("block", "good"), [(999, False), (1000, True), (1063, True), (1064, False)])
def test_a_signed_call_is_good_for_64_blocks(block: int, good: bool) -> None:
    call = weights_call()
    signature = SIGNER.sign(signing_bytes(call))
    if good:
        check_signed(call, signature, block=block)
        return
    with pytest.raises(ChainRefused, match="AncientBirthBlock"):
        check_signed(call, signature, block=block)


def test_scaling_is_the_real_chains() -> None:
    # subtensor's own cases, pallets/subtensor/tests/math.rs, test_vec_u16_max_upscale_to_u16
    cases: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((), ()),
        ((0,), (0,)),
        ((0, 0), (0, 0)),
        ((1,), (65535,)),
        ((0, 1), (0, 65535)),
        ((65534,), (65535,)),
        ((65535, 65535), (65535, 65535)),
        ((0, 1, 65534), (0, 1, 65535)),
        ((0, 1, 2, 3, 4, 65533, 65535), (0, 1, 2, 3, 4, 65533, 65535)),
    ]
    for values, stored in cases:
        assert max_upscaled(values) == stored


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=30).filter(any))
def test_scaling_keeps_order_zeros_and_ratios(values: list[int]) -> None:
    scaled = max_upscaled(values)
    assert max(scaled) == 65_535
    for value, result in zip(values, scaled, strict=True):
        assert abs(result - value * 65_535 / max(values)) <= 0.5
    in_order = [result for _, result in sorted(zip(values, scaled, strict=True))]
    assert in_order == sorted(scaled)


def test_a_subnet_smaller_than_the_minimum_wants_only_all_of_it() -> None:
    with pytest.raises(ChainRefused, match="WeightVecLengthIsLow: 1 of 2"):
        check_weights(
            weights_call(uids=(3,), values=(1,)),
            caller=CALLER,
            registered_uids={0, 3},
            parameters=msgspec.structs.replace(PARAMETERS, min_allowed_weights=8),
            block=1000,
        )


def test_all_zero_weights_are_stored_as_they_are() -> None:
    check_weights(
        weights_call(values=(0, 0)),
        caller=CALLER,
        registered_uids=set(range(6)),
        parameters=PARAMETERS,
        block=1000,
    )
    assert max_upscaled((0, 0)) == (0, 0)


def test_an_unregistered_caller_is_refused() -> None:
    with pytest.raises(ChainRefused, match="HotKeyNotRegisteredInSubNet"):
        check_weights(
            weights_call(hotkey=Hotkey("5other")),
            caller=None,
            registered_uids=set(range(6)),
            parameters=PARAMETERS,
            block=1000,
        )
