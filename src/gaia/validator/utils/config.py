"""The settings: typed, validated at start, and read from the environment here and nowhere else.

Every value comes from a `GAIA_*` variable or a line of `.env` (the environment wins), but `DATABASE_URL`, whose name
everybody knows. A name that does not exist is refused, because a misspelt setting that is ignored is worse than none.

`python -m gaia.validator.utils.config` prints what the supervisor needs as JSON: the supervisor itself stays free of
pydantic that way.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_serializer, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.protocol.keys import load_key_file
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, parse_source
from gaia.validator.app.supervision.supervisor_settings import SupervisorSettings

_PREFIX = "GAIA_"
_MIB = 1024 * 1024
_CONNECTIONS_OF_JOBS = 32
_CONNECTIONS_BESIDE = 11  # the engine's own loops 6, the chain 4, LISTEN 1; the embedded server allows 50 in all
_FILES_PER_EXCHANGE = 2  # a connection to the miner, and the chunk that is written meanwhile
_ENGINE_THREADS = 32  # at most as many in asyncio's pool: each may look up a name or have a file open


def _default_data_dir() -> Path:
    # PostgreSQL drops root and must be able to reach the folder, which it cannot under root's 0700 home.
    return Path("/var/lib/gaia") if os.geteuid() == 0 else Path.home() / ".local/share/gaia"


class Settings(BaseSettings):
    """Everything an operator can set. The description of each field is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True,
        validate_default=True, hide_input_in_errors=True,
    )  # fmt: skip

    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL to use, postgresql://user:password@host/name; unset: a private embedded server",
    )
    data_dir: Path = Field(default_factory=_default_data_dir, description="Folder for all data of this validator")
    netuid: int = Field(57, ge=0, le=65535, description="Subnet")
    chain: Literal["simulated"] = Field(
        "simulated", description="Which chain: 'simulated' lives in the validator's own database"
    )
    hotkey_file: Path | None = Field(None, description="Key file of the validator's hotkey (mode 0600)")
    compute_workers: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        le=256,
        description="Compute worker processes",
    )
    compute_spares: int = Field(
        1, ge=0, le=8, description="Worker processes on top that stand by, warm, for whoever is replaced"
    )
    recycle_units: int = Field(500, ge=1, description="A compute worker is replaced after about so many units")
    worker_soft_memory_mib: int = Field(2048, ge=128, description="Past it a worker is replaced after its unit")
    worker_hard_memory_mib: int = Field(4096, ge=256, description="Past it a worker is killed and its unit fails")
    drain_grace_s: float = Field(30.0, ge=0, le=3600, description="How long a stop waits for work in progress")
    engine_stall_limit_s: float = Field(
        30.0, ge=6, le=3600, description="An IO-Engine that is stuck for so long is killed and started again"
    )
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics; loopback or private")
    metrics_port: int | None = Field(9464, ge=0, le=65535, description="Port of /metrics; 0: any free; 'off': none")
    log_format: Literal["json", "console"] = Field("json", description="How log lines look")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged")
    job_lease_s: float = Field(30.0, ge=2, le=3600, description="A silent worker loses its job after this time")
    job_concurrency: int = Field(32, ge=1, le=1000, description="Durable jobs in progress at once")
    miner_concurrency: int = Field(64, ge=1, le=1024, description="Miners talked to at once")
    miner_timeout_s: float = Field(30.0, gt=0, le=600, description="For one request to a miner")
    allow_private_endpoints: bool = Field(False, description="Miners may live on loopback and private addresses")
    forecast_cache_mib: int = Field(50_000, ge=100, description="Bound of the folder of fetched forecasts")
    truth: Annotated[SourceRef | None, NoDecode] = Field(None, description="Truth, e.g. archive:/path or grib:/path")
    reference: Annotated[SourceRef | None, NoDecode] = Field(None, description="Operational reference forecast")
    climatology: Annotated[SourceRef | None, NoDecode] = Field(None, description="Climatology")
    run_spec_file: Path | None = Field(None, description="JSON run specification; unset: the 69 fields at 0.25 degree")
    schedule: Literal["daily", "manual"] = Field(
        "daily",
        description="daily: a run for 12Z of every day; manual: runs are opened with `gaia runs --open`",
    )
    world_offset_s: float = Field(0.0, ge=0, description="The world of the runs lies this long in the past")
    commit_window_s: float = Field(7200.0, ge=1, le=6 * 3600, description="From opening a run to its commit deadline")
    reveal_window_s: float = Field(3600.0, ge=1, le=24 * 3600, description="How long manifests are fetched after it")

    @field_validator("truth", "reference", "climatology", mode="before")
    @classmethod
    def _source(cls, value: Any) -> Any:
        try:
            return parse_source(value) if isinstance(value, str) else value
        except ConfigurationError as error:
            raise ValueError(str(error)) from error  # so that it is named with its setting, beside the others

    @field_serializer("truth", "reference", "climatology", when_used="json-unless-none")
    def _as_given(self, value: SourceRef) -> str:
        return str(value)

    @field_validator("metrics_port", mode="before")
    @classmethod
    def _port_or_off(cls, value: Any) -> Any:
        return None if value == "off" else value

    @field_serializer("metrics_port", when_used="json")
    def _off_or_port(self, value: int | None) -> int | str:
        return "off" if value is None else value

    @field_validator("metrics_host")
    @classmethod
    def _not_the_whole_internet(cls, value: str) -> str:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            raise ValueError(f"{value!r} is not an IP address; use 127.0.0.1") from None
        if address.is_unspecified or not address.is_private:
            raise ValueError("metrics would be open to everybody; use 127.0.0.1 or a private address of this machine")
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
                raise ValueError("expected postgresql://user:password@host/database")
            if "password" in parse_qs(parts.query):
                raise ValueError("its password stands after the ?; put it before the @, where it is hidden when shown")
            if parts.password in ("postgres", "password", "gaia", "changeme", "admin"):
                raise ValueError("its password is one that everybody tries first; set another")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.worker_soft_memory_mib >= self.worker_hard_memory_mib:
            raise ValueError("GAIA_WORKER_SOFT_MEMORY_MIB must be below GAIA_WORKER_HARD_MEMORY_MIB")
        return self

    @property
    def world_offset(self) -> timedelta:
        """How far the runs' world lies in the past."""
        return timedelta(seconds=self.world_offset_s)

    @property
    def database_connections(self) -> int:
        """That the IO-Engine holds at most, those of the job queue and of the simulated chain included."""
        return min(self.job_concurrency // 2, _CONNECTIONS_OF_JOBS) + _CONNECTIONS_BESIDE

    @property
    def database_dsn(self) -> str:
        """Where the validator's database answers: DATABASE_URL, or the embedded server's socket."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"postgresql://gaia@/gaia?host={self.for_supervisor().postgres_socket_dir}"

    def run_spec(self) -> RunSpec:
        """The specification of new runs; raises ConfigurationError if its file cannot be used."""
        if self.run_spec_file is None:
            from gaia.tasks.defined_tasks.weather.production import production_spec

            return production_spec()
        try:
            return msgspec.json.decode(self.run_spec_file.read_bytes(), type=RunSpec, strict=True)
        except OSError as error:
            raise ConfigurationError(f"GAIA_RUN_SPEC_FILE={self.run_spec_file}: {error.strerror}") from error
        except (msgspec.DecodeError, GaiaError) as error:
            raise ConfigurationError(f"GAIA_RUN_SPEC_FILE={self.run_spec_file}: {error}") from error

    def for_supervisor(self) -> SupervisorSettings:
        """The part that the supervisor needs."""
        return SupervisorSettings(
            data_dir=str(self.data_dir.absolute()),
            database_url=self.database_url.get_secret_value() if self.database_url else None,
            compute_workers=self.compute_workers,
            spare_workers=self.compute_spares,
            recycle_units=self.recycle_units,
            soft_memory_bytes=self.worker_soft_memory_mib * _MIB,
            hard_memory_bytes=self.worker_hard_memory_mib * _MIB,
            grace_s=self.drain_grace_s,
            stall_limit_s=self.engine_stall_limit_s,
            notify_socket=os.environ.get("NOTIFY_SOCKET"),
            watchdog_s=_watchdog_s(),
            metrics_host=self.metrics_host,
            metrics_port=self.metrics_port,
            log_format=self.log_format,
            log_level=self.log_level,
            engine_files=_ENGINE_THREADS + self.database_connections + _FILES_PER_EXCHANGE * self.miner_concurrency,
            given={name: str(value) for name, value in masked(self).items() if value is not None},
        )


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """The effective settings; raises ConfigurationError whose message has one line for each thing to mend."""
    try:
        _refuse_unknown_names(env_file)
        return Settings(_env_file=env_file)  # type: ignore[call-arg]  # pydantic-settings' own init argument
    except ValidationError as error:
        raise ConfigurationError("\n".join(_problems(error))) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{env_file} cannot be read: {error}") from error


def refuse_incomplete(settings: Settings) -> None:
    """Raise ConfigurationError for what a validator cannot run without, before any process is started."""
    missing = []
    if settings.hotkey_file is None:
        missing.append("GAIA_HOTKEY_FILE is not set: make a key with `gaia key FILE` and name it here")
    if settings.truth is None:
        missing.append("GAIA_TRUTH is not set: say where truth comes from, e.g. archive:/path or grib:/path")
    if missing:
        raise ConfigurationError("\n".join(missing))
    if settings.hotkey_file is not None:
        load_key_file(settings.hotkey_file)
    settings.run_spec()


def masked(settings: Settings) -> dict[str, Any]:
    """Every setting by its variable's name, as JSON can hold it, passwords hidden."""
    shown = settings.model_dump(mode="json")
    if settings.database_url is not None:
        parts = urlsplit(settings.database_url.get_secret_value())
        shown["database_url"] = parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()
    return {variable_name(name): value for name, value in shown.items()}


def variable_name(field: str) -> str:
    """The environment's name of a setting."""
    return "DATABASE_URL" if field == "database_url" else _PREFIX + field.upper()


def _watchdog_s() -> float | None:
    """What systemd's watchdog expects of the process that started this one: sd_watchdog_enabled(3)."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or pid not in ("", str(os.getppid())):
        return None
    return int(usec) / 1e6 or None


def _refuse_unknown_names(env_file: Path | None) -> None:
    known = {variable_name(name) for name in Settings.model_fields}
    given = {name.upper() for name in os.environ} | {
        name.upper() for name in (dotenv_values(env_file) if env_file else {})
    }
    unknown = sorted(name for name in given if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(
            "\n".join(
                f"{name}: there is no such setting{_meant(name, known)}; `gaia config` lists them all"
                for name in unknown
            )
        )


def _meant(name: str, known: set[str]) -> str:
    given = name.removeprefix(_PREFIX)  # shared by all: it makes nothing alike
    close = difflib.get_close_matches(given, [each.removeprefix(_PREFIX) for each in known], n=1)
    return f", did you mean {_PREFIX}{close[0]}?" if close else ""


def _problems(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        name = "DATABASE_URL" if field == "DATABASE_URL" else variable_name(field) if field else "settings"
        lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
    return lines


def main() -> int:
    """Print the supervisor's settings as JSON, or what is wrong with them."""
    try:
        settings = load_settings()
        refuse_incomplete(settings)  # at a SIGHUP too: an engine that is replaced and refuses ends the validator
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    sys.stdout.buffer.write(msgspec.json.encode(settings.for_supervisor()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
