"""Where compiled modules are kept when Python cannot keep them beside their sources.

A worker's start is mostly imports, and imports without compiled modules take four to five times as long
(docs/explanation/backbone.md). That is so in an installation that is read-only or that PYTHONDONTWRITEBYTECODE keeps
from being written, unless its modules were compiled when it was made. Decides, writes nothing itself.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import msgspec


def bytecode_environment(
    cache_dir: Path, installed: str = msgspec.__file__, *, writes: bool = not sys.dont_write_bytecode
) -> dict[str, str]:
    """Variables for a child's start: none where the `installed` module has its compiled form or can be given it, else
    those that keep all below `cache_dir`. `writes`: whether Python may write any.

    Ours are not asked: they are a small part, and whoever keeps all elsewhere does not see what is compiled in place.
    """
    if sys.pycache_prefix is not None or _is_kept(installed, writes):
        return {}
    return {"PYTHONPYCACHEPREFIX": str(cache_dir / "python"), "PYTHONDONTWRITEBYTECODE": ""}


def _is_kept(source: str, writes: bool) -> bool:
    compiled = Path(importlib.util.cache_from_source(source))
    folder = compiled.parent if compiled.parent.exists() else compiled.parent.parent
    return compiled.exists() or (writes and os.access(folder, os.W_OK))
