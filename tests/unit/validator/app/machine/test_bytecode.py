"""Compiled modules of our processes: kept once, used after that, and never believed unless whole."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from gaia.validator.app.machine import bytecode
from gaia.validator.app.machine.bytecode import KeepingLoader, keeping
from gaia.validator.app.processes.child import python_module
from tests.support.disks import fill, tmpfs_of

PROGRAM = """
import sys
compiled = []
sys.addaudithook(lambda event, given: compiled.append(given[1]) if event == "compile" else None)
import some_module
print(some_module.answer, sum(name == some_module.__file__ for name in compiled), __name__, *sys.argv[1:])
"""
"""Says what the module holds, how often it had to be compiled, and as what it runs itself."""


@pytest.fixture(autouse=True)
def _as_in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "code" / "some_module.py"
    path.parent.mkdir()
    path.write_text("answer = 42\n", encoding="ascii")
    (path.parent / "program.py").write_text(PROGRAM, encoding="ascii")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "python"
    path.mkdir(parents=True)
    return path


def said(module: Path, folder: Path) -> list[str]:
    """What the program says in a process of its own."""
    argv = keeping(python_module("program", "one", "--two"), folder.parent)
    done = subprocess.run(argv, cwd=module.parent, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.split()


def answer_of(module: Path, folder: Path) -> int:
    """What the module holds, loaded as a child of ours loads it."""
    loader = KeepingLoader(str(folder), "some_module", str(module))
    spec = importlib.util.spec_from_file_location("some_module", module, loader=loader)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    loader.exec_module(made)
    answer: int = made.answer
    return answer


def compiled_beside(module: Path) -> Path:
    """Compile a module as an installer does."""
    path = py_compile.compile(str(module), doraise=True)
    assert path is not None
    return Path(path)


@pytest.fixture
def compiled(module: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The module's path once for every time that it is compiled."""
    seen: list[Path] = []
    compile_source = SourceFileLoader.source_to_code

    def watched(self: Any, data: Any, path: Any, **options: Any) -> Any:
        if isinstance(self, KeepingLoader) and Path(path) == module:
            seen.append(module)
        return compile_source(self, data, path, **options)

    monkeypatch.setattr(SourceFileLoader, "source_to_code", watched)
    return seen


def test_a_module_runs_as_python_would_run_it_and_is_compiled_once(module: Path, folder: Path) -> None:
    assert said(module, folder) == ["42", "1", "__main__", "one", "--two"]
    assert said(module, folder) == ["42", "0", "__main__", "one", "--two"]
    assert {path.name for path in folder.iterdir()} >= {"some_module.code", "program.code"}
    assert sorted(path.name for path in module.parent.iterdir()) == ["program.py", "some_module.py"]


def test_its_exit_status_and_its_last_line_on_stderr_come_through(module: Path, folder: Path) -> None:
    module.write_text("raise SystemExit('no such luck')\n", encoding="ascii")
    argv = keeping(python_module("some_module"), folder.parent)
    done = subprocess.run(argv, cwd=module.parent, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (1, "no such luck\n")


def test_a_program_that_is_no_module_of_ours_is_started_as_it_is(tmp_path: Path) -> None:
    for argv in (["/bin/true"], [sys.executable, "-c", "pass"], [sys.executable, "-m", "json.tool"]):
        assert keeping(argv, tmp_path) == argv


def test_what_is_compiled_beside_its_source_is_used(module: Path, folder: Path, compiled: list[Path]) -> None:
    compiled_beside(module)
    assert answer_of(module, folder) == 42
    assert (compiled, list(folder.iterdir())) == ([], [])


def test_a_kept_file_cut_short_anywhere_is_replaced(module: Path, folder: Path, compiled: list[Path]) -> None:
    answer_of(module, folder)
    kept = folder / "some_module.code"
    whole = kept.read_bytes()
    for length in range(len(whole)):
        kept.write_bytes(whole[:length])
        compiled.clear()
        assert (answer_of(module, folder), len(compiled)) == (42, 1), length
        assert (answer_of(module, folder), len(compiled)) == (42, 1), length


def test_a_kept_file_with_any_byte_changed_or_zeros_at_its_end_is_replaced(
    module: Path, folder: Path, compiled: list[Path]
) -> None:
    answer_of(module, folder)
    kept = folder / "some_module.code"
    whole = kept.read_bytes()
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    hollow = [whole[:at] + bytes(len(whole) - at) for at in range(len(whole) - 1)]
    for content in {*changed, *hollow, whole + b"\0"} - {whole}:
        kept.write_bytes(content)
        compiled.clear()
        assert (answer_of(module, folder), len(compiled)) == (42, 1)
        assert (answer_of(module, folder), len(compiled)) == (42, 1)


def test_another_source_under_the_same_name_is_compiled_though_size_and_time_are_the_same(
    module: Path, folder: Path
) -> None:
    answer_of(module, folder)
    before = module.stat()
    module.write_text("answer = 43\n", encoding="ascii")
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert module.stat().st_size == before.st_size
    assert answer_of(module, folder) == 43


def test_the_same_source_elsewhere_is_compiled_for_its_tracebacks_name_its_file(
    module: Path, folder: Path, tmp_path: Path
) -> None:
    answer_of(module, folder)
    moved = module.rename(tmp_path / "moved.py")
    code = KeepingLoader(str(folder), "some_module", str(moved)).get_code("some_module")
    assert code is not None
    assert code.co_filename == str(moved)


def test_what_another_compiler_kept_is_compiled_anew(
    module: Path, folder: Path, compiled: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_of(module, folder)
    monkeypatch.setattr(bytecode, "_COMPILER", b"of another Python")
    assert (answer_of(module, folder), len(compiled)) == (42, 2)


def test_on_a_full_disk_nothing_is_kept_and_all_runs_and_is_kept_once_there_is_room(
    module: Path, tmp_path: Path, compiled: list[Path]
) -> None:
    module.write_text(f"answer = 42\ntext = {'x' * 20_000!r}\n", encoding="ascii")
    with tmpfs_of(tmp_path / "disk", "size=64k") as disk:
        fill(disk / "ballast")
        os.truncate(disk / "ballast", 56 * 1024)  # room for two pages of six
        assert answer_of(module, disk) == 42
        assert [path.name for path in disk.iterdir()] == ["ballast"]
        (disk / "ballast").unlink()
        assert answer_of(module, disk) == 42
        assert answer_of(module, disk) == 42
        assert (len(compiled), [path.name for path in disk.iterdir()]) == (2, ["some_module.code"])


@pytest.mark.parametrize("prepare", [lambda _: None, lambda path: path.mkdir()], ids=["a file", "a folder"])
def test_where_nothing_can_be_kept_all_runs(module: Path, tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    (tmp_path / "not a folder").touch()
    prepare(tmp_path / "some_module.code")
    assert answer_of(module, tmp_path / "not a folder") == 42
    assert answer_of(module, tmp_path) == 42


def test_a_file_beside_its_source_cut_short_anywhere_is_thrown_away(
    module: Path, folder: Path, compiled: list[Path]
) -> None:
    installed = compiled_beside(module)
    whole = installed.read_bytes()
    header_bytes = 16  # shorter than that Python itself sees that it cannot be used
    for length in range(len(whole)):
        installed.write_bytes(whole[:length])
        assert answer_of(module, folder) == 42
        assert installed.exists() == (length < header_bytes), length
    assert len(compiled) == 1, "what is kept took the place of all of them"


def test_a_spoilt_file_in_an_installation_that_cannot_be_written_does_not_count(tmp_path: Path, folder: Path) -> None:
    with tmpfs_of(tmp_path / "disk", "size=1m") as disk:
        module = disk / "some_module.py"
        module.write_text("answer = 42\n", encoding="ascii")
        installed = compiled_beside(module)
        os.truncate(installed, 40)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, timeout=30)
        assert answer_of(module, folder) == 42
        assert installed.stat().st_size == 40


DYING = """
import os, signal, sys
import gaia.validator.app.machine.bytecode as bytecode
left = [int(sys.argv[1])]
def trace(frame, event, _):
    if frame.f_code is not bytecode._write.__code__:
        return None
    left[0] -= event == "line"
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace
sys.settrace(trace)
folder, module = sys.argv[2:]
print(bytecode.KeepingLoader(folder, "some_module", module).get_code("some_module").co_filename)
"""
"""Is killed before a certain line of the writing."""


def test_a_process_killed_at_any_line_of_the_writing_leaves_nothing_that_counts(module: Path, folder: Path) -> None:
    kept = folder / "some_module.code"
    statuses: list[int] = []
    while not statuses or statuses[-1] != 0:
        kept.unlink(missing_ok=True)
        command = [sys.executable, "-c", DYING, str(len(statuses)), str(folder), str(module)]
        statuses.append(subprocess.run(command, capture_output=True, check=False, timeout=30).returncode)
        assert not kept.exists() or kept.stat().st_size > 100
        assert answer_of(module, folder) == 42
    assert len(statuses) > 6
    assert set(statuses) == {-signal.SIGKILL, 0}
    drafts = {path.name for path in folder.iterdir()} - {kept.name}
    assert drafts
    assert all(name.startswith(".") and name.endswith(".tmp") for name in drafts), "as the cache keeper sweeps them"
