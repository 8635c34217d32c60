"""Machine code of kernels: it does what the function says, is kept, and is never that of something else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring.kernels import native_kernel
from gaia.tasks.defined_tasks.weather.scoring.kernels.native_kernel import (
    KernelMisused,
    KernelUnlinkable,
    code_paths,
    native,
)
from tests.support.disks import fill, tmpfs_of

_FIELD, _NUMBER, _SUMS = ("float32", 2, False), ("float64", 0, False), ("float64", 1, True)
_PARAMETERS = [_FIELD, _NUMBER, _SUMS]


def _weighted_sum(field, factor, sums) -> None:  # type: ignore[no-untyped-def]
    for row in field:
        for value in row:
            sums[0] += np.float64(value) * factor


def _allocating(field, factor, sums) -> None:  # type: ignore[no-untyped-def]
    sums[0] += np.empty(field.shape[0], dtype=np.float64).size * factor


@pytest.fixture(autouse=True)
def _kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "told"))


def _kept(function: Any = _weighted_sum, parameters: Any = _PARAMETERS) -> Path:
    return code_paths(function, parameters)[0]


def _sum(field: Any, factor: float = 2.0) -> float:
    sums = np.zeros(1)
    native(_weighted_sum, _PARAMETERS)(field, factor, sums)
    return float(sums[0])


def test_it_computes_what_the_function_says_from_read_only_fields() -> None:
    field = np.arange(6, dtype=np.float32).reshape(2, 3)
    field.flags.writeable = False
    assert _sum(field) == 2.0 * 15


def test_kept_code_is_taken_up_without_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _sum(np.ones((2, 2), np.float32)) == 8.0
    assert _kept().exists()
    monkeypatch.setattr(native_kernel, "_compile", lambda *_: pytest.fail("compiled again"))
    assert _sum(np.ones((2, 2), np.float32)) == 8.0


_SPOILT = {
    "empty": lambda _: b"",
    "a part of the digest": lambda code: code[:31],
    "the digest alone": lambda code: code[:32],
    "half": lambda code: code[: len(code) // 2],
    "a byte short": lambda code: code[:-1],
    "zeros at the end": lambda code: code[:-512] + bytes(512),
    "a byte of the digest changed": lambda code: code[:3] + bytes([code[3] ^ 1]) + code[4:],
    "a byte of the code changed": lambda code: code[:40] + bytes([code[40] ^ 1]) + code[41:],
}


@pytest.mark.parametrize("spoil", _SPOILT.values(), ids=_SPOILT)
def test_spoilt_code_is_never_run(spoil: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _sum(np.ones((2, 2), np.float32))
    path = _kept()
    path.write_bytes(spoil(path.read_bytes()))
    assert _sum(np.ones((2, 2), np.float32)) == 8.0
    monkeypatch.setattr(native_kernel, "_compile", lambda *_: pytest.fail("what was kept is spoilt still"))
    assert _sum(np.ones((2, 2), np.float32)) == 8.0


def test_on_a_full_disk_it_is_compiled_and_not_kept_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tmpfs_of(tmp_path / "disk", "size=64k") as disk:
        monkeypatch.setattr(sys, "pycache_prefix", "/proc/nowhere")
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(disk))
        fill(disk / "ballast")
        assert _sum(np.ones((2, 2), np.float32)) == 8.0
        assert [path.name for path in disk.iterdir()] == ["ballast"]
        (disk / "ballast").unlink()
        assert _sum(np.ones((2, 2), np.float32)) == 8.0
        assert [path.suffix for path in disk.iterdir()] == [".o"]
        monkeypatch.setattr(native_kernel, "_compile", lambda *_: pytest.fail("compiled again"))
        assert _sum(np.ones((2, 2), np.float32)) == 8.0


def _give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only the superuser can give a file away")
    os.chown(path, 12345, -1)


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


@pytest.mark.parametrize(
    "expose",
    [lambda path: path.chmod(0o664), lambda path: path.chmod(0o646), _give_away, _link],
    ids=["group may write", "others may write", "another's", "a link"],
)
def test_code_that_somebody_else_may_have_put_there_is_never_run(expose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bytes] = []
    compile_kernel = native_kernel._compile

    def watched(*arguments: Any) -> bytes:
        compiled.append(compile_kernel(*arguments))
        return compiled[-1]

    monkeypatch.setattr(native_kernel, "_compile", watched)
    _sum(np.ones((2, 2), np.float32))
    expose(_kept())
    assert _sum(np.ones((2, 2), np.float32)) == 8.0
    assert len(compiled) == 2
    assert _sum(np.ones((2, 2), np.float32)) == 8.0
    assert len(compiled) == 2, "what took its place is this user's own"


def test_a_pipe_in_the_place_of_kept_code_is_not_waited_for() -> None:
    _kept().parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(_kept())
    assert _sum(np.ones((2, 2), np.float32)) == 8.0


def test_another_function_or_other_types_have_other_code() -> None:
    paths = {
        _kept(),
        _kept(_allocating),
        _kept(_weighted_sum, [("float64", 2, False), _NUMBER, _SUMS]),
    }
    assert len(paths) == 3


@pytest.mark.parametrize("setting", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT"])
def test_a_compiler_told_otherwise_has_other_code(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = _kept()
    monkeypatch.setenv(setting, "1")
    assert _kept() != usual


@pytest.mark.parametrize(
    "field",
    [np.ones((2, 2)), np.ones(4, np.float32), np.ones((4, 4), np.float32)[:, ::2]],
    ids=["float64", "one dimension", "not C order"],
)
def test_arrays_that_it_was_not_compiled_for_are_refused(field: Any) -> None:
    with pytest.raises(KernelMisused, match="float32 of 2 dimensions in C order"):
        _sum(field)


def test_sums_must_be_writable() -> None:
    sums = np.zeros(1)
    sums.flags.writeable = False
    with pytest.raises(KernelMisused, match="writable"):
        native(_weighted_sum, _PARAMETERS)(np.ones((2, 2), np.float32), 1.0, sums)


def test_a_kernel_that_allocates_is_refused() -> None:
    with pytest.raises(KernelUnlinkable, match="_allocating"):
        native(_allocating, _PARAMETERS)


def test_where_no_folder_can_be_written_it_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", "/proc/nowhere")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/nowhere/else")
    assert _sum(np.ones((2, 2), np.float32)) == 8.0


def test_code_of_an_installation_that_cannot_be_written_is_kept_where_workers_keep_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", "/proc/nowhere")
    assert _sum(np.ones((2, 2), np.float32)) == 8.0
    assert [path.parent for path in tmp_path.rglob("*.o")] == [tmp_path / "told"]
    monkeypatch.setattr(native_kernel, "_compile", lambda *_: pytest.fail("compiled again"))
    assert _sum(np.ones((2, 2), np.float32)) == 8.0


def test_without_such_a_folder_it_is_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert code_paths(_weighted_sum, _PARAMETERS)[1].parent == tmp_path / "home" / ".cache" / "gaia"


@pytest.mark.slow
def test_taking_up_kept_code_imports_no_compiler(tmp_path: Path) -> None:
    module = tmp_path / "one_kernel.py"
    module.write_text("def add(number, sums):\n    sums[0] += number\n")
    program = (
        "import sys; import numpy as np; import one_kernel; "
        "from gaia.tasks.defined_tasks.weather.scoring.kernels.native_kernel import native\n"
        "sums = np.zeros(1); native(one_kernel.add, [('float64', 0, False), ('float64', 1, True)])(3.0, sums)\n"
        "print(sums[0], 'numba' in sys.modules)"
    )
    command = [sys.executable, "-X", f"pycache_prefix={tmp_path}", "-c", program]
    said = [
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=100, text=True).stdout.split()
        for _ in range(2)
    ]
    assert said == [["3.0", "True"], ["3.0", "False"]]
