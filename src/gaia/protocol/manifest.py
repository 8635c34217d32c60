"""The manifest, which lists a forecast's chunks, and the commitment that binds a miner to it.

A miner publishes only the commitment until the deadline, then opens it. Whatever is frozen has passed
`check_manifest`. Digests of chunks are only compared here: computing them is a compute worker's business.
Every signed or hashed byte is laid out in docs/reference/protocol.md.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gaia.contracts.errors import MinerFault, ValidatorFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.messages import Hex32, ShortText, UtcTime, custom_serializer, printable
from gaia.protocol.run_spec import RunSpec

COMMITMENT_DOMAIN = b"gaia/commitment/1"
NONCE_BYTES = 32
DIGEST_BYTES = 32
CHUNK_OVERHEAD_BYTES = 16
"""What Blosc adds at most, to a field that it cannot compress (BLOSC_MAX_OVERHEAD in blosc.h)."""

_BYTES_PER_ENTRY = 256
_BYTES_BESIDE_ENTRIES = 2_048


class CommitmentMismatch(MinerFault):
    """The revealed manifest and nonce are not the ones that the miner committed to."""


class ManifestMalformed(MinerFault):
    """The manifest is not one, or not in its canonical bytes."""


class ManifestOfAnother(MinerFault):
    """The manifest belongs to another run, hotkey, initial time or specification."""


class ManifestIncomplete(MinerFault):
    """A chunk that the specification wants is missing."""


class ManifestOverfull(MinerFault):
    """The manifest names a chunk that the specification does not want."""


class ChunkTooLarge(MinerFault):
    """A chunk claims more bytes than an incompressible field takes."""


class BadCommitmentInput(ValidatorFault):
    """A commitment cannot be computed from these parts."""


class ChunkDigest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What identifies one chunk's stored (compressed) bytes."""

    size_bytes: Annotated[int, Meta(ge=1)]
    blake3: Hex32


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a miner commits to."""

    format: Literal["gaia-manifest/1"] = "gaia-manifest/1"
    run_id: Annotated[RunId, Meta(max_length=32)]
    hotkey: ShortText
    init_time: UtcTime
    spec_digest: Hex32
    chunks: dict[str, ChunkDigest]
    """By chunk key, as in `RunSpec.chunks`."""


def canonical_bytes(manifest: Manifest) -> bytes:
    """The only bytes that stand for this manifest: JSON, keys in ascending order, no white space."""
    return custom_serializer(manifest)


def commitment_digest(run_id: RunId, hotkey: Hotkey, nonce: bytes, manifest_bytes: bytes) -> bytes:
    """32 bytes that bind a hotkey to its forecast of a run and reveal nothing about it.

    sha256(domain || len(run_id) || run_id || len(hotkey) || hotkey || nonce || sha256(manifest)); lengths are
    two bytes, big-endian; domain, nonce and inner digest have fixed lengths, so no two inputs share their
    bytes. Raises BadCommitmentInput if the nonce has not 32 bytes.
    """
    if len(nonce) != NONCE_BYTES:
        raise BadCommitmentInput(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    digest = hashlib.sha256(COMMITMENT_DOMAIN)
    for part in (run_id.encode(), hotkey.encode()):
        digest.update(len(part).to_bytes(2, "big") + part)
    digest.update(nonce + hashlib.sha256(manifest_bytes).digest())
    return digest.digest()


def max_manifest_bytes(spec: RunSpec) -> int:
    """No honest manifest of this specification is longer."""
    return _BYTES_BESIDE_ENTRIES + _BYTES_PER_ENTRY * len(spec.fields()) * len(spec.lead_h)


def check_manifest(
    manifest_bytes: bytes,
    *,
    nonce: bytes,
    commitment: bytes,
    run_id: RunId,
    hotkey: Hotkey,
    init_time: datetime,
    spec: RunSpec,
) -> Manifest:
    """The manifest, if it is the one committed to and holds exactly what the run wants.

    Raises a MinerFault that names the first thing wrong. The commitment is checked first: what differs from
    it is not the miner's forecast, whatever else it is.
    """
    if len(manifest_bytes) > max_manifest_bytes(spec):
        raise ManifestMalformed(f"{len(manifest_bytes)} bytes are too many for {spec.digest()[:8]}'s chunks")
    if len(nonce) != NONCE_BYTES:
        raise ManifestMalformed(f"the nonce has {len(nonce)} bytes instead of {NONCE_BYTES}")
    if not compare_digest(commitment, commitment_digest(run_id, hotkey, nonce, manifest_bytes)):
        raise CommitmentMismatch("the revealed manifest and nonce do not give the committed digest")
    manifest = _decode_canonical(manifest_bytes)
    _check_identity(manifest, run_id=run_id, hotkey=hotkey, init_time=init_time, spec=spec)
    _check_chunks(manifest, spec)
    return manifest


def _decode_canonical(manifest_bytes: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(manifest_bytes, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestMalformed(f"not a manifest: {printable(str(error))}") from error
    if canonical_bytes(manifest) != manifest_bytes:
        raise ManifestMalformed("not canonical: keys must ascend, without repeats or white space")
    return manifest


def _check_identity(manifest: Manifest, *, run_id: RunId, hotkey: Hotkey, init_time: datetime, spec: RunSpec) -> None:
    wanted = {
        "run_id": (manifest.run_id, run_id),
        "hotkey": (manifest.hotkey, hotkey),
        "init_time": (manifest.init_time.isoformat(), init_time.astimezone(UTC).isoformat()),
        "spec_digest": (manifest.spec_digest, spec.digest()),
    }
    for name, (found, expected) in wanted.items():
        if found != expected:
            raise ManifestOfAnother(f"the manifest's {name} is {found!r}; expected {expected!r}")


def _check_chunks(manifest: Manifest, spec: RunSpec) -> None:
    wanted = dict.fromkeys(key for key, _, _ in spec.chunks())  # in order: the first missing one is named
    missing = [key for key in wanted if key not in manifest.chunks]
    if missing:
        raise ManifestIncomplete(f"chunk {missing[0]} is missing ({len(missing)} in all)")
    extra = sorted(manifest.chunks.keys() - wanted.keys())
    if extra:
        raise ManifestOverfull(f"chunk {extra[0][:80]!r} is not wanted ({len(extra)} such in all)")
    limit_bytes = spec.field_bytes + CHUNK_OVERHEAD_BYTES
    for key, chunk in manifest.chunks.items():
        if chunk.size_bytes > limit_bytes:
            raise ChunkTooLarge(f"chunk {key} claims {chunk.size_bytes} bytes; at most {limit_bytes} are possible")
