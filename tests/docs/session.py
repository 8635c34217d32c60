"""Runs the commands of a page in one shell, one after the other, and holds what they print against the page."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tests.support.demo_process import foreign_environment, unmeasured

_MARK = "end-of-command"
_BEFORE = 'uv() { shift; "$@"; }\n'  # `uv run COMMAND` is COMMAND where the environment is there already


class Command(Struct, frozen=True, kw_only=True):
    """What is typed, and what the page says that it prints."""

    typed: str
    printed: str
    """Nothing: the page does not say."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a command."""

    status: int
    output: str


def commands(text: str) -> list[Command]:
    """The commands of a block: lines after `$ `, going on after `> `, each with the lines below as its output.

    >>> commands("$ echo one \\\\\\n> two\\none two\\n")
    [Command(typed='echo one \\\\\\n two', printed='one two')]
    """
    found: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith(">") and not found[-1][1]:
            found[-1][0].append(line[2:])
        else:
            found[-1][1].append(line)
    return [Command(typed="\n".join(typed), printed="\n".join(printed)) for typed, printed in found]


def run(typed: Sequence[str], folder: Path, *, byte_code: Path, timeout_s: float) -> list[Outcome]:
    """Run all in one shell in `folder`, up to the first that fails; nothing that they started outlives the call.

    `byte_code`: where Python keeps what it has compiled, so that only the first command pays for that.
    """
    output = folder / "session.out"
    with output.open("wb") as file:
        shell = subprocess.Popen(
            ["/bin/bash", "-c", _script(typed)],
            cwd=folder,
            env=_environment(byte_code),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    return _outcomes(output.read_text(encoding="utf-8"), finished=shell.returncode == 0)


def prints(expected: str, output: str) -> bool:
    """Whether an output is what the page shows; `...` stands for any text, on a line of its own for any lines.

    >>> prints("a\\n...\\nz 1...", "a\\nb\\nc\\nz 1.5\\n"), prints("a", "a\\nb\\n"), prints("a", "b\\n")
    (True, False, False)
    """
    lines = [line.rstrip() for line in expected.strip("\n").splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else f"{_any_text(line)}\n" for line in lines)
    said = "\n".join(line.rstrip() for line in output.strip("\n").splitlines())
    return re.fullmatch(pattern, f"{said}\n") is not None


def _any_text(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("..."))


def _script(typed: Sequence[str]) -> str:
    steps = (f"{each}\nstatus=$?; printf '\\n{_MARK} %s\\n' $status; [ $status = 0 ] || exit 1\n" for each in typed)
    return _BEFORE + "".join(steps)


def _environment(byte_code: Path) -> dict[str, str]:
    inherited = unmeasured(foreign_environment())
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**inherited, "PATH": path, "TERM": "dumb", "PYTHONPYCACHEPREFIX": str(byte_code)}


def _outcomes(output: str, *, finished: bool) -> list[Outcome]:
    parts = re.split(rf"\n{_MARK} (\d+)\n", output)
    found = [Outcome(status=int(status), output=text) for text, status in zip(parts[::2], parts[1::2], strict=False)]
    if not finished and (not found or found[-1].status == 0):  # the last one ended the shell itself
        found.append(Outcome(status=-1, output=parts[-1]))
    return found
