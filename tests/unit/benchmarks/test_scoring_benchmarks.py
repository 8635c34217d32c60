"""Every scoring benchmark runs, at tiny sizes, and writes what the table is made of."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.measuring import Figure, Report, interleaved
from benchmarks.scoring.growth import PLOT
from benchmarks.table import table

pytestmark = pytest.mark.usefixtures("unmeasured_children")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(name for name, module in BENCHMARKS.items() if ".scoring." in module))
def test_a_benchmark_runs_and_reports(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", name, "--out", str(tmp_path)]) == 0
    report = msgspec.json.decode((tmp_path / f"{name}.json").read_bytes(), type=Report)
    assert report.size == "quick"
    assert all(figure.value == figure.value for figure in report.figures)
    assert (tmp_path / "table.md").read_text() == capsys.readouterr().out.removesuffix("\n")
    assert (tmp_path / PLOT).exists() is (name == "growth")


def test_ratios_are_taken_within_each_round() -> None:
    calls: list[str] = []
    timings = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert sorted(calls) == ["a"] * 3 + ["b"] * 3  # one round does not count
    assert set(timings.medians()) == {"a", "b"}


def test_a_bound_is_kept_from_its_own_side() -> None:
    slow = Figure(what="slow", value=2.0, unit="x", bound=1.6)
    fast = Figure(what="fast", value=12.0, unit="x", bound=10.0, better="higher")
    assert (slow.holds, fast.holds, Figure(what="any", value=1.0, unit="s").holds) == (False, True, None)
    shown = table([Report(benchmark="b", size="full", figures=(slow, fast), medians_s={})])
    assert "| b | slow | 2 x | <= 1.6 x | **no** |" in shown
    assert "| b | fast | 12 x | >= 10 x | yes |" in shown
