"""The manifest, which lists a forecast's chunks, and the commitment that binds a miner to it.

Until the deadline a miner publishes only the commitment. Then it opens it: it shows the manifest and the nonce. Every
frozen manifest has passed `check_manifest`. Compute workers compute the digests of chunks, not this module. The
protocol's documentation gives the layout of every signed or hashed byte.
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
"""The most that Blosc adds to a field that it cannot compress (BLOSC_MAX_OVERHEAD in blosc.h)."""

_BYTES_PER_ENTRY = 256
_BYTES_BESIDE_ENTRIES = 2_048


class CommitmentMismatch(MinerFault):
    """The revealed manifest and nonce are not those that the miner committed to."""


class ManifestMalformed(MinerFault):
    """The bytes are not a manifest, or not its canonical bytes."""


class ManifestOfAnother(MinerFault):
    """The manifest belongs to another run, hotkey, initial time or specification."""


class ManifestIncomplete(MinerFault):
    """The manifest lacks a chunk of the specification."""


class ManifestOverfull(MinerFault):
    """The manifest names a chunk that is not in the specification."""


class ChunkTooLarge(MinerFault):
    """A chunk claims more bytes than an incompressible field takes."""


class BadCommitmentInput(ValidatorFault):
    """A commitment cannot be computed from these arguments."""


class ChunkDigest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size and digest of a chunk's stored (compressed) bytes."""

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
    """Chunk key of `RunSpec.chunks` -> size and digest."""


def canonical_bytes(manifest: Manifest) -> bytes:
    """The canonical bytes of a manifest: JSON with the keys in ascending order and no white space."""
    return custom_serializer(manifest)


def commitment_digest(run_id: RunId, hotkey: Hotkey, nonce: bytes, manifest_bytes: bytes) -> bytes:
    """The digest that binds a hotkey to its forecast of a run, and reveals nothing about the forecast.

        sha256(domain || len(run_id) || run_id || len(hotkey) || hotkey || nonce || sha256(manifest))

    Lengths are two bytes, big-endian. Domain, nonce and inner digest have fixed lengths, so different inputs never give
    the same bytes.

    Args:
        run_id: The run.
        hotkey: The miner's ss58 address.
        nonce: 32 random bytes that the miner keeps secret until it reveals.
        manifest_bytes: The canonical bytes of the manifest.

    Returns:
        32 bytes.

    Raises:
        BadCommitmentInput: The nonce does not have 32 bytes (validator's fault).
    """
    if len(nonce) != NONCE_BYTES:
        raise BadCommitmentInput(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    digest = hashlib.sha256(COMMITMENT_DOMAIN)
    for part in (run_id.encode(), hotkey.encode()):
        digest.update(len(part).to_bytes(2, "big") + part)
    digest.update(nonce + hashlib.sha256(manifest_bytes).digest())
    return digest.digest()


def max_manifest_bytes(spec: RunSpec) -> int:
    """The greatest length of a valid manifest for this specification."""
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
    """Decode a revealed manifest, and check that it is the committed one and holds exactly the chunks of the run.

    The commitment is checked before the content: bytes that do not match it are not the miner's forecast.

    Args:
        manifest_bytes: The bytes that the miner reveals.
        nonce: The nonce that the miner reveals.
        commitment: The digest that the miner published before the deadline.
        run_id: The run.
        hotkey: The miner's ss58 address.
        init_time: The initial time of the run, timezone-aware.
        spec: The specification of the run.

    Raises:
        ManifestMalformed: The nonce does not have 32 bytes, or the manifest is too long, not a manifest or not
            canonical (miner's fault, like all below).
        CommitmentMismatch: Manifest and nonce do not give the commitment.
        ManifestOfAnother: It belongs to another run, hotkey, initial time or specification.
        ManifestIncomplete: It lacks a chunk.
        ManifestOverfull: It has a chunk too many.
        ChunkTooLarge: A chunk claims more bytes than possible.
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
    wanted = dict.fromkeys(key for key, _, _ in spec.chunks())  # in order, so that the first missing one is named
    missing = [key for key in wanted if key not in manifest.chunks]
    if missing:
        raise ManifestIncomplete(f"chunk {missing[0]} is missing ({len(missing)} in all)")
    extra = sorted(manifest.chunks.keys() - wanted.keys())
    if extra:
        raise ManifestOverfull(f"chunk {extra[0][:80]!r} is not in the specification ({len(extra)} such in all)")
    limit_bytes = spec.field_bytes + CHUNK_OVERHEAD_BYTES
    for key, chunk in manifest.chunks.items():
        if chunk.size_bytes > limit_bytes:
            raise ChunkTooLarge(f"chunk {key} claims {chunk.size_bytes} bytes; at most {limit_bytes} are possible")
