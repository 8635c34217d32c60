"""Adds to each pin with an extra the same pin without it: `make lock` ends so.

pip before 23.3 takes `coverage` and `coverage[toml]` for two packages. Where a lock pins one and some package asks for
the other, it looks for the newest release of that, which has no hash in the lock.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_ENTRY = re.compile(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_EXTRA = re.compile(r"\[.*?\]")


def with_bare_names(lock: str) -> str:
    """Each entry once, and before one with an extra the one without."""
    entries: dict[str, None] = {}
    for entry in _ENTRY.findall(lock):
        entries[_EXTRA.sub("", entry, count=1)] = None
        entries[entry] = None
    return "".join(entries)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_bare_names(path.read_text(encoding="utf-8")), encoding="utf-8")
