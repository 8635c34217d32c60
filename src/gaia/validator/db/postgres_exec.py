"""Becomes the PostgreSQL server: `python -m gaia.validator.db.postgres_exec --ppid N ... -- postgres ...`.

This small program runs between the supervisor and the server, so that the supervisor can start the server like any
other child. It does what must happen in the server's own process before the server starts. It takes the lock on the
cluster, which the server then holds as long as any of its processes lives. It removes a stale pid file (never without
the lock), changes to the unprivileged account, and sets the parent-death signal. The signal comes last, because the
kernel clears it at the change of account.

It uses only the standard library.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from gaia.contracts.errors import ConfigurationError, GaiaError

FAST_STOP_SIGNAL = signal.SIGINT
"""Tells the server to roll back open transactions, write a checkpoint and end."""

LOCK_WAIT_S = 10.0
"""How long to wait for the lock. The server of a killed owner needs a moment to end."""

EXIT_REFUSED = 3
"""The exit status if a new try cannot help. The last line of stderr has the reason."""

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT_BYTES = 16 * 2**20


class ClusterInUseError(ConfigurationError):
    """Another server uses this cluster."""


def lock_cluster(lock_path: Path, wait_s: float, *, still_wanted: Callable[[], bool] = lambda: True) -> int:
    """Take the lock on a cluster, and wait up to `wait_s` for it. Returns the descriptor that holds the lock.

    Raises ClusterInUseError if the time is up or `still_wanted()` becomes false.
    """
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline or not still_wanted():
                os.close(descriptor)
                raise ClusterInUseError(
                    f"another PostgreSQL runs on {lock_path.with_suffix('')}: stop the other validator on "
                    "this data folder, or choose another folder"
                ) from None
            time.sleep(0.02)
        else:
            return descriptor


def clear_stale_pid_files(data_dir: Path, socket_dir: Path) -> None:
    """Remove the pid files of a dead server if PostgreSQL would take them for those of a running one.

    After a SIGKILL or a reboot another process may have the old pid (in a container it nearly always does), and
    PostgreSQL then refuses to start. Call this only with the lock on the cluster: then no server of ours runs. A server
    that was started by hand is recognised by its working folder or by its answer, and raises ClusterInUseError.
    """
    for path in (data_dir / "postmaster.pid", *socket_dir.glob(".s.PGSQL.*.lock")):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        if pid is not None and not Path(f"/proc/{pid}").exists():
            continue  # PostgreSQL itself finds out that no process has this pid
        sockets = list(socket_dir.glob(".s.PGSQL.*[0-9]"))
        if len(lines) > 4:  # a postmaster.pid names port and socket folder in its 4th and 5th line
            sockets.append(Path(lines[4].strip()) / f".s.PGSQL.{lines[3].strip()}")
        if _is_server_of(pid, data_dir) or any(map(_answers, sockets)):
            raise ClusterInUseError(f"a PostgreSQL that we did not start (pid {pid}) runs on {data_dir}: stop it first")
        path.unlink(missing_ok=True)


def become(argv: list[str], *, user: str | None, parent_pid: int) -> NoReturn:
    """Change to the account `user`, tie this process to its parent, and execute `argv` in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if libc.prctl(_PR_SET_PDEATHSIG, FAST_STOP_SIGNAL, 0, 0, 0) != 0:
        raise ConfigurationError(f"cannot set the parent-death signal: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:  # it died before the signal was set
        sys.exit(0)
    os.chdir("/")
    os.execv(argv[0], argv)  # noqa: S606  a fixed program, no shell


def main(arguments: Sequence[str]) -> NoReturn:
    """Prepare this process and become the server. If it must not start, exit with EXIT_REFUSED and one line."""
    options = _parse(arguments)
    if os.getpgrp() != os.getpid():
        os.setsid()  # so that only the supervisor gets a Ctrl-C at the terminal; the server stops last
    try:
        lock = lock_cluster(options.lock, LOCK_WAIT_S, still_wanted=lambda: os.getppid() == options.ppid)
        clear_stale_pid_files(options.data, options.sockets)
        _redirect_output(options.log)
        os.set_inheritable(lock, True)
        become(options.server, user=options.user, parent_pid=options.ppid)
    except GaiaError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"cannot start PostgreSQL: {error.strerror} ({error.filename})")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="postgres_exec", description="becomes the embedded PostgreSQL server")
    parser.add_argument("--ppid", type=int, required=True, help="the supervisor; the server ends when it does")
    parser.add_argument("--user", help="account to drop to; needed when started by root")
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sockets", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("server", nargs="+", help="program and arguments, after --")
    return parser.parse_args(arguments)


def _refuse(message: str) -> NoReturn:
    sys.stderr.write(f"FATAL:  {message}\n")
    sys.exit(EXIT_REFUSED)


def _redirect_output(log_path: Path) -> None:
    """Connect stdin to /dev/null, and stdout and stderr to the log. A large log is first renamed."""
    if log_path.exists() and log_path.stat().st_size > _LOG_LIMIT_BYTES:
        log_path.replace(log_path.with_name(f"{log_path.name}.1"))
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)


def _is_server_of(pid: int | None, data_dir: Path) -> bool:
    """Whether a process is a server of this cluster: its working folder is the cluster. If the folder may not be read,
    every process with the name of PostgreSQL counts.
    """
    process = Path(f"/proc/{pid}")
    try:
        return pid is not None and (process / "cwd").samefile(data_dir)
    except PermissionError:
        return (process / "comm").read_text(encoding="utf-8").strip() == "postgres"
    except OSError:  # the process has ended in the meantime
        return False


def _answers(socket_path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(socket_path))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    main(sys.argv[1:])
