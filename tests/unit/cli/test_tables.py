"""Tables of runs and miners: names are whole, whether a person or a program reads them."""

from __future__ import annotations

import pytest
from msgspec import Struct

from gaia.cli.runs import _print

HOTKEY = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"


class Row(Struct, frozen=True, kw_only=True):
    hotkey: str
    reason: str


def test_a_line_in_a_file_is_as_long_as_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "no commitment by 20:05 UTC: " * 20
    _print([Row(hotkey=HOTKEY, reason=reason)], ("hotkey", "reason"))
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["hotkey", "reason"]
    assert line.rstrip().split(maxsplit=1) == [HOTKEY, reason.strip()]


def test_nothing_is_said_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    _print([], ("hotkey", "reason"))
    assert capsys.readouterr().out == "none yet\n"
