"""Checks the files and the JSON metadata of a Zarr store before any library interprets them.

Zarr 2 allows `pickle` as a codec of object arrays, and to read those runs code from the store. To read a pipe may wait
for ever. Must read metadata only, and refuse instead of warning.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gaia.contracts.decoding import UNDECODABLE
from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore

_METADATA_LIMIT_BYTES = 4 << 20
_NODE_LIMIT = 10_000
_CODECS_V2 = frozenset(
    {
        "blosc",
        "zlib",
        "gzip",
        "zstd",
        "lz4",
        "bz2",
        "lzma",
        "shuffle",
        "delta",
        "fixedscaleoffset",
        "quantize",
    }
    | {"bitround", "packbits", "astype", "crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3"}
)
_CODECS_V3 = frozenset({"bytes", "blosc", "gzip", "zstd", "crc32c", "transpose", "sharding_indexed"})
_TEXT_CODECS_V3 = frozenset({"vlen-utf8", "vlen-bytes"})


def refuse_unsafe_zarr(folder: Path) -> None:
    """Raise UnusableStore if a folder is not a Zarr group, or holds something unsafe.

    Unsafe are object arrays, codecs outside the list, and anything that is neither a file nor a folder.
    """
    if not any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        raise UnusableStore(f"{folder} is neither a flat store nor Zarr: no fields.json, zarr.json or .zgroup in it")
    _refuse_pipes(folder)
    for count, path in enumerate(_metadata_files(folder)):
        if count >= _NODE_LIMIT:
            raise UnusableStore(f"{folder} holds more than {_NODE_LIMIT} arrays")
        metadata = _load(path)
        if path.name == ".zarray":
            _check_v2(metadata, path)
        elif metadata.get("node_type") == "array":
            _check_v3(metadata, path)


def _refuse_pipes(folder: Path) -> None:
    """Look at every name (a million take a second). Links are followed, because the library follows them."""
    waiting, seen = [folder], set()
    while waiting:
        here = waiting.pop()
        try:
            found = here.stat()
            if (found.st_dev, found.st_ino) in seen:  # a link into itself
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(here) as entries:
                waiting += [Path(entry.path) for entry in entries if _is_folder(entry)]
        except OSError as error:
            raise UnusableStore(f"{here} cannot be searched: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder. Raises UnusableStore if it is neither a folder nor a file."""
    try:
        if entry.is_dir():
            return True
        if entry.is_file() or not Path(entry.path).exists():  # a link that leads nowhere does no harm
            return False
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:  # nor does a link to itself, or through a file
            return False
        raise UnusableStore(f"{entry.path} cannot be examined: {error.strerror}") from None
    raise UnusableStore(f"{entry.path} is neither a file nor a folder; a store must hold nothing else")


def _metadata_files(folder: Path) -> Iterator[Path]:
    for name in (".zgroup", ".zarray", "zarr.json"):
        yield from (path for path in (folder / name, *folder.glob(f"*/{name}")) if path.is_file())


def _load(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _METADATA_LIMIT_BYTES:
        raise UnusableStore(f"{path} is larger than {_METADATA_LIMIT_BYTES} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except UNDECODABLE as error:
        raise UnusableStore(f"{path} is not JSON metadata: {error}") from None


def _check_v2(metadata: dict[str, Any], path: Path) -> None:
    dtype = metadata.get("dtype")
    if not isinstance(dtype, str) or "O" in dtype:
        raise UnusableStore(f"{path}: arrays of type {dtype!r} are refused; plain numbers are expected")
    for codec in (metadata.get("compressor"), *(metadata.get("filters") or ())):
        if codec is not None and not (isinstance(codec, dict) and codec.get("id") in _CODECS_V2):
            raise UnusableStore(f"{path}: codec {_name_of(codec, 'id')!r} is refused")


def _check_v3(metadata: dict[str, Any], path: Path) -> None:
    for codec in metadata.get("codecs") or ():
        name = _name_of(codec, "name")
        if name not in _CODECS_V3 | _TEXT_CODECS_V3:
            raise UnusableStore(f"{path}: codec {name!r} is refused")
        if name == "sharding_indexed" and isinstance(codec, dict):
            configuration = codec.get("configuration") or {}
            inner = [*(configuration.get("codecs") or ()), *(configuration.get("index_codecs") or ())]
            _check_v3({"codecs": inner}, path)


def _name_of(codec: object, key: str) -> object:
    return codec.get(key) if isinstance(codec, dict) else codec
