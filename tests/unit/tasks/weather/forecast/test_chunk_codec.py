"""The codec against an independent implementation (numcodecs' and zarr's own), and against lying bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs.blosc import Blosc
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import (
    ValueRange,
    decode_field,
    encode_field,
    range_of,
)
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import (
    Chunk,
    ChunkCorrupt,
    ImplausibleValue,
    NonFiniteValue,
)
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

CHUNK = Chunk(key="2t/c/1/0/0", field=FieldId("2t"), lead_h=12)
LEVEL_CHUNK = Chunk(key="z/c/0/1/0/0", field=FieldId("z", 850), lead_h=6)
SHAPE = (31, 60)


def temperatures(shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(280.0, 10.0, shape).astype(np.float32)


def decoded(encoded: bytes, shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    out = np.empty(shape, dtype=np.float32)
    decode_field(memoryview(encoded), CHUNK, out)
    return out


def with_header(encoded: bytes, **changes: int) -> bytes:
    names = ("version", "codec_version", "flags", "typesize", "nbytes", "blocksize", "cbytes")
    header = dict(zip(names, struct.unpack_from("<BBBBIII", encoded), strict=True)) | changes
    return struct.pack("<BBBBIII", *header.values()) + encoded[16:]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 4), (31, 60), (181, 360)])
def test_field_survives_unchanged(shape: tuple[int, int]) -> None:
    values = temperatures(shape)
    assert decoded(encode_field(values), shape).tobytes() == values.tobytes()


def test_incompressible_field_survives_and_costs_only_the_header() -> None:
    noise = np.frombuffer(np.random.default_rng(0).bytes(SHAPE[0] * SHAPE[1] * 4), "<f4").reshape(SHAPE)
    encoded = encode_field(noise)
    assert len(encoded) == noise.nbytes + 16
    assert decoded(encoded).tobytes() == noise.tobytes()


def test_bytes_are_those_of_the_stock_codec() -> None:
    values = temperatures()
    assert encode_field(values) == bytes(Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE).encode(values))


def test_column_ordered_input_is_stored_row_by_row() -> None:
    values = temperatures()
    assert encode_field(np.asfortranarray(values)) == encode_field(values)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nbytes": 2**31 - 1}, "announces 2147483647 decoded bytes; the run's field has 7440"),
        ({"nbytes": 7436}, "announces 7436 decoded bytes"),
        ({"cbytes": 16}, "announces 16 encoded bytes"),
        ({"cbytes": 2**32 - 1}, "announces 4294967295 encoded bytes"),
        ({"typesize": 8}, "typesize 8"),
        ({"flags": 0b1001_0000}, "is not byte-shuffled"),
        ({"flags": 0b1001_0100}, "is not byte-shuffled"),
        ({"flags": 0b0011_0001}, "compressor 1"),
        ({"flags": 0b1001_1001}, "not a Blosc 2 chunk"),
        ({"version": 5}, "not a Blosc 2 chunk"),
        ({"codec_version": 9}, "compressor 4 version 9"),
        ({"blocksize": 0}, "blocks of 0 bytes"),
        ({"blocksize": 2**31}, "blocks of 2147483648 bytes"),
    ],
)
def test_lying_header_is_refused_before_decompressing(changes: dict[str, int], says: str) -> None:
    with pytest.raises(ChunkCorrupt, match=says) as refused:
        decoded(with_header(encode_field(temperatures()), **changes))
    assert "chunk 2t/c/1/0/0 (2t, lead 12 h)" in str(refused.value)


def test_fewer_bytes_than_a_header_are_refused() -> None:
    with pytest.raises(ChunkCorrupt, match="has 15 bytes, too few"):
        decoded(b"\x02" * 15)


def test_damaged_body_is_refused() -> None:
    encoded = encode_field(temperatures())
    with pytest.raises(ChunkCorrupt, match="does not decompress"):
        decoded(encoded[:16] + b"\xff" * (len(encoded) - 16))


@settings(max_examples=300)
@given(
    damage=st.lists(st.tuples(st.integers(16, 5000), st.integers(0, 255)), min_size=1, max_size=8),
    flat=st.booleans(),
)
@pytest.mark.slow
def test_any_damage_to_the_body_is_refused_or_stays_within_the_field(damage: list[tuple[int, int]], flat: bool) -> None:
    encoded = bytearray(encode_field(np.zeros(SHAPE, np.float32) if flat else temperatures()))
    for place, value in damage:
        encoded[16 + (place - 16) % (len(encoded) - 16)] = value
    guarded = np.full((SHAPE[0] + 2, SHAPE[1]), 7.0, dtype=np.float32)
    try:
        decode_field(memoryview(bytes(encoded)), CHUNK, guarded[1:-1])
    except ChunkCorrupt as refused:
        assert "does not decompress" in str(refused)
    assert (guarded[0] == 7.0).all()
    assert (guarded[-1] == 7.0).all()


def test_range_is_that_of_the_values() -> None:
    values = np.array([[250.5, 260.0], [301.25, 280.0]], dtype=np.float32)
    assert range_of(values, CHUNK) == ValueRange(minimum=250.5, maximum=301.25)


def test_ranges_merge_to_the_widest() -> None:
    merged = ValueRange(minimum=1.0, maximum=2.0).merged(ValueRange(minimum=-1.0, maximum=1.5))
    assert merged == ValueRange(minimum=-1.0, maximum=2.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_value_that_is_no_number_is_named_with_its_place(bad: float) -> None:
    values = temperatures()
    values[3, 5] = bad
    with pytest.raises(NonFiniteValue, match=f"holds {bad} at latitude index 3, longitude index 5"):
        range_of(values, CHUNK)


@pytest.mark.parametrize(("bad", "shown"), [(149.5, "149.5"), (3.0e38, "3e\\+38")])
def test_value_not_of_this_earth_is_named_with_its_limits(bad: float, shown: str) -> None:
    values = temperatures()
    values[30, 59] = bad
    with pytest.raises(ImplausibleValue, match=rf"holds {shown} K at .* index 30, .* 59; plausible is 150 to 350 K"):
        range_of(values, CHUNK)


def test_values_at_the_limits_are_accepted() -> None:
    values = np.array([[150.0, 350.0]], dtype=np.float32)
    assert range_of(values, CHUNK) == ValueRange(minimum=150.0, maximum=350.0)


def test_a_field_clipped_to_limits_that_float32_cannot_express_is_accepted() -> None:
    limits = VARIABLES["q"].plausible
    values = np.clip(np.array([[-1.0, 1.0]], dtype=np.float32), *limits)
    chunk = Chunk(key="q/c/0/0/0/0", field=FieldId("q", 500), lead_h=6)
    assert range_of(values, chunk) == ValueRange(minimum=float(np.float32(-0.005)), maximum=float(np.float32(0.1)))
    values[0, 1] = np.nextafter(values[0, 1], np.float32(1.0))
    with pytest.raises(ImplausibleValue, match=r"latitude index 0, longitude index 1; plausible is -0\.005 to 0\.1"):
        range_of(values, chunk)


def test_refusal_names_level_and_lead() -> None:
    with pytest.raises(ImplausibleValue, match=r"chunk z/c/0/1/0/0 \(z at 850 hPa, lead 6 h\)"):
        range_of(np.full((2, 2), 1e6, dtype=np.float32), LEVEL_CHUNK)
