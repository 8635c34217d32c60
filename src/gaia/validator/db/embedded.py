"""The embedded PostgreSQL: a private cluster, which a child process of ours serves over a Unix socket.

It is used if DATABASE_URL is not set. Owns the cluster folder, the socket folder and the log. This module runs in the
supervisor, so it uses only the standard library, synchronously. It opens no connection and never listens on TCP.

Use: `prepare()` once, then start `argv()` as a child (or `spawn()`), then `wait_ready()`. Stop the child with
`FAST_STOP_SIGNAL`. If the owner is killed, the kernel stops the server (see `postgres_exec`). The server holds the lock
on the cluster, so that a second server never runs on it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.validator.db.postgres_binaries import (
    Account,
    Binaries,
    complaint_in,
    environment,
    find_binaries,
    reachable_binaries,
    run_as,
    server_account,
    unreachable_folder,
)
from gaia.validator.db.postgres_exec import FAST_STOP_SIGNAL, LOCK_WAIT_S, lock_cluster

__all__ = ["FAST_STOP_SIGNAL", "EmbeddedPostgres", "ServerNotReady"]

_DATABASE = "gaia"
_INITDB_TIMEOUT_S = 120.0
_PROBE_TIMEOUT_S = 5.0
_LONGEST_SOCKET_DIR_BYTES = 107 - len("/.s.PGSQL.5432")  # sun_path: 108 with its final zero
_PORT = "5432"  # only part of the socket's name
_SETTINGS = {
    "listen_addresses": "",  # no TCP at all
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "50",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",  # compiling costs more than our short queries take
    "log_checkpoints": "off",  # they would fill the log and help nobody
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class ServerNotReady(ValidatorFault):
    """The embedded PostgreSQL does not answer."""

    retryable = True


class EmbeddedPostgres:
    """One private cluster in `data_dir`. Nothing else may use that folder.

    `socket_dir` gets the socket, and `log_path` the server's log.
    """

    def __init__(self, *, data_dir: Path, socket_dir: Path, log_path: Path, bin_dir: Path | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_dir = socket_dir.absolute()
        self.log_path = log_path.absolute()
        self._explicit_bin_dir = bin_dir
        self._account: Account | None = None
        self._binaries: Binaries | None = None

    @property
    def dsn(self) -> str:
        """The address for clients. Only root and the owner of the socket folder can connect."""
        return f"postgresql://{_DATABASE}@/{_DATABASE}?host={quote(str(self.socket_dir))}"

    @property
    def lock_path(self) -> Path:
        """The file that is locked while a process prepares or serves the cluster."""
        return self.data_dir.with_name(f"{self.data_dir.name}.lock")

    def prepare(self) -> None:
        """Make everything that the server needs: programs, cluster, database, socket folder.

        It may be called again. An interruption at any point leaves nothing half made. Raises ConfigurationError, one
        line with cause and fix, if a folder cannot be used, or the cluster has another version or is in use.
        """
        account = server_account()
        self._check_socket_path()
        try:
            for folder in (self.data_dir.parent, self.socket_dir.parent, self.log_path.parent):
                folder.mkdir(parents=True, exist_ok=True)
                _refuse_unreachable(folder, account)
            found = find_binaries(self._explicit_bin_dir)
            binaries = reachable_binaries(found, account, beside=self.data_dir.parent)
            lock = lock_cluster(self.lock_path, LOCK_WAIT_S)
            try:
                self._ensure_cluster(binaries, account, lock)
                self._ensure_socket_dir(account)
            finally:
                os.close(lock)
        except OSError as error:
            raise ConfigurationError(
                f"cannot use {error.filename or self.data_dir} for PostgreSQL: {error.strerror}; "
                "free some space, mount it writable, or choose another data folder"
            ) from error
        self._account, self._binaries = account, binaries

    def argv(self) -> list[str]:
        """The command line that starts the server as a child of this process. Call `prepare` first."""
        account, binaries = self._prepared()
        settings = {**_SETTINGS, "unix_socket_directories": str(self.socket_dir)}
        user = [] if account.is_self else ["--user", account.name]
        return [
            *(sys.executable, "-B", "-m", "gaia.validator.db.postgres_exec", "--ppid", str(os.getpid()), *user),
            *("--lock", str(self.lock_path), "--data", str(self.data_dir)),
            *("--sockets", str(self.socket_dir), "--log", str(self.log_path), "--"),
            *(str(binaries.bin_dir / "postgres"), "-D", str(self.data_dir)),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server. Call it from the main thread: the parent-death signal depends on the spawning thread."""
        return subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL)

    def is_ready(self) -> bool:
        """Whether the server accepts connections now. Asks with pg_isready, for at most a few seconds."""
        _, binaries = self._prepared()
        asked = ["--host", str(self.socket_dir), "--username", _DATABASE, "--dbname", _DATABASE]
        command = [str(binaries.bin_dir / "pg_isready"), "--quiet", "--timeout", "2", "--port", _PORT, *asked]
        try:
            done = subprocess.run(command, check=False, timeout=_PROBE_TIMEOUT_S, env=environment())
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def wait_ready(self, timeout_s: float, *, alive: Callable[[], bool]) -> None:
        """Wait until the server accepts connections.

        Raises ServerNotReady with a line of the log if `alive()` becomes false or the time is up. Allow minutes: after
        a crash the server first replays its write-ahead log.
        """
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if not alive():
                raise ServerNotReady(f"PostgreSQL ended at its start: {self.last_complaint()}")
            if time.monotonic() > deadline:
                raise ServerNotReady(f"PostgreSQL is not ready after {timeout_s:.0f} s: {self.last_complaint()}")
            time.sleep(0.02)

    def last_complaint(self) -> str:
        """The last problem in the server's log, in one line."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 8192))
                complaint = complaint_in(log.read().decode("utf-8", errors="replace"))
        except OSError:
            return f"it left no log in {self.log_path}"
        return f"{complaint} (see {self.log_path})"

    def _prepared(self) -> tuple[Account, Binaries]:
        if self._account is None or self._binaries is None:
            raise ValidatorFault("EmbeddedPostgres.prepare() must be called before the server is started")
        return self._account, self._binaries

    def _check_socket_path(self) -> None:
        length = len(os.fsencode(self.socket_dir))
        if length > _LONGEST_SOCKET_DIR_BYTES:
            raise ConfigurationError(
                f"{self.socket_dir} is {length} bytes long; a Unix socket's folder may have "
                f"{_LONGEST_SOCKET_DIR_BYTES}: choose a data folder with a shorter path"
            )

    def _ensure_cluster(self, binaries: Binaries, account: Account, lock: int) -> None:
        for remains in self.data_dir.parent.glob(f".{self.data_dir.name}.init-*"):
            shutil.rmtree(remains)  # an earlier initdb was killed
        version_file = self.data_dir / "PG_VERSION"
        if version_file.exists():
            major = version_file.read_text(encoding="ascii", errors="replace").strip()
            self._check_cluster(major, binaries, account)
        elif self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise ConfigurationError(
                f"{self.data_dir} holds files but no PostgreSQL cluster: empty it or choose another folder"
            )
        else:
            self._create_cluster(binaries, account, lock)

    def _check_cluster(self, major: str, binaries: Binaries, account: Account) -> None:
        if not major.isdigit():
            raise ConfigurationError(
                f"{self.data_dir / 'PG_VERSION'} holds no version: the cluster is damaged; restore it from a backup "
                "(docs/explanation/database.md), or choose another data folder"
            )
        if major != str(binaries.major):
            raise ConfigurationError(
                f"{self.data_dir} was made by PostgreSQL {major}, but the programs in {binaries.bin_dir} are "
                f"version {binaries.version}: install version {major} again, or dump and reload it "
                "(docs/explanation/database.md)"
            )
        owner = self.data_dir.stat().st_uid
        if owner != account.uid:
            raise ConfigurationError(
                f"{self.data_dir} belongs to uid {owner}, but PostgreSQL would run as {account.name!r} "
                f"(uid {account.uid}): start as that user, or 'chown -R {account.name} {self.data_dir}'"
            )

    def _create_cluster(self, binaries: Binaries, account: Account, lock: int) -> None:
        """Run initdb in a scratch folder, add our database, write everything to disk, and rename the folder."""
        scratch = self.data_dir.with_name(f".{self.data_dir.name}.init-{os.getpid()}")
        scratch.mkdir(mode=0o700)

        def run(program: str, *arguments: str, stdin: str = "") -> None:
            command = [str(binaries.bin_dir / program), *arguments]
            # The program holds the lock too. If we are killed, nobody deletes the scratch folder while it runs.
            run_as(account, command, stdin=stdin, timeout_s=_INITDB_TIMEOUT_S, pass_fds=(lock,))

        try:
            _give(scratch, account)
            # trust: only users who may enter the socket folder (mode 0700) can connect at all
            options = ["--username", _DATABASE, "--auth", "trust", "--data-checksums", "--no-instructions"]
            run("initdb", "-D", str(scratch), *options, *_locale_options(binaries), "--no-sync")
            creation = f"CREATE DATABASE {_DATABASE};\n"
            single_user = ("-D", str(scratch), "-j", "-c", "fsync=off", "postgres")
            run("postgres", "--single", *single_user, stdin=creation)
            run("initdb", "-D", str(scratch), "--sync-only")
            scratch.rename(self.data_dir)  # replaces an empty folder, never a full one
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        _sync_folder(self.data_dir.parent)

    def _ensure_socket_dir(self, account: Account) -> None:
        with contextlib.suppress(FileExistsError):
            self.socket_dir.mkdir(mode=0o700)
            _give(self.socket_dir, account)
        found = self.socket_dir.lstat()
        ours = found.st_uid in (account.uid, os.geteuid())
        if not stat.S_ISDIR(found.st_mode) or not ours or found.st_mode & 0o022:  # somebody could put a false server in
            raise ConfigurationError(
                f"{self.socket_dir} is not a folder that belongs to {account.name!r} and that nobody else may write "
                "to: remove it or choose another data folder"
            )
        _give(self.socket_dir, account)
        self.socket_dir.chmod(0o700)


def _refuse_unreachable(folder: Path, account: Account) -> None:
    blocking = unreachable_folder(folder, account)
    if blocking is not None:
        raise ConfigurationError(
            f"PostgreSQL runs as user {account.name!r}, who cannot enter {blocking} on the way to {folder}: "
            f"allow it with 'chmod o+x {blocking}', or choose another data folder"
        )


def _locale_options(binaries: Binaries) -> list[str]:
    """UTF-8 ordered by code point. The order is the same on all machines, and a new C library spoils no index."""
    if binaries.major >= 17:
        return ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--encoding=UTF8", "--locale=C.UTF-8"]


def _give(folder: Path, account: Account) -> None:
    if not account.is_self:
        os.chown(folder, account.uid, account.gid)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
