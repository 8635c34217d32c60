"""Writes a chunk to the disk, beside its destination, and renames it when it is complete.

The disk work runs in threads, so that a slow disk does not block the event loop. Digests are checked elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from gaia.validator.miners.failures import ChunkNotStored, WrongChunkSize

_BLOCK_BYTES = 262_144

Result = TypeVar("Result")


async def store_chunk(pieces: AsyncIterator[bytes], destination: Path, size_bytes: int) -> None:
    """Write `pieces` to `destination`, completely or not at all. Keeps at most one block in memory.

    Raises:
        WrongChunkSize: There are more or fewer bytes than `size_bytes` (miner's fault).
        ChunkNotStored: The disk fails (validator's fault).
    """
    part = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}.part")
    file = await _on_disk(destination, partial(_create, part))
    try:
        await _write_all(pieces, file, destination, size_bytes)
        await _on_disk(destination, partial(_publish, file, part, destination))
    finally:
        file.close()
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


async def _write_all(pieces: AsyncIterator[bytes], file: BinaryIO, destination: Path, size_bytes: int) -> None:
    received_bytes = 0
    block = bytearray()
    async for piece in pieces:
        received_bytes += len(piece)
        if received_bytes > size_bytes:
            raise WrongChunkSize(f"the chunk is longer than the {size_bytes} bytes that were announced")
        block += piece
        if len(block) >= _BLOCK_BYTES:
            await _on_disk(destination, partial(_write, file, bytes(block)))
            block.clear()
    if received_bytes != size_bytes:
        raise WrongChunkSize(f"the chunk has {received_bytes} bytes instead of the {size_bytes} that were announced")
    await _on_disk(destination, partial(_write, file, bytes(block)))


def _create(part: Path) -> BinaryIO:
    part.parent.mkdir(parents=True, exist_ok=True)
    return part.open("xb", buffering=0)


def _write(file: BinaryIO, block: bytes) -> None:
    """All of it: a disk that has room for a part takes that part without an error, and only the next write fails."""
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def _publish(file: BinaryIO, part: Path, destination: Path) -> None:
    # Without it a power cut could leave a file with holes, and its wrong digest would be blamed on the miner.
    os.fsync(file.fileno())
    part.replace(destination)


async def _on_disk(destination: Path, action: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(action)
    except OSError as error:
        raise ChunkNotStored(f"cannot write {destination}: {error.strerror}") from error
