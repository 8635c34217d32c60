"""The choice of a miner's model: its name and options, and how the model is built from them.

The server reads and checks a choice. Only the child process builds the model, so that the server never imports numpy.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from gaia.contracts.errors import ConfigurationError

if TYPE_CHECKING:
    from gaia.miner.model import ForecastModel


class BuiltIn(StrEnum):
    """The models that come with the miner."""

    PERSISTENCE = "persistence"
    CLIMATOLOGY = "climatology"
    DAMPED = "damped"
    BAROTROPIC = "barotropic"


class ModelChoice(Struct, frozen=True, kw_only=True):
    """The model to run, as data for the child process. All options are those of the barotropic model."""

    name: str
    """A `BuiltIn`, or `FILE.py:factory` or `package.module:factory` of your own."""
    truncation: int = 42
    """Triangular truncation, in total wavenumbers."""
    initial_error: float = 0.0
    """Root mean square error of the initial 500 hPa geopotential, as a fraction of its variability."""
    seed: int = 0
    """The seed of the random initial error."""


_PLUG_IN = re.compile(r"(?:(?P<file>.+\.py)|[A-Za-z_][\w.]*):[A-Za-z_]\w*", re.ASCII)


def resolved(name: str) -> str:
    """The name of a model with its file's path, if it has one, made absolute: a process elsewhere will load it."""
    match = _PLUG_IN.fullmatch(name)
    return name if match is None or match["file"] is None else str(Path(name).absolute())


def check_choice(choice: ModelChoice) -> None:
    """Raise ConfigurationError for a choice that is wrong at first sight. Imports nothing."""
    if choice.name not in set(BuiltIn):
        _check_plug_in(choice.name)
    if not 5 <= choice.truncation <= 255:
        raise ConfigurationError(f"truncation {choice.truncation} is not between 5 and 255")
    if not 0.0 <= choice.initial_error <= 2.0:
        raise ConfigurationError(f"initial error {choice.initial_error} is not between 0 and 2")
    if choice.seed < 0:
        raise ConfigurationError(f"seed {choice.seed} is negative")


def _check_plug_in(name: str) -> None:
    match = _PLUG_IN.fullmatch(name)
    if match is None:
        known = ", ".join(BuiltIn)
        raise ConfigurationError(
            f"unknown model {name!r}: choose one of {known}, or FILE.py:factory, or package.module:factory"
        )
    if match["file"] is not None and not Path(match["file"]).is_file():
        raise ConfigurationError(f"the model {name!r}: there is no file {match['file']}; name the one that holds it")


def build_model(choice: ModelChoice, *, embedded_world: bool = False) -> ForecastModel:
    """Import and build the chosen model. Raises ConfigurationError if a plug-in cannot be found or built.

    `embedded_world` says that the analysis comes from the simulated atmosphere, whose laws differ from the Earth's.
    """
    check_choice(choice)
    if choice.name not in set(BuiltIn):
        return _plug_in(choice.name)
    match BuiltIn(choice.name):
        case BuiltIn.PERSISTENCE:
            from gaia.miner.models.persistence import Persistence

            return Persistence()
        case BuiltIn.CLIMATOLOGY:
            from gaia.miner.models.climatology import ClimatologyForecast

            return ClimatologyForecast()
        case BuiltIn.DAMPED:
            from gaia.miner.models.damped import DampedPersistence

            return DampedPersistence()
        case BuiltIn.BAROTROPIC:
            from gaia.miner.models.barotropic import Barotropic, EmbeddedBarotropic

            kind = EmbeddedBarotropic if embedded_world else Barotropic
            return kind(choice.truncation, choice.initial_error, choice.seed)
        case never:
            assert_never(never)


def _plug_in(name: str) -> ForecastModel:
    module_name, _, factory_name = name.rpartition(":")
    try:
        module = _load_file(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
        factory = getattr(module, factory_name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"cannot load the model {name!r} ({error}): is what it imports installed in this environment?"
        ) from error
    model = factory()
    if not callable(getattr(model, "forecast", None)):
        raise ConfigurationError(f"{name!r} made a {type(model).__name__}, which has no forecast(...) method")
    checked: ForecastModel = model
    return checked


def _load_file(path: str) -> ModuleType:
    """The module in a file. It may import its neighbours, as a script may."""
    sys.path.insert(0, str(Path(path).parent))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module
