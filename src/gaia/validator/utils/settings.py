"""The settings of a validator: one struct, whose fields have the names of their variables, and values derived from it.

Plain data. `gaia.validator.utils.config` makes it once from the environment. The supervisor keeps it, and hands it to
its children as JSON. Must not import the libraries that validate the environment, because the supervisor imports this.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.setting import About

_MIB: Final = 1024 * 1024
_CONNECTIONS_OF_JOBS: Final = 32
_CONNECTIONS_BESIDE: Final = 11  # engine's loops 6, chain 4, LISTEN 1; the embedded server allows 50
_FILES_PER_EXCHANGE: Final = 2  # a connection to the miner, and the chunk that is written from it
_ENGINE_THREADS: Final = 32  # the most threads in asyncio's pool; each may look up a name or hold a file open
_LONGEST_SOCKET_PATH_BYTES: Final = 100  # sun_path holds 108: unix(7)


DEFAULT_TASKS: Final = ("weather",)
_OF_TASKS: Final = "task_settings"


class SettingsOfAnotherVersion(ConfigurationError):
    """The process that sent the settings runs another version of the code than the process that reads them."""


def _default_data_dir() -> Path:
    # PostgreSQL drops root and must be able to reach the folder. It cannot enter root's home, which has mode 0700.
    return Path("/var/lib/gaia") if os.geteuid() == 0 else Path.home() / ".local/share/gaia"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an operator can set."""

    database_url: Annotated[
        str | None,
        About("PostgreSQL to use, postgresql://user:password@host/name. Unset: a private embedded server"),
    ] = None
    data_dir: Annotated[Path, About("Folder for all data of this validator")] = msgspec.field(
        default_factory=_default_data_dir
    )
    netuid: Annotated[int, About("Subnet", ge=0, le=65535)] = 57
    chain: Annotated[
        Literal["simulated"], About("Which chain: 'simulated' lives in the validator's own database")
    ] = "simulated"  # fmt: skip
    hotkey_file: Annotated[Path | None, About("Key file of the validator's hotkey (mode 0600)")] = None
    compute_workers: Annotated[int, About("Compute worker processes", ge=1, le=256)] = msgspec.field(
        default_factory=lambda: max(1, os.cpu_count() or 1)
    )
    compute_spares: Annotated[
        int, About("Additional worker processes, already started, that take over when a worker is replaced", ge=0, le=8)
    ] = 1
    recycle_units: Annotated[int, About("A compute worker is replaced after about this number of units", ge=1)] = 500
    worker_soft_memory_mib: Annotated[int, About("A worker with more memory is replaced after its unit", ge=128)] = 2048
    worker_hard_memory_mib: Annotated[int, About("A worker with more memory is killed, and its unit fails", ge=256)] = (
        4096
    )
    drain_grace_s: Annotated[float, About("How long a stop waits for work in progress", ge=0, le=3600)] = 30.0
    engine_stall_limit_s: Annotated[
        float, About("An IO-Engine that does not respond for this time is killed and started again", ge=6, le=3600)
    ] = 30.0
    metrics_host: Annotated[str, About("Loopback or private IP address on which /metrics listens")] = "127.0.0.1"
    metrics_port: Annotated[
        int | None, About("Port of /metrics. 0: any free port. 'off': no metrics", ge=0, le=65535)
    ] = 9464  # fmt: skip
    log_format: Annotated[Literal["json", "console"], About("Format of the log lines")] = "json"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], About("Lowest level that is logged")] = "info"
    job_lease_s: Annotated[
        float, About("A job whose worker has not responded for this time is tried again", ge=2, le=3600)
    ] = 30.0
    job_concurrency: Annotated[int, About("Durable jobs in progress at once", ge=1, le=1000)] = 32
    miner_concurrency: Annotated[int, About("Miners that are contacted at the same time", ge=1, le=1024)] = 64
    miner_timeout_s: Annotated[float, About("Time limit of one request to a miner", gt=0, le=600)] = 30.0
    allow_private_endpoints: Annotated[bool, About("Miners may have loopback and private addresses")] = False
    forecast_cache_mib: Annotated[int, About("Largest size of the folder of fetched forecasts", ge=100)] = 50_000
    tasks: Annotated[
        tuple[str, ...],
        About("Tasks, separated by commas: names of Gaia's tasks, or your package.module:TASK"),
    ] = DEFAULT_TASKS
    task_weights: Annotated[
        dict[str, float],
        About("Each task's share of the emission, such as weather=0.9,other=0.1. Unset: the only task gets all"),
    ] = {}
    schedule: Annotated[
        Literal["daily", "manual"],
        About("daily: runs are opened when they are due. manual: `gaia runs --open` opens them"),
    ] = "daily"
    world_offset_s: Annotated[float, About("The runs use the weather of this long ago", ge=0, le=100 * 366 * 86400)] = (
        0.0
    )
    task_settings: dict[str, Any] = {}
    """The settings of the tasks, by variable, as JSON values. Each task makes its own section from them."""

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `to_json` has written. Raises SettingsOfAnotherVersion."""
        try:
            return msgspec.json.decode(text, type=cls, dec_hook=lambda kind, value: kind(value))
        except msgspec.MsgspecError as error:
            raise SettingsOfAnotherVersion(
                f"the settings of the validator are not understood ({error}): after an upgrade, restart the validator"
            ) from error

    def to_json(self) -> bytes:
        """The settings for another process of this validator. They contain the database's password."""
        return msgspec.json.encode(self, enc_hook=str)

    def by_variable(self) -> dict[str, Any]:
        """Every value by the variable that sets it."""
        values = msgspec.structs.asdict(self)
        of_tasks = values.pop(_OF_TASKS)
        return {**{variable_name(field): value for field, value in values.items()}, **of_tasks}

    def shown(self) -> dict[str, Any]:
        """The same as JSON values, with hidden passwords."""
        values: dict[str, Any] = msgspec.to_builtins(self.by_variable(), enc_hook=str)
        if self.database_url is not None:
            parts = urlsplit(self.database_url)
            hidden = parts.netloc.replace(f":{parts.password}@", ":***@")
            values["DATABASE_URL"] = parts._replace(netloc=hidden).geturl()
        values["GAIA_TASKS"] = ",".join(self.tasks)
        shares = ",".join(f"{task}={share:g}" for task, share in self.task_weights.items())
        values["GAIA_TASK_WEIGHTS"] = shares or None
        if self.metrics_port is None:
            values["GAIA_METRICS_PORT"] = "off"
        return values

    def __repr__(self) -> str:
        return f"Settings({self.shown()})"

    @property
    def worker_soft_memory_bytes(self) -> int:
        """`worker_soft_memory_mib` in bytes."""
        return self.worker_soft_memory_mib * _MIB

    @property
    def worker_hard_memory_bytes(self) -> int:
        """`worker_hard_memory_mib` in bytes."""
        return self.worker_hard_memory_mib * _MIB

    @property
    def database_connections(self) -> int:
        """The most connections that the IO-Engine holds, including those of the job queue and the simulated chain."""
        return min(self.job_concurrency // 2, _CONNECTIONS_OF_JOBS) + _CONNECTIONS_BESIDE

    @property
    def engine_files(self) -> int:
        """The most files that the IO-Engine may have open for the database, the miners and what it writes."""
        return _ENGINE_THREADS + self.database_connections + _FILES_PER_EXCHANGE * self.miner_concurrency

    @property
    def database_dsn(self) -> str:
        """The address of the validator's database: `database_url`, or the embedded server's socket."""
        return self.database_url or f"postgresql://gaia@/gaia?host={quote(str(self.postgres_socket_dir))}"

    @property
    def run_dir(self) -> Path:
        """The folder of files that exist only while the validator runs."""
        return self.data_dir / "run"

    @property
    def engine_socket(self) -> Path:
        """The socket on which compute workers connect to the IO-Engine, in a folder that only this user can enter."""
        return self._short(self.run_dir / "engine" / "compute.sock")

    @property
    def postgres_socket_dir(self) -> Path:
        """The embedded server's socket folder. The account that the server runs as can enter it."""
        return self._short(self.data_dir / "postgres-socket" / ".s.PGSQL.5432.lock").parent

    @property
    def worker_cache_dir(self) -> Path:
        """The folder for what outlives a worker, such as compiled kernels."""
        return self.data_dir / "cache"

    def _short(self, path: Path) -> Path:
        """The path itself, if a socket can have it. Otherwise a shorter one in the temporary folder."""
        if len(bytes(path)) <= _LONGEST_SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(bytes(self.data_dir.absolute())).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"gaia-{os.geteuid()}-{digest}-{path.parent.name}" / path.name


def variable_name(field: str) -> str:
    """The variable of a setting. DATABASE_URL has no prefix, because other programs use it too."""
    return "DATABASE_URL" if field == "database_url" else f"GAIA_{field.upper()}"


def own_fields() -> dict[str, FieldInfo]:
    """The fields of the settings that belong to no task, by variable, in the order in which they are shown."""
    return {variable_name(field.name): field for field in msgspec.structs.fields(Settings) if field.name != _OF_TASKS}


def about(field: FieldInfo) -> About:
    """The description and the bounds of a setting."""
    return next(note for note in field.type.__metadata__ if isinstance(note, About))
