"""The policy's trial as anybody runs it: the better forecast earns more, and what is free earns little or nothing."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY

pytestmark = pytest.mark.usefixtures("unmeasured_children")

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "try_policy.py"


FADED = """
import numpy as np, policy_likeness, try_policy
from policy_miners import FIELDS, QUICK, Entry, trial_grid
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY as policy
usual = np.zeros((len(FIELDS), *trial_grid().shape), np.float32)
for apart in (0.1, 1000.0):
    charts = np.full((len(QUICK.lead_h), *usual.shape), apart, np.float32)
    by_lead = try_policy._distances(Entry(kind="x", charts=charts), charts, usual, policy, QUICK)
    print({mse for of_lead in by_lead.values() for mse in of_lead.values()},
          set(policy_likeness._distances(charts, charts, usual, policy, QUICK)))
"""


def test_in_the_trial_too_who_has_faded_to_the_climatology_is_nobodys_copy() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FADED], check=False, capture_output=True, text=True, timeout=120, cwd=SCRIPT.parent
    )
    assert (finished.stdout.splitlines(), finished.stderr) == (["{inf} {inf}", "{0.0} {0.0}"], "")


class Row(Struct):
    """What is looked at of a row."""

    miner: str
    kind: str
    pay: float
    verdict: str


class ClosestPair(Struct):
    """What is looked at of the independent forecasts that came closest at a lead."""

    lead_h: int
    distance: float
    factor: float


class Report(Struct):
    """What is looked at of a report."""

    policy_digest: str
    rows: list[Row]
    closest: list[ClosestPair]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_quick_trial_pays_skill_and_not_copies(tmp_path: Path) -> None:
    report_path = tmp_path / "report.json"
    finished = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--json", str(report_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=360,
    )
    assert finished.returncode == 0, finished.stderr
    report = msgspec.json.decode(report_path.read_bytes(), type=Report)
    rows = {row.miner: row for row in report.rows}
    assert report.policy_digest == DEFAULT_POLICY.digest()
    assert all(f"| {miner} |" in finished.stdout for miner in rows)

    by_error = [rows[f"T42, error {error}"].pay for error in ("0.02", "0.1", "0.2", "0.27", "0.5", "1.0")]
    assert all(better > worse for better, worse in pairwise(by_error))
    assert {rows[name].verdict.split(",")[0] for name in ("climatology", "weather of another place")} == {
        "day1_gate_failed"
    }
    disguises = ("noise 0.5 x threshold", "noise 1.1 x, 2t only", "noise 1.1 x, +12 h only")
    for hidden in ("reference", *(f"reference + {disguise}" for disguise in disguises)):
        assert rows[hidden].verdict == "clone_of_reference, 2 of 2 runs"
        assert rows[hidden].pay == 0.0
    # A copy that escapes the search earns a fraction of a model a fifth better in squared error.
    assert all(row.pay < 0.25 for row in rows.values() if row.kind == "copy")
    for disguise in ("noise 0.5 x", "noise 1.1 x, +12 h only"):
        assert rows[f"copy of T42, error 0.27, {disguise}"].verdict == "clone_of_miner, 2 of 2 runs"
    assert all(rows[name].verdict == "paid" for name in rows if rows[name].kind == "honest" and "1.0" not in name)
    assert [near.lead_h for near in report.closest] == [12, 24, 72]
    assert all(near.distance > near.factor for near in report.closest)
    assert rows["T42, error 0.1, winds zero"].pay < rows["T42, error 0.1"].pay
