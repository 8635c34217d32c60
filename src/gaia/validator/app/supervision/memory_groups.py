"""Makes the kernel limit each worker's memory, if the machine delegates a cgroup (version 2) to the validator.

systemd delegates one with `Delegate=yes`, and marks it. A group without that mark belongs to others and is left alone,
even if we are root. This is only a backstop: engine and supervisor check the workers' memory themselves.
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
    """One group with a memory limit for each worker slot. If a worker cannot be put into its group, that is logged."""

    def __init__(self, root: Path, limit_bytes: int, log: EventLog) -> None:
        self._root = root
        self.limit_bytes = limit_bytes
        """The limit of each worker. A change applies to workers that start afterwards."""
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
        """Prepare our group for groups below it. The kernel allows processes only in leaves, so ours move into one.

        Returns:
            Whether the groups can be used.
        """
        try:
            ourselves = self._root / _OURSELVES
            ourselves.mkdir(exist_ok=True)
            for pid in (self._root / "cgroup.procs").read_text(encoding="ascii").split():
                with contextlib.suppress(ProcessLookupError):  # the process has ended in the meantime
                    (ourselves / "cgroup.procs").write_text(pid, encoding="ascii")
            (self._root / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
        except OSError as error:
            self._log.warning("memory_groups_unusable", folder=str(self._root), error=str(error))
            return False
        self._log.info("memory_groups_used", folder=str(self._root), limit_bytes=self.limit_bytes)
        return True

    def hold(self, slot: int, pid: int) -> None:
        """Limit the memory of the worker that has just been started in a slot."""
        group = self._root / f"worker-{slot}"
        try:
            group.mkdir(exist_ok=True)
            (group / "memory.max").write_text(str(self.limit_bytes), encoding="ascii")
            if (swap := group / "memory.swap.max").exists():  # otherwise it would grow in swap instead
                swap.write_text("0", encoding="ascii")
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError as error:
            self._log.warning("worker_not_in_group", slot=slot, pid=pid, error=str(error))


def own_group(proc: Path = Path("/proc/self")) -> Path | None:
    """The folder of this process's cgroup (version 2), if groups with a memory limit can be made below it.

    If the process is in the leaf `supervisor`, which an earlier start or systemd (`DelegateSubgroup=supervisor`) made,
    the group is the one above that leaf.
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
    """Whether a group has been delegated to us. Other groups must not be changed."""
    for mark in _MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return os.access(folder / "cgroup.subtree_control", os.W_OK)
    return False
