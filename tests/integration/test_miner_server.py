"""The reference miner as validators meet it: over HTTP, with signatures, a chain and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import RunId, run_id_for
from gaia.miner.adversary import Cheat, conduct_for
from gaia.miner.forecasting.forecaster import FIRST_PAUSE_S
from gaia.miner.model_choice import ModelChoice
from gaia.miner.server import EXPIRY_EVERY_S, MinerServer
from gaia.miner.serving.permits import LOOK_AGAIN_GAP_S, STALE_AFTER_S
from gaia.miner.settings import MinerSettings
from gaia.protocol.forecast_messages import (
    FORECASTS_PATH,
    CommitmentMessage,
    ForecastRequest,
    RequestAccepted,
    RevealMessage,
    chunk_path,
    commitment_path,
    reveal_path,
)
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.manifest import CommitmentMismatch, Manifest, check_manifest
from gaia.protocol.messages import decode_answer
from gaia.protocol.run_spec import VariableSpec
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import decode_field
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import Chunk
from tests.integration.miner_world import (
    DEADLINE,
    INIT,
    NETUID,
    REVEAL_UNTIL,
    RUN,
    SPEC,
    START,
    Caller,
    MemoryChain,
    Reply,
    a_request,
    body_of,
    write_archive,
)
from tests.support.clock import ManualClock

PERSISTENCE = ModelChoice(name="persistence")


class World:
    """One miner, one permitted validator and one stranger."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.truth = write_archive(folder / "archive")
        self.clock = ManualClock(START)
        self.miner_key = HotkeySigner.generate()
        self.validator = Caller(session, HotkeySigner.generate(), self.clock)
        self.stranger = Caller(session, HotkeySigner.generate(), self.clock)
        self.chain = MemoryChain(
            {self.validator.signer.hotkey: True, self.miner_key.hotkey: False, self.stranger.signer.hotkey: False}
        )

    def settings(self, **changes: object) -> MinerSettings:
        settings = MinerSettings(
            netuid=NETUID,
            data_dir=self.folder / "miner",
            model=PERSISTENCE,
            analysis=f"archive:{self.folder / 'archive'}",
        )
        return msgspec.structs.replace(settings, **changes)

    @asynccontextmanager
    async def miner(self, cheat: Cheat | None = None, **changes: object) -> AsyncIterator[MinerServer]:
        settings = self.settings(**changes)
        server = MinerServer(
            settings,
            signer=self.miner_key,
            chain=self.chain,
            clock=self.clock,
            conduct=conduct_for(cheat, settings.model, self.miner_key.hotkey),
        )
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    async def get(self, path: str, caller: Caller | None = None) -> Reply:
        endpoint = self.chain.endpoints[self.miner_key.hotkey]
        return await (caller or self.validator).ask(endpoint, self.miner_key.hotkey, path)

    async def request(self, request: ForecastRequest | bytes | None = None, caller: Caller | None = None) -> Reply:
        body = request if isinstance(request, bytes) else body_of(request or a_request())
        endpoint = self.chain.endpoints[self.miner_key.hotkey]
        return await (caller or self.validator).ask(
            endpoint, self.miner_key.hotkey, FORECASTS_PATH, method="POST", body=body
        )

    async def commitment(self, run_id: RunId = RUN) -> CommitmentMessage:
        """Ask, as a validator does, until there is one."""
        reply = await self.final_word(run_id)
        assert (reply.status, reply.signed) == (200, True)
        return decode_answer(reply.body, CommitmentMessage)

    async def move_to(self, instant: datetime) -> None:
        await self.clock.advance(instant - self.clock.now())

    async def final_word(self, run_id: RunId = RUN) -> Reply:
        """Ask for the commitment until there is one or the miner says why there is none."""
        return await self.get_until(commitment_path(run_id), lambda reply: b"not ready" not in reply.body)

    async def get_until(self, path: str, settled: Callable[[Reply], bool]) -> Reply:
        """Ask again and again, as validators do."""
        async with asyncio.timeout(60):
            while True:
                reply = await self.get(path)
                if settled(reply):
                    return reply
                await asyncio.sleep(0.05)

    async def reveal(self) -> RevealMessage:
        reply = await self.get(reveal_path(RUN))
        assert (reply.status, reply.signed) == (200, True)
        return decode_answer(reply.body, RevealMessage)

    def checked(self, commitment: CommitmentMessage, reveal: RevealMessage) -> Manifest:
        return check_manifest(
            reveal.manifest.encode(),
            nonce=bytes.fromhex(reveal.nonce),
            commitment=bytes.fromhex(commitment.digest),
            run_id=RUN,
            hotkey=self.miner_key.hotkey,
            init_time=INIT,
            spec=SPEC,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as session:
        yield World(tmp_path, session)


async def test_a_forecast_goes_from_request_to_commitment_to_reveal_to_chunks(world: World) -> None:
    async with world.miner():
        accepted = await world.request()
        assert (accepted.status, accepted.signed) == (202, True)
        assert decode_answer(accepted.body, RequestAccepted).run_id == RUN
        commitment = await world.commitment()
        await world.move_to(DEADLINE)
        manifest = world.checked(commitment, await world.reveal())
        for key, field, lead_h in SPEC.chunks():
            reply = await world.get(chunk_path(RUN, key))
            assert reply.status == 200
            assert len(reply.body) == manifest.chunks[key].size_bytes
            values = np.empty(SPEC.grid.shape, np.float32)
            decode_field(memoryview(reply.body), Chunk(key=key, field=field, lead_h=lead_h), values)
            np.testing.assert_array_equal(values, world.truth[field])  # persistence


async def test_nothing_but_the_commitment_leaves_the_miner_before_the_deadline(world: World) -> None:
    async with world.miner():
        await world.request()
        await world.commitment()
        await world.move_to(DEADLINE - timedelta(microseconds=1))
        for path in (reveal_path(RUN), chunk_path(RUN, "z/c/0/0/0/0"), chunk_path(RUN, "no/such/chunk")):
            reply = await world.get(path)
            assert (reply.status, reply.code, reply.signed) == (425, "too_early", True)


async def test_only_validators_with_a_permit_are_answered(world: World) -> None:
    async with world.miner():
        refused = await world.request(caller=world.stranger)
        assert (refused.status, refused.code, refused.signed) == (403, "caller_not_permitted", False)
        await world.request()
        await world.commitment()
        await world.move_to(DEADLINE)
        for path in (commitment_path(RUN), reveal_path(RUN), chunk_path(RUN, "z/c/0/0/0/0")):
            assert (await world.get(path, world.stranger)).status == 403


async def test_a_new_permit_is_noticed_within_seconds_and_no_stranger_makes_us_flood_the_chain(
    world: World,
) -> None:
    async with world.miner():
        world.chain.permits[world.stranger.signer.hotkey] = True
        assert (await world.request(caller=world.stranger)).status == 403  # the chain was asked a moment ago
        await world.move_to(START + timedelta(seconds=LOOK_AGAIN_GAP_S))
        assert (await world.request(caller=world.stranger)).status == 202


async def test_nobody_is_let_in_when_the_chain_has_been_silent_for_too_long(world: World) -> None:
    async with world.miner():
        world.chain.down = True
        assert (await world.request()).status == 202
        await world.move_to(START + timedelta(seconds=STALE_AFTER_S + 1))
        refused = await world.get(commitment_path(RUN))
        assert (refused.status, refused.code) == (503, "permits_unknown")


async def test_a_replayed_request_is_refused(world: World) -> None:
    async with world.miner() as server:
        body = body_of(a_request())
        headers = world.validator.sign("POST", FORECASTS_PATH, body, world.miner_key.hotkey)
        first = await world.validator.send(server.endpoint, FORECASTS_PATH, headers, method="POST", body=body)
        again = await world.validator.send(server.endpoint, FORECASTS_PATH, headers, method="POST", body=body)
        assert first[0] == 202
        assert again[0] == 401
        assert msgspec.json.decode(again[1])["code"] == "replayed_request"


async def test_a_request_signed_for_another_miner_or_unsigned_is_refused(world: World) -> None:
    async with world.miner() as server:
        body = body_of(a_request())
        other = HotkeySigner.generate().hotkey
        misdirected = world.validator.sign("POST", FORECASTS_PATH, body, other)
        for headers in (misdirected, {}):
            status, _, _ = await world.validator.send(
                server.endpoint, FORECASTS_PATH, headers, method="POST", body=body
            )
            assert status == 401


@pytest.mark.parametrize(
    "chunk",
    [
        "../request.json",
        "..%2Frequest.json",
        "%2e%2e/%2e%2e/lock",
        "z/../../request.json",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "z/zarr.json",
        "zarr.json",
        "z/c/0/0/0/0/",
        "z//c/0/0/0/0",
        "z/c/0/0/0/0%00",
        "z/c/00/0/0/0",
        "Z/c/0/0/0/0",
    ],
)
async def test_only_the_keys_of_the_specification_are_chunks(world: World, chunk: str) -> None:
    async with world.miner():
        await world.request()
        await world.commitment()
        await world.move_to(DEADLINE)
        reply = await world.get(f"{FORECASTS_PATH}/{RUN}/chunks/{chunk}")
        assert reply.status == 404
        assert b"commit_deadline" not in reply.body


async def test_a_variable_that_would_be_a_path_is_refused(world: World) -> None:
    spec = msgspec.structs.replace(SPEC, variables=(VariableSpec(name="../../escaped"),))
    async with world.miner():
        reply = await world.request(a_request(spec=spec))
    assert (reply.status, reply.code, reply.signed) == (400, "malformed_request", True)
    assert not list(world.folder.rglob("*escaped*"))


async def test_asking_again_changes_nothing(world: World) -> None:
    async with world.miner():
        first, second = await asyncio.gather(world.request(), world.request())
        commitment = await world.commitment()
        third = await world.request()
        assert {first.body, second.body, third.body} == {first.body}
        assert {first.status, second.status, third.status} == {202}
        assert await world.commitment() == commitment


async def test_other_terms_for_a_run_already_requested_are_a_conflict(world: World) -> None:
    async with world.miner():
        await world.request()
        commitment = await world.commitment()
        reply = await world.request(a_request(commit_deadline=DEADLINE - timedelta(hours=1)))
        assert (reply.status, reply.code) == (409, "conflicting_request")
        await world.move_to(DEADLINE - timedelta(minutes=1))
        assert (await world.get(reveal_path(RUN))).status == 425
        assert await world.commitment() == commitment


async def test_a_restart_keeps_commitment_and_forecast(world: World) -> None:
    async with world.miner():
        await world.request()
        commitment = await world.commitment()
    async with world.miner():
        assert decode_answer((await world.get(commitment_path(RUN))).body, CommitmentMessage) == commitment
        await world.move_to(DEADLINE)
        world.checked(commitment, await world.reveal())
        assert (await world.get(chunk_path(RUN, "2t/c/1/0/0"))).status == 200


async def test_a_restart_before_the_commitment_takes_the_run_up_again(world: World) -> None:
    async with world.miner(model=ModelChoice(name="tests.integration.odd_models:endless")):
        assert (await world.request()).status == 202
    async with world.miner():
        await world.commitment()


async def test_a_forecast_is_deleted_after_its_reveal(world: World) -> None:
    async with world.miner():
        await world.request()
        await world.commitment()
        await world.move_to(REVEAL_UNTIL + timedelta(seconds=EXPIRY_EVERY_S))
        # between the two, the list of permits is 20 days old by this clock, and the reveal is over
        reply = await world.get_until(commitment_path(RUN), lambda reply: reply.status == 404)
        assert reply.code == "unknown_run"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("broken", "ZeroDivisionError"),
        ("killed", "signal SIGKILL"),
        ("incomplete", "incomplete_forecast"),
        ("not_finite", "non_finite_value"),
        ("nowhere", "configuration_error"),
    ],
)
async def test_a_model_that_fails_leaves_no_commitment_and_says_why(world: World, model: str, reason: str) -> None:
    async with world.miner(model=ModelChoice(name=f"tests.integration.odd_models:{model}")):
        await world.request()
        reply = await world.final_word()
        assert (reply.status, reply.code, reply.signed) == (404, "no_commitment", True)
        assert reason in reply.body.decode()


async def test_a_broken_run_does_not_stop_the_next_one(world: World) -> None:
    async with world.miner():
        later = INIT + timedelta(days=1)  # of which there is no analysis
        absent = run_id_for(NETUID, "weather", later)
        assert (await world.request(a_request(absent, init_time=later))).status == 202
        assert b"analysis_not_there" in (await world.final_word(absent)).body
        await world.request()
        await world.commitment()


async def test_an_analysis_that_comes_late_is_waited_for(world: World) -> None:
    analysis = world.folder / "archive" / "truth"
    analysis.rename(world.folder / "not-yet")
    async with world.miner():
        await world.request()
        assert b"analysis_not_there" in (await world.final_word()).body
        (world.folder / "not-yet").rename(analysis)
        await world.clock.until_asleep(3)  # permits, expiry and the pause between two attempts
        await world.clock.advance(FIRST_PAUSE_S)
        reply = await world.get_until(commitment_path(RUN), lambda reply: reply.status == 200)
        assert reply.signed


async def test_after_the_deadline_nothing_is_committed_any_more(world: World) -> None:
    (world.folder / "archive" / "truth").rename(world.folder / "too-late")
    async with world.miner():
        await world.request()
        await world.final_word()
        (world.folder / "too-late").rename(world.folder / "archive" / "truth")
        await world.clock.until_asleep(3)
        await world.move_to(DEADLINE)
        reply = await world.get_until(commitment_path(RUN), lambda reply: reply.status != 503)
        assert (reply.status, reply.code) == (404, "no_commitment")
    async with world.miner():
        assert (await world.final_word()).code == "no_commitment"
        assert b"commit deadline" in (await world.final_word()).body


async def test_a_disk_that_gives_out_costs_one_run_and_is_told_as_ours(world: World) -> None:
    async with world.miner():
        (world.folder / "miner" / "runs").rename(world.folder / "gone")
        reply = await world.request()
        assert (reply.status, reply.code, reply.signed) == (500, "miner_failed", True)
        (world.folder / "gone").rename(world.folder / "miner" / "runs")
        assert (await world.request()).status == 202
        await world.commitment()


async def test_too_large_a_body_is_refused(world: World) -> None:
    async with world.miner():
        assert (await world.request(b"x" * 70_000)).status == 413


async def test_a_body_that_is_no_request_is_refused_with_a_reason(world: World) -> None:
    async with world.miner():
        reply = await world.request(b"{}")
        assert (reply.status, reply.code, reply.signed) == (400, "malformed_request", True)


async def test_no_more_runs_are_kept_than_allowed(world: World) -> None:
    async with world.miner(max_runs=1):
        assert (await world.request()).status == 202
        later = INIT + timedelta(days=1)
        reply = await world.request(a_request(run_id_for(NETUID, "weather", later), init_time=later))
        assert (reply.status, reply.code) == (503, "not_enough_room")


@pytest.mark.parametrize("cheat", [Cheat.SWAP, Cheat.SWAP_CHUNKS])
async def test_swapped_forecasts_do_not_match_their_commitment(world: World, cheat: Cheat) -> None:
    async with world.miner(cheat, model=ModelChoice(name="climatology")):
        await world.request()
        commitment = await world.commitment()
        await world.move_to(DEADLINE)
        reveal = await world.reveal()
        if cheat is Cheat.SWAP:
            with pytest.raises(CommitmentMismatch):
                world.checked(commitment, reveal)
            return
        manifest = world.checked(commitment, reveal)
        chunks = {key: await world.get(chunk_path(RUN, key)) for key in manifest.chunks}
        assert any(len(chunks[key].body) != manifest.chunks[key].size_bytes for key in chunks)


async def test_the_silent_miner_takes_a_request_and_never_answers(world: World) -> None:
    async with world.miner(Cheat.SILENT) as server:
        host, port = server.endpoint.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/forecasts/x/commitment HTTP/1.1\r\nHost: x\r\n\r\n")
        await writer.drain()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
    assert await reader.read() == b""  # hung up only when it was stopped
    writer.close()


async def test_two_miners_cannot_share_a_data_folder_or_a_port(world: World) -> None:
    async with world.miner() as server:
        with pytest.raises(ConfigurationError, match="another miner uses the data folder"):
            async with world.miner():
                pass
        port = int(server.endpoint.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with world.miner(data_dir=world.folder / "other", port=port):
                pass


async def test_the_endpoint_is_announced_on_the_chain(world: World) -> None:
    async with world.miner(public_url="https://weather.example.org") as server:
        assert world.chain.endpoints[world.miner_key.hotkey] == server.endpoint == "https://weather.example.org"
