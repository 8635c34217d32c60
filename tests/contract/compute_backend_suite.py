"""What every ComputeBackend must do. A test module subclasses it and supplies the fixture `backend`.

The backend works on two units at once and has the handlers of tests/support/compute_handlers.py.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from gaia.contracts.errors import Fault
from gaia.contracts.ports import ComputeBackend
from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, WorkUnit
from tests.support.waiting import lines_of, until_async


class ComputeBackendSuite:
    """Behaviour that callers rely on, whoever computes."""

    async def test_a_unit_comes_back_with_its_value(self, backend: ComputeBackend) -> None:
        unit = WorkUnit(handler="echo", payload={"text": "grüße", "numbers": [1, 2.5, None], "raw": b"\x00\xff"})
        result = await backend.run(unit)
        assert result.ok
        assert result.value == {"text": "grüße", "numbers": [1, 2.5, None], "raw": b"\x00\xff"}
        assert (result.unit_id, result.handler, result.attempt) == (unit.unit_id, "echo", 1)
        assert result.duration_s > 0.0

    async def test_many_units_at_once_each_get_their_own_result(self, backend: ComputeBackend) -> None:
        units = [WorkUnit(handler="echo", payload={"number": number}) for number in range(200)]
        results = await asyncio.gather(*(backend.run(unit) for unit in units))
        assert [result.value for result in results] == [{"number": number} for number in range(200)]
        assert backend.queue_depth() == 0

    @pytest.mark.parametrize(
        ("handler", "code", "fault", "retryable"),
        [
            ("raise_miner_fault", "forecast_cropped", Fault.MINER, False),
            ("raise_source_fault", "not_yet", Fault.SOURCE, True),
            ("raise_plain", "zero_division_error", Fault.VALIDATOR, False),
            ("raise_unpicklable", "unpicklable", Fault.VALIDATOR, False),
            ("exit_cleanly", "system_exit", Fault.VALIDATOR, False),
            ("no_such_handler", "handler_unknown", Fault.VALIDATOR, False),
            ("import_fails", "handler_unavailable", Fault.VALIDATOR, False),
            ("attribute_missing", "handler_unavailable", Fault.VALIDATOR, False),
            ("return_object", "result_unserialisable", Fault.VALIDATOR, False),
            ("return_number", "result_unserialisable", Fault.VALIDATOR, False),
            ("return_odd_keys", "result_unserialisable", Fault.VALIDATOR, False),
        ],
    )
    async def test_a_failure_comes_back_as_data(
        self, backend: ComputeBackend, handler: str, code: str, fault: Fault, retryable: bool
    ) -> None:
        error = (await backend.run(WorkUnit(handler=handler, payload={}))).error
        assert error is not None
        assert (error.code, error.fault, error.retryable) == (code, fault, retryable)

    async def test_a_bug_brings_its_traceback_as_text(self, backend: ComputeBackend) -> None:
        error = (await backend.run(WorkUnit(handler="raise_plain", payload={}))).error
        assert error is not None
        assert "1 / 0" in error.traceback

    async def test_a_payload_that_cannot_travel_is_refused_and_named(self, backend: ComputeBackend) -> None:
        for payload in ({"object": object()}, {"number": 2**70}, {7: "seven"}):
            result = await backend.run(WorkUnit(handler="echo", payload=payload))  # type: ignore[arg-type]  # on purpose
            assert result.error is not None
            assert result.error.code == "payload_unserialisable"
            assert "echo" in result.error.message

    async def test_a_payload_or_result_above_the_bound_is_refused_with_the_fix(self, backend: ComputeBackend) -> None:
        too_much = 17 * 1024 * 1024
        for unit in (
            WorkUnit(handler="echo", payload={"bytes": bytes(too_much)}),
            WorkUnit(handler="return_bytes", payload={"bytes": too_much}),
        ):
            error = (await backend.run(unit)).error
            assert error is not None
            assert error.code == "frame_too_large"
            assert "write big data to a file" in error.message

    async def test_large_payloads_and_results_below_the_bound_travel(self, backend: ComputeBackend) -> None:
        block = bytes(range(256)) * 4096 * 12  # 12 MiB
        result = await backend.run(WorkUnit(handler="echo", payload={"block": block}))
        assert result.value == {"block": block}

    async def test_what_a_handler_prints_does_not_disturb(self, backend: ComputeBackend) -> None:
        result = await backend.run(WorkUnit(handler="print_much", payload={}))
        assert result.value == {"printed": True}

    async def test_more_urgent_units_go_first_and_equals_in_order(
        self, backend: ComputeBackend, tmp_path: Path
    ) -> None:
        release, began = tmp_path / "release", tmp_path / "began"
        blockers = [_blocker(backend, began, release) for _ in range(2)]
        await until_async(lambda: len(lines_of(began)) == 2, "both workers are busy")
        pairs = (("urgent", "first"), ("second", "third"), ("low", "lower"))
        priorities = {"low": -1, "urgent": 5, "lower": -2}
        waiting = []
        for name in ("low", "first", "urgent", "second", "lower", "third"):
            (pair,) = (pair for pair in pairs if name in pair)
            payload = {"began": str(tmp_path / name), "until": str(tmp_path / "-".join(pair))}
            unit = WorkUnit(handler="wait_for_file", payload=payload, priority=priorities.get(name, 0))
            waiting.append(asyncio.ensure_future(backend.run(unit)))
            await asyncio.sleep(0)  # it is in the line
        assert backend.queue_depth() == 6
        release.touch()
        expected: set[str] = set()
        for pair in pairs:
            expected |= set(pair)
            await until_async(partial(_has_begun, tmp_path, len(expected)), f"{pair} begin")
            assert _begun(tmp_path) == expected
            (tmp_path / "-".join(pair)).touch()
        assert all(result.ok for result in await asyncio.gather(*blockers, *waiting))

    async def test_cancelling_a_waiting_unit_withdraws_it(self, backend: ComputeBackend, tmp_path: Path) -> None:
        release, log = tmp_path / "release", tmp_path / "log"
        blockers = [_blocker(backend, tmp_path / "began", release) for _ in range(8)]
        await until_async(lambda: len(lines_of(tmp_path / "began")) >= 2, "workers are busy")
        depth = backend.queue_depth()
        doomed = asyncio.ensure_future(
            backend.run(WorkUnit(handler="record", payload={"path": str(log), "name": "doomed"}))
        )
        await asyncio.sleep(0)
        assert backend.queue_depth() == depth + 1
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        assert backend.queue_depth() == depth
        release.touch()
        await asyncio.gather(*blockers)
        assert lines_of(log) == []

    async def test_a_unit_past_its_time_is_reported_and_the_next_is_done(
        self, backend: ComputeBackend, tmp_path: Path
    ) -> None:
        stuck = WorkUnit(
            handler="wait_for_file",
            payload={"began": str(tmp_path / "began"), "until": str(tmp_path / "never")},
            timeout_s=0.3,
        )
        error = (await backend.run(stuck)).error
        assert error is not None
        assert (error.code, error.fault, error.retryable) == ("unit_timed_out", Fault.VALIDATOR, True)
        assert (await backend.run(WorkUnit(handler="echo", payload={}))).ok

    async def test_a_unit_past_its_deadline_is_reported_wherever_it_is(
        self, backend: ComputeBackend, tmp_path: Path
    ) -> None:
        began, release = tmp_path / "began", tmp_path / "release"
        blockers = [_blocker(backend, began, release) for _ in range(8)]
        await until_async(lambda: len(lines_of(began)) >= 2, "workers are busy")
        depth = backend.queue_depth()
        waiting = WorkUnit(handler="echo", payload={}, deadline_s=0.2)
        error = (await backend.run(waiting)).error
        assert error is not None
        assert (error.code, error.fault, error.retryable) == ("deadline_passed", Fault.VALIDATOR, True)
        assert backend.queue_depth() == depth  # it has left the line
        release.touch()
        await asyncio.gather(*blockers)
        payload = {"began": str(tmp_path / "stuck"), "until": str(tmp_path / "never")}
        running = WorkUnit(handler="wait_for_file", payload=payload, deadline_s=0.5)
        error = (await backend.run(running)).error
        assert error is not None
        assert error.code == "deadline_passed"
        assert (await backend.run(WorkUnit(handler="echo", payload={}, deadline_s=60.0))).ok

    async def test_a_long_unit_tells_how_far_it_has_come(self, backend: ComputeBackend, tmp_path: Path) -> None:
        release = tmp_path / "release"
        heard: list[Progress] = []

        def listen(progress: Progress) -> None:
            heard.append(progress)
            release.touch()  # the unit ends only because its report has arrived

        payload = {"began": str(tmp_path / "began"), "until": str(release), "fraction": 0.25, "note": "level 500"}
        assert (await backend.run(WorkUnit(handler="report_then_wait", payload=payload), listen)).ok
        assert heard == [Progress(fraction=0.25, note="level 500")]

    async def test_reports_are_thinned_out_and_harm_nobody_who_does_not_listen(self, backend: ComputeBackend) -> None:
        heard: list[Progress] = []
        unit = WorkUnit(handler="report_often", payload={"times": 200_000})
        result = await backend.run(unit, heard.append)
        assert result.ok
        assert 1 <= len(heard) <= 1 + result.duration_s / 0.1
        assert (await backend.run(WorkUnit(handler="report_often", payload={"times": 10}))).ok


_NAMES = {"urgent", "first", "second", "third", "low", "lower"}


def _begun(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} & _NAMES


def _has_begun(folder: Path, count: int) -> bool:
    return len(_begun(folder)) >= count


def _blocker(backend: ComputeBackend, began: Path, release: Path) -> asyncio.Future[ResultUnit]:
    payload = {"began": str(began), "until": str(release)}
    return asyncio.ensure_future(backend.run(WorkUnit(handler="wait_for_file", payload=payload, priority=9)))
