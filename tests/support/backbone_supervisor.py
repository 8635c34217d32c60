"""The real supervisor over other programs: `python -m tests.support.backbone_supervisor FILE [PPID]`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from gaia.validator.app.supervision.supervisor import Programs
from gaia.validator.utils.settings import Settings
from gaia.validator.validator import run


class Plan(Struct, frozen=True, kw_only=True):
    """What the supervisor is given."""

    settings: bytes
    programs: Programs


if __name__ == "__main__":
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    parent_pid = int(sys.argv[2]) if len(sys.argv) > 2 else None
    sys.exit(run(lambda: Settings.from_json(plan.settings), plan.programs, parent_pid=parent_pid))
