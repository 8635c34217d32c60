"""A lock, read: what it pins, for which platforms, with which hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RUNNING = ROOT / "requirements.lock"
TESTING = ROOT / "requirements-dev.lock"

_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


class BadLock(Exception):
    """A lock holds what is no pin."""


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One entry of a lock: `line` without its hashes, such as `coverage[toml]==7.17.3`."""

    line: str
    requirement: Requirement
    hashes: frozenset[str]

    @property
    def name(self) -> str:
        """In its canonical form."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """What it is pinned to."""
        return str(self.requirement.specifier).removeprefix("==")

    @property
    def holds_here(self) -> bool:
        """Whether this Python on this platform installs it."""
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def read_lock(path: Path) -> list[Pin]:
    """Raises BadLock for anything but `name[extras]==version ; marker --hash=...`: an option, an address, a range."""
    entries = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [_pin(path, entry) for entry in entries if entry.strip()]


def _pin(path: Path, entry: str) -> Pin:
    line = _HASH.sub("", entry).strip()
    if not re.fullmatch(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[^ *]+( ; .+)?", line):
        raise BadLock(f"{path.name}: not a pinned version of a package: {line}")
    pin = Pin(line=line, requirement=Requirement(line), hashes=frozenset(_HASH.findall(entry)))
    if not pin.hashes:
        raise BadLock(f"{path.name}: no hash for {line}")
    return pin
