"""What a miner serves, and when it hands out what."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.miner.model_choice import ModelChoice
from gaia.miner.run_store import AcceptedRun, CommittedForecast, StoredRun
from gaia.miner.serving.refusals import (
    STATUSES,
    NoCommitment,
    NoLongerKept,
    TooEarly,
    UnknownChunk,
    UnservableRequest,
    status_of,
)
from gaia.miner.serving.terms import (
    LONGEST_REVEAL,
    check_terms,
    chunk_key,
    commitment_to_show,
    forecast_to_open,
)
from gaia.miner.settings import MinerSettings
from gaia.protocol.forecast_messages import ForecastRequest
from gaia.protocol.run_spec import VariableSpec
from gaia.protocol.signing import CallerNotPermitted, ReplayedRequest
from tests.integration.miner_world import DEADLINE, NETUID, REVEAL_UNTIL, SPEC, START, a_request, write_archive

INSTANT = timedelta(microseconds=1)
SETTINGS = MinerSettings(
    netuid=NETUID, data_dir=Path("/nowhere"), model=ModelChoice(name="persistence"), analysis="archive:/nowhere"
)
PROMISE = CommittedForecast(digest="00" * 32, nonce="11" * 32, manifest=b"{}", committed_at=START)


def run(committed: CommittedForecast | None = PROMISE) -> StoredRun:
    return StoredRun(Path("/nowhere"), AcceptedRun(request=a_request(), accepted_at=START), committed)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (a_request(netuid=4), "serves subnet 57, not 4"),
        (a_request(commit_deadline=START), "has passed"),
        (a_request(reveal_until=DEADLINE + LONGEST_REVEAL + INSTANT), "at most 40 days"),
        (a_request(spec=msgspec.structs.replace(SPEC, variables=(VariableSpec(name="tp"),))), "'tp'"),
        (a_request(spec=msgspec.structs.replace(SPEC, variables=(VariableSpec(name="z"),))), "'z'"),
        (
            a_request(spec=msgspec.structs.replace(SPEC, variables=(VariableSpec(name="z", levels_hpa=(2000,)),))),
            "1 to 1100 hPa",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(request_: ForecastRequest, said: str) -> None:
    with pytest.raises(UnservableRequest, match=said):
        check_terms(request_, SETTINGS, START)


def test_a_forecast_of_just_the_allowed_size_is_served_and_a_byte_more_is_not() -> None:
    size_bytes = 46 * 90 * 4 * 3 * 2  # 4 degrees, float32, 3 fields, 2 leads
    check_terms(a_request(), msgspec.structs.replace(SETTINGS, max_forecast_bytes=size_bytes), START)
    with pytest.raises(UnservableRequest, match=f"{size_bytes} bytes"):
        check_terms(a_request(), msgspec.structs.replace(SETTINGS, max_forecast_bytes=size_bytes - 1), START)


def test_the_commitment_is_shown_as_soon_as_there_is_one() -> None:
    assert commitment_to_show(run(), START) is PROMISE
    with pytest.raises(NoCommitment, match="not ready"):
        commitment_to_show(run(None), START)
    lost = run(None)
    lost.failure = "the model broke"
    with pytest.raises(NoCommitment, match="the model broke"):
        commitment_to_show(lost, START)


def test_the_forecast_opens_at_the_deadline_and_closes_with_the_reveal() -> None:
    with pytest.raises(TooEarly):
        forecast_to_open(run(), DEADLINE - INSTANT)
    assert forecast_to_open(run(), DEADLINE) is PROMISE
    assert forecast_to_open(run(), REVEAL_UNTIL) is PROMISE
    with pytest.raises(NoLongerKept):
        forecast_to_open(run(), REVEAL_UNTIL + INSTANT)


def test_before_the_deadline_nobody_learns_whether_there_is_a_forecast() -> None:
    with pytest.raises(TooEarly):
        forecast_to_open(run(None), DEADLINE - INSTANT)


@given(st.text(max_size=40))
def test_no_text_but_a_key_of_the_specification_names_a_chunk(asked: str) -> None:
    keys = {key for key, _, _ in SPEC.chunks()}
    if asked in keys:
        assert chunk_key(run(), asked) == asked
    else:
        with pytest.raises(UnknownChunk):
            chunk_key(run(), asked)


def test_each_refusal_has_a_status_and_our_own_failures_are_500() -> None:
    assert status_of(CallerNotPermitted("")) == 403
    assert status_of(ReplayedRequest("")) == 401  # as every refused signature
    assert status_of(NoLongerKept("")) == 410
    assert status_of(GaiaError("")) == 500
    assert all(400 <= status < 600 for status in STATUSES.values())


@pytest.mark.parametrize(
    "changes",
    [{"netuid": 70_000}, {"port": -1}, {"public_url": "weather.example.org"}, {"climatology": "grib:/no/such"}],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    write_archive(tmp_path / "archive")
    settings = msgspec.structs.replace(SETTINGS, analysis=f"archive:{tmp_path / 'archive'}")
    settings.check()
    with pytest.raises(ConfigurationError):
        msgspec.structs.replace(settings, **changes).check()
