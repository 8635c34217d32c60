"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with one line per row. Bars and line breaks in a cell are made harmless.

    >>> print(table(("name", "meaning"), [("a|b", "either")]))
    | name | meaning |
    |---|---|
    | a\\|b | either |
    """
    lines = [_line(names), "|" + "---|" * len(names), *(_line(row) for row in rows)]
    return "\n".join(lines)


def code(text: str) -> str:
    """Text in the type of code; nothing for nothing."""
    return f"`{text}`" if text else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"
