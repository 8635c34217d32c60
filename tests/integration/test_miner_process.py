"""`gaia miner` as a process: starting, refusing bad settings, stopping, dying with its parent, surviving a SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from gaia.chain.simulated import SimulatedChain
from gaia.contracts.clock import SystemClock
from gaia.contracts.ports import SubnetParameters
from gaia.protocol.forecast_messages import FORECASTS_PATH, CommitmentMessage, commitment_path
from gaia.protocol.keys import HotkeySigner, create_key_file
from gaia.protocol.messages import decode_answer
from tests.integration.miner_world import NETUID, RUN, Caller, a_request, body_of, write_archive
from tests.support.waiting import children_of, is_running, until, until_async

pytestmark = [pytest.mark.database, pytest.mark.processes]

PARAMETERS = SubnetParameters(
    tempo_blocks=10, weights_rate_limit_blocks=0, min_allowed_weights=1, max_weights_limit=1.0,
    weights_version=0, min_stake_tao=0.0,
)  # fmt: skip


class Town:
    """A chain with one validator and one miner that is not running yet."""

    def __init__(self, folder: Path, dsn: str, chain: SimulatedChain) -> None:
        self.folder = folder
        self.dsn = dsn
        self.chain = chain
        self.key_file = folder / "hotkey"
        self.miner = create_key_file(self.key_file)
        self.validator = HotkeySigner.generate()
        self.started: list[subprocess.Popen[bytes]] = []

    def arguments(self, **changes: str | None) -> list[str]:
        options = {
            "key": str(self.key_file),
            "chain-url": self.dsn,
            "analysis": f"archive:{self.folder / 'archive'}",
            "data-dir": str(self.folder / "miner"),
            "model": "persistence",
            "log-format": "json",
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        given = [(f"--{name}", value) for name, value in options.items() if value is not None]
        return [sys.executable, "-m", "gaia.cli.main", "miner", *(text for pair in given for text in pair)]

    async def start(self, **changes: str | None) -> subprocess.Popen[bytes]:
        """Start a miner and wait until the chain knows its endpoint."""
        before = await self.endpoint()
        process = subprocess.Popen(self.arguments(**changes), stderr=subprocess.DEVNULL)
        self.started.append(process)
        await self.announced(process, before)
        return process

    async def announced(self, process: subprocess.Popen[bytes], before: str | None = None) -> None:
        """Wait until the miner's endpoint is another than `before`."""
        async with asyncio.timeout(30):
            while True:
                assert process.poll() is None
                if await self.endpoint() != before:
                    return
                await asyncio.sleep(0.02)

    async def endpoint(self) -> str | None:
        (neuron,) = [n for n in await self.chain.neurons(NETUID) if n.hotkey == self.miner.hotkey]
        return neuron.endpoint

    def refused(self, **changes: str | None) -> str:
        """What a miner that must not start says, in one line."""
        done = subprocess.run(self.arguments(**changes), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        return line


@pytest.fixture
async def town(tmp_path: Path, database_dsn: str) -> AsyncIterator[Town]:
    write_archive(tmp_path / "archive")
    chain = await SimulatedChain.connect(database_dsn)
    town = Town(tmp_path, database_dsn, chain)
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
    await chain.register(NETUID, town.validator.hotkey, stake_tao=1000.0, validator_permit=True)
    await chain.register(NETUID, town.miner.hotkey)
    yield town
    for process in town.started:
        process.kill()
        process.wait(30)
    await chain.close()


@pytest.fixture
async def caller(town: Town) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(session, town.validator, SystemClock())


async def ask(town: Town, caller: Caller, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    endpoint = await town.endpoint()
    assert endpoint is not None
    method = "GET" if body is None else "POST"
    reply = await caller.ask(endpoint, town.miner.hotkey, path, method=method, body=body or b"")
    return reply.status, reply.body


def a_request_now() -> bytes:
    now = datetime.now(UTC)
    return body_of(a_request(commit_deadline=now + timedelta(minutes=5), reveal_until=now + timedelta(days=1)))


async def committed(town: Town, caller: Caller) -> CommitmentMessage:
    async with asyncio.timeout(60):
        while True:
            status, body = await ask(town, caller, commitment_path(RUN))
            if status == 200:
                return decode_answer(body, CommitmentMessage)
            await asyncio.sleep(0.05)


async def test_a_miner_process_serves_and_stops_on_sigterm(town: Town, caller: Caller) -> None:
    process = await town.start()
    assert (await ask(town, caller, FORECASTS_PATH, a_request_now()))[0] == 202
    commitment = await committed(town, caller)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    await town.start()
    assert await committed(town, caller) == commitment


async def test_sigkill_while_a_model_runs_leaves_no_process_and_the_run_is_done_after_a_restart(
    town: Town, caller: Caller
) -> None:
    process = await town.start(model="tests.integration.odd_models:endless")
    assert (await ask(town, caller, FORECASTS_PATH, a_request_now()))[0] == 202
    (model_pid,) = await until_async(lambda: children_of(process.pid), "the model runs")
    process.kill()
    process.wait(30)
    await until_async(lambda: not is_running(model_pid), "the model has died with its miner")
    await town.start()
    await committed(town, caller)


async def test_a_miner_dies_with_the_parent_that_it_was_given(town: Town) -> None:
    command = town.arguments()
    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([*sys.argv[1:], '--ppid', str(os.getpid())])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    town.started.append(parent)
    assert parent.stdout is not None
    miner_pid = int(parent.stdout.readline())
    await town.announced(parent)
    parent.kill()
    parent.wait(30)
    until(lambda: not is_running(miner_pid), "the miner is gone")


async def test_a_miner_whose_parent_is_gone_does_not_start(town: Town) -> None:
    done = subprocess.run([*town.arguments(), "--ppid", "1"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "the parent process 1 is gone" in done.stderr
    assert await town.endpoint() is None


@pytest.fixture
def readable_key(town: Town) -> Iterator[None]:
    town.key_file.chmod(0o644)
    yield
    town.key_file.chmod(0o600)


async def test_a_key_that_others_can_read_is_refused(town: Town, readable_key: None) -> None:
    assert "chmod 600" in town.refused()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "guesswork"}, "unknown model 'guesswork'"),
        ({"analysis": "grib:/no/such.grib"}, "/no/such.grib does not exist"),
        ({"truncation": "2"}, "truncation 2 is not between"),
        ({"initial_error": "7"}, "initial error 7.0 is not between"),
        ({"key": "/no/such/key"}, "there is no key file /no/such/key"),
        ({"chain_url": "wss://entrypoint.example"}, "--chain-url must be postgresql://"),
        ({"netuid": "4"}, "SubnetNotExists"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1:0"),
        ({"data_dir": "/proc/miner"}, "cannot use the data folder /proc/miner"),
        ({"model": "barotropic", "cheat": "swap"}, "a cheat that swaps forecasts needs a worse model"),
    ],
)
async def test_bad_settings_end_in_one_line_that_names_the_cause(
    town: Town, changes: dict[str, str | None], said: str
) -> None:
    assert said in town.refused(**changes)
    assert await town.endpoint() is None


async def test_a_hotkey_that_is_not_registered_is_told_so(town: Town) -> None:
    stranger = town.folder / "stranger"
    create_key_file(stranger)
    assert "is its hotkey registered on subnet 57?" in town.refused(key=str(stranger))


async def test_the_log_is_json_and_holds_no_secret(town: Town) -> None:
    process = subprocess.Popen(town.arguments(), stderr=subprocess.PIPE)
    town.started.append(process)
    await town.announced(process)
    process.send_signal(signal.SIGINT)
    _, log = await asyncio.to_thread(process.communicate, timeout=30)
    assert b'"event": "miner_started"' in log
    assert os.fsencode(town.key_file.read_text().split('"secretPhrase"')[-1][:40]) not in log
