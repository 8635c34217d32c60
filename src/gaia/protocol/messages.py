"""The part of the messages that all tasks share: canonical JSON, size limits, the refusal, safe text.

Every message comes from a stranger. So decoding refuses unknown fields, wrong types, naive times and messages over
their size limit, and never evaluates anything. Each task defines its own messages. This module does no HTTP.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from gaia.contracts.errors import GaiaError, MinerFault

MAX_ANSWER_BYTES = 4_096
"""The limit for an answer of a miner, unless the task sets another, and for every refusal."""

UtcTime = Annotated[datetime, Meta(tz=True)]
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""32 bytes in lower-case hexadecimal."""
ShortText = Annotated[str, Meta(max_length=128)]


class MalformedAnswer(MinerFault):
    """A miner's answer is not the expected message."""


class ErrorMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """4xx or 5xx: the reason for a refusal, in words."""

    code: ShortText
    message: Annotated[str, Meta(max_length=1024)]


Answer = TypeVar("Answer", bound=Struct)


def custom_serializer(message: Struct) -> bytes:
    """A message as canonical JSON: UTF-8, keys in ascending order, no white space, times as RFC 3339 with `Z`.

    >>> custom_serializer(ErrorMessage(message="no", code="bad"))
    b'{"code":"bad","message":"no"}'
    """
    return msgspec.json.encode(message, order="sorted")


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
        raise MalformedAnswer(f"the answer is not a {kind.__name__}: {printable(str(error))}") from error


def printable(text: str, limit: int = 200) -> str:
    """A stranger's text made safe for logs, databases and pages: printable ASCII, cut to `limit` characters.

    >>> printable("no\\x1b[31m <b>")
    'no?[31m <b>'
    """
    return "".join(c if " " <= c <= "~" else "?" for c in text[:limit])
