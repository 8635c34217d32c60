"""Finding PostgreSQL's programs, and reading what they complain of."""

from __future__ import annotations

import importlib.util
import os
import pwd
import stat
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.db.postgres_binaries import (
    Account,
    complaint_in,
    environment,
    find_binaries,
    reachable_binaries,
    run_as,
    server_account,
)

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
