"""Handlers that use much memory at a moment that the test chooses. A registry of their own."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support import compute_handlers

Payload = Mapping[str, Any]

_HERE = "tests.support.memory_handlers"


def leap_once(payload: Payload) -> Payload:
    """Wait until told, then take `leap_bytes` at once; an attempt that finds the file `leapt` takes nothing."""
    compute_handlers.wait_for_file(payload)
    if (leapt := Path(payload["leapt"])).exists():
        return {"held_bytes": 0}
    leapt.touch()
    block = bytearray(b"\x01") * payload["leap_bytes"]
    Path(payload["landed"]).touch()
    time.sleep(600)
    return {"held_bytes": len(block)}


def read_mapped(payload: Payload) -> Payload:
    """Touch every page of a mapped file."""
    with Path(payload["path"]).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        total = sum(pages[offset] for offset in range(0, len(pages), mmap.PAGESIZE))
    return {"total": total, "pid": os.getpid()}


HANDLERS: Mapping[str, str] = MappingProxyType(
    {
        **compute_handlers.HANDLERS,
        **{function.__name__: f"{_HERE}:{function.__name__}" for function in (leap_once, read_mapped)},
    }
)
MEMORY_REGISTRY = f"{_HERE}:HANDLERS"
