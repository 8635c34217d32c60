"""Reports as a Markdown table, to be pasted into docs/explanation/performance.md."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measuring import Figure, Report


def table(reports: Iterable[Report]) -> str:
    """One row a figure."""
    rows = [_row(report, figure) for report in reports for figure in report.figures]
    return "\n".join(
        [f"{machine()}\n", "| benchmark | what | measured | bound | kept |", "|---|---|---|---|---|", *rows, ""]
    )


def machine() -> str:
    """The processor and the interpreter, in a line."""
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in described.splitlines() if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    return f"{len(names) or '?'} x {processor}; Python {platform.python_version()}"


def _row(report: Report, figure: Figure) -> str:
    sign = "<=" if figure.better == "lower" else ">="
    bound = "" if figure.bound is None else f"{sign} {figure.bound:g} {figure.unit}"
    kept = {True: "yes", False: "**no**", None: ""}[figure.holds if report.size == "full" else None]
    name = report.benchmark if report.size == "full" else f"{report.benchmark} ({report.size})"
    return f"| {name} | {figure.what} | {figure.value:.3g} {figure.unit} | {bound} | {kept} |"
