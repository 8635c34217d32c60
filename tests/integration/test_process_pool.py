"""The pools on their own, as the documentation shows them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gaia.contracts.unit import WorkUnit
from gaia.validator.app.compute.process_pool import ProcessPool
from gaia.validator.app.processes.restart_policy import RestartPolicy
from tests.support.pools import REGISTRY
from tests.support.waiting import is_running

pytestmark = pytest.mark.processes

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "process-pool.md"


def example(file_name: str) -> str:
    """A block of code of the page, by the name that its first line gives it."""
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    (block,) = [block for block in blocks if block.startswith(f"# {file_name}\n")]
    return block


@pytest.mark.parametrize(
    ("file_name", "printed"),
    [
        ("primes.py", "{'primes': 1229}\n"),  # pi(10^4): OEIS A006880
        ("letters.py", "to Ada: hello\nto Grace: hello\n"),
    ],
)
def test_the_examples_of_the_page_run_as_they_stand(tmp_path: Path, file_name: str, printed: str) -> None:
    (tmp_path / file_name).write_text(example(file_name), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, file_name], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


async def test_a_block_that_ends_leaves_no_process_and_gives_what_ran_up(tmp_path: Path) -> None:
    async with ProcessPool(REGISTRY, compute_workers=1) as pool:
        result = await pool.run(WorkUnit(handler="environment", payload={"names": []}))
        assert result.value is not None
        assert is_running(result.value["pid"])
    assert not is_running(result.value["pid"])
    refused = await pool.run(WorkUnit(handler="echo", payload={}))
    assert refused.error is not None
    assert refused.error.code == "pool_closed"


async def test_units_do_not_wait_for_workers_that_never_come() -> None:
    policy = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=1)
    async with ProcessPool("not a registry", compute_workers=2, restart=policy) as pool:
        for _ in range(2):  # one that waits, and one that comes later
            result = await pool.run(WorkUnit(handler="echo", payload={}))
            assert result.error is not None
            assert result.error.code == "workers_keep_failing"
