"""Whether old and new installers take the locks, tomorrow too: the short form of `check_setup.py`.

Each installer resolves each lock, against wheels that hold the pinned packages' own metadata and nothing else, with a
newer release beside every one of them. So it takes seconds and no network but for the installers themselves, and it
finds today what somebody's publication would break tomorrow: a pin without the extra that another package asks for, a
dependency that is not pinned, a lock that pyproject.toml has left behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from installers import Installer, SetupFailed
from lock_file import RUNNING, TESTING, Pin, read_lock
from stub_wheels import publish

_TOMORROW = "9999"
_PROJECT = "gaia-validator"


def check_locks(folder: Path, installers: Iterable[Installer]) -> None:
    """Raises SetupFailed, or BadLock, with what is wrong."""
    index = folder / "index"
    index.mkdir(parents=True)
    running, testing = read_lock(RUNNING), read_lock(TESTING)
    _check_alike(running, testing)
    hashes = _publish(index, testing)
    locks = [
        _stub_lock(folder / RUNNING.name, running, hashes, "validator"),
        _stub_lock(folder / TESTING.name, testing, hashes, "validator,dev,docs"),
    ]
    bare = [pin for pin in testing if not pin.requirement.extras]
    without_extras = _stub_lock(folder / "without-extras.lock", bare, hashes, "validator,dev,docs")
    for installer in installers:
        for lock in locks:
            installer.resolve(lock, index)
            print(f"{installer.name}: {lock.name} resolves, with newer releases of everything")
        if installer.needs_extras:
            _see_refused(installer, without_extras, index)


def _check_alike(running: list[Pin], testing: list[Pin]) -> None:
    known = {(pin.name, pin.version): pin.hashes for pin in testing}
    for pin in running:
        if known.get((pin.name, pin.version)) != pin.hashes:
            raise SetupFailed(f"{RUNNING.name} has {pin.line}, {TESTING.name} has not: make lock")


def _publish(index: Path, pins: list[Pin]) -> dict[str, str]:
    """Publish stubs of what is installed here, today's and tomorrow's, and return today's hashes."""
    hashes = {}
    for pin in pins:
        if not pin.holds_here or pin.name in hashes:
            continue
        try:
            found = distribution(pin.name)
        except PackageNotFoundError:
            raise SetupFailed(f"{pin.line} is not installed here: make clean, and again") from None
        if found.version != pin.version:
            raise SetupFailed(f"{TESTING.name} has {pin.line}, installed is {found.version}: make clean, and again")
        hashes[pin.name], _ = publish(index, found, pin.version, _TOMORROW)
    project = distribution(_PROJECT)
    (hashes[_PROJECT],) = publish(index, project, project.version)
    return hashes


def _stub_lock(path: Path, pins: list[Pin], hashes: dict[str, str], extras: str) -> Path:
    """The lock with the stubs' hashes, and the project itself, so that what it asks for must be pinned."""
    lines = [f"{_PROJECT}[{extras}]=={distribution(_PROJECT).version} --hash={hashes[_PROJECT]}"]
    for pin in pins:
        here = [hashes[pin.name]] if pin.holds_here else pin.hashes
        lines.append(" ".join([pin.line, *(f"--hash={value}" for value in here)]))
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def _see_refused(installer: Installer, lock: Path, index: Path) -> None:
    """That this check can fail: the lock without its extras, which pip before 23.3 cannot install."""
    try:
        installer.resolve(lock, index)
    except SetupFailed as error:
        if "must have their versions pinned" not in str(error):
            raise
        print(f"{installer.name}: the lock without its extras is refused, as it must be")
    else:
        raise SetupFailed(f"{installer.name} takes a lock without extras: this check sees nothing")
