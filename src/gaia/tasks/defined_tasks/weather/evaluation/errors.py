"""Every way in which two files cannot be scored against each other.

Messages name the file, the variable and what was expected, for they end up in front of whoever gave the files.
"""

from __future__ import annotations

from gaia.contracts.errors import ConfigurationError, SourceFault


class BadRequest(ConfigurationError):
    """An option of the evaluation contradicts itself or the files."""


class UnclearAxis(SourceFault):
    """An axis of a file is not understood, or one that is needed is not there."""


class UnmatchedTimes(SourceFault):
    """Forecast and truth have no instant in common."""


class UnitMismatch(SourceFault):
    """Two files say of the same variable that they hold different units."""


class UnusableValues(SourceFault):
    """An array holds something that is not a field of floating-point numbers, or infinities."""
