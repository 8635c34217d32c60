"""Which cgroup may be used, and what is written where.

The folder here only looks like a group: these tests hold the order and content of the writes to cgroups(7). What the
kernel makes of them is in tests/integration/test_memory_groups.py, for machines that delegate one.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from gaia.validator.app.supervision.memory_groups import MemoryGroups, is_ours, own_group
from gaia.validator.app.telemetry.event_log import EventLog

LIMIT = 6_000_000


def proc_folder(tmp_path: Path, *, mounted: Path, kind: str = "cgroup2", groups: str = "0::/gaia.service\n") -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(
        f"25 1 0:23 / /proc rw - proc proc rw\n30 25 0:26 / {mounted} rw,nosuid shared:4 - {kind} {kind} rw\n"
    )
    (proc / "cgroup").write_text(groups)
    return proc


def group_folder(tmp_path: Path, controllers: str = "cpu memory pids\n") -> Path:
    folder = tmp_path / "sys" / "gaia.service"
    (folder / "supervisor").mkdir(parents=True)
    (folder / "worker-1").mkdir()
    (folder / "worker-1" / "memory.swap.max").write_text("max\n")
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.procs").write_text("41\n")
    (folder / "cgroup.subtree_control").write_text("")
    return folder


def test_our_group_is_found_by_its_mount_and_path(tmp_path: Path) -> None:
    folder = group_folder(tmp_path)
    assert own_group(proc_folder(tmp_path, mounted=tmp_path / "sys")) == folder


def test_in_the_leaf_of_an_earlier_start_our_group_is_the_one_above(tmp_path: Path) -> None:
    folder = group_folder(tmp_path)
    proc = proc_folder(tmp_path, mounted=tmp_path / "sys", groups="0::/gaia.service/supervisor\n")
    assert own_group(proc) == folder


@pytest.mark.parametrize(
    ("kind", "groups", "controllers"),
    [
        ("cgroup", "0::/gaia.service\n", "memory"),  # version 1 is mounted, not 2
        ("cgroup2", "4:memory:/gaia.service\n", "memory"),  # we are in no group of version 2
        ("cgroup2", "0::/gaia.service\n", "cpu pids"),  # memory is not among what it can bound
    ],
)
def test_a_group_that_could_not_bound_memory_is_none(tmp_path: Path, kind: str, groups: str, controllers: str) -> None:
    group_folder(tmp_path, controllers)
    assert own_group(proc_folder(tmp_path, mounted=tmp_path / "sys", kind=kind, groups=groups)) is None


def test_this_machine_is_asked_without_harm() -> None:
    found = own_group()
    assert found is None or found.is_dir()


def test_a_group_without_systemds_mark_is_left_alone(tmp_path: Path) -> None:
    folder = group_folder(tmp_path)
    assert not is_ours(folder)
    try:
        os.setxattr(folder, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system holds no attributes")
    assert is_ours(folder)


def test_we_move_into_a_leaf_before_memory_is_handed_down(tmp_path: Path) -> None:
    folder, stream = group_folder(tmp_path), io.StringIO()
    groups = MemoryGroups(folder, LIMIT, EventLog(stream=stream))
    assert groups.open()
    assert (folder / "supervisor" / "cgroup.procs").read_text() == "41"
    assert (folder / "cgroup.subtree_control").read_text() == "+memory"
    groups.hold(1, 77)
    assert (folder / "worker-1" / "memory.max").read_text() == str(LIMIT)
    assert (folder / "worker-1" / "memory.swap.max").read_text() == "0"
    assert (folder / "worker-1" / "cgroup.procs").read_text() == "77"
    assert json.loads(stream.getvalue())["event"] == "memory_groups_used"


def test_a_kernel_without_swap_bounds_memory_all_the_same(tmp_path: Path) -> None:
    folder = group_folder(tmp_path)
    MemoryGroups(folder, LIMIT, EventLog(stream=io.StringIO())).hold(0, 77)
    assert sorted(path.name for path in (folder / "worker-0").iterdir()) == ["cgroup.procs", "memory.max"]


def test_what_the_kernel_refuses_is_logged_and_done_without(tmp_path: Path) -> None:
    stream = io.StringIO()
    groups = MemoryGroups(tmp_path / "none", LIMIT, EventLog(stream=stream))
    assert not groups.open()
    groups.hold(0, 77)
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["memory_groups_unusable", "worker_not_in_group"]
