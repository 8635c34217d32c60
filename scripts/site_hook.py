"""Puts into the pages what is made from the code when the site is built. mkdocs.yml names this file as a hook.

A page says where with a comment, `<!-- made at build: settings -->`, on a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from site_pages.command_pages import commands
from site_pages.metrics_table import metrics_table
from site_pages.notebook_page import notebook_page
from site_pages.policy_table import policy_table
from site_pages.settings_table import settings_table

ROOT = Path(__file__).resolve().parent.parent
_MARK = re.compile(r"^<!-- made at build: ([\w ./-]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page before it is rendered. Raises KeyError for a mark that nobody makes."""
    return _MARK.sub(lambda mark: MAKERS[mark[1]](), markdown)


def _file(name: str) -> Callable[[], str]:
    """A page from the root of the repository, its links as the site has them."""
    return lambda: (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")


MAKERS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "commands": commands,
    "metrics": metrics_table,
    "policy": policy_table,
    "CHANGELOG.md": _file("CHANGELOG.md"),
    "CONTRIBUTING.md": _file("CONTRIBUTING.md"),
    "examples/first_score.ipynb": lambda: notebook_page(ROOT / "examples" / "first_score.ipynb"),
}
"""Who makes what, by the words of the mark."""
