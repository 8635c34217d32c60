"""The messages of the protocol, as JSON, and the URL paths for them.

Every message comes from a stranger. So decoding refuses unknown fields, wrong types, naive times and messages over
their size limit, and never evaluates anything. This module does no HTTP and hashes no forecasts.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from gaia.contracts.errors import GaiaError, MinerFault, ValidatorFault
from gaia.contracts.ids import RunId, run_id_for
from gaia.protocol.run_spec import RunSpec

FORECASTS_PATH = "/v1/forecasts"
"""The path for POST of a ForecastRequest."""

MAX_REQUEST_BYTES = 65_536
MAX_ANSWER_BYTES = 4_096
"""The limit for every answer of a miner except a reveal."""
MAX_REVEAL_BYTES = 4_194_304
"""The limit for a reveal. The manifest of a full run (2,760 chunks) takes about 0.4 MB."""
MAX_FIELD_BYTES = 67_108_864
MAX_CHUNKS = 20_000

_VARIABLE_NAME = re.compile(r"[0-9a-z]{1,32}")

UtcTime = Annotated[datetime, Meta(tz=True)]
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""32 bytes in lower-case hexadecimal."""
ShortText = Annotated[str, Meta(max_length=128)]


class MalformedRequest(ValidatorFault):
    """The body of a request is not a ForecastRequest that can be served."""


class MalformedAnswer(MinerFault):
    """A miner's answer is not the expected message."""


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


class ErrorMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """4xx or 5xx: the reason for a refusal, in words."""

    code: ShortText
    message: Annotated[str, Meta(max_length=1024)]


Answer = TypeVar("Answer", RequestAccepted, CommitmentMessage, RevealMessage, ErrorMessage)


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

    >>> chunk_path(RunId("sn57-20170101T00Z"), "2t/c/0/0/0")
    '/v1/forecasts/sn57-20170101T00Z/chunks/2t/c/0/0/0'
    """
    return f"{FORECASTS_PATH}/{run_id}/chunks/{chunk}"


def custom_serializer(message: Struct) -> bytes:
    """A message as canonical JSON: UTF-8, keys in ascending order, no white space, times as RFC 3339 with `Z`.

    >>> custom_serializer(ErrorMessage(message="no", code="bad"))
    b'{"code":"bad","message":"no"}'
    """
    return msgspec.json.encode(message, order="sorted")


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
        named = run_id_for(request.netuid, request.init_time)
    except (msgspec.DecodeError, ValidatorFault, UnicodeDecodeError, OverflowError, RecursionError) as error:
        raise MalformedRequest(f"not a forecast request: {_quoted(error)}") from error
    if request.run_id != named:
        raise MalformedRequest(f"run_id {request.run_id[:40]!r} should be {named}, by netuid and init_time")
    if not request.init_time < request.commit_deadline < request.reveal_until:
        raise MalformedRequest("init_time, commit_deadline and reveal_until must follow one another")
    _refuse_unservable(request.spec)
    return request


def decode_answer(data: bytes, kind: type[Answer], *, max_bytes: int = MAX_ANSWER_BYTES) -> Answer:
    """Decode a miner's answer.

    Args:
        data: The body.
        kind: The type of the expected message.
        max_bytes: The size limit.

    Raises:
        MalformedAnswer: The body is too long or not such a message (miner's fault).
    """
    if len(data) > max_bytes:
        raise MalformedAnswer(f"the answer is larger than {max_bytes} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, GaiaError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedAnswer(f"the answer is not a {kind.__name__}: {_quoted(error)}") from error


def printable(text: str, limit: int = 200) -> str:
    """A stranger's text made safe for logs, databases and pages: printable ASCII, cut to `limit` characters.

    >>> printable("no\\x1b[31m <b>")
    'no?[31m <b>'
    """
    return "".join(c if " " <= c <= "~" else "?" for c in text[:limit])


def _quoted(error: Exception) -> str:
    return printable(str(error))  # a decoder's message may repeat field names that a stranger chose


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
