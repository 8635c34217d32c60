"""Reads the settings from the environment, here and nowhere else, and validates them.

Every value comes from a `GAIA_*` variable or a line of `.env` (the environment wins). The only other name is
`DATABASE_URL`, because other programs use it too. An unknown name is refused, so that no misspelt setting is ignored.

`python -m gaia.validator.utils.config` prints the settings as JSON: the supervisor itself stays free of pydantic that
way, and so does the IO-Engine, to which it hands them on.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from dotenv import dotenv_values
from pydantic import Field, ValidationError, create_model, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gaia.contracts.errors import ConfigurationError
from gaia.protocol.keys import load_key_file
from gaia.tasks.defined_tasks.weather.supply.catalogue import parse_source
from gaia.validator.utils.settings import Settings, WeatherSection, about, fields_by_variable

_PREFIX: Final = "GAIA_"
_VARIABLES: Final = fields_by_variable()


class _Rules(BaseSettings):
    """What is demanded of a value beyond its type and its bounds."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", extra="ignore", hide_input_in_errors=True, validate_default=False
    )

    @field_validator("data_dir", check_fields=False)
    @classmethod
    def _wherever_we_go(cls, value: Path) -> Path:
        return value.absolute()

    @field_validator("truth", "reference", "climatology", mode="before", check_fields=False)
    @classmethod
    def _source(cls, value: str) -> str:
        try:
            return str(parse_source(value))
        except ConfigurationError as error:
            raise ValueError(str(error)) from error  # so that the message names the setting, like the others

    @field_validator("metrics_port", mode="before", check_fields=False)
    @classmethod
    def _port_or_off(cls, value: str) -> str | None:
        return None if value == "off" else value

    @field_validator("metrics_host", check_fields=False)
    @classmethod
    def _not_the_whole_internet(cls, value: str) -> str:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            raise ValueError(f"{value!r} is not an IP address; use 127.0.0.1") from None
        if address.is_unspecified or not address.is_private:
            raise ValueError("everybody could read the metrics; use 127.0.0.1 or a private address of this machine")
        return value

    @field_validator("database_url", check_fields=False)
    @classmethod
    def _database(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise ValueError("expected postgresql://user:password@host/database")
        if "password" in parse_qs(parts.query):
            raise ValueError("its password is after the ?; put it before the @, where it is hidden in all output")
        if parts.password in ("postgres", "password", "gaia", "changeme", "admin"):
            raise ValueError("its password is too easy to guess; set another one")
        return value


def _field(variable: str, field: msgspec.structs.FieldInfo) -> tuple[Any, Any]:
    """A field of `Settings` as pydantic wants it; its default stays there."""
    known = about(field)
    return field.type, Field(None, validation_alias=variable, ge=known.ge, gt=known.gt, le=known.le)


_Environment: Final = create_model(
    "_Environment",
    __base__=_Rules,
    **{field.name: _field(variable, field) for variable, field in _VARIABLES.items()},  # type: ignore[call-overload]
)


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """The effective settings. Raises ConfigurationError with one line for each problem."""
    try:
        _refuse_unknown_names(env_file)
        values = _Environment(_env_file=env_file).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_problems(error))) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{env_file} cannot be read: {error}") from error
    weather = {name: values.pop(name) for name in WeatherSection.__struct_fields__ if name in values}
    settings = Settings(**values, weather=WeatherSection(**weather))
    if settings.worker_soft_memory_mib >= settings.worker_hard_memory_mib:
        raise ConfigurationError("GAIA_WORKER_SOFT_MEMORY_MIB: must be below GAIA_WORKER_HARD_MEMORY_MIB")
    return settings


def refuse_incomplete(settings: Settings) -> None:
    """Raise ConfigurationError for what a validator cannot run without, before any process is started."""
    from gaia.tasks.defined_tasks.weather.production import run_spec_of

    missing = []
    if settings.hotkey_file is None:
        missing.append("GAIA_HOTKEY_FILE is not set: make a key with `gaia key FILE` and name it here")
    if settings.weather.truth is None:
        missing.append("GAIA_TRUTH is not set: say where truth comes from, e.g. archive:/path or grib:/path")
    if missing:
        raise ConfigurationError("\n".join(missing))
    if settings.hotkey_file is not None:
        load_key_file(settings.hotkey_file)
    run_spec_of(settings.weather.run_spec_file)


def _refuse_unknown_names(env_file: Path | None) -> None:
    given = {name.upper() for name in (*os.environ, *(dotenv_values(env_file) if env_file else ()))}
    unknown = sorted(name for name in given if name.startswith(_PREFIX) and name not in _VARIABLES)
    if unknown:
        raise ConfigurationError(
            "\n".join(
                f"{name}: there is no such setting{_meant(name)}; `gaia config` lists them all" for name in unknown
            )
        )


def _meant(name: str) -> str:
    given = name.removeprefix(_PREFIX)  # shared by all: it makes nothing alike
    close = difflib.get_close_matches(given, [each.removeprefix(_PREFIX) for each in _VARIABLES], n=1)
    return f", did you mean {_PREFIX}{close[0]}?" if close else ""


def _problems(error: ValidationError) -> list[str]:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}" for problem in problems]


def main() -> int:
    """Print the settings as JSON, or what is wrong with them."""
    try:
        settings = load_settings()
        refuse_incomplete(settings)  # also at a SIGHUP, so that no engine is replaced by one that cannot start
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    sys.stdout.buffer.write(settings.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
