"""The error tree: what went wrong, whose fault it is, and whether it can help to try again.

Only a *miner*'s own fault may lower its score. A fault of a *source* or of the *validator* only delays the score. Each
part of the system derives its errors from the three branches here, next to the code that raises them.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Fault(StrEnum):
    """Who is responsible for an error."""

    MINER = "miner"
    SOURCE = "source"
    VALIDATOR = "validator"


class GaiaError(Exception):
    """The base of every error that Gaia raises on purpose. The message names the cause and the fix."""

    fault: Fault = Fault.VALIDATOR
    retryable: bool = False

    @property
    def code(self) -> str:
        """The stable snake_case name for logs, counters and miners."""
        return code_of(type(self))


class MinerFault(GaiaError):
    """A miner broke the protocol, missed a deadline or sent a bad forecast."""

    fault = Fault.MINER


class SourceFault(GaiaError):
    """A source of weather data has not delivered, or has delivered unusable data."""

    fault = Fault.SOURCE


class ValidatorFault(GaiaError):
    """The validator itself, its machine or its database failed."""

    fault = Fault.VALIDATOR


class ConfigurationError(ValidatorFault):
    """A setting, a path or a file that the operator gave cannot be used."""


def code_of(error: type[BaseException]) -> str:
    """Snake-case name of an error class.

    >>> code_of(ConfigurationError)
    'configuration_error'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", error.__name__).lower()
