"""Reads a miner's forecast as the validator holds it: the frozen manifest and the chunks fetched so far.

Every chunk is digested, decoded and checked before its values are used. (Scoring checks the values while it sums them
up, because it reads every value anyway: `LeadFields.decode`.) The run specification says which chunks there are. The
manifest, whose sha256 the database froze, says how long each is and what its digest is. Only the bytes come from the
miner. A missing chunk raises an error: nothing is filled in or skipped.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from blake3 import blake3

from gaia.contracts.decoding import UNDECODABLE
from gaia.contracts.errors import ValidatorFault
from gaia.protocol.manifest import ChunkDigest, Manifest, max_manifest_bytes
from gaia.protocol.run_spec import FieldId, RunSpec
from gaia.tasks.defined_tasks.weather.files.confined_file import UnsafePath, open_confined
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.store.field_store import missing_field
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import (
    OVERHEAD_BYTES,
    Field,
    ValueRange,
    decode_field,
    range_of,
)
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import (
    Chunk,
    ChunkCorrupt,
    ChunkDigestMismatch,
    ChunkMissing,
    ChunkNotCached,
    ChunkSizeWrong,
    ChunkUnreadable,
)
from gaia.tasks.defined_tasks.weather.forecast.zarr_metadata import write_zarr_metadata

__all__ = ["MANIFEST_NAME", "ForecastReader", "FrozenManifestAltered", "LeadFields", "write_zarr_metadata"]

MANIFEST_NAME: Final = "manifest.json"
_PIECE_BYTES: Final = 512 << 10


class FrozenManifestAltered(ValidatorFault):
    """The manifest on the validator's disk is not the one that was frozen in the database."""


class LeadNotInRun(ValidatorFault):
    """A lead was asked for that is not among the run's committed leads."""


class ForecastReader:
    """Digest-checked access to one forecast. For one thread: it reuses its buffer for encoded bytes."""

    def __init__(self, path: Path, spec: RunSpec, manifest: Manifest) -> None:
        self.path = path
        self.spec = spec
        self.manifest = manifest
        self._promised = dict(manifest.chunks)
        self._chunks = {(field, lead): Chunk(key=key, field=field, lead_h=lead) for key, field, lead in spec.chunks()}
        # not a bytearray: to fill it with zeros takes as long as decoding a field
        self._encoded = np.empty(spec.field_bytes + OVERHEAD_BYTES + 1, dtype=np.uint8).data

    @classmethod
    def open(cls, path: Path, *, spec: RunSpec, manifest_digest: str) -> ForecastReader:
        """Open the forecast in folder `path`; its `manifest.json` must have the frozen sha256 (hexadecimal).

        Raises FrozenManifestAltered, ChunkNotCached.
        """
        encoded = _read_manifest(path, max_manifest_bytes(spec))
        found = hashlib.sha256(encoded).hexdigest()
        if found != manifest_digest.lower():
            raise FrozenManifestAltered(
                f"{path / MANIFEST_NAME} has sha256 {found}, the database froze {manifest_digest};"
                f" delete the file, and it is written again from the database"
            )
        try:
            manifest = msgspec.json.decode(encoded, type=Manifest)
        except UNDECODABLE as error:
            raise FrozenManifestAltered(f"{path / MANIFEST_NAME} is not a manifest: {error}") from error
        if manifest.spec_digest != spec.digest():
            raise FrozenManifestAltered(
                f"{path / MANIFEST_NAME} belongs to run specification {manifest.spec_digest}, not {spec.digest()}"
            )
        return cls(path, spec, manifest)

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk that the run asks for, in the specification's order."""
        return iter(self._chunks.values())

    def at_lead(self, lead_h: int) -> LeadFields:
        """The fields valid `lead_h` hours after the initial time; raises LeadNotInRun."""
        if lead_h not in self.spec.lead_h:
            raise LeadNotInRun(f"lead {lead_h} h is not among the run's {self.spec.lead_h[:50]} h")
        return LeadFields(self, lead_h)

    def chunk(self, field: FieldId, lead_h: int) -> Chunk:
        """The chunk that holds a field; raises MissingField."""
        try:
            return self._chunks[field, lead_h]
        except KeyError:
            raise missing_field(f"{self.path} at {lead_h} h", field, self.spec.fields()) from None

    def read_chunk(self, chunk: Chunk, out: Field) -> ValueRange:
        """Decode a chunk into `out`, float32 (nlat, nlon), C-ordered, and return the range of its values.

        Raises the errors of `decode_chunk`, NonFiniteValue, ImplausibleValue. After an error the content of `out` must
        not be used.
        """
        self.decode_chunk(chunk, out)
        return range_of(out, chunk)

    def decode_chunk(self, chunk: Chunk, out: Field) -> None:
        """Decode a chunk into `out` as `read_chunk` does, but without the check of values, which the caller must do.

        Raises ChunkMissing, ChunkNotCached, ChunkUnreadable, ChunkSizeWrong, ChunkDigestMismatch, ChunkCorrupt.
        """
        promised = self.promised(chunk)
        encoded, found = self._read_file(chunk, promised.size_bytes)
        if found != promised.blake3:
            raise ChunkDigestMismatch(f"{chunk} has blake3 {found}; the miner committed to {promised.blake3}")
        decode_field(encoded, chunk, out)

    def promised(self, chunk: Chunk) -> ChunkDigest:
        """Size and digest of a chunk as the manifest says. Raises ChunkMissing, ChunkSizeWrong."""
        promised = self._promised.get(chunk.key)
        if promised is None:
            raise ChunkMissing(f"{chunk} is not in the manifest; a forecast must hold every field of the run")
        if not OVERHEAD_BYTES < promised.size_bytes < len(self._encoded):
            raise ChunkSizeWrong(
                f"{chunk} has {promised.size_bytes} bytes by the manifest; a valid encoding has"
                f" {OVERHEAD_BYTES + 1} to {len(self._encoded) - 1}"
            )
        return promised

    def _read_file(self, chunk: Chunk, size_bytes: int) -> tuple[memoryview, str]:
        """The file's bytes, in the reused buffer, and their digest. Reads at most one byte past the promised size."""
        buffer, end, hasher = self._encoded, 0, blake3()
        try:
            with open_confined(self.path, chunk.key) as file:
                while read := file.readinto(buffer[end : min(end + _PIECE_BYTES, size_bytes + 1)]):
                    hasher.update(buffer[end : end + read])  # while it is in the second-level cache
                    end += read
                if end != size_bytes:
                    found_bytes = os.fstat(file.fileno()).st_size
                    raise ChunkSizeWrong(f"{chunk} has {found_bytes} bytes; the manifest says {size_bytes}")
                return buffer[:size_bytes], hasher.hexdigest()
        except FileNotFoundError:
            raise ChunkNotCached(f"{chunk} is not in {self.path}; it is fetched from the miner when needed") from None
        except UnsafePath as error:
            raise ChunkCorrupt(f"{chunk} is not a plain file: {error}") from None
        except OSError as error:
            raise ChunkUnreadable(f"{chunk} cannot be read from {self.path}: {error.strerror}") from error


class LeadFields:
    """One lead of a forecast, as a FieldStore."""

    def __init__(self, reader: ForecastReader, lead_h: int) -> None:
        self._reader = reader
        self._lead_h = lead_h
        self.name = f"{reader.path} at {lead_h} h"
        self.latitude, self.longitude = coordinates(reader.spec.grid)

    def fields(self) -> tuple[FieldId, ...]:
        return self._reader.spec.fields()

    def read(self, field: FieldId) -> Field:
        """One field as a new array, (nlat, nlon) in the table's unit, all finite. Raises the errors of `read_chunk`."""
        values = self.decode(field)
        self.check(field, values)
        return values

    def decode(self, field: FieldId) -> Field:
        """As `read`, but without the check of values. The caller must make sure that all are plausible, or `check`."""
        values = np.empty(self._reader.spec.grid.shape, dtype=np.float32)
        self._reader.decode_chunk(self._reader.chunk(field, self._lead_h), values)
        return values

    def check(self, field: FieldId, values: Field) -> None:
        """Raise NonFiniteValue or ImplausibleValue if a decoded field holds such a value. The error names the first."""
        range_of(values, self._reader.chunk(field, self._lead_h))


def _read_manifest(path: Path, limit_bytes: int) -> bytes:
    try:
        with open_confined(path, MANIFEST_NAME) as file:
            encoded = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise ChunkNotCached(
            f"{path / MANIFEST_NAME} does not exist; it is written when the reveal is frozen"
        ) from None
    except OSError as error:
        raise ChunkUnreadable(f"{path / MANIFEST_NAME} cannot be read: {error.strerror}") from error
    if len(encoded) > limit_bytes:
        raise FrozenManifestAltered(f"{path / MANIFEST_NAME} is longer than {limit_bytes} bytes")
    return encoded
