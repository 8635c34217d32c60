"""Prepares docstrings for a page: they are written for people at a terminal, and the site reads Markdown.

mkdocstrings loads this file as an extension of griffe, the reader of its Python sources.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_CODE = re.compile(r"(`[^`]*`)")
_PROMPT = ">>> "


class ReadableDocstrings(Extension):
    """Makes examples blocks of code, and keeps what stands in angle brackets from being taken for HTML."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for every object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    """The docstring as Markdown.

    >>> print(readable("sqrt <d2>"))
    sqrt &lt;d2>
    """
    return "\n\n".join(_paragraph(paragraph) for paragraph in text.split("\n\n"))


def _paragraph(text: str) -> str:
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.lstrip().startswith(_PROMPT)), len(lines))
    parts = []
    if start:
        parts.append("\n".join(_escaped(line) for line in lines[:start]))
    if start < len(lines):
        parts.append("\n".join(["```pycon", *lines[start:], "```"]))
    return "\n\n".join(parts)


def _escaped(line: str) -> str:
    pieces = _CODE.split(line)
    return "".join(piece if piece.startswith("`") else piece.replace("<", "&lt;") for piece in pieces)
