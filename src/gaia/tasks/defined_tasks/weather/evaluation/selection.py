"""Which fields a request means: `z500,t850,2t`, whole variables, any name that files use. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.evaluation.table import WINDS
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest, MissingField
from gaia.tasks.defined_tasks.weather.variables import VARIABLES, UnknownVariable, variable


def chosen_fields(
    wanted: Sequence[str] | None,
    forecast: tuple[str, Sequence[FieldId]],
    truth: tuple[str, Sequence[FieldId]],
) -> tuple[FieldId, ...]:
    """The fields to score, in the forecast's order; each file given as (name, its fields).

    wanted: names such as `z500`, `geopotential_500` or, for all levels, `z`; `wind850` means both components; None:
    all that both files have. Raises MissingField, naming the file that lacks a wanted one, and BadRequest for a name
    that is not known.
    """
    if wanted is None:
        both = tuple(field for field in forecast[1] if field in truth[1])
        if not both:
            raise MissingField(
                f"{forecast[0]} and {truth[0]} have no field in common: {_names(forecast[1])} there, "
                f"{_names(truth[1])} here"
            )
        return both
    wanted = [part for name in wanted for part in _components(name)]
    patterns = [_pattern(name) for name in wanted]
    for name, (known, level) in zip(wanted, patterns, strict=True):
        for file, fields in (forecast, truth):
            if not any(_meant(field, known, level) for field in fields):
                raise MissingField(f"{file} has no field {name}; it has {_names(fields)}")
    meant = [f for f in forecast[1] if any(_meant(f, known, level) for known, level in patterns)]
    lacking = [f for f in meant if f not in truth[1]]
    if lacking:
        raise MissingField(f"{truth[0]} has no field {lacking[0]}, which was asked for; it has {_names(truth[1])}")
    return tuple(meant)


def _components(name: str) -> tuple[str, ...]:
    """`u850` and `v850` for `wind850`; any other name is itself.

    >>> _components("wind850"), _components("10wind"), _components("z500")
    (('u850', 'v850'), ('10u', '10v'), ('z500',))
    """
    match = re.fullmatch(r"(10wind|wind)(?:_?(\d{1,4}))?", name)
    return (name,) if match is None else tuple(f"{component}{match[2] or ''}" for component in WINDS[match[1]])


def _pattern(name: str) -> tuple[str, int | None]:
    """(variable, level) of a name; no level: every level.

    >>> _pattern("2t"), _pattern("z500"), _pattern("geopotential_500"), _pattern("10u")
    (('2t', None), ('z', 500), ('z', 500), ('10u', None))
    """
    try:
        return variable(name).name, None
    except UnknownVariable:
        pass
    match = re.fullmatch(r"(\w*?[a-z])_?(\d{1,4})", name)
    try:
        known = variable(match[1]) if match else None
    except UnknownVariable:
        known = None
    if match is None or known is None or not known.on_levels:
        raise BadRequest(
            f"variable {name!r} is not known; expected are {', '.join(VARIABLES)}, or such as z500 or wind850"
        )
    return known.name, int(match[2])


def _meant(field: FieldId, name: str, level_hpa: int | None) -> bool:
    return field.variable == name and level_hpa in (None, field.level_hpa)


def _names(fields: Sequence[FieldId]) -> str:
    return ", ".join(map(str, fields[:40])) + (f" and {len(fields) - 40} more" if len(fields) > 40 else "")
