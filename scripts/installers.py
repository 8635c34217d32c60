"""pip of several ages, and uv: fetched into a folder, run on an empty environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIPS = (("22.3", (3, 11)), ("23.0.1", (3, 11)), ("23.2.1", (3, 13)), ("", (3, 99)))
"""Releases and the newest Python that each runs on: the oldest of Python 3.11, Debian 12's, that of 3.11.7, today's."""
_UNCONFIGURED = ("env", "PIP_CONFIG_FILE=/dev/null")
_ALONE = ("--isolated", "--disable-pip-version-check", "--no-cache-dir")
_LIMIT_S = 900


class SetupFailed(Exception):
    """Something does not install, or does not run where it is installed."""


@dataclass(frozen=True, kw_only=True)
class Installer:
    """`command` installs into one environment: what follows are requirements and options."""

    name: str
    command: tuple[str, ...]
    needs_extras: bool = False
    """Whether it looks beyond a pin for a package with an extra that the pin does not name."""

    def resolve(self, lock: Path, index: Path) -> None:
        """Find what would be installed, from this index alone. Raises SetupFailed."""
        run(*self.command, "--dry-run", "--index-url", index.as_uri(), "--require-hashes", "-r", lock)


def pips_for(python: tuple[int, int]) -> list[str]:
    """The releases of pip that run on this Python, as requirements."""
    return [f"pip=={release}" if release else "pip" for release, newest in _PIPS if python <= newest]


def fetched_installers(folder: Path) -> Iterator[Installer]:
    """The oldest pip and the newest for this Python, and uv, on one empty environment."""
    tools, empty = folder / "tools", folder / "empty"
    pips = pips_for(sys.version_info[:2])
    run(sys.executable, "-m", "venv", tools)
    run(sys.executable, "-m", "venv", "--without-pip", empty)
    for number, pip in enumerate((pips[0], pips[-1])):
        wheels = folder / f"pip-{number}"
        run(tools / "bin/python", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, pip)
        (wheel,) = wheels.iterdir()
        release = wheel.name.split("-")[1]
        command = (*_UNCONFIGURED, str(empty / "bin/python"), str(wheel / "pip"), *_ALONE, "install", "--quiet")
        yield Installer(name=f"pip {release}", command=command, needs_extras=_major_minor(release) < (23, 3))
    uv = find_uv(tools)
    yield Installer(
        name="uv", command=(uv, "pip", "install", "--quiet", "--no-config", "--python", str(empty / "bin/python"))
    )


def find_uv(environment: Path) -> str:
    """The machine's, or else one that is installed into this environment."""
    if found := shutil.which("uv"):
        return found
    run(environment / "bin/python", "-m", "pip", "install", "--quiet", "uv")
    return str(environment / "bin/uv")


def run(*command: str | Path, expect: int = 0) -> str:
    """What it printed. Raises SetupFailed, with its last lines, where it ends otherwise or not in time."""
    words = [str(part) for part in command]
    try:
        ended = subprocess.run(
            words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise SetupFailed(f"not done after {_LIMIT_S} s: {' '.join(words)}") from None
    if ended.returncode != expect:
        told = "\n".join(ended.stdout.splitlines()[-15:])
        raise SetupFailed(f"status {ended.returncode}: {' '.join(words)}\n{told}")
    return ended.stdout


def _major_minor(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")[:2]))
