"""What a fault test hands to the table of `make faults`; and the ledger on disk that counts a unit's runs."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from msgspec import Struct

BEGIN = "<!-- faults: written by `make faults` -->"
END = "<!-- end of faults -->"


class FaultRow(Struct, frozen=True, kw_only=True):
    """One line of the table. `lost` and `twice` are None where no unit is at stake."""

    subject: str
    fault: str
    must: str
    outcome: str
    """`survived`, only when the test's assertions ran and passed; else what came instead."""
    did: str = ""
    lost: int | None = None
    twice: int | None = None
    recovered_s: float | None = None


class Witness:
    """Filled in by one fault test."""

    def __init__(self) -> None:
        self.did = ""
        self.lost: int | None = None
        self.twice: int | None = None
        self.recovered_s: float | None = None
        self._struck_at: float | None = None

    def strike(self) -> None:
        """The fault happens now: recovery is counted from here."""
        self._struck_at = time.monotonic()

    def recover(self) -> None:
        """All is as it should be again. The longest recovery of a test counts."""
        assert self._struck_at is not None, "nothing has happened yet"
        self.recovered_s = max(self.recovered_s or 0.0, time.monotonic() - self._struck_at)

    def saw(self, did: str) -> None:
        """What did happen, in words and figures; said after the assertions."""
        self.did = did


class Ledger:
    """A folder in which every run and every application of a unit leaves a file of its own, made with O_EXCL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("runs", "applied"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def stamp(self, name: str) -> int:
        """A run of the unit begins, in whatever process; how many began before it."""
        return self._note("runs", name)

    def apply(self, name: str) -> None:
        """The unit's result takes effect."""
        self._note("applied", name)

    def runs(self, name: str) -> int:
        """How often the unit was begun."""
        return self._counts("runs")[name]

    def runs_of_all(self) -> int:
        """How often any unit was begun."""
        return self._counts("runs").total()

    def units_applied(self) -> int:
        """How many different units took effect."""
        return len(self._counts("applied"))

    def check(self, names: Collection[str], *, struck: Collection[str] = ()) -> tuple[int, int]:
        """Units lost, and units applied twice. A unit that no fault struck counts as twice if it merely ran twice."""
        runs, applied = self._counts("runs"), self._counts("applied")
        lost = sum(applied[name] == 0 for name in names)
        twice = sum(applied[name] > 1 or (name not in struck and runs[name] > 1) for name in names)
        return lost, twice + len(set(applied) - set(names))

    def _note(self, kind: str, name: str) -> int:
        number = 0
        while True:
            try:
                os.close(os.open(self.folder / kind / f"{name}.{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            except FileExistsError:
                number += 1
            else:
                return number

    def _counts(self, kind: str) -> Counter[str]:
        return Counter(path.name.rpartition(".")[0] for path in (self.folder / kind).iterdir())


def table(rows: Iterable[FaultRow]) -> str:
    """The rows as Markdown."""
    lines = [
        "| who | fault | what must happen | what did | lost | twice | recovered | |",
        "|---|---|---|---|--:|--:|--:|---|",
    ]
    lines += [
        f"| {row.subject} | {row.fault} | {row.must} | {row.did} | {_number(row.lost)} | {_number(row.twice)} "
        f"| {_seconds(row.recovered_s)} | {row.outcome} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def put_between_marks(page: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the marks of a page. Raises ValueError if they are not there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no section between {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
