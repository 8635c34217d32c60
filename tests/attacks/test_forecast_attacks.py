"""What a miner may try with the bytes of its forecast, each tried for real against the validator's handler.

Every attack must end in a MinerFault that names the chunk, or, where the validator's own disk was changed, in
an error that blames nobody else. None may end in a value that gets scored.
"""

from __future__ import annotations

import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from numcodecs import blosc

from gaia.contracts.errors import Fault, GaiaError
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import encode_field
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import (
    ChunkCorrupt,
    ChunkDigestMismatch,
    ChunkNotCached,
    ChunkSizeWrong,
    ImplausibleValue,
    NonFiniteValue,
)
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import FrozenManifestAltered
from gaia.tasks.defined_tasks.weather.validator.handlers.hashing import handle_verify
from tests.support.small_forecast import SPEC, FrozenForecast, small_forecast, smooth_field

T2 = FieldId("2t")
KEY = "2t/c/1/0/0"


@pytest.fixture
def forecast(tmp_path: Path) -> FrozenForecast:
    return small_forecast(tmp_path / "forecast")


def refusal(forecast: FrozenForecast, error: type[GaiaError]) -> str:
    """The message with which the forecast is refused, by the handler and by every reader."""
    with pytest.raises(error) as by_handler:
        handle_verify(forecast.payload())
    with pytest.raises(error):
        forecast.reader().at_lead(24).read(T2)
    return str(by_handler.value)


def test_chunk_exchanged_after_the_commitment(forecast: FrozenForecast) -> None:
    original = (forecast.path / KEY).read_bytes()
    (forecast.path / KEY).write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    message = refusal(forecast, ChunkDigestMismatch)
    assert "chunk 2t/c/1/0/0 (2t, lead 24 h) has blake3" in message
    assert forecast.manifest.chunks[KEY].blake3 in message


def test_chunks_of_two_leads_swapped(forecast: FrozenForecast) -> None:
    chunks = dict(forecast.manifest.chunks)
    first, second = (forecast.path / "2t/c/0/0/0").read_bytes(), (forecast.path / KEY).read_bytes()
    (forecast.path / "2t/c/0/0/0").write_bytes(second)
    (forecast.path / KEY).write_bytes(first)
    sizes_differ = chunks["2t/c/0/0/0"].size_bytes != chunks[KEY].size_bytes
    refusal(forecast, ChunkSizeWrong if sizes_differ else ChunkDigestMismatch)


def test_truncated_chunk(forecast: FrozenForecast) -> None:
    size = forecast.manifest.chunks[KEY].size_bytes
    with (forecast.path / KEY).open("r+b") as file:
        file.truncate(size - 1)
    assert f"has {size - 1} bytes; the manifest says {size}" in refusal(forecast, ChunkSizeWrong)


def test_chunk_truncated_before_the_commitment(forecast: FrozenForecast) -> None:
    encoded = (forecast.path / KEY).read_bytes()[:-10]
    assert "announces" in refusal(forecast.replace_chunk(KEY, encoded), ChunkCorrupt)


def test_huge_file_is_not_read(forecast: FrozenForecast) -> None:
    with (forecast.path / KEY).open("r+b") as file:
        file.truncate(1 << 42)
    assert "has 4398046511104 bytes" in refusal(forecast, ChunkSizeWrong)


def test_decompression_bomb_is_refused_by_its_header(forecast: FrozenForecast) -> None:
    bomb = bytearray(blosc.compress(np.zeros(1 << 26, np.uint8), b"zstd", 9, blosc.SHUFFLE, 0, 4))
    assert len(bomb) < SPEC.field_bytes  # 64 MiB in so few bytes, under an honest promise of its size
    message = refusal(forecast.replace_chunk(KEY, bytes(bomb)), ChunkCorrupt)
    assert "announces 67108864 decoded bytes; the run's field has 7440" in message


def test_bomb_whose_header_claims_the_expected_size(forecast: FrozenForecast) -> None:
    bomb = bytearray(blosc.compress(np.zeros(1 << 26, np.uint8), b"zstd", 9, blosc.SHUFFLE, 0, 4))
    struct.pack_into("<II", bomb, 4, SPEC.field_bytes, SPEC.field_bytes)
    assert "does not decompress" in refusal(forecast.replace_chunk(KEY, bytes(bomb)), ChunkCorrupt)


@pytest.mark.parametrize("codec", [b"lz4", b"blosclz", b"zlib"])
def test_other_compressor(forecast: FrozenForecast, codec: bytes) -> None:
    encoded = blosc.compress(smooth_field(T2, 24), codec, 3, blosc.SHUFFLE, 0, 4)
    assert "the run asks for Zstandard" in refusal(forecast.replace_chunk(KEY, encoded), ChunkCorrupt)


def test_double_precision_field(forecast: FrozenForecast) -> None:
    encoded = blosc.compress(smooth_field(T2, 24).astype("<f8"), b"zstd", 3, blosc.SHUFFLE, 0, 8)
    assert "typesize 8" in refusal(forecast.replace_chunk(KEY, encoded), ChunkCorrupt)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_single_value_that_is_no_number(forecast: FrozenForecast, bad: float) -> None:
    values = smooth_field(T2, 24)
    values[17, 42] = bad
    message = refusal(forecast.replace_chunk(KEY, encode_field(values)), NonFiniteValue)
    assert f"chunk 2t/c/1/0/0 (2t, lead 24 h) holds {bad} at latitude index 17, longitude index 42" in message


def test_single_absurd_value(forecast: FrozenForecast) -> None:
    values = smooth_field(T2, 24)
    values[0, 0] = 1e30
    message = refusal(forecast.replace_chunk(KEY, encode_field(values)), ImplausibleValue)
    assert "holds 1e+30 K" in message


def test_big_endian_field_is_absurd_not_silently_swapped(forecast: FrozenForecast) -> None:
    swapped = smooth_field(T2, 24).byteswap().view("<f4")
    with pytest.raises((ImplausibleValue, NonFiniteValue)):
        handle_verify(forecast.replace_chunk(KEY, encode_field(swapped)).payload())


def test_chunk_that_disappeared_from_the_cache_blames_nobody(forecast: FrozenForecast) -> None:
    (forecast.path / KEY).unlink()
    refusal(forecast, ChunkNotCached)
    shutil.rmtree(forecast.path / "2t")
    refusal(forecast, ChunkNotCached)


def test_extra_files_are_ignored(forecast: FrozenForecast) -> None:
    (forecast.path / "2t/c/9").mkdir()
    (forecast.path / "2t/c/9/0").write_bytes(b"x" * 1000)
    (forecast.path / "__init__.py").write_text("raise SystemExit(1)")
    assert handle_verify(forecast.payload())["chunk_count"] == 6


def test_object_array_in_the_metadata_is_never_looked_at(forecast: FrozenForecast, tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(witness),)

    (forecast.path / "2t/zarr.json").write_text('{"data_type": "object", "codecs": [{"name": "pickle"}]}')
    (forecast.path / "zarr.json").write_bytes(pickle.dumps(Payload()))
    assert handle_verify(forecast.payload())["chunk_count"] == 6
    poisoned = forecast.replace_chunk(KEY, pickle.dumps(Payload()).ljust(64, b"."))
    refusal(poisoned, ChunkCorrupt)
    assert not witness.exists()


def test_link_to_a_file_outside(forecast: FrozenForecast, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (forecast.path / KEY).rename(outside)  # the very bytes that were promised: only the way to them is wrong
    (forecast.path / KEY).symlink_to(outside)
    assert "is not a plain file" in refusal(forecast, ChunkCorrupt)


def test_link_in_place_of_a_folder(forecast: FrozenForecast, tmp_path: Path) -> None:
    (forecast.path / "2t").rename(tmp_path / "elsewhere")
    (forecast.path / "2t").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "is not a plain file" in refusal(forecast, ChunkCorrupt)


def test_pipe_in_place_of_a_chunk_does_not_block(forecast: FrozenForecast) -> None:
    (forecast.path / KEY).unlink()
    os.mkfifo(forecast.path / KEY)
    assert "is not a plain file" in refusal(forecast, ChunkCorrupt)


def test_folder_in_place_of_a_chunk(forecast: FrozenForecast) -> None:
    (forecast.path / KEY).unlink()
    (forecast.path / KEY).mkdir()
    assert "is not a plain file" in refusal(forecast, ChunkCorrupt)


def test_manifest_altered_to_match_an_exchanged_chunk(forecast: FrozenForecast) -> None:
    changed = forecast.replace_chunk(KEY, encode_field(smooth_field(T2, 24) + np.float32(0.01)))
    assert handle_verify(changed.payload())["chunk_count"] == 6  # consistent in itself ...
    with pytest.raises(FrozenManifestAltered) as refused:  # ... but not what was frozen
        handle_verify(changed.payload(manifest_digest=forecast.manifest_digest))
    assert refused.value.fault is Fault.VALIDATOR
