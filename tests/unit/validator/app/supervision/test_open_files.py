"""How many open files are needed, and what is done about a limit; on processes of their own."""

from __future__ import annotations

import resource
import subprocess
import sys

import msgspec

from gaia.validator.app.supervision.open_files import files_needed
from gaia.validator.utils.settings import Settings

SETTINGS = Settings(database_url="postgresql://me@host/gaia", compute_workers=2, job_concurrency=2, miner_concurrency=1)


def allowing(needed: int, *, soft: int, hard: int) -> str:
    """What `allow_files` does in a process with these limits: the soft limit after it, or the error."""
    code = (
        "import resource\n"
        "from gaia.validator.app.supervision.open_files import TooFewOpenFiles, allow_files\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "try:\n"
        f"    answer = allow_files({needed})\n"
        "    assert answer == resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
        "except TooFewOpenFiles as error:\n"
        "    answer = error\n"
        "print(answer)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def test_each_worker_and_each_file_of_the_engine_counts() -> None:
    base = files_needed(SETTINGS)
    assert files_needed(msgspec.structs.replace(SETTINGS, compute_workers=3)) == base + 3
    assert files_needed(msgspec.structs.replace(SETTINGS, compute_spares=2)) == base + 3
    assert files_needed(msgspec.structs.replace(SETTINGS, miner_concurrency=51)) == base + 100


def test_an_embedded_server_needs_a_good_many() -> None:
    assert files_needed(msgspec.structs.replace(SETTINGS, database_url=None)) == 128


def test_a_limit_that_suffices_is_left_alone() -> None:
    assert allowing(100, soft=200, hard=300) == "200"


def test_a_soft_limit_is_raised_to_what_is_needed() -> None:
    assert allowing(250, soft=200, hard=300) == "250"


def test_a_hard_limit_is_named_with_what_to_do() -> None:
    said = allowing(301, soft=200, hard=300)
    assert said.startswith("a process may have 300 files open here, but with these settings one needs 301")
    assert "ulimit -n 301" in said
    assert "LimitNOFILE=301" in said
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] != 300
