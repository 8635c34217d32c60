"""A module of handlers that says in a file that it has been imported, and by whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

with Path(os.environ["ANNOUNCE_IMPORTS_TO"]).open("a", encoding="ascii") as lines:
    lines.write(f"{os.getpid()}\n")


def announced(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Who has worked."""
    return {"pid": os.getpid(), **payload}
