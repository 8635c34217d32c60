"""The scorecard is a picture in which better is blue and worse is red."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.weather.evaluation.scorecard import draw_scorecard
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from tests.unit.tasks.weather.evaluation.made_table import made_table


def test_better_is_blue_and_worse_is_red(tmp_path: Path) -> None:
    pictures = []
    for percent in (-50.0, 50.0):
        draw_scorecard(made_table([[percent] * 2] * 2), tmp_path / "card.png")
        pictures.append(imread(tmp_path / "card.png")[..., :3].astype(float))
    # Beyond axes and colour bar the two differ only in their cells.
    cells = np.abs(pictures[0] - pictures[1]).sum(axis=2) > 0.5
    better, worse = (picture[cells].mean(axis=0) for picture in pictures)
    assert better[2] > better[0] + 0.2
    assert worse[0] > worse[2] + 0.2


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_scorecard(made_table(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_many_leads_are_drawn_in_days(tmp_path: Path) -> None:
    draw_scorecard(made_table([[5.0] * 40, [-5.0] * 40]), tmp_path / "long.png")
    height, width = imread(tmp_path / "long.png").shape[:2]
    assert width > height


def test_nothing_to_compare_with_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="give --reference, or at least --climatology"):
        draw_scorecard(made_table(reference=None), tmp_path / "card.png")
    with pytest.raises(BadRequest, match="nothing to draw"):
        draw_scorecard(made_table([[None], [None]]), tmp_path / "card.png")


def test_an_unwritable_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write .*nowhere"):
        draw_scorecard(made_table(), tmp_path / "nowhere" / "card.png")
