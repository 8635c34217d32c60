"""The kernel's own bound on each worker's memory, where the machine delegates a cgroup (version 2) to the validator.

systemd does with `Delegate=yes`, and marks the group as ours; a group without that mark is somebody else's, root or
not, and is left alone. Only a backstop: engine and supervisor look at the workers' memory themselves.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Self

from gaia.validator.app.telemetry.event_log import EventLog

_MARKS: Final = ("user.delegate", "trusted.delegate")  # systemd.resource-control(5), Delegate=
_OURSELVES: Final = "supervisor"


class MemoryGroups:
    """One group a slot, with a limit; a group a child of ours cannot be put into is logged and done without."""

    def __init__(self, root: Path, limit_bytes: int, log: EventLog) -> None:
        self._root = root
        self.limit_bytes = limit_bytes
        """Of each worker; holds for those started from now on."""
        self._log = log

    @classmethod
    def delegated(cls, limit_bytes: int, log: EventLog) -> Self | None:
        """None where no group is ours. To be called before the first child is started."""
        root = own_group()
        if root is None or not is_ours(root):
            return None
        groups = cls(root, limit_bytes, log)
        return groups if groups.open() else None

    def open(self) -> bool:
        """Make room for groups below ours: the kernel wants processes in leaves only, so this one moves into one."""
        try:
            ourselves = self._root / _OURSELVES
            ourselves.mkdir(exist_ok=True)
            for pid in (self._root / "cgroup.procs").read_text(encoding="ascii").split():
                with contextlib.suppress(ProcessLookupError):  # a neighbour that has ended meanwhile
                    (ourselves / "cgroup.procs").write_text(pid, encoding="ascii")
            (self._root / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
        except OSError as error:
            self._log.warning("memory_groups_unusable", folder=str(self._root), error=str(error))
            return False
        self._log.info("memory_groups_used", folder=str(self._root), limit_bytes=self.limit_bytes)
        return True

    def hold(self, slot: int, pid: int) -> None:
        """Bound the worker that has just been started in a slot."""
        group = self._root / f"worker-{slot}"
        try:
            group.mkdir(exist_ok=True)
            (group / "memory.max").write_text(str(self.limit_bytes), encoding="ascii")
            if (swap := group / "memory.swap.max").exists():  # else it grows on there, where nobody looks
                swap.write_text("0", encoding="ascii")
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError as error:
            self._log.warning("worker_not_in_group", slot=slot, pid=pid, error=str(error))


def own_group(proc: Path = Path("/proc/self")) -> Path | None:
    """The folder of this process's version-2 group, if it can have a memory limit below it.

    In the leaf that a start before this one made (what it was started from is in there too), or systemd with
    `DelegateSubgroup=supervisor`, ours is the one above.
    """
    try:
        mounts = (proc / "mountinfo").read_text(encoding="utf-8").splitlines()
        groups = (proc / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    # proc_pid_mountinfo(5): the mount point is field 5; the type follows the lone hyphen. cgroups(7): 0::/path.
    mounted = [line.split()[4] for line in mounts if line.partition(" - ")[2].split()[:1] == ["cgroup2"]]
    paths = [line[len("0::/") :] for line in groups if line.startswith("0::/")]
    if not mounted or not paths:
        return None
    leaf = Path(mounted[0]) / paths[0]
    folder = leaf.parent if leaf.name == _OURSELVES else leaf
    with contextlib.suppress(OSError):
        if "memory" in (folder / "cgroup.controllers").read_text(encoding="ascii").split():
            return folder
    return None


def is_ours(folder: Path) -> bool:
    """Whether a group has been delegated: to write into another one would break its owner's accounts."""
    for mark in _MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return os.access(folder / "cgroup.subtree_control", os.W_OK)
    return False
