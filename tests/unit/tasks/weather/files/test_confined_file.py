"""Opening by name inside one folder: what is found, and everything that leads out of it; by either way of opening."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from gaia.tasks.defined_tasks.weather.files import confined_file
from gaia.tasks.defined_tasks.weather.files.confined_file import UnsafePath, open_confined


@pytest.fixture(params=["at once", "by steps", "forbidden at once"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the kernel has it; as one has it that lacks the call; as a container has it that forbids the call."""
    number = {"by steps": errno.ENOSYS, "forbidden at once": errno.EPERM}.get(request.param)
    if number is not None:

        def refused(*_: object) -> int:
            ctypes.set_errno(number)
            return -1

        monkeypatch.setattr(confined_file, "_openat2", refused)
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before  # nothing is left open


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    (inside / "c" / "0").mkdir(parents=True)
    (inside / "c" / "0" / "1").write_bytes(b"chunk")
    (tmp_path / "outside").write_bytes(b"secret")
    return inside


def read(folder: Path, name: str) -> bytes:
    with open_confined(folder, name) as file:
        return file.read()


def test_a_file_below_the_folder_is_read(folder: Path) -> None:
    assert read(folder, "c/0/1") == b"chunk"


def test_a_file_that_is_not_there_is_not_found(folder: Path) -> None:
    for name in ("c/0/2", "c/1/1"):
        with pytest.raises(FileNotFoundError):
            read(folder, name)


@pytest.mark.parametrize(
    "name", ["", "../outside", "c/../c/0/1", "./c/0/1", "/etc/hostname", "c//0/1", "c/0/", "c/0/1\0"]
)
def test_a_name_that_is_no_plain_path_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UnsafePath, match="does not name a file inside a folder"):
        read(folder, name)


@pytest.mark.parametrize("target", ["../outside", "c/0/1", "/etc/hostname", "nowhere"])
def test_no_link_is_followed_wherever_it_leads(folder: Path, target: str) -> None:
    (folder / "file").symlink_to(target)
    with pytest.raises(UnsafePath, match="leads through a link"):
        read(folder, "file")


@pytest.mark.parametrize("target", ["..", "c", "/"])
def test_no_linked_folder_is_entered(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    with pytest.raises(UnsafePath, match="leads through a link"):
        read(folder, "link/outside")


def test_what_is_no_regular_file_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with chdir(folder), socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name in ("pipe", "socket", "c", "c/0/1/2"):
            with pytest.raises(UnsafePath, match=r"no regular file|not a regular file"):
                read(folder, name)


def test_another_error_is_told_as_it_is(folder: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        read(folder, "c/" + 300 * "x")


def test_a_signal_meanwhile_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening, interruptions = confined_file._openat2, [errno.EINTR] * 2

    def interrupted(root: int, name: str) -> int:
        if not interruptions:
            return opening(root, name)
        ctypes.set_errno(interruptions.pop())
        return -1

    monkeypatch.setattr(confined_file, "_openat2", interrupted)
    assert read(folder, "c/0/1") == b"chunk"
    assert not interruptions
