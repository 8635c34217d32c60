"""What an operator can set of the weather task. Sources are written as `parse_source` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import msgspec

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.setting import About, TaskSection
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, parse_source

_SOURCES = {"truth": "GAIA_TRUTH", "reference": "GAIA_REFERENCE", "climatology": "GAIA_CLIMATOLOGY"}


class WeatherSection(TaskSection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weather's settings."""

    truth: Annotated[str | None, About("Truth, e.g. archive:/path or grib:/path")] = None
    reference: Annotated[str | None, About("Operational reference forecast")] = None
    climatology: Annotated[str | None, About("Climatology")] = None
    run_spec_file: Annotated[
        Path | None, About("JSON run specification; unset: the 69 fields at 0.25 degree")
    ] = None  # fmt: skip
    commit_window_s: Annotated[
        float, About("From opening a run to its commit deadline", ge=1, le=6 * 3600)
    ] = 7200.0  # fmt: skip
    reveal_window_s: Annotated[float, About("How long manifests are fetched after it", ge=1, le=24 * 3600)] = 3600.0

    def kept(self) -> Self:
        """With each source's path made absolute. Raises ConfigurationError for sources that are not there."""
        found, problems = {}, []
        for name in _SOURCES:
            try:
                source = self.source(name)
            except ConfigurationError as error:
                problems.append(str(error))
            else:
                found[name] = None if source is None else str(source)
        if problems:
            raise ConfigurationError("\n".join(problems))
        return msgspec.structs.replace(self, **found)

    def refuse_incomplete(self) -> None:
        """Without a truth and a specification no run can be opened."""
        from gaia.tasks.defined_tasks.weather.production import run_spec_of

        self.required_truth()
        run_spec_of(self.run_spec_file)

    def required_truth(self) -> SourceRef:
        """Where truth comes from; raises ConfigurationError if nothing says so."""
        truth = self.source("truth")
        if truth is None:
            raise ConfigurationError(
                "GAIA_TRUTH is not set: say where truth comes from, e.g. archive:/path or grib:/path"
            )
        return truth

    def source(self, name: str) -> SourceRef | None:
        """One of the sources; raises ConfigurationError, its variable named, if it is not there."""
        text = getattr(self, name)
        try:
            return None if text is None else parse_source(text)
        except ConfigurationError as error:
            raise ConfigurationError(f"{_SOURCES[name]}: {error}") from error
