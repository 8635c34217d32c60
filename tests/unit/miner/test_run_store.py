"""The miner's files: what a crash leaves, and what a restart makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import run_id_for
from gaia.miner.forecasting.forecast_job import STORE_NAME
from gaia.miner.run_store import AcceptedRun, CommittedForecast, NotEnoughRoom, RunStore
from tests.integration.miner_world import INIT, NETUID, RUN, START, a_request
from tests.support.disks import fill, tmpfs_of

ACCEPTED = AcceptedRun(request=a_request(), accepted_at=START)
PROMISE = CommittedForecast(digest="00" * 32, nonce="11" * 32, manifest=b"{}", committed_at=START)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    opened = RunStore(tmp_path, 2)
    yield opened
    opened.close()


def reopened(store: RunStore, folder: Path) -> RunStore:
    store.close()
    return RunStore(folder, 2)


def publish(store: RunStore, content: str = "chunk") -> None:
    run = store.get(RUN)
    assert run is not None
    attempt = run.new_attempt()
    (attempt / STORE_NAME).mkdir(parents=True)
    (attempt / STORE_NAME / "data").write_text(content)
    run.publish(attempt, PROMISE)


def test_accepted_and_committed_runs_are_there_after_a_restart(store: RunStore, tmp_path: Path) -> None:
    store.accept(ACCEPTED)
    publish(store)
    run = reopened(store, tmp_path).get(RUN)
    assert run is not None
    assert (run.accepted, run.committed) == (ACCEPTED, PROMISE)
    assert (run.forecast / "data").read_text() == "chunk"


def test_a_crash_between_forecast_and_commitment_leaves_no_promise_and_room_for_another(
    store: RunStore, tmp_path: Path
) -> None:
    store.accept(ACCEPTED)
    publish(store, "of the attempt that died")
    (tmp_path / "runs" / RUN / "commitment.json").unlink()
    again = reopened(store, tmp_path)
    run = again.get(RUN)
    assert run is not None
    assert run.committed is None
    publish(again, "promised")
    assert (run.forecast / "data").read_text() == "promised"


def test_debris_of_attempts_and_of_half_deleted_runs_is_cleared(store: RunStore, tmp_path: Path) -> None:
    run = store.accept(ACCEPTED)
    run.new_attempt().mkdir()
    (tmp_path / "runs" / "sn57-weather-20170102T00Z" / "forecast").mkdir(parents=True)
    reopened(store, tmp_path)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [RUN]
    assert [path.name for path in (tmp_path / "runs" / RUN).iterdir()] == ["request.json"]


def test_a_forgotten_run_is_gone_for_good(store: RunStore, tmp_path: Path) -> None:
    run = store.accept(ACCEPTED)
    publish(store)
    store.forget(run)
    assert store.get(RUN) is None
    assert reopened(store, tmp_path).get(RUN) is None
    assert not list((tmp_path / "runs").iterdir())


def test_no_more_runs_than_allowed(store: RunStore) -> None:
    for day in range(2):
        init_time = INIT + timedelta(days=day)
        request = a_request(run_id_for(NETUID, "weather", init_time), init_time=init_time)
        store.accept(AcceptedRun(request=request, accepted_at=START))
    later = a_request(run_id_for(NETUID, "weather", INIT + timedelta(days=2)), init_time=INIT + timedelta(days=2))
    with pytest.raises(NotEnoughRoom, match="keeps 2 runs"):
        store.accept(AcceptedRun(request=later, accepted_at=START))


@pytest.mark.parametrize("name", ["request.json", "commitment.json"])
def test_a_file_cut_short_anywhere_is_named_and_nothing_is_served_from_it(
    store: RunStore, tmp_path: Path, name: str
) -> None:
    store.accept(ACCEPTED)
    publish(store)
    store.close()
    file = tmp_path / "runs" / RUN / name
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ConfigurationError, match=f"{RUN} is damaged"):
            RunStore(tmp_path, 2)


@pytest.mark.parametrize("name", ["request.json", "commitment.json"])
def test_a_file_that_is_no_text_is_named(store: RunStore, tmp_path: Path, name: str) -> None:
    store.accept(ACCEPTED)
    publish(store)
    whole = (tmp_path / "runs" / RUN / name).read_bytes()
    (tmp_path / "runs" / RUN / name).write_bytes(whole.replace(b":", b':"\xff', 1))
    with pytest.raises(ConfigurationError, match=f"{RUN} is damaged"):
        reopened(store, tmp_path)


def test_on_a_full_disk_no_run_is_accepted_and_no_forecast_promised_by_half(tmp_path: Path) -> None:
    with tmpfs_of(tmp_path / "disk", "size=64k") as disk:
        store = RunStore(disk, 2)
        fill(disk / "ballast")
        with pytest.raises(OSError, match="No space left on device"):
            store.accept(ACCEPTED)
        assert store.get(RUN) is None
        (disk / "ballast").unlink()
        run = store.accept(ACCEPTED)
        attempt = run.new_attempt()
        (attempt / STORE_NAME).mkdir(parents=True)
        fill(disk / "ballast")
        with pytest.raises(OSError, match="No space left on device"):
            run.publish(attempt, PROMISE)
        assert run.committed is None
        (disk / "ballast").unlink()
        (run,) = reopened(store, disk).all()
        assert (run.accepted, run.committed) == (ACCEPTED, None)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigurationError, match="cannot use the data folder"):
        RunStore(tmp_path / "taken", 2)
