"""The pages of the documentation, and the blocks of code that they show.

Every block says by its language what it is. `console` holds commands and what they print, `pycon` and `python` code:
these are run by a test. A comment on the line before a block says where that is not so:

    <!-- run by tests/integration/test_demo_twin.py -->
    <!-- not run: it needs a wallet -->

Anything else (`text`, `json`, `ini`) is shown only.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
RUN = ("console", "pycon", "python")
SHOWN = ("text", "json", "ini")

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>not run: [^\n]+|run by \S+) -->\n)?"
    r"(?P<fence>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


class Block(Struct, frozen=True, kw_only=True):
    """One fenced block of a page."""

    language: str
    text: str
    mark: str | None
    """`not run: ...` or `run by ...`; None where the tests of this folder run it."""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found = _FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(language=each["language"], text=each["text"], mark=each["mark"]) for each in found]


def name(page: Path) -> str:
    """A page's path in the repository."""
    return str(page.relative_to(ROOT))
