"""Exceptions as data."""

from __future__ import annotations

from gaia.contracts.errors import Fault
from gaia.validator.app.compute.unit_errors import PoisonUnit, UnitTimedOut, unit_error
from tests.support.compute_handlers import NotYet


def test_an_error_of_ours_keeps_its_name_fault_and_retryability() -> None:
    error = unit_error(NotYet("ERA5"))
    assert (error.code, error.message, error.fault, error.retryable) == ("not_yet", "ERA5", Fault.SOURCE, True)
    assert unit_error(UnitTimedOut("late")).retryable
    assert not unit_error(PoisonUnit("dead")).retryable


def test_anything_else_is_the_validators_fault() -> None:
    error = unit_error(KeyError("x"))
    assert (error.code, error.fault, error.retryable) == ("key_error", Fault.VALIDATOR, False)


def test_a_failed_allocation_has_the_name_of_the_memory_limit() -> None:
    assert unit_error(MemoryError("no")).code == "memory_exceeded"


def test_what_travels_is_bounded() -> None:
    error = unit_error(ValueError("x" * 1_000_000), with_traceback=True)
    assert len(error.message) == 2_000
    assert len(error.traceback) == 8_000
