"""`gaia demo` in the embedded world: the whole path as real processes, whose right ranking is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gaia.demonstration.demo_miners import TWIN_CAST, guest
from gaia.miner.model_choice import BuiltIn
from tests.support.demo_process import Demo, demo_of, processes_in, sockets_in

GUEST = Path(__file__).parents[2] / "examples" / "ten_lines.py:make"
CAST = (*TWIN_CAST, guest(str(GUEST)))

pytestmark = [pytest.mark.processes, pytest.mark.database, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with demo_of("--model", str(GUEST), measured=True) as running:
        assert running.wait() == 0, running.output + running.validator_log[-4000:]
        yield running


@pytest.fixture(scope="module")
def report(demo: Demo) -> dict[str, Any]:
    return demo.report()


@pytest.fixture(scope="module")
def leaderboard(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The leaderboard by the miners' models."""
    return {row["model"]: row for row in report["leaderboard"]}


def test_result_has_the_promised_shape(report: dict[str, Any]) -> None:
    assert set(report) == {"run_id", "init_time", "spec", "leaderboard", "components", "weights"}
    assert report["run_id"] == "sn57-weather-20200115T12Z"
    assert report["init_time"] == "2020-01-15T12:00:00Z"
    columns = {"rank", "hotkey", "uid", "model", "score", "emission_weight", "status", "reason"}
    assert {frozenset(row) for row in report["leaderboard"]} == {frozenset(columns)}
    promised = {"hotkey", "lead_h", "variable", "level", "rmse", "mae", "bias", "acc", "skill_clim"}
    assert {frozenset(component) for component in report["components"]} == {frozenset(promised)}


def test_every_miner_stands_once_in_the_leaderboard(report: dict[str, Any]) -> None:
    rows = report["leaderboard"]
    assert [row["rank"] for row in rows] == list(range(1, len(CAST) + 1))
    assert sorted(row["uid"] for row in rows) == list(range(1, len(CAST) + 1))
    assert sorted(row["model"] for row in rows) == sorted(player.name for player in CAST)


def test_every_scored_field_has_its_metrics_at_every_lead(report: dict[str, Any]) -> None:
    fields = [(v["name"], level) for v in report["spec"]["variables"] for level in v["levels_hpa"] or [None]]
    delivered = ("scored", "day1_gate_failed")  # who is put out at the gate has been scored as well
    scored = [row["hotkey"] for row in report["leaderboard"] if (row["reason"] or row["status"]).startswith(delivered)]
    found = sorted((c["hotkey"], c["lead_h"], c["variable"], c["level"] or 0) for c in report["components"])
    leads = report["spec"]["scored_lead_h"]
    assert found == sorted((h, lead, name, level or 0) for h in scored for lead in leads for name, level in fields)


def test_smaller_initial_error_ranks_higher(leaderboard: dict[str, dict[str, Any]]) -> None:
    """Of the honest barotropic miners of the same resolution."""
    rivals = [
        player
        for player in TWIN_CAST
        if player.model is BuiltIn.BAROTROPIC and player.cheat is None and player.truncation == 42
    ]
    assert len(rivals) >= 2
    by_error = [player.name for player in sorted(rivals, key=lambda player: player.initial_error)]
    assert by_error == sorted(by_error, key=lambda name: int(leaderboard[name]["rank"]))


def test_finer_model_beats_the_coarser_and_both_beat_climatology(leaderboard: dict[str, dict[str, Any]]) -> None:
    ranks = [leaderboard[name]["rank"] for name in ("barotropic", "barotropic, coarse", "climatology")]
    assert ranks == sorted(ranks)


def test_a_guest_s_model_is_scored_by_the_name_of_its_file(leaderboard: dict[str, dict[str, Any]]) -> None:
    row = leaderboard["ten_lines.py:make"]
    assert (row["uid"], row["status"]) == (len(CAST), "scored")
    assert 0.0 < row["score"] < leaderboard["barotropic"]["score"]


def test_higher_score_earns_more(report: dict[str, Any]) -> None:
    earned = [row["emission_weight"] for row in report["leaderboard"] if row["reason"] is None]
    assert earned == sorted(earned, reverse=True)
    assert all(weight > 0 for weight in earned)


@pytest.mark.parametrize(
    ("model", "reason"), [("swaps after committing", "commitment_mismatch:"), ("never answers", "miner_timed_out:")]
)
def test_cheat_earns_nothing_and_is_told_why(leaderboard: dict[str, dict[str, Any]], model: str, reason: str) -> None:
    row = leaderboard[model]
    assert (row["score"], row["emission_weight"], row["status"]) == (0.0, 0.0, "failed")
    assert row["reason"].startswith(reason)


def test_weights_are_set_read_back_and_sum_to_one(report: dict[str, Any]) -> None:
    assert report["weights"] == {"set": True, "read_back": True}
    # each is rounded to six decimals
    assert sum(row["emission_weight"] for row in report["leaderboard"]) == pytest.approx(1.0, abs=5e-6)


def test_picture_shows_something(demo: Demo) -> None:
    line = next(line for line in demo.output.splitlines() if line.startswith("picture"))
    with Image.open(line.split(maxsplit=1)[1]) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 400
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or ()) > 100


def test_output_shows_the_corridor_and_where_everything_is(demo: Demo) -> None:
    for step in ("building the embedded world", "starting the validator", "opening the run", "weights   set and read"):
        assert step in demo.output
    for name in ("logs", "data", "result"):
        line = next(line for line in demo.output.splitlines() if line.startswith(f"{name} "))
        assert Path(line.split()[1]).exists()
    assert max(map(len, (line for line in demo.output.splitlines() if "/" not in line))) <= 80


def test_no_process_and_no_socket_is_left(demo: Demo) -> None:
    assert processes_in(demo.data_dir) == []
    assert sockets_in(demo.data_dir) == []
