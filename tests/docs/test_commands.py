"""Every command of the documentation works and prints what the page says, or the page says that it was not run."""

from __future__ import annotations

import doctest
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gaia.demonstration.scenario import TWIN_SPEC, twin_scenario
from tests.docs.pages import PAGES, ROOT, RUN, SHOWN, blocks, name
from tests.docs.session import commands, prints, run
from tests.support.demo_process import processes_in, public_folder
from tests.support.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(420)]

WITHIN_S = 300.0


def make_demo_world(folder: Path) -> None:
    """What `gaia demo --data-dir demo` leaves."""
    (folder / "demo").mkdir()
    twin_scenario(folder / "demo")
    (folder / "demo" / "run_spec.json").write_bytes(msgspec.json.encode(TWIN_SPEC))


PREPARED: dict[str, Callable[[Path], None]] = {"docs/tutorials/first-hindcast.md": make_demo_world}
"""What commands that are marked as run elsewhere have left for those that are run here."""

CONSOLE = [page for page in PAGES if any(each.language == "console" and each.mark is None for each in blocks(page))]
PYTHON = [page for page in PAGES if any(each.language == "pycon" and each.mark is None for each in blocks(page))]


@pytest.fixture
def folder() -> Iterator[Path]:
    """As a clone is to its reader: the examples lie in it. Empty of processes at the end."""
    with public_folder("gaia-docs-") as made:
        shutil.copytree(ROOT / "examples", made / "examples")
        yield made
        until(lambda: not processes_in(made), f"no process left in {made}", 30.0)


@pytest.fixture(scope="module")
def byte_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands of all pages compile once."""
    return tmp_path_factory.mktemp("byte_code")


@pytest.mark.parametrize("page", CONSOLE, ids=name)
def test_commands_print_what_the_page_shows(page: Path, folder: Path, byte_code: Path) -> None:
    if name(page) in PREPARED:
        PREPARED[name(page)](folder)
    own = [block for block in blocks(page) if block.language == "console" and block.mark is None]
    told = [command for block in own for command in commands(block.text)]
    done = run([command.typed for command in told], folder, byte_code=byte_code, timeout_s=WITHIN_S)
    for command, outcome in zip(told, done, strict=False):
        assert outcome.status == 0, f"$ {command.typed}\n{outcome.output}"
        if command.printed:
            assert prints(command.printed, outcome.output), f"$ {command.typed}\n{outcome.output}"
    assert len(done) == len(told)


@pytest.mark.parametrize("page", PYTHON, ids=name)
def test_python_examples_hold(page: Path) -> None:
    text = "\n".join(each.text for each in blocks(page) if each.language == "pycon" and each.mark is None)
    test = doctest.DocTestParser().get_doctest(text, {}, name(page), str(page), 0)
    found = doctest.DocTestRunner().run(test)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "decisions"], ids=name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """A decision speaks of its own day; every other page of today."""
    named = re.findall(r"`((?:src|tests|scripts|benchmarks|examples|docs)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_of_a_page_is_found(page: Path) -> None:
    fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
    indented = re.findall(r"^ +```text$", page.read_text(encoding="utf-8"), re.MULTILINE)  # in a list: shown only
    assert 2 * (len(blocks(page)) + len(indented)) == len(fences)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in (*RUN, *SHOWN), block.text
        if block.language == "python":
            assert block.mark is not None, f"say which test runs this, or why none does:\n{block.text}"
        if block.mark is not None and block.mark.startswith("run by"):
            test = ROOT / block.mark.removeprefix("run by ")
            assert test.is_file(), f"{test} is not there"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_code_hides_from_the_tests_by_its_indentation(page: Path) -> None:
    """Indented formulas are text; an indented command would be run by nobody."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^(?: {4,}|\t)(?:\$ |>>> |gaia |make |python ).*$", outside, re.MULTILINE) == []
