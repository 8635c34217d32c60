"""`python -m benchmarks.backbone.watch --data-dir FOLDER [--minutes 60] [--every 10]`: what a running validator costs.

Looks at a supervisor that runs and at its children, from outside: resident memory, processor
time, threads and open files by role, from /proc. Writes one line a sample, prints a table; touches nobody.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final, TextIO

import msgspec
from msgspec import Struct

from gaia.validator.app.machine.memory import process_usage

MIB: Final = 1024 * 1024
SUPERVISOR: Final = "supervisor"
_MODULES: Final = {
    "gaia.validator.app.io_engine": "io_engine",
    "benchmarks.backbone.soak_engine": "io_engine",
    "gaia.validator.app.compute.compute_worker": "compute_worker",
    "postgres": "postgres",
}


class Look(Struct, frozen=True, kw_only=True):
    """One role at one moment, all its processes together."""

    at_s: float
    role: str
    processes: int
    resident_bytes: int
    anonymous_bytes: int
    cpu_s: float
    threads: int
    open_files: int


def looks_at(supervisor_pid: int, at_s: float) -> list[Look]:
    """The supervisor and every role that its children have now; empty once it is gone."""
    by_role: dict[str, list[int]] = {SUPERVISOR: [supervisor_pid]}
    for pid in children_of(supervisor_pid):
        by_role.setdefault(role_of(pid), []).append(pid)
    looks = [_look(role, pids, at_s) for role, pids in by_role.items()]
    return looks if looks[0].processes else []


def children_of(pid: int) -> list[int]:
    """Its children, by the kernel's own list: proc_pid_task_children(5)."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def role_of(pid: int) -> str:
    """By the command line: which module of ours it runs."""
    with suppress(FileNotFoundError, ProcessLookupError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        return next((role for module, role in _MODULES.items() if module in line), "other")
    return "other"


def _look(role: str, pids: Sequence[int], at_s: float) -> Look:
    # One that has ended and waits to be collected has no memory.
    usages = [(pid, usage) for pid in pids if (usage := process_usage(pid)) is not None and usage.resident_bytes]
    return Look(
        at_s=at_s,
        role=role,
        processes=len(usages),
        resident_bytes=sum(usage.resident_bytes for _, usage in usages),
        anonymous_bytes=sum(usage.anonymous_bytes for _, usage in usages),
        cpu_s=sum(usage.cpu_s for _, usage in usages),
        threads=sum(_entries(pid, "task") for pid, _ in usages),
        open_files=sum(_entries(pid, "fd") for pid, _ in usages),
    )


def _entries(pid: int, folder: str) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return sum(1 for _ in Path(f"/proc/{pid}/{folder}").iterdir())
    return 0


def watched(supervisor_pid: int, *, minutes: float, every_s: float, table: TextIO) -> Iterator[Look]:
    """Look so long, or until it ends, one line of the table for each look."""
    writer = csv.DictWriter(table, Look.__struct_fields__)
    writer.writeheader()
    began_s = time.monotonic()
    while (at_s := time.monotonic() - began_s) <= 60.0 * minutes:
        looks = looks_at(supervisor_pid, at_s)
        if not looks:
            return
        for look in looks:
            writer.writerow(msgspec.structs.asdict(look))
            yield look
        table.flush()
        time.sleep(every_s)


def looks_table(looks: Sequence[Look]) -> str:
    """By role: how many processes, what each has of memory, processor time of all, open files of all."""
    by_role: dict[str, list[Look]] = {}
    for look in looks:
        if look.processes:
            by_role.setdefault(look.role, []).append(look)
    lines = [
        "| role | processes | resident (each), first and last tenth, highest | anonymous, highest | processor "
        "| open files, first, last, most |",
        "|---|--:|--:|--:|--:|--:|",
        *(_row(role, found) for role, found in by_role.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(role: str, looks: Sequence[Look]) -> str:
    resident = [look.resident_bytes / look.processes / MIB for look in looks]
    anonymous = max(look.anonymous_bytes / look.processes for look in looks) / MIB
    tenth = max(1, len(resident) // 10)
    files = [look.open_files for look in looks]
    return (
        f"| {role} | {_range([look.processes for look in looks])} "
        f"| {median(resident[:tenth]):.1f}, {median(resident[-tenth:]):.1f}, {max(resident):.1f} MiB "
        f"| {anonymous:.1f} MiB | {_share(looks)} | {files[0]}, {files[-1]}, {max(files)} |"
    )


def _share(looks: Sequence[Look]) -> str:
    """Of one core. None of a role whose processes were replaced: what the dead had used is not in the sum."""
    first, last = looks[0], looks[-1]
    same = all(b.processes == a.processes and b.cpu_s >= a.cpu_s for a, b in itertools.pairwise(looks))
    if not same or last.at_s <= first.at_s:
        return "-"
    return f"{100 * (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s):.2f} %"


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def pid_in(data_dir: Path) -> int:
    """Of the supervisor that holds a data folder."""
    return int((data_dir / "gaia.lock").read_text(encoding="ascii"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Look on, then print the table; 1 if there was nothing to see."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backbone.watch", description=__doc__)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--pid", type=int, help="of the supervisor")
    who.add_argument("--data-dir", type=Path, help="its data folder, where its pid stands")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between looks")
    parser.add_argument("--csv", type=Path, default=Path("out/bench/watch.csv"))
    options = parser.parse_args(arguments)
    pid: int = options.pid if options.pid is not None else pid_in(options.data_dir)
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with options.csv.open("w", encoding="ascii", newline="") as table:
        looks = list(watched(pid, minutes=options.minutes, every_s=options.every, table=table))
    if not looks:
        print(f"no process {pid}", file=sys.stderr)
        return 1
    print(f"{(looks[-1].at_s - looks[0].at_s) / 60:.1f} minutes\n\n{looks_table(looks)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
