"""Signed HTTP: the `btauth/1` headers of the Bittensor SDK, and responses bound to their request.

Any request can show "sent by hotkey X, to hotkey Y, with exactly this body, just now". A response is signed
in the same scheme over the identity of the request that it answers, so neither an old answer nor another's
can be passed off. Nothing here does HTTP. Checks refuse, they never warn; errors never echo a signature or a
payload. The layout of every signed byte is in docs/reference/protocol.md.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import Signer
from gaia.protocol.keys import SIGNATURE_BYTES, signature_is_valid

HEADER_VERSION = "X-Bittensor-Version"
HEADER_HOTKEY = "X-Bittensor-Hotkey"
HEADER_RECEIVER = "X-Bittensor-Receiver"
HEADER_NONCE = "X-Bittensor-Nonce"
HEADER_CRYPTO = "X-Bittensor-Crypto"
HEADER_SIGNATURE = "X-Bittensor-Signature"

MAX_AGE_NS = 10_000_000_000
MAX_AHEAD_NS = 2_000_000_000
RESPONSE_METHOD = "RESPONSE"

_PROTOCOL = "btauth/1"
_VERSION = "1"
_SCHEME = "sr25519"
_HEADERS = frozenset(
    name.lower()
    for name in (
        HEADER_VERSION, HEADER_HOTKEY, HEADER_RECEIVER, HEADER_NONCE, HEADER_CRYPTO, HEADER_SIGNATURE,
    )
)  # fmt: skip
_NONCE = re.compile(r"[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(rf"(?:0x)?([0-9a-fA-F]{{{2 * SIGNATURE_BYTES}}})")
_HOTKEY = re.compile(r"[1-9A-HJ-NP-Za-km-z]{40,64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SignatureRefused(ValidatorFault):
    """A signed message was refused. Requests come from validators; a miner's answer is blamed on it by the
    client.
    """


class MalformedSignature(SignatureRefused):
    """A header of the signature is missing, repeated or not of its form."""


class WrongReceiver(SignatureRefused):
    """The message is signed for another receiver, or for none."""


class StaleRequest(SignatureRefused):
    """The nonce is too old or too far in the future; the sender's clock may be wrong."""


class BadSignature(SignatureRefused):
    """The signature is not the claimed hotkey's over this message."""


class CallerNotPermitted(SignatureRefused):
    """The signature is good, but its hotkey may not call."""


class ReplayedRequest(SignatureRefused):
    """This nonce was already accepted from this hotkey."""


class TooManyRequests(SignatureRefused):
    """More signed requests within the freshness window than can be remembered."""

    retryable = True


class RequestIdentity(Struct, frozen=True, kw_only=True):
    """What makes a signed request unlike any other. Its answer is signed over this."""

    hotkey: Hotkey
    """Who asked."""
    method: str
    path: str
    """The request target exactly as sent, with its query."""
    nonce_ns: int


class NonceStore:
    """Remembers accepted nonces while they are fresh, so that none is accepted twice. For one event loop.

    Bounded in all, and per hotkey, so that one flooding key cannot shut out the others.
    """

    def __init__(self, *, capacity: int = 131_072, per_hotkey: int = 16_384) -> None:
        self._capacity = capacity
        self._per_hotkey = per_hotkey
        self._by_age: list[tuple[int, Hotkey]] = []
        self._seen: dict[Hotkey, set[int]] = {}

    def __len__(self) -> int:
        return len(self._by_age)

    def remember(self, hotkey: Hotkey, nonce_ns: int, *, now_ns: int) -> None:
        """Note a nonce; raises ReplayedRequest if it is known, TooManyRequests if there is no room."""
        self._forget_stale(now_ns)
        seen = self._seen.get(hotkey, set())
        if nonce_ns in seen:
            raise ReplayedRequest("this nonce was already accepted from this hotkey; sign every request anew")
        if len(seen) >= self._per_hotkey or len(self._by_age) >= self._capacity:
            raise TooManyRequests("too many signed requests within the freshness window; send fewer at a time")
        seen.add(nonce_ns)
        self._seen[hotkey] = seen
        heapq.heappush(self._by_age, (nonce_ns, hotkey))

    def _forget_stale(self, now_ns: int) -> None:
        while self._by_age and now_ns - self._by_age[0][0] > MAX_AGE_NS:
            nonce_ns, hotkey = heapq.heappop(self._by_age)
            self._seen[hotkey].discard(nonce_ns)
            if not self._seen[hotkey]:
                del self._seen[hotkey]


def unix_ns(instant: datetime) -> int:
    """Nanoseconds since 1970-01-01 UTC, exact to the microsecond that a datetime holds.

    >>> unix_ns(datetime(2026, 1, 1, tzinfo=UTC))
    1767225600000000000
    """
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def signed_payload(*, method: str, path: str, body: bytes, nonce_ns: int, sender: str, receiver: str) -> bytes:
    """The bytes that are signed, as in the SDK's `http_auth`: eight lines joined by newlines."""
    body_digest = hashlib.sha256(body).hexdigest()
    lines = (_PROTOCOL, _SCHEME, method.upper(), path, body_digest, str(nonce_ns), sender, receiver)
    return "\n".join(lines).encode()


def sign_request(
    signer: Signer, *, method: str, path: str, body: bytes, receiver: Hotkey, nonce_ns: int
) -> dict[str, str]:
    """The headers that authenticate a request.

    `path` is the request target exactly as it goes over the wire, `nonce_ns` the sender's wall clock; every
    request, also a repeated one, needs a nonce of its own.
    """
    payload = signed_payload(
        method=method, path=path, body=body, nonce_ns=nonce_ns, sender=signer.hotkey, receiver=receiver
    )
    return {
        HEADER_VERSION: _VERSION,
        HEADER_HOTKEY: signer.hotkey,
        HEADER_RECEIVER: receiver,
        HEADER_NONCE: str(nonce_ns),
        HEADER_SIGNATURE: "0x" + signer.sign(payload).hex(),
    }


def verify_request(
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str,
    path: str,
    self_hotkey: Hotkey,
    now_ns: int,
    nonces: NonceStore,
    permitted: Callable[[Hotkey], bool] = lambda _: True,
) -> RequestIdentity:
    """Who sent this request; raises a SignatureRefused that is safe to return to the caller.

    `body` is the raw body, `path` the raw request target. The nonce is remembered only after the signature
    has verified and the caller is permitted, so nobody without a permitted key can fill the store.
    `permitted` is asked after the signature: before it holds, the claimed hotkey means nothing.
    """
    signature = _SignatureHeaders.read(headers)
    if signature.receiver != self_hotkey:
        raise WrongReceiver("the request is not signed for this receiver")
    if now_ns - signature.nonce_ns > MAX_AGE_NS or signature.nonce_ns - now_ns > MAX_AHEAD_NS:
        raise StaleRequest("the nonce is more than 10 s old or 2 s ahead; check the sender's clock")
    signature.check(method=method, path=path, body=body)
    if not permitted(signature.hotkey):
        raise CallerNotPermitted("this hotkey holds no validator permit here")
    nonces.remember(signature.hotkey, signature.nonce_ns, now_ns=now_ns)
    return RequestIdentity(hotkey=signature.hotkey, method=method.upper(), path=path, nonce_ns=signature.nonce_ns)


def sign_response(
    signer: Signer, request: RequestIdentity, *, status: int, body: bytes, nonce_ns: int
) -> dict[str, str]:
    """The headers that authenticate the answer to `request`: signed for the asker, over its nonce."""
    return sign_request(
        signer,
        method=RESPONSE_METHOD,
        path=_response_path(request, status),
        body=body,
        receiver=request.hotkey,
        nonce_ns=nonce_ns,
    )


def verify_response(
    headers: Mapping[str, str], body: bytes, *, request: RequestIdentity, status: int, responder: Hotkey
) -> None:
    """Check that `responder` gave this answer to this request; raises SignatureRefused.

    No clock is asked: the answer covers our own fresh nonce, so it cannot be older than the request, and a
    miner is not blamed for clocks that disagree.
    """
    signature = _SignatureHeaders.read(headers)
    if signature.hotkey != responder:
        raise BadSignature("the response is signed by another hotkey")
    if signature.receiver != request.hotkey:
        raise WrongReceiver("the response is not signed for the asker")
    signature.check(method=RESPONSE_METHOD, path=_response_path(request, status), body=body)


def _response_path(request: RequestIdentity, status: int) -> str:
    return f"{request.method} {request.path} {request.nonce_ns} {status}"


class _SignatureHeaders(Struct, frozen=True, kw_only=True):
    """The headers, of good form but not yet verified."""

    hotkey: Hotkey
    receiver: str
    nonce_ns: int
    signature: bytes

    @staticmethod
    def read(headers: Mapping[str, str]) -> _SignatureHeaders:
        found = _only_once(headers.items())
        if found.get(HEADER_VERSION.lower()) != _VERSION:
            raise MalformedSignature(f"missing or unsupported {HEADER_VERSION}; expected {_VERSION}")
        if found.get(HEADER_CRYPTO.lower(), _SCHEME) != _SCHEME:
            raise MalformedSignature(f"unsupported {HEADER_CRYPTO}; expected {_SCHEME}")
        receiver = found.get(HEADER_RECEIVER.lower())
        if receiver is None:
            raise WrongReceiver(f"missing {HEADER_RECEIVER}; the message must name its receiver")
        return _SignatureHeaders(
            hotkey=Hotkey(_matched(found, HEADER_HOTKEY, _HOTKEY)[0]),
            receiver=receiver,
            nonce_ns=int(_matched(found, HEADER_NONCE, _NONCE)[0]),
            signature=bytes.fromhex(_matched(found, HEADER_SIGNATURE, _SIGNATURE)[1]),
        )

    def check(self, *, method: str, path: str, body: bytes) -> None:
        payload = signed_payload(
            method=method,
            path=path,
            body=body,
            nonce_ns=self.nonce_ns,
            sender=self.hotkey,
            receiver=self.receiver,
        )
        if not signature_is_valid(payload, self.signature, self.hotkey):
            raise BadSignature("the signature is not this hotkey's over this message")


def _only_once(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The signature's headers by lower-case name. A repeated one could be read differently by a proxy:
    refused.
    """
    found: dict[str, str] = {}
    for name, value in items:
        lowered = name.lower()
        if lowered not in _HEADERS:
            continue
        if lowered in found:
            raise MalformedSignature(f"repeated header {lowered}")
        found[lowered] = value
    return found


def _matched(found: Mapping[str, str], header: str, form: re.Pattern[str]) -> re.Match[str]:
    match = form.fullmatch(found.get(header.lower(), ""))
    if match is None:
        raise MalformedSignature(f"missing or malformed {header}")
    return match
