"""Tables as JSON, CSV, Parquet and text."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.weather.evaluation.report import (
    print_table,
    records,
    to_csv,
    to_json,
    to_parquet,
    write_text,
)
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from tests.unit.tasks.weather.evaluation.made_table import made_table


def test_csv_has_every_row_with_empty_cells_for_null() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(made_table()))))
    assert [(row["variable"], row["level_hpa"], row["lead_h"]) for row in rows[:2]] == [
        ("2t", "", "12.0"),
        ("2t", "", "24.0"),
    ]
    assert rows[0]["rmse"] == "1.1"
    assert rows[0]["acc"] == ""


def test_json_says_what_was_scored() -> None:
    said = json.loads(to_json(made_table()))
    assert said["forecast"] == "/a/fc.zarr"
    assert said["warnings"] == ["careful"]
    assert said["scores"][0]["rmse"] == 1.1
    assert said["scores"][0]["acc"] is None


def test_all_rows_have_the_same_keys() -> None:
    assert len({tuple(record) for record in records(made_table())}) == 1


def test_the_terminal_shows_only_what_there_is() -> None:
    console = Console(width=160, file=io.StringIO())
    print_table(made_table(), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "RMSE/ref" in text
    assert "+10.0 %" in text
    assert "ACC" not in text
    assert "coverage" not in text


def test_a_narrow_terminal_goes_without_columns_and_says_so() -> None:
    console = Console(width=50, file=io.StringIO())
    print_table(made_table(), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 50
    assert "RMSE" in text
    assert "…" not in text
    assert "Too narrow for MAE" in text


def test_extremes_are_columns_only_where_there_are_thresholds() -> None:
    assert not [name for name in next(records(made_table())) if name.startswith("extremes")]
    with_thresholds = next(records(replace(made_table(), extremes="p95.nc")))
    assert with_thresholds["extremes_hit_rate"] is None


def test_parquet_without_pyarrow_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadRequest, match="pip install pyarrow"):
        to_parquet(made_table(), tmp_path / "t.parquet")


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is optional")
    to_parquet(made_table(), tmp_path / "t.parquet")
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == list(records(made_table()))


def test_an_unwritable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write .*nowhere"):
        write_text(tmp_path / "nowhere" / "t.csv", "")
