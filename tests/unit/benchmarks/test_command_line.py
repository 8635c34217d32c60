"""The benchmark of the command line's start runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import command_line
from benchmarks.measuring import QUICK


@pytest.mark.slow
def test_it_times_every_command_and_compares_with_an_empty_process(tmp_path: Path) -> None:
    report = command_line.run(QUICK, tmp_path)
    values = {figure.what: figure.value for figure in report.figures}
    assert {"python -c pass", "python -c 'import gaia'", "gaia --help"} <= set(values)
    assert values["gaia --help, against python -c pass"] > 1.0
