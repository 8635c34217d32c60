"""What a service manager is told of several troubles at once, over a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaia.validator.app.machine.service_manager import ServiceManager
from gaia.validator.app.supervision.status_line import StatusLine, Trouble


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.setblocking(False)
        yield bound


@pytest.fixture
def standing(heard: socket.socket) -> StatusLine:
    return StatusLine(ServiceManager(heard.getsockname()))


def all_of(heard: socket.socket) -> list[str]:
    said: list[str] = []
    while True:
        try:
            said.append(heard.recv(4096).decode())
        except BlockingIOError:
            return said


def test_one_trouble_hides_no_other_and_its_end_leaves_the_other(standing: StatusLine, heard: socket.socket) -> None:
    standing.come_up()
    standing.note(Trouble.DISK, "")
    standing.note(Trouble.SLOTS, "worker 1 keeps failing")
    standing.note(Trouble.DISK, None)
    room = "waiting for room on the disk of the data folder"
    assert all_of(heard) == [
        "READY=1\nSTATUS=running",
        f"STATUS=running; {room}",
        f"STATUS=running; degraded: worker 1 keeps failing; {room}",
        "STATUS=running; degraded: worker 1 keeps failing",
    ]


def test_what_is_no_news_is_not_said_again(standing: StatusLine, heard: socket.socket) -> None:
    for detail in ("", "", None, None):
        standing.note(Trouble.DISK, detail)
    assert len(all_of(heard)) == 2


def test_refused_settings_are_told_until_others_are_taken_up(standing: StatusLine, heard: socket.socket) -> None:
    standing.come_up()
    standing.reloading()
    standing.reloaded(refused="GAIA_TRUTH: no")
    standing.note(Trouble.DISK, "")
    standing.note(Trouble.DISK, None)
    standing.reloaded()
    said = [line for each in all_of(heard) for line in each.splitlines() if line.startswith("STATUS=")]
    assert said[1].endswith("the old settings hold: GAIA_TRUTH: no")
    assert "the old settings hold: GAIA_TRUTH: no; waiting" in said[2]
    assert said[-1] == "STATUS=running"


def test_a_detail_of_several_lines_with_a_password_is_one_line_without_it(
    standing: StatusLine, heard: socket.socket
) -> None:
    standing.note(Trouble.ENGINE, "postgresql://me:secret@host/gaia\nREADY=1")
    assert all_of(heard) == ["STATUS=starting; the IO-Engine cannot start: postgresql://me:***@host/gaia READY=1"]


def test_once_the_stop_has_begun_nothing_else_is_told(standing: StatusLine, heard: socket.socket) -> None:
    standing.stopping()
    standing.note(Trouble.DISK, "")
    assert all_of(heard) == ["STOPPING=1\nSTATUS=stopping"]
