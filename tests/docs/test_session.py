"""The runner of the pages' commands sees what goes wrong: otherwise a page that lies would pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.session import Command, Outcome, commands, prints, run


def test_commands_go_on_after_a_greater_than_sign_and_keep_what_they_print() -> None:
    assert commands("$ echo one \\\n> two\none two\n$ true\n") == [
        Command(typed="echo one \\\ntwo", printed="one two"),
        Command(typed="true", printed=""),
    ]


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("a", "a\n", True),
        ("a", "b\n", False),
        ("a", "a\nb\n", False),
        ("a\n...", "a\nb\nc\n", True),
        ("a\n...\nz 1...", "a\nb\nc\nz 1.5\n", True),
        ("a...c", "a b c  \n", True),
        ("1.5", "1x5\n", False),
    ],
)
def test_output_is_compared_line_by_line(expected: str, output: str, same: bool) -> None:
    assert prints(expected, output) is same


def test_a_session_keeps_its_folder_and_variables_and_ends_at_the_first_failure(tmp_path: Path) -> None:
    typed = ["mkdir -p inner && cd inner", "X=7", "pwd; echo $X", "echo no >&2; false", "echo never"]
    done = run(typed, tmp_path, byte_code=tmp_path / "byte_code", timeout_s=30.0)
    assert [outcome.status for outcome in done] == [0, 0, 0, 1]
    assert done[2] == Outcome(status=0, output=f"{tmp_path}/inner\n7\n")
    assert done[3].output == "no\n"


def test_a_command_that_ends_the_shell_is_seen(tmp_path: Path) -> None:
    done = run(["true", "exit 3", "true"], tmp_path, byte_code=tmp_path / "byte_code", timeout_s=30.0)
    assert [outcome.status for outcome in done] == [0, -1]
