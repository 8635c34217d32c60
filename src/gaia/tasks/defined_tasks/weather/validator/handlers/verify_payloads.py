"""The payloads and results of the units `weather.hash.compute`, `weather.verify` and `weather.picture`.

The IO-Engine builds the payloads and reads the results, so this module never imports numpy, even indirectly.
"""

from __future__ import annotations

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import FieldId, RunSpec


class HashPayload(Struct, frozen=True, kw_only=True):
    """The files to digest: names relative to one folder, separated by "/"."""

    folder: str
    files: tuple[str, ...]


class FileDigest(Struct, frozen=True, kw_only=True):
    """The size and digest of a file."""

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
    """Only these leads; None: all committed leads of the run."""


class VariableRange(Struct, frozen=True, kw_only=True):
    """The least and greatest value of one variable of a forecast, over all its levels and leads."""

    variable: str
    unit: str
    minimum: float
    maximum: float


class VerifyResult(Struct, frozen=True, kw_only=True):
    """The result for a good forecast: every chunk was there, had the committed digest and only plausible values."""

    chunk_count: int
    encoded_bytes: int
    ranges: tuple[VariableRange, ...]


class PicturePayload(Struct, frozen=True, kw_only=True):
    """A field of a forecast that is to be drawn beside the truth."""

    title: str
    run_id: RunId
    hotkey: Hotkey
    label: str
    """The owner of the forecast in words: the model's name, the miner's rank."""
    forecast_path: str
    manifest_digest: str
    spec: RunSpec
    lead_h: int
    field: FieldId
    truth_path: str
    """A flat store of the valid time."""
    climatology_path: str | None
    """A flat store on the same grid. With it the caption also gives the anomaly correlation."""
    destination: str
    """The path of the PNG. An existing file is replaced as a whole."""


class PictureResult(Struct, frozen=True, kw_only=True):
    """The picture that was drawn."""

    path: str
    size_bytes: int
