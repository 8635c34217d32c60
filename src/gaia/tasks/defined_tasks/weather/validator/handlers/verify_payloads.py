"""What the units `weather.hash.compute`, `weather.verify` and `weather.picture` take and give.

The IO-Engine builds these and reads the answers, so this module never imports numpy or anything that does.
"""

from __future__ import annotations

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import FieldId, RunSpec


class HashPayload(Struct, frozen=True, kw_only=True):
    """Files to digest: names relative to one folder, "/"-separated."""

    folder: str
    files: tuple[str, ...]


class FileDigest(Struct, frozen=True, kw_only=True):
    """What identifies a file's content."""

    size_bytes: int
    blake3: str
    """Hexadecimal."""


class HashResult(Struct, frozen=True, kw_only=True):
    """Size and BLAKE3 of every file asked for, by its name."""

    digests: dict[str, FileDigest]


class VerifyPayload(Struct, frozen=True, kw_only=True):
    """A forecast whose integrity is to be verified."""

    run_id: RunId
    hotkey: Hotkey
    forecast_path: str
    spec: RunSpec
    manifest_digest: str
    """sha256 of the canonical manifest, hexadecimal, as frozen in the database."""
    lead_h: tuple[int, ...] | None = None
    """Only these leads; None: all that the run commits."""


class VariableRange(Struct, frozen=True, kw_only=True):
    """The least and greatest value that a forecast holds of one variable, all levels and leads together."""

    variable: str
    unit: str
    minimum: float
    maximum: float


class VerifyResult(Struct, frozen=True, kw_only=True):
    """A verified forecast: every chunk was there, digested as committed, decoded, finite and plausible."""

    chunk_count: int
    encoded_bytes: int
    ranges: tuple[VariableRange, ...]


class PicturePayload(Struct, frozen=True, kw_only=True):
    """One field of a forecast to be drawn beside the truth."""

    title: str
    run_id: RunId
    hotkey: Hotkey
    label: str
    """Whose forecast it is, for people: the model's name, the miner's rank."""
    forecast_path: str
    manifest_digest: str
    spec: RunSpec
    lead_h: int
    field: FieldId
    truth_path: str
    """A flat store of the valid time."""
    climatology_path: str | None
    """A flat store on the same grid: the caption then also gives the anomaly correlation."""
    destination: str
    """The PNG to write; replaced whole if it exists."""


class PictureResult(Struct, frozen=True, kw_only=True):
    """The picture that was drawn."""

    path: str
    size_bytes: int
