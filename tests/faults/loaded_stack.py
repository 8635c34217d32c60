"""A real supervisor with engine and workers, and units whose runs and results are counted from outside."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from tests.support.backbone_stack import Stack
from tests.support.fault_handlers import FAULT_REGISTRY
from tests.support.fault_report import Ledger, Witness
from tests.support.waiting import children_of, is_running, until


class LoadedStack:
    """Give it units; strike; then account for all of them."""

    def __init__(self, stack: Stack, ledger: Ledger, witness: Witness) -> None:
        self.stack = stack
        self.ledger = ledger
        self.witness = witness
        self._names: list[str] = []
        self._struck: set[str] = set()
        stack.registry = FAULT_REGISTRY

    def start(self, *, environment: Mapping[str, str] | None = None, through: Sequence[str] = ()) -> None:
        """As an operator would start it, perhaps `through` a program that runs what follows on its command line."""
        with self.stack.log_path.open("ab") as log:
            self.stack.process = subprocess.Popen(
                [*through, *self.stack.argv()],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def give(self, count: int, **payload: Any) -> list[str]:
        """So many units of `stamp`."""
        first = len(self._names)
        names = [f"unit-{number:05}" for number in range(first, first + count)]
        for name in names:
            self.stack.do(name, "stamp", ledger=str(self.ledger.folder), name=name, **payload)
        self._names += names
        return names

    def strike(self) -> None:
        """The fault happens now; what is begun and has no result yet may run again."""
        self._struck |= {name for name in self._names if self.ledger.runs(name) > 0 and not self._has_result(name)}
        self.witness.strike()

    def finished(self, names: Collection[str]) -> int:
        """How many have a result."""
        return sum(self._has_result(name) for name in names)

    def serves_again(self) -> None:
        """A new unit is done."""
        (name,) = self.give(1)
        assert self.stack.result(name).ok
        self.witness.recover()

    def account(self) -> None:
        """Every unit has one result, and ran once unless it was struck."""
        until(lambda: self.finished(self._names) == len(self._names), "every unit has its result", 60.0)
        for name in self._names:
            result = self.stack.result(name)
            assert result.ok, result.error
            self.ledger.apply(name)  # its result is one file, linked into place: there cannot be two
        self.witness.lost, self.witness.twice = self.ledger.check(self._names, struck=self._struck)
        assert (self.witness.lost, self.witness.twice) == (0, 0)

    def family(self) -> list[int]:
        """The supervisor's children."""
        return children_of(self.stack.pid)

    def gone(self, pids: Collection[int], within_s: float) -> None:
        """None of them lives after so long."""
        until(lambda: not any(is_running(pid) for pid in pids), f"none of {pids} lives", within_s)
        self.witness.recover()

    def replace_settings(self, **changes: Any) -> None:
        """Other settings, before the start."""
        self.stack.settings = msgspec.structs.replace(self.stack.settings, **changes)

    def _has_result(self, name: str) -> bool:
        return (self.stack.folder / "results" / f"{name}.json").exists()
