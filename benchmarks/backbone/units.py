"""The work that every contender is given, and what the workers of ours may be asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from gaia.validator.app.machine.memory import AnonymousMemory

Payload = Mapping[str, Any]

KILOBYTE: Final = {"block": bytes(range(256)) * 4}
"""What a no-op unit carries there and back."""

_kept: list[bytearray] = []


def echo(payload: Payload) -> Payload:
    """Nothing but the journey."""
    return payload


def compute(payload: Payload) -> Payload:
    """Keep a core busy for so long of its own time."""
    end_s = time.thread_time() + payload["cpu_s"]
    while time.thread_time() < end_s:
        pass
    return {}


def leak(payload: Payload) -> Payload:
    """Take memory, keep it, and say how much this process has by now."""
    _kept.append(bytearray(b"\x01") * payload["bytes"])
    memory = AnonymousMemory(os.getpid())
    try:
        return {"pid": os.getpid(), "anonymous_bytes": memory.read_bytes()}
    finally:
        memory.close()


def seize(payload: Payload) -> Payload:
    """Take memory as fast as the machine gives it, until killed."""
    while True:
        _kept.append(bytearray(b"\x01") * payload["step_bytes"])


HANDLERS: Mapping[str, str] = MappingProxyType(
    {function.__name__: f"benchmarks.backbone.units:{function.__name__}" for function in (echo, compute, leak, seize)}
)
REGISTRY: Final = "benchmarks.backbone.units:HANDLERS"
