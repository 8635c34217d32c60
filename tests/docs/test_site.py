"""The site builds without a warning, holds what it is made from, and no page of it asks another host for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.support.demo_process import run_gaia

pytestmark = pytest.mark.timeout(240)

BUILD_WITHIN_S = 180.0
POLICY = "default-src 'self' 'unsafe-inline' data: blob: file:"
"""Content-Security-Policy: a browser that shows the page refuses to ask any other host."""
_LOADING = frozenset(("src", "srcset", "poster", "data", "background", "action", "formaction"))
_LINKED = frozenset(
    ("stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest")
)
_DORMANT = {
    "unpkg.com/resize-observer-polyfill": "for browsers before 2020",
    "unpkg.com/mermaid": "where a page holds class=mermaid",
    "api.github.com": "where a page holds data-md-component=source",
}
"""What the theme's script would load, and when: never here, and the policy above forbids it."""


class _Loads(HTMLParser):
    """Collects what a browser would load while it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.policies: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.addresses += [value for name, value in given.items() if name in _LOADING]
        self.addresses += re.findall(r"url\(\s*['\"]?([^'\")]+)", given.get("style", ""))
        if tag == "link" and _LINKED & set(given.get("rel", "").split()):
            self.addresses.append(given.get("href", ""))
        if tag == "use":
            self.addresses.append(given.get("href", given.get("xlink:href", "")))
        if given.get("http-equiv", "").lower() == "refresh":
            self.addresses.append(given["content"].partition("=")[2])
        if given.get("http-equiv", "").lower() == "content-security-policy":
            self.policies.append(given["content"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` builds it, warnings counting as errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=BUILD_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def _html(site: Path) -> Iterator[tuple[str, _Loads, str]]:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))  # and a page for what is not found
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loads = _Loads()
        loads.feed(text)
        yield str(page.relative_to(site)), loads, text


def _is_elsewhere(address: str) -> bool:
    return re.match(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE) is not None


@pytest.mark.parametrize(
    ("address", "elsewhere"),
    [
        ("https://fonts.example/a.css", True),
        ("//cdn.example/a.js", True),
        ("../assets/a.js", False),
        ("data:image/png;base64,AA//BB", False),
    ],
)
def test_an_address_of_another_host_is_told_from_one_s_own(address: str, elsewhere: bool) -> None:
    assert _is_elsewhere(address) is elsewhere


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    for name, loads, _ in _html(site):
        assert loads.addresses, name
        assert [address for address in loads.addresses if _is_elsewhere(address)] == [], name


def test_every_page_forbids_the_browser_to_ask_another_host(site: Path) -> None:
    assert {name: loads.policies for name, loads, _ in _html(site) if loads.policies != [POLICY]} == {}


def test_no_style_loads_anything_from_another_host(site: Path) -> None:
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        loaded = re.findall(r"url\(\s*['\"]?([^'\")\s]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
        assert [address for address in loaded if _is_elsewhere(address)] == [], sheet.name


def test_scripts_name_other_hosts_only_for_what_no_page_has(site: Path) -> None:
    scripts = list(site.rglob("*.js"))
    assert scripts
    named = {
        address
        for script in scripts
        for address in re.findall(
            r"[\"'`](?:https?:)?//([\w.-]+\.[a-z]+/[\w./@-]*)", script.read_text(encoding="utf-8")
        )
        if "@" in address or script.name.startswith("bundle")
    }
    assert {address for address in named if not address.startswith(tuple(_DORMANT))} == set()
    for name, _, text in _html(site):
        assert 'class="mermaid"' not in text, name
        assert 'data-md-component="source"' not in text, name


def test_every_mark_has_become_what_it_stands_for(site: Path) -> None:
    assert [name for name, _, text in _html(site) if "made at build" in text] == []


def test_the_settings_page_has_every_setting(site: Path) -> None:
    page = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    names = json.loads(run_gaia("config", "--json").stdout)
    assert len(names) > 20
    assert [name for name in names if f"<code>{name}</code>" not in page] == []


def test_the_commands_page_has_every_command(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    listed = re.findall(r"^\W*([a-z]+) {2,}[A-Z]", run_gaia("--help").stdout, re.MULTILINE)
    assert {"up", "score", "miner"} <= set(listed)
    assert [name for name in listed if f'id="gaia-{name}"' not in page] == []


def test_operators_are_told_of_metrics_that_exist(site: Path) -> None:
    page = (site / "reference" / "metrics.html").read_text(encoding="utf-8")
    known = set(re.findall(r"<code>(gaia_\w+)</code>", page))
    told = set(re.findall(r"`(gaia_\w+)`", (ROOT / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")))
    assert "gaia_ipc_queue_depth" in told
    assert told <= known


def test_the_functions_page_has_each_public_function_with_its_docstring(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert "Root-mean-square error" in page
    for name in ("rmse", "acc", "skill_score", "score_table", "handle_day1_scoring", "emission_weights"):
        assert re.search(rf'id="gaia[\w.]*\.{name}"', page), name


def test_the_notebook_s_page_shows_what_it_prints(site: Path) -> None:
    page = (site / "tutorials" / "first-score.html").read_text(encoding="utf-8")
    assert re.search(r"48 +0\.928", page)  # sqrt(0.7822^2 + 0.5^2): the waves' error and the half degree
    assert "Traceback" not in page


def test_every_decision_is_in_their_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("0*.md"))
