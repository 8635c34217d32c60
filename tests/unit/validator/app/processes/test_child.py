"""Starting, hearing and ending a child."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from gaia.validator.app.processes.child import Child, SpawnedFromThread
from gaia.validator.app.processes.child_slot import file_in_memory
from tests.support.waiting import until

pytestmark = pytest.mark.processes


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_gets_what_is_added_and_not_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("DATABASE_URL", "secret")
    code = (
        "import os, sys; e = os.environ; sys.exit(not (e['KEPT'], e['NEW'], e.get('DATABASE_URL')) == ('1', '2', None))"
    )
    child = Child.spawn(python(code), environment={"NEW": "2"}, without=("DATABASE_URL",))
    assert child.wait(30)
    assert child.exit_status == 0
    child.close()


def test_a_child_reads_what_a_file_in_memory_holds() -> None:
    with file_in_memory(100_000 * b"long") as file:
        child = Child.spawn(
            python("import sys; sys.exit(sys.stdin.buffer.read() != 100_000 * b'long')"), stdin=file.fileno()
        )
    assert child.wait(30)
    assert child.exit_status == 0
    child.close()


def test_what_a_child_tells_arrives_message_by_message_and_makes_it_ready() -> None:
    child = Child.spawn(
        python("import os, sys; fd = int(sys.argv[-1]); os.write(fd, b'one'); os.write(fd, b'two'); input()"),
        with_status=True,
    )
    assert child.messages() == [] or child.said_ready
    child.wait(30)
    assert child.messages() == [b"one", b"two"]
    assert child.said_ready
    assert child.status_ended
    child.close()


def test_a_child_leads_a_session_of_its_own_so_that_the_terminals_signals_pass_it_by() -> None:
    child = Child.spawn(python("import os, sys; sys.exit(os.getsid(0) != os.getpid())"))
    assert child.wait(30)
    assert child.exit_status == 0
    child.close()


def test_a_child_that_does_not_listen_is_killed() -> None:
    code = (
        "import signal, os, sys, time; signal.signal(15, signal.SIG_IGN)\n"
        "os.write(int(sys.argv[-1]), b'1'); time.sleep(600)"
    )
    child = Child.spawn(python(code), with_status=True)
    until(child.messages, "the child ignores SIGTERM")
    child.ask_to_end()
    assert not child.wait(0.1)
    assert child.alive
    child.kill()
    assert child.wait(30)
    assert (child.exit_status, child.expected_to_end) == (-signal.SIGKILL, True)
    child.send_signal(signal.SIGTERM)  # nobody is there any more
    child.close()


def test_a_child_must_not_be_started_from_a_thread() -> None:
    refusals: list[SpawnedFromThread] = []

    def spawn() -> None:
        try:
            Child.spawn(python(""))
        except SpawnedFromThread as error:
            refusals.append(error)

    thread = threading.Thread(target=spawn)
    thread.start()
    thread.join(30)
    assert len(refusals) == 1


def test_a_program_that_does_not_exist_leaves_nothing_open() -> None:
    with pytest.raises(FileNotFoundError):
        Child.spawn(["/no/such/program"], with_status=True)
