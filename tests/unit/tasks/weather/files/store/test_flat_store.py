"""The flat store: whole or not at all, checked before it is mapped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import (
    MissingField,
    StoreDamaged,
    StoreMissing,
    StoreUnwritable,
)
from gaia.tasks.defined_tasks.weather.files.store.flat_store import FlatStore, write_flat_store
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store

GRID = GridSpec.global_grid(30.0)
FIELDS = (FieldId("z", 500), FieldId("2t"))
VALID = datetime(2017, 1, 1, 12, tzinfo=UTC)


def fields_data(offset: float = 0.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.arange(2 * 7 * 12, dtype=np.float32).reshape(2, 7, 12) + np.float32(offset)


def publish(path: Path, offset: float = 0.0) -> Path:
    write_flat_store(path, grid=GRID, valid_time=VALID, fields=FIELDS, data=fields_data(offset), source="test")
    return path


def test_published_fields_read_back_the_same(tmp_path: Path) -> None:
    store = open_store(publish(tmp_path / "a" / "store"))
    assert isinstance(store, FlatStore)
    assert store.name == str(tmp_path / "a" / "store")
    assert store.fields() == FIELDS
    assert store.valid_time == VALID
    assert store.latitude.tolist() == [90, 60, 30, 0, -30, -60, -90]
    assert store.longitude[1] == 30.0
    np.testing.assert_array_equal(store.read(FieldId("2t")), fields_data()[1])


def test_the_same_content_has_one_digest_wherever_it_lies(tmp_path: Path) -> None:
    digests = [FlatStore(publish(tmp_path / name)).header.content_digest for name in ("a", "b")]
    assert digests[0] == digests[1]
    assert len(bytes.fromhex(digests[0])) == 32
    assert FlatStore(publish(tmp_path / "c", 1.0)).header.content_digest != digests[0]
    write_flat_store(
        tmp_path / "d",
        grid=GRID,
        valid_time=VALID + timedelta(hours=6),
        fields=FIELDS,
        data=fields_data(),
        source="test",
    )
    assert FlatStore(tmp_path / "d").header.content_digest != digests[0]


def test_header_is_the_documented_json(tmp_path: Path) -> None:
    header = json.loads((publish(tmp_path / "store") / "fields.json").read_text())
    assert header["format"] == "gaia-fields/1"
    assert header["fields"] == [["z", 500], ["2t", None]]
    assert header["units"] == ["m2 s-2", "K"]
    assert header["valid_time"] == "2017-01-01T12:00:00Z"
    assert (tmp_path / "store" / "data.f32").read_bytes()[4:8] == b"\x00\x00\x80\x3f"  # 1.0, little-endian


def test_fields_cannot_be_written_through_the_map(tmp_path: Path) -> None:
    field = open_store(publish(tmp_path / "store")).read(FIELDS[0])
    with pytest.raises(ValueError, match="read-only"):
        field[0, 0] = 1.0


def test_published_store_never_changes(tmp_path: Path) -> None:
    publish(tmp_path / "store")
    publish(tmp_path / "store", offset=100.0)
    np.testing.assert_array_equal(open_store(tmp_path / "store").read(FIELDS[0]), fields_data()[0])
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


def test_missing_field_names_file_wanted_and_available(tmp_path: Path) -> None:
    store = open_store(publish(tmp_path / "store"))
    with pytest.raises(MissingField, match=r"store has no field t850; it has z500, 2t"):
        store.read(FieldId("t", 850))


def test_truncated_data_are_refused_before_they_are_mapped(tmp_path: Path) -> None:
    publish(tmp_path / "store")
    os.truncate(tmp_path / "store" / "data.f32", 100)
    with pytest.raises(StoreDamaged, match=r"has 100 bytes, but its header says 672"):
        FlatStore(tmp_path / "store")


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "gaia-fields/2"},
        {"fields": []},
        {"fields": [["z", 500], ["z", 500]]},
        {"units": ["K"]},
        {"grid": {"latitude_first": 0}},
    ],
)
def test_header_that_contradicts_itself_is_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    header = publish(tmp_path / "store") / "fields.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | damage))
    with pytest.raises(StoreDamaged, match=r"fields\.json"):
        open_store(tmp_path / "store")


def test_oversized_header_is_not_even_read(tmp_path: Path) -> None:
    header = publish(tmp_path / "store") / "fields.json"
    header.write_bytes(b" " * (2 << 20))
    with pytest.raises(StoreDamaged, match="too large"):
        open_store(tmp_path / "store")


def test_store_without_its_data_is_missing(tmp_path: Path) -> None:
    (publish(tmp_path / "store") / "data.f32").unlink()
    with pytest.raises(StoreMissing, match=r"data\.f32 cannot be read"):
        open_store(tmp_path / "store")


def test_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="nowhere does not exist"):
        open_store(tmp_path / "nowhere")


def test_data_of_another_shape_or_type_are_not_published(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match="float32 of shape"):
        write_flat_store(
            tmp_path / "s", grid=GRID, valid_time=None, fields=FIELDS[:1], data=fields_data(), source="test"
        )
    assert not (tmp_path / "s").exists()


def test_folder_that_is_a_file_gives_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match=r"cannot write .*: Not a directory; check") as caught:
        publish(tmp_path / "file" / "store")
    assert "\n" not in str(caught.value)


def test_folder_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "absent")  # a name that is taken, though nothing exists there
    with pytest.raises(StoreUnwritable, match="cannot write"):
        publish(tmp_path / "store")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["elsewhere", "store"]


@pytest.mark.slow
def test_two_writers_of_one_store_leave_one_whole_store(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.unit.tasks.weather.files.store.test_flat_store import publish\n"
        "for n in range(20): publish(Path(sys.argv[1]) / str(n), offset=float(sys.argv[2]))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), offset]) for offset in ("0", "1000")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(str(n) for n in range(20))
    for n in range(20):
        store = FlatStore(tmp_path / str(n))
        offset = float(store.read(FIELDS[0])[0, 0])
        assert offset in (0.0, 1000.0)
        np.testing.assert_array_equal(store.read(FIELDS[1]), fields_data(offset)[1])
