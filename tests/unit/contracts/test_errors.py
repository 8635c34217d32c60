"""The error tree: every error knows its code, whose fault it is, and whether a retry can help."""

from __future__ import annotations

import pytest

from gaia.contracts.errors import (
    ConfigurationError,
    Fault,
    GaiaError,
    MinerFault,
    SourceFault,
    ValidatorFault,
    code_of,
)
from gaia.contracts.job import Later, LeaseLost, Permanent
from gaia.contracts.ports import ChainRefused
from gaia.contracts.unit import UnitError, UnitFailed


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (MinerFault, Fault.MINER),
        (SourceFault, Fault.SOURCE),
        (ValidatorFault, Fault.VALIDATOR),
        (ConfigurationError, Fault.VALIDATOR),
        (GaiaError, Fault.VALIDATOR),
        (LeaseLost, Fault.VALIDATOR),
        (Permanent, Fault.VALIDATOR),
    ],
)
def test_the_branch_of_an_error_says_whose_fault_it_is(error: type[GaiaError], fault: Fault) -> None:
    assert error("x").fault is fault
    assert not error("x").retryable


def test_nothing_but_a_named_fault_of_the_miner_blames_the_miner() -> None:
    """An error without a branch of its own must never lower a score."""
    assert GaiaError.fault is not Fault.MINER


class HTTPServerGone(MinerFault):
    """An acronym in front."""


class SentGRIB2(MinerFault):
    """An acronym and a digit behind."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError, "configuration_error"),
        (HTTPServerGone, "http_server_gone"),
        (SentGRIB2, "sent_grib2"),
        (TimeoutError, "timeout_error"),
    ],
)
def test_codes_are_snake_case_of_the_class_s_name(error: type[BaseException], code: str) -> None:
    assert code_of(error) == code


def test_an_error_tells_its_code() -> None:
    assert HTTPServerGone("x").code == "http_server_gone"


def test_later_is_no_failure() -> None:
    assert not issubclass(Later, GaiaError)


@pytest.mark.parametrize(
    ("name", "retryable"),
    [
        ("SettingWeightsTooFast", True),
        ("CommittingWeightsTooFast", True),
        ("NeuronNoValidatorPermit", False),
        ("NotEnoughStakeToSetWeights", False),
    ],
)
def test_of_the_chain_s_refusals_waiting_mends_only_those_about_speed(name: str, retryable: bool) -> None:
    assert ChainRefused(name).retryable is retryable
    assert str(ChainRefused(name, "why")) == f"{name}: why"
    assert str(ChainRefused(name)) == name


def test_a_failed_unit_keeps_the_code_and_fault_of_its_handler() -> None:
    error = UnitFailed(UnitError(code="chunk_digest_mismatch", message="bad chunk", fault=Fault.MINER, retryable=False))
    assert (error.code, error.fault, error.retryable, str(error)) == (
        "chunk_digest_mismatch",
        Fault.MINER,
        False,
        "bad chunk",
    )
