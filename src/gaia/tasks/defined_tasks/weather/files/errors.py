"""The errors of weather files that cannot be used, or not together. No numpy, because the IO-Engine imports them.

The person who gave the files reads the messages. So they name the file, what was wanted, and what the file holds.
"""

from __future__ import annotations

from gaia.contracts.errors import ConfigurationError, SourceFault, ValidatorFault


class StoreMissing(ConfigurationError):
    """A path that should hold weather data does not exist or is not readable."""


class BadSource(ConfigurationError):
    """The text that names a source is not understood, or the file has another format than the text says."""


class StoreUnwritable(ValidatorFault):
    """A store cannot be written: the folder is full, read-only or forbidden."""


class StoreDamaged(ValidatorFault):
    """One of our own flat stores does not match its header. After it is deleted it is decoded again."""


class UnusableStore(SourceFault):
    """A foreign store cannot be read as horizontal fields of one instant."""


class MissingField(SourceFault):
    """A wanted variable, level or time is not in the data."""


class MissingMember(SourceFault):
    """A wanted ensemble member is not in the data."""


class IrregularGrid(SourceFault):
    """Coordinates do not lie on a regular latitude-longitude grid."""


class WrongGrid(SourceFault):
    """The data's grid lacks points of the wanted grid. Nothing is interpolated."""


class TruncatedGrib(SourceFault):
    """A GRIB file ends in the middle of a message, or its bytes are damaged."""

    retryable = True


class BadRequest(ConfigurationError):
    """An option of the evaluation contradicts another option or the files."""


class UnclearAxis(SourceFault):
    """An axis of a file is not understood, or a needed axis is missing."""


class UnmatchedTimes(SourceFault):
    """Forecast and truth have no instant in common."""


class UnitMismatch(SourceFault):
    """Two files give different units for the same variable."""


class UnusableValues(SourceFault):
    """An array does not hold floating-point numbers, or holds infinities."""
