"""What every adapter of the chain port must do. Subclass `ChainSuite` and give the fixture `world`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from gaia.contracts.ports import ChainPort, ChainRefused, Signer, SubnetParameters

NETUID = 57
PARAMETERS = SubnetParameters(
    tempo_blocks=360,
    weights_rate_limit_blocks=100,
    min_allowed_weights=2,
    max_weights_limit=0.75,
    weights_version=4000,
    min_stake_tao=1000.0,
)
"""Of the subnet that the suite expects."""

VALIDATOR_UID, POOR_UID, UNPERMITTED_UID, MINER_UIDS = 0, 1, 2, (3, 4, 5)
GOOD_WEIGHTS: Mapping[int, int] = {3: 1, 4: 2, 5: 4}


@dataclass(frozen=True, kw_only=True)
class ChainWorld:
    """A subnet with the parameters above and one neuron of each kind; blocks are an hour long, so none
    passes.
    """

    chain: ChainPort
    validator: Signer
    """Uid 0: 2000 TAO and a permit."""
    poor: Signer
    """Uid 1: a permit, but 999 TAO."""
    unpermitted: Signer
    """Uid 2: 2000 TAO, but no permit."""
    stranger: Signer
    """Not registered."""


async def refusal_of(
    world: ChainWorld,
    signer: Signer,
    weights: Mapping[int, int],
    version_key: int = 4000,
    netuid: int = NETUID,
) -> str:
    """The name under which the chain refuses these weights."""
    with pytest.raises(ChainRefused) as refusal:
        await world.chain.set_weights(netuid, signer, weights, version_key)
    return refusal.value.name


class ChainSuite:
    """The behaviour of a chain."""

    async def test_blocks_have_begun(self, world: ChainWorld) -> None:
        assert await world.chain.block() >= 1

    async def test_the_parameters_are_those_of_the_subnet(self, world: ChainWorld) -> None:
        assert await world.chain.parameters(NETUID) == PARAMETERS

    async def test_neurons_come_by_uid_with_what_they_hold(self, world: ChainWorld) -> None:
        neurons = await world.chain.neurons(NETUID)
        assert [neuron.uid for neuron in neurons] == [0, 1, 2, 3, 4, 5]
        validator = neurons[VALIDATOR_UID]
        assert (validator.hotkey, validator.stake_tao, validator.validator_permit) == (
            world.validator.hotkey, 2000.0, True,
        )  # fmt: skip
        assert not neurons[UNPERMITTED_UID].validator_permit

    async def test_an_unknown_subnet_is_named_as_such(self, world: ChainWorld) -> None:
        for question in (world.chain.parameters(404), world.chain.neurons(404)):
            with pytest.raises(ChainRefused, match="SubnetNotExists"):
                await question
        assert await refusal_of(world, world.validator, GOOD_WEIGHTS, netuid=404) == "SubnetNotExists"

    async def test_an_announced_endpoint_is_seen_by_all(self, world: ChainWorld) -> None:
        await world.chain.announce_endpoint(NETUID, world.unpermitted, "http://127.0.0.1:8091")
        neurons = await world.chain.neurons(NETUID)
        assert neurons[UNPERMITTED_UID].endpoint == "http://127.0.0.1:8091"
        assert neurons[VALIDATOR_UID].endpoint is None

    async def test_a_stranger_cannot_announce_an_endpoint(self, world: ChainWorld) -> None:
        with pytest.raises(ChainRefused, match="HotKeyNotRegisteredInNetwork"):
            await world.chain.announce_endpoint(NETUID, world.stranger, "http://127.0.0.1:8091")

    async def test_nothing_is_read_back_before_anything_is_set(self, world: ChainWorld) -> None:
        assert await world.chain.weights(NETUID, world.validator.hotkey) is None

    async def test_weights_are_read_back_scaled_to_sixteen_bits(self, world: ChainWorld) -> None:
        await world.chain.set_weights(NETUID, world.validator, GOOD_WEIGHTS, 4000)
        row = await world.chain.weights(NETUID, world.validator.hotkey)
        assert row is not None
        # by hand: 65535 x 1/4 = 16383.75, x 2/4 = 32767.5, both rounded up
        assert dict(row.weights) == {3: 16384, 4: 32768, 5: 65535}
        assert row.last_update_block == await world.chain.block()

    async def test_setting_weights_moves_last_update(self, world: ChainWorld) -> None:
        before = (await world.chain.neurons(NETUID))[VALIDATOR_UID].last_update_block
        await world.chain.set_weights(NETUID, world.validator, GOOD_WEIGHTS, 4000)
        after = (await world.chain.neurons(NETUID))[VALIDATOR_UID].last_update_block
        assert before < after == await world.chain.block()

    async def test_weights_set_again_at_once_are_too_fast_and_change_nothing(self, world: ChainWorld) -> None:
        await world.chain.set_weights(NETUID, world.validator, GOOD_WEIGHTS, 4000)
        before = await world.chain.weights(NETUID, world.validator.hotkey)
        assert await refusal_of(world, world.validator, {3: 1, 4: 1}) == "SettingWeightsTooFast"
        assert await world.chain.weights(NETUID, world.validator.hotkey) == before

    async def test_too_fast_is_worth_another_try_and_no_permit_is_not(self, world: ChainWorld) -> None:
        assert ChainRefused("SettingWeightsTooFast").retryable
        assert not ChainRefused("NeuronNoValidatorPermit").retryable

    async def test_a_stranger_cannot_set_weights(self, world: ChainWorld) -> None:
        assert await refusal_of(world, world.stranger, GOOD_WEIGHTS) == "HotKeyNotRegisteredInSubNet"

    async def test_a_poor_validator_cannot_set_weights(self, world: ChainWorld) -> None:
        assert await refusal_of(world, world.poor, GOOD_WEIGHTS) == "NotEnoughStakeToSetWeights"

    async def test_without_a_permit_no_weights_on_others(self, world: ChainWorld) -> None:
        assert await refusal_of(world, world.unpermitted, GOOD_WEIGHTS) == "NeuronNoValidatorPermit"

    async def test_without_a_permit_a_neuron_may_weigh_itself_alone(self, world: ChainWorld) -> None:
        await world.chain.set_weights(NETUID, world.unpermitted, {UNPERMITTED_UID: 7}, 4000)
        row = await world.chain.weights(NETUID, world.unpermitted.hotkey)
        assert row is not None
        assert dict(row.weights) == {UNPERMITTED_UID: 65535}

    async def test_an_older_version_key_is_refused_and_a_newer_accepted(self, world: ChainWorld) -> None:
        refusal = await refusal_of(world, world.validator, GOOD_WEIGHTS, version_key=3999)
        assert refusal == "IncorrectWeightVersionKey"
        await world.chain.set_weights(NETUID, world.validator, GOOD_WEIGHTS, 4001)

    @pytest.mark.parametrize(
        ("weights", "name"),
        [
            ({3: 1}, "WeightVecLengthIsLow"),
            ({}, "WeightVecLengthIsLow"),
            ({3: 1, 4: 1, 6: 1}, "UidVecContainInvalidOne"),
            (dict.fromkeys(range(7), 1), "UidsLengthExceedUidsInSubNet"),
            ({3: 76, 4: 24}, "MaxWeightExceeded"),
        ],
    )
    async def test_a_vector_out_of_bounds_is_refused_by_name(
        self, world: ChainWorld, weights: Mapping[int, int], name: str
    ) -> None:
        assert await refusal_of(world, world.validator, weights) == name
        assert await world.chain.weights(NETUID, world.validator.hotkey) is None

    async def test_a_weight_at_the_limit_is_accepted(self, world: ChainWorld) -> None:
        await world.chain.set_weights(NETUID, world.validator, {3: 75, 4: 25}, 4000)
