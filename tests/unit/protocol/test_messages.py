"""Messages come from strangers: what decodes, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.errors import Fault
from gaia.contracts.ids import RunId
from gaia.protocol.forecast_messages import (
    MAX_REQUEST_BYTES,
    CommitmentMessage,
    ForecastRequest,
    MalformedRequest,
    RequestAccepted,
    RevealMessage,
    chunk_path,
    commitment_path,
    decode_request,
    reveal_path,
)
from gaia.protocol.messages import (
    MAX_ANSWER_BYTES,
    ErrorMessage,
    MalformedAnswer,
    custom_serializer,
    decode_answer,
    printable,
)
from gaia.protocol.run_spec import GridSpec, RunSpec, VariableSpec

INIT = datetime(2017, 1, 1, tzinfo=UTC)
RUN_ID = RunId("sn57-weather-20170101T00Z")
SPEC = RunSpec(
    variables=(VariableSpec(name="2t"), VariableSpec(name="z", levels_hpa=(500, 850))),
    lead_h=(6, 12),
    scored_lead_h=(12,),
    gate_lead_h=12,
    grid=GridSpec.global_grid(3.0),
)
REQUEST = ForecastRequest(
    run_id=RUN_ID,
    netuid=57,
    init_time=INIT,
    spec=SPEC,
    commit_deadline=INIT + timedelta(hours=8),
    reveal_until=INIT + timedelta(days=20),
)
DIGEST = "ab" * 32


def request_json(**changes: Any) -> bytes:
    return json.dumps(json.loads(custom_serializer(REQUEST)) | changes).encode()


def spec_json(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(msgspec.json.encode(SPEC))
    return spec | changes


def test_a_request_survives_the_wire() -> None:
    assert decode_request(custom_serializer(REQUEST)) == REQUEST


def test_canonical_json_has_ascending_keys_and_no_white_space() -> None:
    encoded = custom_serializer(REQUEST)
    independent = json.dumps(json.loads(encoded), sort_keys=True, separators=(",", ":")).encode()
    assert encoded == independent


def test_the_spec_inside_a_request_is_what_its_digest_covers() -> None:
    import hashlib

    encoded = custom_serializer(REQUEST)
    start = encoded.index(b'"spec":') + len(b'"spec":')
    assert hashlib.sha256(encoded[start:-1]).hexdigest() == SPEC.digest()  # spec is the last key


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"surprise": 1}, "surprise"),
        ({"run_id": "sn57-weather-20170101T06Z"}, "sn57-weather-20170101T00Z"),
        ({"run_id": "../../etc"}, "sn57-weather-20170101T00Z"),
        ({"netuid": 58}, "sn58"),
        ({"netuid": -1}, "netuid"),
        ({"init_time": "2017-01-01T00:00:00"}, "timezone"),
        ({"init_time": "2017-01-01T00:30:00Z"}, "hour"),
        ({"init_time": "0001-01-01T00:00:00+14:00"}, "not a forecast request"),
        ({"commit_deadline": "2016-12-31T00:00:00Z"}, "follow"),
        ({"reveal_until": "2017-01-01T07:00:00Z"}, "follow"),
        ({"spec": spec_json(lead_h=[12, 6])}, "ascending"),
        ({"spec": spec_json(variables=[])}, "variables"),
        ({"spec": spec_json(variables=[{"name": "../x"}])}, "short name"),
        ({"spec": spec_json(variables=[{"name": "x\n"}])}, "short name"),
        ({"spec": spec_json(dtype="|O")}, "dtype"),
        ({"spec": spec_json(codec="pickle")}, "codec"),
        ({"spec": spec_json(variables=[{"name": "z", "levels_hpa": list(range(1, 10_002))}])}, "too many"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(MalformedRequest, match=reason):
        decode_request(request_json(**changes))


def test_a_grid_that_no_machine_holds_is_refused() -> None:
    grid = json.loads(msgspec.json.encode(SPEC.grid)) | {"longitude_count": 10**9}
    with pytest.raises(MalformedRequest, match="too many"):
        decode_request(request_json(spec=spec_json(grid=grid)))


def test_a_request_over_the_bound_is_refused_unread() -> None:
    with pytest.raises(MalformedRequest, match="larger"):
        decode_request(b" " * (MAX_REQUEST_BYTES + 1))


@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
def test_garbage_is_refused_and_never_crashes(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decode_request(data)
    with pytest.raises(MalformedAnswer):
        decode_answer(data, CommitmentMessage)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(MalformedAnswer):
        decode_answer(b'{"run_id":' + b"[" * 100_000, RequestAccepted, max_bytes=200_000)


def test_answers_survive_the_wire() -> None:
    accepted = RequestAccepted(run_id=RUN_ID)
    commitment = CommitmentMessage(run_id=RUN_ID, hotkey="5x", digest=DIGEST)
    reveal = RevealMessage(manifest='{"a":"é"}', nonce=DIGEST)
    error = ErrorMessage(code="too_early", message="not before the deadline")
    assert decode_answer(custom_serializer(accepted), RequestAccepted) == accepted
    assert decode_answer(custom_serializer(commitment), CommitmentMessage) == commitment
    assert decode_answer(custom_serializer(reveal), RevealMessage) == reveal
    assert decode_answer(custom_serializer(error), ErrorMessage) == error


@pytest.mark.parametrize("digest", ["", "ab", DIGEST.upper(), DIGEST + "\n", DIGEST + "00", "gg" * 32])
def test_a_digest_that_is_not_32_lower_case_hex_bytes_is_refused(digest: str) -> None:
    data = json.dumps({"run_id": RUN_ID, "hotkey": "5x", "digest": digest}).encode()
    with pytest.raises(MalformedAnswer, match="digest"):
        decode_answer(data, CommitmentMessage)


def test_a_lone_surrogate_in_a_manifest_is_refused() -> None:
    with pytest.raises(MalformedAnswer):
        decode_answer(b'{"manifest":"\\ud800","nonce":"' + DIGEST.encode() + b'"}', RevealMessage)


def test_an_answer_over_the_bound_is_refused() -> None:
    with pytest.raises(MalformedAnswer, match="larger"):
        decode_answer(b" " * (MAX_ANSWER_BYTES + 1), RequestAccepted)


def test_a_bad_answer_is_the_miners_fault_and_a_bad_request_the_validators() -> None:
    assert MalformedAnswer.fault is Fault.MINER
    assert MalformedRequest.fault is Fault.VALIDATOR


def test_times_of_other_zones_mean_the_same_instant() -> None:
    shifted = INIT.astimezone(timezone(timedelta(hours=3)))
    decoded = decode_request(request_json(init_time=shifted.isoformat()))
    assert decoded.init_time == INIT


def test_the_paths_are_those_of_the_protocol() -> None:
    assert commitment_path(RUN_ID) == "/v1/forecasts/sn57-weather-20170101T00Z/commitment"
    assert reveal_path(RUN_ID) == "/v1/forecasts/sn57-weather-20170101T00Z/reveal"
    assert chunk_path(RUN_ID, "z/c/0/1/0/0") == "/v1/forecasts/sn57-weather-20170101T00Z/chunks/z/c/0/1/0/0"


def test_a_strangers_text_is_made_printable_and_short() -> None:
    assert printable("a\nb\x1b\u202e é" + "x" * 500) == "a?b?? ?" + "x" * 193


def test_a_refusal_does_not_repeat_the_control_characters_that_it_refuses() -> None:
    hostile = b'{"\\u0000\\u001b[2Jfield":1}'
    with pytest.raises(MalformedAnswer, match="field") as answer:
        decode_answer(hostile, CommitmentMessage)
    with pytest.raises(MalformedRequest, match="field") as request:
        decode_request(hostile)
    assert str(answer.value).isprintable()
    assert str(request.value).isprintable()
