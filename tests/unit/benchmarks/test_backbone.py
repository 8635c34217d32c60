"""The backbone's benchmark and its soak run, at small counts, and count what they say they count."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import uvloop

from benchmarks.backbone import soak, watch
from benchmarks.backbone.contenders import CONTENDERS
from benchmarks.backbone.instruments import percentile, unique_bytes
from benchmarks.backbone.lives import Leak, leaking, leaps
from benchmarks.backbone.speed import OURS, compare, markdown, ratio
from tests.support.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300), pytest.mark.usefixtures("unmeasured_children")]
MIB = 1024 * 1024


def test_percentiles_are_ranks() -> None:
    assert [percentile(range(1, 101), percent) for percent in (0, 50, 99)] == [1, 51, 100]
    assert percentile([], 50) == 0.0


def growth_of_unique_memory() -> int:
    """What a map of 32 MiB adds: one of its own, for malloc might give memory that earlier tests have given back."""
    pid = int(Path("/proc/self").resolve().name)
    before = unique_bytes(pid)
    with mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        for _ in range(32):
            block.write(bytes(MIB))
        return unique_bytes(pid) - before


def test_unique_memory_is_that_of_private_pages() -> None:
    # Not always at once: a library's page counts no more as soon as another process reads it, too.
    until(lambda: 32 * MIB <= growth_of_unique_memory() < 40 * MIB, "32 MiB more are counted")


def test_every_contender_does_units() -> None:
    speeds = uvloop.run(compare(workers=1, rounds=1, pings=20))
    assert set(speeds) == set(CONTENDERS)
    assert all(speed.units_per_s > 0 and len(speed.round_trips_us[0]) == 20 for speed in speeds.values())
    assert ratio(speeds, OURS, OURS) == 1.0
    assert markdown(speeds, 1, [10.0]).count("\n") == len(CONTENDERS) + 3


def test_a_baseline_is_what_workers_of_a_part_began_with() -> None:
    leak = Leak(
        soft_bytes=100,
        workers=[1, 2, 1, 2, 3, 3, 4, 5, 5, 4],
        anonymous_bytes=[10, 11, 20, 21, 12, 22, 14, 16, 26, 24],
        engine_bytes=[0] * 10,
        lost=0,
        retired=3,
    )
    assert leak.baseline_bytes(slice(0, 10)) == 14  # workers 3, 4 and 5: the first two may be older than the part


def test_leaks_are_answered_by_new_workers() -> None:
    leak = uvloop.run(leaking(600))
    assert (leak.lost, len(leak.anonymous_bytes)) == (0, 600)
    assert leak.retired >= 1
    assert len(set(leak.workers)) >= 3


def test_a_leap_is_seen_from_outside() -> None:
    leapt = uvloop.run(leaps(1))
    assert leapt.kills == 1
    assert leapt.worst_bytes > 0


def test_a_short_soak_loses_nothing(tmp_path: Path) -> None:
    assert soak.main(["--minutes", "0.1", "--out", str(tmp_path)]) == 0
    assert "units asked, answered, answered wrongly" in (tmp_path / "soak.md").read_text()
    samples = msgspec.json.decode((tmp_path / "soak.json").read_bytes(), type=list[soak.Sample])
    assert samples[-1].answered > 0
    roles = {look.role: look for look in samples[-1].looks}
    assert set(roles) == {"supervisor", "io_engine", "compute_worker"}
    assert roles["supervisor"].resident_bytes < 40 * MIB
    assert 0 < roles["supervisor"].open_files < 30


def test_what_a_process_and_its_children_cost_is_read_from_outside() -> None:
    code = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        (child,) = watch.children_of(parent.pid)
        try:
            parent_look, child_look = watch.looks_at(parent.pid, 1.5)
        finally:
            os.kill(child, signal.SIGKILL)
    assert (parent_look.role, parent_look.processes, parent_look.threads) == ("supervisor", 1, 1)
    assert (child_look.role, child_look.processes, child_look.at_s) == ("other", 1, 1.5)
    assert parent_look.resident_bytes > parent_look.anonymous_bytes > MIB
    assert watch.looks_at(parent.pid, 2.0) == []
