"""What the site's pages take from the code is what the code says."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


def _row(table: str, first: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| `{first}` |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_a_setting_has_its_default_and_its_bounds() -> None:
    from site_pages.settings_table import settings_table

    table = settings_table()
    assert _row(table, "GAIA_NETUID") == ["`GAIA_NETUID`", "`57`", "0 to 65535", "Subnet."]
    assert _row(table, "GAIA_HOTKEY_FILE")[1] == "unset"
    assert _row(table, "GAIA_DATA_DIR")[1] == "depends on the machine"
    assert _row(table, "GAIA_LOG_FORMAT")[2] == "`json`, `console`"
    assert _row(table, "GAIA_RECYCLE_UNITS")[2] == "at least 1"


def test_an_option_has_the_name_that_is_typed() -> None:
    from site_pages.command_pages import commands

    text = commands()
    score = text[text.index("## gaia score\n") : text.index("## gaia miner\n")]
    assert "```text\ngaia score FORECAST... TRUTH [OPTIONS]\n```" in score
    assert _row(score, "--json")[1] == "path"
    assert _row(score, "--region")[1] == "text, may be repeated"
    assert "--cheat" not in text  # hidden


def test_metrics_have_their_labels_and_the_ending_of_a_counter() -> None:
    from site_pages.metrics_table import metrics_table

    table = metrics_table()
    restarts = _row(table, "gaia_child_process_restarts_total")
    assert restarts[1:3] == ["counter", "`role`, `slot`"]
    assert _row(table, "gaia_compute_job_duration_seconds")[1:3] == ["histogram", "`handler`"]


def test_the_policy_has_its_numbers() -> None:
    from site_pages.policy_table import policy_table

    table = policy_table()
    assert _row(table, "terms.skill_ref") == ["`terms.skill_ref`", "`0.8`"]
    assert _row(table, "clone_thresholds[4]")[1] == "`variable z, level_hpa 500, mse 250.0`"


def test_docstrings_become_markdown() -> None:
    from site_pages.docstrings import readable

    assert readable("sqrt <d2>, not `<d2>`") == "sqrt &lt;d2>, not `<d2>`"
    assert readable("Says:\n\n>>> 1 + 1\n2") == "Says:\n\n```pycon\n>>> 1 + 1\n2\n```"


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    from site_pages.markdown import table

    assert table(("name",), [("a|b",)]).splitlines()[-1] == "| a\\|b |"
