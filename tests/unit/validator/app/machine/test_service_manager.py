"""What a service manager hears, over a real socket."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaia.validator.app.machine.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@gaia-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("\0" + name[1:] if name.startswith("@") else name)
        bound.settimeout(10)
        yield bound, name


def test_each_state_is_said_in_the_protocols_words(listener: tuple[socket.socket, str]) -> None:
    bound, address = listener
    service = ServiceManager(address)
    service.ready("running")
    service.status("degraded")
    service.reloading()
    service.stopping()
    service.close()
    service.status("unheard")
    heard = [bound.recv(4096).decode() for _ in range(4)]
    assert heard[:2] == ["READY=1\nSTATUS=running", "STATUS=degraded"]
    state, moment = heard[2].splitlines()
    assert state == "RELOADING=1"
    assert moment.removeprefix("MONOTONIC_USEC=").isdecimal()
    assert heard[3] == "STOPPING=1\nSTATUS=stopping"
    bound.setblocking(False)
    with pytest.raises(BlockingIOError):
        bound.recv(4096)


def test_the_watchdog_is_fed_at_half_its_time_and_not_more_often(listener: tuple[socket.socket, str]) -> None:
    bound, address = listener
    service = ServiceManager(address, watchdog_s=10.0)
    assert service.next_feeding_in_s(100.0) == 0.0
    for now in (100.0, 101.0, 104.9, 105.0, 106.0):
        service.feed(now)
    assert service.next_feeding_in_s(106.0) == 4.0
    assert [bound.recv(4096) for _ in range(2)] == [b"WATCHDOG=1"] * 2
    bound.setblocking(False)
    with pytest.raises(BlockingIOError):
        bound.recv(4096)
    service.close()


def test_without_a_service_manager_nothing_is_said_and_nothing_is_due() -> None:
    service = ServiceManager(None, watchdog_s=10.0)
    service.ready("running")
    service.feed(1.0)
    assert service.next_feeding_in_s(1.0) is None
    service.close()


def test_one_that_has_gone_harms_nobody(tmp_path: Path) -> None:
    service = ServiceManager(str(tmp_path / "nobody"), watchdog_s=1.0)
    service.ready("running")
    service.feed(1.0)
    service.close()


def test_it_says_where_it_listens_and_how_often_in_the_environment_of_whom_it_starts(
    listener: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, address = listener
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    service = ServiceManager.of_this_process()
    service.feed(100.0)
    assert bound.recv(4096) == b"WATCHDOG=1"
    assert service.next_feeding_in_s(100.0) == 15.0
    service.close()


@pytest.mark.parametrize(("usec", "pid"), [("30000000", "1"), ("soon", ""), ("0", ""), (None, "")])
def test_a_watchdog_that_is_not_ours_is_not_fed(
    listener: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener[1])
    monkeypatch.setenv("WATCHDOG_PID", pid)
    if usec is None:
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    else:
        monkeypatch.setenv("WATCHDOG_USEC", usec)
    service = ServiceManager.of_this_process()
    assert service.next_feeding_in_s(100.0) is None
    service.close()


def test_who_was_started_by_none_has_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    service = ServiceManager.of_this_process()
    service.ready("running")
    assert service.next_feeding_in_s(1.0) is None
    service.close()
