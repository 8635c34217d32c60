"""Every way in which weather files can be unusable, alone or beside one another. No numpy: the IO-Engine reads this.

Messages name the file, what was wanted and what there is, for they end up in front of an operator.
"""

from __future__ import annotations

from gaia.contracts.errors import ConfigurationError, SourceFault, ValidatorFault


class StoreMissing(ConfigurationError):
    """A path that should hold weather data does not exist or is not readable."""


class BadSource(ConfigurationError):
    """The text that names a source cannot be understood, or the file is not what it is said to be."""


class StoreUnwritable(ValidatorFault):
    """The machine would not take a store: a full, read-only or forbidden folder."""


class StoreDamaged(ValidatorFault):
    """One of our own flat stores is not what its header says; deleting it lets it be decoded again."""


class UnusableStore(SourceFault):
    """A store of somebody else's cannot be read as horizontal fields of one instant."""


class MissingField(SourceFault):
    """A wanted variable, level or time is not in the data."""


class MissingMember(SourceFault):
    """A wanted ensemble member is not in the data."""


class IrregularGrid(SourceFault):
    """Coordinates do not lie on a regular latitude-longitude grid."""


class WrongGrid(SourceFault):
    """The data's grid is not the wanted one, nor does it hold all of its points. Nothing is interpolated."""


class TruncatedGrib(SourceFault):
    """A GRIB file ends in the middle of a message, or its bytes are damaged."""

    retryable = True


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
