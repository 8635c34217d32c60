"""Reads the settings from the environment, here and nowhere else, and validates them.

Every value comes from a `GAIA_*` variable or a line of `.env` (the environment wins). The only other name is
`DATABASE_URL`, because other programs use it too. An unknown name is refused, so that no misspelt setting is ignored.

`python -m gaia.validator.utils.config` prints the settings as JSON. The supervisor runs it as a child and hands the
settings to the IO-Engine. So neither of them loads pydantic.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from dotenv import dotenv_values
from msgspec.structs import FieldInfo
from pydantic import Field, ValidationError, create_model, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gaia.contracts.errors import ConfigurationError
from gaia.protocol.keys import load_key_file
from gaia.tasks.defined_tasks.definition import BadTask, TaskDefinition
from gaia.tasks.defined_tasks.registry import defined_tasks
from gaia.validator.utils.settings import DEFAULT_TASKS, Settings, about, own_fields
from gaia.validator.utils.task_shares import parse_task_weights, shares_of

_PREFIX: Final = "GAIA_"


class _Environment(BaseSettings):
    """How values are read from the environment and `.env`."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", extra="ignore", hide_input_in_errors=True, validate_default=False,
        enable_decoding=False, allow_inf_nan=False,
    )  # fmt: skip


class _Rules(_Environment):
    """The rules for the validator's own settings beyond their types and bounds. Those of a task are the task's."""

    @field_validator("data_dir", check_fields=False)
    @classmethod
    def _wherever_we_go(cls, value: Path) -> Path:
        if value == Path():
            raise ValueError("is empty; name a folder, such as /var/lib/gaia")
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise ValueError("its name is not UTF-8; choose another folder") from None
        return value.absolute()

    @field_validator("tasks", mode="before", check_fields=False)
    @classmethod
    def _names(cls, value: str) -> tuple[str, ...]:
        return _split(value)

    @field_validator("task_weights", mode="before", check_fields=False)
    @classmethod
    def _shares(cls, value: str) -> dict[str, float]:
        try:
            return parse_task_weights(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error  # pydantic adds the setting's name to a ValueError

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
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:  # its message would repeat the password
            raise ValueError("cannot be read; write special characters of the password as %XX, / as %2F") from None
        if "@" in parts.path or ("@" in value and "@" not in parts.netloc):
            raise ValueError("cannot be read; write / ? # @ in the password as %2F %3F %23 %40")
        if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise ValueError("expected postgresql://user:password@host/database")
        if "password" in parse_qs(parts.query):
            raise ValueError("its password is after the ?; put it before the @, where it is hidden in all output")
        if parts.password in ("postgres", "password", "gaia", "changeme", "admin"):
            raise ValueError("its password is too easy to guess; set another one")
        return value


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """The effective settings. Raises ConfigurationError with one line for each problem."""
    tasks = defined_tasks(named_tasks(env_file))
    with _readable(env_file):
        _refuse_unknown_names(env_file, fields_by_variable(tasks).keys())
        values, problems = _read(own_fields(), env_file, _Rules)
        of_tasks: dict[str, Any] = {}
        for task in tasks:
            told, wrong = _section(task, env_file)
            of_tasks |= told
            problems += wrong
    if problems:
        raise ConfigurationError("\n".join(problems))
    settings = Settings(**values, task_settings=of_tasks)
    _refuse_contradictions(settings, tasks)
    return settings


def fields_by_variable(tasks: Sequence[TaskDefinition]) -> dict[str, FieldInfo]:
    """Every setting's field by the variable that sets it, in the order in which they are shown; raises BadTask."""
    fields = own_fields()
    for task in tasks:
        if taken := sorted(fields.keys() & task.fields().keys()):
            raise BadTask(f"{taken[0]}: the task {task.name} cannot have a setting that there is already")
        fields |= task.fields()
    return fields


def named_tasks(env_file: Path | None = Path(".env")) -> tuple[str, ...]:
    """The tasks in GAIA_TASKS. It is read first, because it decides which other settings exist."""
    with _readable(env_file):
        given = {name.upper(): value for name, value in (dotenv_values(env_file) if env_file else {}).items()}
    given |= {name.upper(): value for name, value in os.environ.items()}
    return _split(given.get("GAIA_TASKS") or "") or DEFAULT_TASKS


def refuse_incomplete(settings: Settings) -> None:
    """Raise ConfigurationError if a setting is missing that a validator needs. Runs before any process is started."""
    problems = []
    try:
        if settings.hotkey_file is None:
            problems.append("GAIA_HOTKEY_FILE is not set: make a key with `gaia key FILE` and name it here")
        else:
            load_key_file(settings.hotkey_file)
    except ConfigurationError as error:
        problems.append(str(error))
    for task in defined_tasks(settings.tasks):
        try:
            task.section(settings.task_settings).refuse_incomplete()
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("\n".join(problems))


@contextlib.contextmanager
def _readable(env_file: Path | None) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{env_file} cannot be read: {error}") from error


def _split(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _section(task: TaskDefinition, env_file: Path | None) -> tuple[dict[str, Any], list[str]]:
    """A task's settings by variable, and the problems with them."""
    values, problems = _read(task.fields(), env_file, _Environment)
    if problems:
        return {}, problems
    try:
        return task.by_variable(task.settings(**values).kept()), []
    except ConfigurationError as error:
        return {}, str(error).splitlines()


def _read(
    fields: Mapping[str, FieldInfo], env_file: Path | None, rules: type[_Environment]
) -> tuple[dict[str, Any], list[str]]:
    """The values that are set, by field, and the problems with them."""
    wanted: dict[str, Any] = {field.name: _field(variable, field) for variable, field in fields.items()}
    environment = create_model("_Given", __base__=rules, **wanted)
    try:
        given = environment(_env_file=env_file)  # type: ignore[call-arg]  # pydantic-settings' own argument
        return given.model_dump(exclude_unset=True), []
    except ValidationError as error:
        return {}, _problems(error)


def _field(variable: str, field: FieldInfo) -> tuple[Any, Any]:
    """A field of the settings in pydantic's form, without its default. `Settings` supplies the default."""
    known = about(field)
    return field.type, Field(None, validation_alias=variable, ge=known.ge, gt=known.gt, le=known.le)


def _refuse_contradictions(settings: Settings, tasks: Sequence[TaskDefinition]) -> None:
    if settings.worker_soft_memory_mib >= settings.worker_hard_memory_mib:
        raise ConfigurationError("GAIA_WORKER_SOFT_MEMORY_MIB: must be below GAIA_WORKER_HARD_MEMORY_MIB")
    try:
        shares_of(settings.task_weights, [task.name for task in tasks])
    except ConfigurationError as error:
        raise ConfigurationError(f"GAIA_TASK_WEIGHTS: {error}") from error


def _refuse_unknown_names(env_file: Path | None, known: Collection[str]) -> None:
    given = {name.upper() for name in (*os.environ, *(dotenv_values(env_file) if env_file else ()))}
    unknown = sorted(name for name in given if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(
            "\n".join(
                f"{name}: there is no such setting{_meant(name, known)}; `gaia config` lists them all"
                for name in unknown
            )
        )


def _meant(name: str, known: Collection[str]) -> str:
    given = name.removeprefix(_PREFIX)  # all names share it, so it says nothing about likeness
    close = difflib.get_close_matches(given, [each.removeprefix(_PREFIX) for each in known], n=1)
    return f", did you mean {_PREFIX}{close[0]}?" if close else ""


def _problems(error: ValidationError) -> list[str]:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}" for problem in problems]


def main() -> int:
    """Print the settings as JSON, or the problems with them."""
    try:
        settings = load_settings()
        refuse_incomplete(settings)  # this runs at a SIGHUP too, so no engine is replaced by one that cannot start
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    sys.stdout.buffer.write(settings.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
