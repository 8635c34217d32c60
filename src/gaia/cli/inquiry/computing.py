"""Reads from the running validator's /metrics which units its workers compute now, and their progress."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

_TIMEOUT_S = 2.0
_METRIC = "gaia_compute_unit_progress_ratio"


class Computing(Struct, frozen=True, kw_only=True):
    """A unit that a worker computes now."""

    run_id: str
    """Empty if several runs share its result."""
    handler: str
    worker: int
    done: float
    """0 to 1, as its handler reports it."""


def computing(host: str, port_file: Path) -> Sequence[Computing]:
    """The running units that report their progress. Empty if no validator runs or its metrics are off."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        port = int(port_file.read_text(encoding="ascii"))
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=_TIMEOUT_S) as reply:
            text = reply.read().decode()
    except (OSError, ValueError, urllib.error.URLError):
        return []
    return [
        Computing(
            run_id=sample.labels["run"],
            handler=sample.labels["handler"],
            worker=int(sample.labels["slot"]),
            done=sample.value,
        )
        for family in text_string_to_metric_families(text)
        if family.name == _METRIC
        for sample in family.samples
    ]
