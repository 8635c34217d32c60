"""Manifests and commitments: only the committed forecast, whole and of this run, is accepted."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.errors import Fault, MinerFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.manifest import (
    BadCommitmentInput,
    ChunkDigest,
    ChunkTooLarge,
    CommitmentMismatch,
    Manifest,
    ManifestIncomplete,
    ManifestMalformed,
    ManifestOfAnother,
    ManifestOverfull,
    canonical_bytes,
    check_manifest,
    commitment_digest,
    max_manifest_bytes,
)
from gaia.protocol.run_spec import GridSpec, RunSpec, VariableSpec

INIT = datetime(2017, 1, 1, tzinfo=UTC)
RUN_ID = RunId("sn57-weather-20170101T00Z")
HOTKEY = Hotkey("5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV")
NONCE = bytes(range(32))
SPEC = RunSpec(
    variables=(VariableSpec(name="2t"), VariableSpec(name="z", levels_hpa=(500, 850))),
    lead_h=(6, 12),
    scored_lead_h=(12,),
    gate_lead_h=None,
    grid=GridSpec.global_grid(30.0),
)
FIELD_BYTES = 7 * 12 * 4
CHUNKS = ["2t/c/0/0/0", "2t/c/1/0/0", "z/c/0/0/0/0", "z/c/0/1/0/0", "z/c/1/0/0/0", "z/c/1/1/0/0"]


def manifest_json(**changes: Any) -> dict[str, Any]:
    """A good manifest, made without our code."""
    digest = {"size_bytes": 100, "blake3": "0f" * 32}
    return {
        "format": "gaia-manifest/1",
        "run_id": RUN_ID,
        "hotkey": HOTKEY,
        "init_time": "2017-01-01T00:00:00Z",
        "spec_digest": SPEC.digest(),
        "chunks": dict.fromkeys(CHUNKS, digest),
    } | changes


def canonical(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def check(manifest_bytes: bytes, *, commitment: bytes | None = None, nonce: bytes = NONCE) -> Manifest:
    return check_manifest(
        manifest_bytes,
        nonce=nonce,
        commitment=commitment or commitment_digest(RUN_ID, HOTKEY, NONCE, manifest_bytes),
        run_id=RUN_ID,
        hotkey=HOTKEY,
        init_time=INIT,
        spec=SPEC,
    )


def test_a_manifest_made_by_anybodys_json_is_accepted() -> None:
    manifest = check(canonical(manifest_json()))
    assert sorted(manifest.chunks) == CHUNKS
    assert manifest.chunks["2t/c/0/0/0"] == ChunkDigest(size_bytes=100, blake3="0f" * 32)


def test_our_canonical_bytes_are_those_of_another_json_library() -> None:
    chunks = {key: ChunkDigest(size_bytes=100, blake3="0f" * 32) for key in reversed(CHUNKS)}
    ours = Manifest(run_id=RUN_ID, hotkey=HOTKEY, init_time=INIT, spec_digest=SPEC.digest(), chunks=chunks)
    assert canonical_bytes(ours) == canonical(manifest_json())


def test_the_commitment_is_the_documented_hash() -> None:
    # docs/reference/protocol.md, written out byte by byte:
    # 17-byte domain, u16 25, run id, u16 48, hotkey, nonce, digest
    by_hand = (
        b"gaia/commitment/1"
        b"\x00\x19sn57-weather-20170101T00Z"
        b"\x00\x305DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
        + bytes.fromhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
        + hashlib.sha256(b"{}").digest()
    )
    assert commitment_digest(RUN_ID, HOTKEY, NONCE, b"{}") == hashlib.sha256(by_hand).digest()


parts = st.tuples(
    st.text(max_size=20), st.text(max_size=20), st.binary(min_size=32, max_size=32), st.binary(max_size=60)
)


@given(parts, parts)
def test_any_change_of_any_part_changes_the_commitment(
    one: tuple[str, str, bytes, bytes], other: tuple[str, str, bytes, bytes]
) -> None:
    first = commitment_digest(RunId(one[0]), Hotkey(one[1]), *one[2:])
    second = commitment_digest(RunId(other[0]), Hotkey(other[1]), *other[2:])
    assert (first == second) == (one == other)


@given(parts, st.integers(0, 19))
def test_moving_a_letter_between_run_and_hotkey_changes_the_commitment(
    part: tuple[str, str, bytes, bytes], cut: int
) -> None:
    run_id, hotkey, nonce, manifest = part
    joined = run_id + hotkey
    moved = (joined[:cut], joined[cut:])
    same = moved == (run_id, hotkey)
    first = commitment_digest(RunId(run_id), Hotkey(hotkey), nonce, manifest)
    assert (commitment_digest(RunId(moved[0]), Hotkey(moved[1]), nonce, manifest) == first) == same


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_manifest_changed_in_any_byte_is_not_the_committed_one(position: int, flip: int) -> None:
    good = canonical(manifest_json())
    commitment = commitment_digest(RUN_ID, HOTKEY, NONCE, good)
    changed = bytearray(good)
    changed[position % len(good)] ^= flip
    with pytest.raises(CommitmentMismatch):
        check(bytes(changed), commitment=commitment)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BadCommitmentInput):
        commitment_digest(RUN_ID, HOTKEY, bytes(size), b"{}")
    with pytest.raises(ManifestMalformed, match="nonce"):
        check(canonical(manifest_json()), nonce=bytes(size))


def test_another_nonce_than_the_committed_one_is_refused() -> None:
    with pytest.raises(CommitmentMismatch) as refusal:
        check(canonical(manifest_json()), nonce=bytes(32))
    assert (refusal.value.code, refusal.value.fault) == ("commitment_mismatch", Fault.MINER)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: good + b"\n",
        lambda good: good.replace(b":", b": ", 1),
        lambda good: good.replace(b'"size_bytes":100', b'"size_bytes":1e2', 1),
        lambda good: good.replace(b'"hotkey"', b'"hotke\\u0079"', 1),
        lambda good: good[:-1] + b',"spec_digest":"' + b"00" * 32 + b'"}',  # a repeated key, the last one wins
        lambda good: json.dumps(manifest_json(), separators=(",", ":")).encode(),  # keys not sorted
        lambda good: good[:-1],
        lambda good: b"",
        lambda good: b"\xff" + good,
        lambda good: b"[" * 1500,
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused(spoil: Any) -> None:
    with pytest.raises(ManifestMalformed):
        check(spoil(canonical(manifest_json())))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"run_id": "sn57-weather-20170102T00Z"}, "run_id"),
        ({"hotkey": "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"}, "hotkey"),
        ({"init_time": "2017-01-01T06:00:00Z"}, "init_time"),
        ({"init_time": "2017-01-01T03:00:00+03:00"}, "init_time"),  # the same instant, another spelling
        ({"spec_digest": "00" * 32}, "spec_digest"),
    ],
)
def test_a_manifest_of_something_else_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ManifestOfAnother, match=named):
        check(canonical(manifest_json(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "gaia-manifest/2"},
        {"surprise": 1},
        {"init_time": "2017-01-01T00:00:00"},
        {"chunks": {"2t/c/0/0/0": {"size_bytes": 0, "blake3": "00" * 32}}},
        {"chunks": {"2t/c/0/0/0": {"size_bytes": 10, "blake3": "00" * 31}}},
        {"chunks": []},
    ],
)
def test_a_manifest_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ManifestMalformed):
        check(canonical(manifest_json(**changes)))


def test_the_missing_chunk_is_named() -> None:
    manifest = manifest_json()
    del manifest["chunks"]["z/c/0/1/0/0"]
    with pytest.raises(ManifestIncomplete, match=r"z/c/0/1/0/0 is missing \(1 in all\)"):
        check(canonical(manifest))


def test_a_chunk_that_is_not_wanted_is_refused() -> None:
    manifest = manifest_json()
    manifest["chunks"]["../../etc/passwd"] = manifest["chunks"]["2t/c/0/0/0"]
    with pytest.raises(ManifestOverfull, match="etc/passwd"):
        check(canonical(manifest))


def test_a_chunk_may_be_as_long_as_an_incompressible_field_and_no_longer() -> None:
    manifest = manifest_json()
    # Blosc's own bound for a buffer that does not compress: 16 bytes more (BLOSC_MAX_OVERHEAD)
    manifest["chunks"]["2t/c/0/0/0"] = {"size_bytes": FIELD_BYTES + 16, "blake3": "0f" * 32}
    check(canonical(manifest))
    for size_bytes in (FIELD_BYTES + 17, 2**64):
        manifest["chunks"]["2t/c/0/0/0"] = {"size_bytes": size_bytes, "blake3": "0f" * 32}
        with pytest.raises(ChunkTooLarge, match="2t/c/0/0/0"):
            check(canonical(manifest))


def test_an_endless_manifest_is_refused_before_it_is_hashed() -> None:
    with pytest.raises(ManifestMalformed, match="too many"):
        check(b" " * (max_manifest_bytes(SPEC) + 1))


def test_a_full_runs_manifest_fits_into_a_reveal() -> None:
    from gaia.protocol.forecast_messages import MAX_REVEAL_BYTES, RevealMessage
    from gaia.protocol.messages import custom_serializer

    full = RunSpec(
        variables=(
            *(VariableSpec(name=name) for name in ("2t", "msl", "10u", "10v")),
            *(VariableSpec(name=name, levels_hpa=tuple(range(50, 1001, 75))) for name in "ztuvq"),
        ),
        lead_h=tuple(range(6, 241, 6)),
        scored_lead_h=(24,),
        gate_lead_h=12,
        grid=GridSpec.global_grid(0.25),
    )
    chunks = {key: ChunkDigest(size_bytes=full.field_bytes, blake3="ff" * 32) for key, _, _ in full.chunks()}
    manifest = Manifest(run_id=RUN_ID, hotkey=HOTKEY, init_time=INIT, spec_digest="ff" * 32, chunks=chunks)
    data = canonical_bytes(manifest)
    reveal = custom_serializer(RevealMessage(manifest=data.decode(), nonce="ff" * 32))
    assert len(chunks) == 2760
    assert len(data) < max_manifest_bytes(full)
    assert len(reveal) < MAX_REVEAL_BYTES


def test_every_refusal_is_the_miners_fault() -> None:
    for refusal in (
        CommitmentMismatch, ManifestMalformed, ManifestOfAnother, ManifestIncomplete, ManifestOverfull,
        ChunkTooLarge,
    ):  # fmt: skip
        assert issubclass(refusal, MinerFault)


def test_a_manifest_of_a_later_init_time_is_not_this_runs() -> None:
    later = INIT + timedelta(days=1)
    data = canonical(manifest_json())
    with pytest.raises(ManifestOfAnother):
        check_manifest(
            data,
            nonce=NONCE,
            commitment=commitment_digest(RUN_ID, HOTKEY, NONCE, data),
            run_id=RUN_ID,
            hotkey=HOTKEY,
            init_time=later,
            spec=SPEC,
        )
