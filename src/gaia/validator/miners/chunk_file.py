"""A chunk on its way to the disk: written beside its destination, renamed when it is whole.

Disk work happens in threads, so a slow disk does not hold up the event loop. Nothing is digested here.
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
    """Write `pieces` to `destination`, whole or not at all; never keeps more than one block in memory.

    Raises WrongChunkSize as soon as there is a byte too many, or at the end if there are too few;
    ChunkNotStored if the disk fails. Whatever `pieces` raises passes through.
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
            raise WrongChunkSize(f"the chunk is longer than the {size_bytes} bytes of its manifest")
        block += piece
        if len(block) >= _BLOCK_BYTES:
            await _on_disk(destination, partial(_write, file, bytes(block)))
            block.clear()
    if received_bytes != size_bytes:
        raise WrongChunkSize(f"the chunk has {received_bytes} bytes instead of the manifest's {size_bytes}")
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
    # Unsynced, a power cut could leave a hollow file, whose wrong digest would look like the miner's doing.
    os.fsync(file.fileno())
    part.replace(destination)


async def _on_disk(destination: Path, action: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(action)
    except OSError as error:
        raise ChunkNotStored(f"cannot write {destination}: {error.strerror}") from error
