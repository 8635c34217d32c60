"""The messages of the weather task, as JSON, and the URL paths for them.

They are here and not in the task, because the reference miner also needs them. This module does no HTTP and hashes no
forecasts.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import RunId, run_id_for
from gaia.protocol.messages import Hex32, ShortText, UtcTime, printable
from gaia.protocol.run_spec import RunSpec

WEATHER: Final = "weather"
"""The task's name, also in run ids."""
WEATHER_NUMBER: Final = 1
"""The task's number, for data on the chain."""
FORECASTS_PATH = "/v1/forecasts"
"""The path for POST of a ForecastRequest."""

MAX_REQUEST_BYTES = 65_536
MAX_REVEAL_BYTES = 4_194_304
"""The limit for a reveal. The manifest of a full run (2,760 chunks) takes about 0.4 MB."""
MAX_FIELD_BYTES = 67_108_864
MAX_CHUNKS = 20_000

_VARIABLE_NAME = re.compile(r"[0-9a-z]{1,32}")


class MalformedRequest(ValidatorFault):
    """The body of a request is not a ForecastRequest that can be served."""


class ForecastRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks a miner for the forecast of a run."""

    run_id: RunId
    netuid: Annotated[int, Meta(ge=0, le=65_535)]
    init_time: UtcTime
    spec: RunSpec
    commit_deadline: UtcTime
    """Before it the miner gives out only the commitment; after it manifest, nonce and chunks."""
    reveal_until: UtcTime
    """The miner may delete the forecast after this."""


class RequestAccepted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """202: the miner will try to make the forecast. A repeated request gets the same answer."""

    run_id: RunId


class CommitmentMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """200: the miner's commitment, made by `gaia.protocol.manifest.commitment_digest`."""

    run_id: RunId
    hotkey: ShortText
    digest: Hex32


class RevealMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """200: the manifest and the nonce of the commitment."""

    manifest: str
    """The manifest's canonical bytes, as text."""
    nonce: Hex32


def commitment_path(run_id: RunId) -> str:
    """The path for GET of a commitment: 200 CommitmentMessage, or 404 while there is none."""
    return f"{FORECASTS_PATH}/{run_id}/commitment"


def reveal_path(run_id: RunId) -> str:
    """The path for GET of a reveal: 200 RevealMessage, or 425 before the commit deadline."""
    return f"{FORECASTS_PATH}/{run_id}/reveal"


def chunk_path(run_id: RunId, chunk: str) -> str:
    """The path for GET of a chunk: 200 and the chunk's bytes, or 425 before the commit deadline.

    Args:
        run_id: The run.
        chunk: A key of `RunSpec.chunks`.

    >>> chunk_path(RunId("sn57-weather-20170101T00Z"), "2t/c/0/0/0")
    '/v1/forecasts/sn57-weather-20170101T00Z/chunks/2t/c/0/0/0'
    """
    return f"{FORECASTS_PATH}/{run_id}/chunks/{chunk}"


def decode_request(data: bytes) -> ForecastRequest:
    """Decode and check the body of a request.

    A valid request has a run id that belongs to its subnet and `init_time`, its deadlines in order, variable names that
    are safe in a path, and a forecast of bounded size.

    Args:
        data: The body, at most 65,536 bytes.

    Raises:
        MalformedRequest: The request is not valid (validator's fault). The message may be sent back.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise MalformedRequest(f"the request is larger than {MAX_REQUEST_BYTES} bytes")
    try:
        request = msgspec.json.decode(data, type=ForecastRequest)
        named = run_id_for(request.netuid, WEATHER, request.init_time)
    except (msgspec.DecodeError, ValidatorFault, UnicodeDecodeError, OverflowError, RecursionError) as error:
        raise MalformedRequest(f"not a forecast request: {printable(str(error))}") from error
    if request.run_id != named:
        raise MalformedRequest(f"run_id {request.run_id[:40]!r} should be {named}, by netuid and init_time")
    if not request.init_time < request.commit_deadline < request.reveal_until:
        raise MalformedRequest("init_time, commit_deadline and reveal_until must follow one another")
    _refuse_unservable(request.spec)
    return request


def _refuse_unservable(spec: RunSpec) -> None:
    strange = [variable.name for variable in spec.variables if not _VARIABLE_NAME.fullmatch(variable.name)]
    if strange:
        raise MalformedRequest(f"not a variable's short name: {strange[0][:40]!r}")
    chunk_count = len(spec.fields()) * len(spec.lead_h)
    if spec.field_bytes > MAX_FIELD_BYTES or chunk_count > MAX_CHUNKS:
        raise MalformedRequest(
            f"{chunk_count} chunks of {spec.field_bytes} bytes are too many;"
            f" at most {MAX_CHUNKS} of {MAX_FIELD_BYTES} bytes are possible"
        )
