"""The error tree: what went wrong, whose fault it is, and whether trying again can help.

Only a *miner*'s fault may lower that miner's score; a *source*'s or the *validator*'s own delays it.
Each part of the system derives its errors from the three branches here, next to the code that raises them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes that may be anything raises: msgspec's error does not cover text that is no UTF-8, nor brackets
a thousand deep.
"""


class Fault(StrEnum):
    """Who has to answer for an error."""

    MINER = "miner"
    SOURCE = "source"
    VALIDATOR = "validator"


class GaiaError(Exception):
    """Root of every error that Gaia raises on purpose. The message names the cause and, for people, the fix."""

    fault: Fault = Fault.VALIDATOR
    retryable: bool = False

    @property
    def code(self) -> str:
        """The stable snake_case name under which the error is logged, counted and shown to miners."""
        return code_of(type(self))


class MinerFault(GaiaError):
    """A miner broke the protocol, missed a deadline or sent a bad forecast."""

    fault = Fault.MINER


class SourceFault(GaiaError):
    """A supplier of weather data has not delivered, or has delivered something unusable."""

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
