"""Zarr metadata are judged before a library acts on them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_safety import refuse_unsafe_zarr


def group(folder: Path, name: str, metadata: Any) -> Path:
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / "x").mkdir()
    (folder / "x" / name).write_bytes(metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode())
    return folder


def sharding(*inner: str) -> dict[str, Any]:
    codecs = [{"name": name} for name in inner]
    return {"name": "sharding_indexed", "configuration": {"codecs": codecs, "index_codecs": [{"name": "bytes"}]}}


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        (".zarray", {"dtype": "<f4", "compressor": {"id": "blosc"}, "filters": [{"id": "shuffle"}]}),
        (".zarray", {"dtype": "<f8", "compressor": None, "filters": None}),
        ("zarr.json", {"node_type": "array", "codecs": [{"name": "bytes"}, {"name": "zstd"}]}),
        ("zarr.json", {"node_type": "array", "codecs": [sharding("bytes", "blosc")]}),
        ("zarr.json", {"node_type": "group"}),
    ],
)
def test_plain_arrays_pass(tmp_path: Path, name: str, metadata: dict[str, Any]) -> None:
    refuse_unsafe_zarr(group(tmp_path, name, metadata))


@pytest.mark.parametrize(
    ("name", "metadata", "cause"),
    [
        (".zarray", {"dtype": "|O"}, r"type '\|O' are refused"),
        (".zarray", {"dtype": [["a", "<f4"]]}, "are refused"),
        (".zarray", {"dtype": "<f4", "filters": [{"id": "pickle"}]}, "codec 'pickle' is refused"),
        (".zarray", {"dtype": "<f4", "compressor": "pickle"}, "codec 'pickle' is refused"),
        ("zarr.json", {"node_type": "array", "codecs": [{"name": "numcodecs.pickle"}]}, "codec 'numcodecs.pickle'"),
        ("zarr.json", {"node_type": "array", "codecs": [sharding("numcodecs.pickle")]}, "codec 'numcodecs.pickle'"),
        (".zarray", b"{", "is not JSON"),
        (".zarray", b"[]", "is not JSON"),
        (".zarray", b'{"dtype": "\xff"}', "is not JSON"),
        ("zarr.json", b'{"codecs": ' + b"[" * 100_000, "is not JSON"),
        (".zarray", b" " * (5 << 20), "larger than"),
    ],
)
def test_objects_and_unknown_codecs_are_refused(tmp_path: Path, name: str, metadata: Any, cause: str) -> None:
    with pytest.raises(UnusableStore, match=cause):
        refuse_unsafe_zarr(group(tmp_path, name, metadata))


def test_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableStore, match="neither a flat store nor Zarr"):
        refuse_unsafe_zarr(tmp_path)


def test_links_that_lead_nowhere_are_passed_over_and_links_into_the_store_end(tmp_path: Path) -> None:
    folder = group(tmp_path, "zarr.json", {"node_type": "group"})
    for name, target in (("loop", "loop"), ("gone", "x/none"), ("through", ".zgroup/x"), ("self", ".")):
        (folder / name).symlink_to(target)
    refuse_unsafe_zarr(folder)
    (folder / "long").symlink_to(300 * "x")
    with pytest.raises(UnusableStore, match="long cannot be looked at: File name too long"):
        refuse_unsafe_zarr(folder)


def test_a_pipe_is_refused_through_links_too(tmp_path: Path) -> None:
    for name in ("store", "elsewhere"):
        (tmp_path / name).mkdir()
    folder = group(tmp_path / "store", "zarr.json", {"node_type": "group"})
    os.mkfifo(tmp_path / "elsewhere" / "pipe")
    (folder / "x" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnusableStore, match=r"link/pipe is neither a file nor a folder"):
        refuse_unsafe_zarr(folder)
