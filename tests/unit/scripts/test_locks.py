"""The locks hold nothing but pins, alike in both, and in every form in which an old pip looks for them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))

from lock_file import RUNNING, TESTING, BadLock, read_lock
from pin_bare_names import with_bare_names

HASH = f"--hash=sha256:{'0' * 64}"


@pytest.mark.parametrize("lock", [RUNNING, TESTING])
def test_every_entry_of_a_lock_is_a_pin_with_hashes(lock: Path) -> None:
    assert len(read_lock(lock)) > 50


def test_what_running_needs_is_pinned_alike_for_the_tests() -> None:
    testing = {(pin.name, pin.version, pin.hashes) for pin in read_lock(TESTING)}
    assert {(pin.name, pin.version, pin.hashes) for pin in read_lock(RUNNING)} <= testing


@pytest.mark.parametrize("lock", [RUNNING, TESTING])
def test_a_pin_with_an_extra_stands_there_without_it_too(lock: Path) -> None:
    lines = [pin.line for pin in read_lock(lock)]
    with_extra = [line for line in lines if "[" in line]
    assert with_extra
    assert {re.sub(r"\[.*\]", "", line) for line in with_extra} <= set(lines)


@pytest.mark.parametrize(
    "entry",
    [
        "--index-url file:///wheels",
        f"coverage>=7.17 {HASH}",
        f"coverage==7.* {HASH}",
        f"coverage @ file:///coverage.whl {HASH}",
        "coverage==7.17.3",
    ],
)
def test_an_entry_that_is_no_pin_is_refused(entry: str, tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(f"attrs==26.1.0 {HASH}\n{entry}\n", encoding="utf-8")
    with pytest.raises(BadLock, match=r"coverage|index-url"):
        read_lock(lock)


def test_a_bare_name_comes_before_its_extra_and_once() -> None:
    lock = (
        f"attrs==26.1.0 \\\n    {HASH}\ndask[array]==2.0 ; python_version < '3.12' \\\n    {HASH}\nzipp==4.1 {HASH}\n"
    )
    expected = (
        f"attrs==26.1.0 \\\n    {HASH}\n"
        f"dask==2.0 ; python_version < '3.12' \\\n    {HASH}\n"
        f"dask[array]==2.0 ; python_version < '3.12' \\\n    {HASH}\n"
        f"zipp==4.1 {HASH}\n"
    )
    assert with_bare_names(lock) == expected
    assert with_bare_names(expected) == expected
