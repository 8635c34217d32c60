"""The examples in `examples/` work, and are what the pages show."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import xarray as xr

from gaia.miner.model_choice import ModelChoice, build_model, resolved
from tests.docs.pages import ROOT, blocks

EXAMPLES = ROOT / "examples"
TUTORIAL = ROOT / "docs" / "tutorials" / "first-miner.md"


@pytest.fixture
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.syspath_prepend(str(EXAMPLES))


def test_the_ten_line_model_is_what_the_tutorial_shows() -> None:
    (shown,) = [block.text for block in blocks(TUTORIAL) if block.language == "python"]
    assert shown == (EXAMPLES / "ten_lines.py").read_text(encoding="utf-8")


def test_the_ten_line_model_loads_as_a_miner_loads_it() -> None:
    model = build_model(ModelChoice(name=resolved(str(EXAMPLES / "ten_lines.py:make"))))
    assert type(model).__name__ == "Fading"


@pytest.mark.usefixtures("_scripts")
def test_the_files_are_those_that_their_script_makes(tmp_path: Path) -> None:
    make_files = importlib.import_module("make_files")
    make_files.main(tmp_path)
    for name in make_files.files():
        made, kept = (xr.load_dataset(folder / name) for folder in (tmp_path, EXAMPLES))
        xr.testing.assert_allclose(made, kept, rtol=1e-6)


@pytest.mark.usefixtures("_scripts")
def test_the_notebook_runs_and_finds_the_half_degree() -> None:
    from site_pages.notebook_page import run_notebook

    cells = run_notebook(EXAMPLES / "first_score.ipynb").cells
    printed = {cell.source: cell.outputs for cell in cells if cell.cell_type == "code"}
    (bias,) = printed["bias(forecast, truth).round(3).to_series()"]
    leads = [line.split() for line in bias.data["text/plain"].splitlines()[1:-1]]
    assert leads == [[hours, "0.5"] for hours in ("12", "24", "36", "48")]
