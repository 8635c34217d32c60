"""`gaia demo` on real analyses: the errors that the data's own manifest lists, and a model that beats persistence.

And that a real SIGKILL of its workers or of its IO-Engine changes no score: here, to share the undisturbed one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.demo_process import REAL_INPUT, Demo, demo_of, processes_in, sockets_in
from tests.support.real_data import CLIMATOLOGY, needs_real_data

pytestmark = [
    needs_real_data,
    pytest.mark.real_data,
    pytest.mark.processes,
    pytest.mark.database,
    pytest.mark.timeout(420),
]

WORKER = "gaia.validator.app.compute.compute_worker"
ENGINE = "gaia.validator.app.io_engine"
STANDARD_GRAVITY = 9.80665
LEADS_H = (12, 24, 36)
PERSISTENCE_RMSE = {  # ../shared/data/MANIFEST.md; z in gpm, t in K
    ("z", 500): (39.1, 63.2, 76.5),
    ("z", 850): (28.0, 44.8, 54.8),
    ("t", 500): (2.29, 3.37, 3.87),
    ("t", 850): (2.28, 2.94, 3.50),
}


@pytest.fixture(scope="module")
def real_demo() -> Iterator[Demo]:
    """An undisturbed one, ended."""
    with demo_of(*REAL_INPUT) as demo:
        assert demo.wait() == 0, demo.output + demo.validator_log[-4000:]
        yield demo


@pytest.fixture(scope="module")
def report(real_demo: Demo) -> dict[str, Any]:
    return real_demo.report()


@pytest.fixture(scope="module")
def with_climatology() -> Iterator[Demo]:
    with demo_of(*REAL_INPUT, "--climatology", str(CLIMATOLOGY)) as demo:
        assert demo.wait() == 0, demo.output + demo.validator_log[-4000:]
        yield demo


def components_of(report: dict[str, Any], model: str) -> dict[tuple[str, int, int], dict[str, Any]]:
    """A model's components by variable, level and lead."""
    hotkey = next(row["hotkey"] for row in report["leaderboard"] if row["model"] == model)
    return {(c["variable"], c["level"], c["lead_h"]): c for c in report["components"] if c["hotkey"] == hotkey}


def test_run_is_planned_from_what_the_file_holds(report: dict[str, Any]) -> None:
    assert report["init_time"] == "2017-01-01T00:00:00Z"
    spec = report["spec"]
    assert {(v["name"], level) for v in spec["variables"] for level in v["levels_hpa"]} == set(PERSISTENCE_RMSE)
    assert tuple(spec["scored_lead_h"]) == LEADS_H


@pytest.mark.parametrize("field", PERSISTENCE_RMSE, ids=str)
def test_persistence_has_the_errors_of_the_data_manifest(report: dict[str, Any], field: tuple[str, int]) -> None:
    unit, tolerance = (STANDARD_GRAVITY, 0.05) if field[0] == "z" else (1.0, 0.01)
    rmse = [components_of(report, "persistence")[*field, lead]["rmse"] / unit for lead in LEADS_H]
    # The manifest rounds to the last digit shown; 0.05 gpm and 0.01 K are that rounding, or twice it.
    assert rmse == pytest.approx(PERSISTENCE_RMSE[field], abs=tolerance)


@pytest.mark.parametrize("lead_h", LEADS_H)
def test_barotropic_beats_persistence_on_z500(report: dict[str, Any], lead_h: int) -> None:
    field = ("z", 500, lead_h)
    assert components_of(report, "barotropic")[field]["rmse"] < components_of(report, "persistence")[field]["rmse"]


def test_barotropic_forecasts_the_other_fields_as_persistence_does(report: dict[str, Any]) -> None:
    others = {key: c["rmse"] for key, c in components_of(report, "persistence").items() if key[:2] != ("z", 500)}
    barotropic = components_of(report, "barotropic")
    assert {key: barotropic[key]["rmse"] for key in others} == pytest.approx(others, rel=1e-6)


def test_terms_without_climatology_are_null_and_everybody_is_scored_all_the_same(report: dict[str, Any]) -> None:
    assert {(c["acc"], c["skill_clim"]) for c in report["components"]} == {(None, None)}
    scored = {row["model"] for row in report["leaderboard"] if row["status"] == "scored" and row["score"] > 0}
    assert scored == {"barotropic", "persistence", "damped persistence", "climatology"}


@pytest.mark.parametrize(
    ("model", "reason"), [("swaps after committing", "commitment_mismatch:"), ("never answers", "miner_timed_out:")]
)
def test_cheat_earns_nothing_and_is_told_why(report: dict[str, Any], model: str, reason: str) -> None:
    row = next(row for row in report["leaderboard"] if row["model"] == model)
    assert row["emission_weight"] == 0.0
    assert row["reason"].startswith(reason)


def test_missing_checks_are_said_to_be_not_applicable(real_demo: Demo) -> None:
    assert "day-1 gate and clone check: not applicable" in real_demo.output


def test_nothing_is_left(real_demo: Demo) -> None:
    assert processes_in(real_demo.data_dir) == []
    assert sockets_in(real_demo.data_dir) == []


def test_climatology_gives_its_terms_to_the_variable_that_it_holds_and_no_other(with_climatology: Demo) -> None:
    found: dict[str, set[bool]] = {"z": set(), "t": set()}
    for component in with_climatology.report()["components"]:
        found[component["variable"]] |= {component["acc"] is None, component["skill_clim"] is None}
    assert found == {"z": {False}, "t": {True}}


def test_climatology_does_not_change_the_errors(with_climatology: Demo, report: dict[str, Any]) -> None:
    """Those of the persistence, which does not use one either."""
    without = {key: c["rmse"] for key, c in components_of(report, "persistence").items()}
    assert {
        key: c["rmse"] for key, c in components_of(with_climatology.report(), "persistence").items()
    } == pytest.approx(without, rel=1e-9)


def test_climatology_miner_has_no_skill_against_its_own_climatology(with_climatology: Demo) -> None:
    """skill = 1 - MSE / MSE_climatology, and its forecast is that climatology: 0 but for float32."""
    for (variable, *_), component in components_of(with_climatology.report(), "climatology").items():
        if variable == "z":
            assert component["skill_clim"] == pytest.approx(0.0, abs=1e-4)


def outcome(report: dict[str, Any]) -> dict[str, Any]:
    """All scores and components by model, hotkeys and waiting times apart: those differ from run to run."""
    model_of = {row["hotkey"]: row["model"] for row in report["leaderboard"]}
    return {
        "spec": report["spec"],
        "leaderboard": [
            (row["rank"], row["model"], row["score"], row["emission_weight"], row["status"])
            for row in report["leaderboard"]
        ],
        "components": sorted(
            (model_of[c["hotkey"]], c["lead_h"], c["variable"], c["level"], c["rmse"], c["mae"], c["bias"])
            for c in report["components"]
        ),
        "weights": report["weights"],
    }


def kill_workers_while_scoring(demo: Demo) -> None:
    """All of them, so that those which have a unit are among them."""
    demo.wait_for_event("forecast_verified")
    for pid in demo.pids_of(WORKER):
        os.kill(pid, signal.SIGKILL)


def kill_engine_while_scoring(demo: Demo) -> None:
    demo.wait_for_event("forecast_verified")
    for pid in demo.pids_of(ENGINE):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("disturb", "role"), [(kill_workers_while_scoring, "compute_worker"), (kill_engine_while_scoring, "io_engine")]
)
def test_killed_process_changes_no_score(disturb: Callable[[Demo], None], role: str, real_demo: Demo) -> None:
    with demo_of(*REAL_INPUT) as demo:
        disturb(demo)
        assert demo.wait() == 0, demo.output + demo.validator_log[-4000:]
        unexpected = [event for event in demo.events("child_ended") if event["level"] == "warning"]
        assert {(event["role"], event["how"]) for event in unexpected} == {(role, "killed by signal 9")}
        assert outcome(demo.report()) == outcome(real_demo.report())
        demo.assert_nothing_left()
