"""Signed HTTP against the Bittensor SDK's `http_auth` as the independent side, in both directions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bittensor_core
import pytest
from bittensor import http_auth
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gaia.contracts.ids import Hotkey
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.signing import (
    HEADER_CRYPTO,
    HEADER_HOTKEY,
    HEADER_NONCE,
    HEADER_RECEIVER,
    HEADER_SIGNATURE,
    HEADER_VERSION,
    BadSignature,
    CallerNotPermitted,
    MalformedSignature,
    NonceStore,
    ReplayedRequest,
    RequestIdentity,
    SignatureRefused,
    StaleRequest,
    TooManyRequests,
    WrongReceiver,
    sign_request,
    sign_response,
    signed_payload,
    unix_ns,
    verify_request,
    verify_response,
)

PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
VALIDATOR = HotkeySigner.from_mnemonic(PHRASE)
SDK_KEY = bittensor_core.Keypair.create_from_mnemonic(PHRASE)
"""The same key, as the SDK takes it."""
MINER = HotkeySigner.generate()
NOW_NS = 1_767_225_600_123_456_000
PATH = "/v1/forecasts?x=1"
BODY = b'{"a":1}'


def signed(**changes: Any) -> dict[str, str]:
    arguments: dict[str, Any] = {
        "method": "POST", "path": PATH, "body": BODY, "receiver": MINER.hotkey, "nonce_ns": NOW_NS
    }  # fmt: skip
    return sign_request(VALIDATOR, **(arguments | changes))


def verified(headers: Any, **changes: Any) -> RequestIdentity:
    arguments: dict[str, Any] = {
        "body": BODY, "method": "POST", "path": PATH, "self_hotkey": MINER.hotkey, "now_ns": NOW_NS,
        "nonces": NonceStore(),
    }  # fmt: skip
    return verify_request(headers, **(arguments | changes))


@given(
    method=st.sampled_from(["GET", "POST", "post"]),
    path=st.from_regex(r"/[a-z0-9/?=&%.-]{0,40}", fullmatch=True),
    body=st.binary(max_size=200),
    nonce_ns=st.integers(1, 2**62),
)
def test_the_signed_bytes_are_the_sdks(method: str, path: str, body: bytes, nonce_ns: int) -> None:
    theirs = http_auth.build_payload(
        scheme="sr25519", method=method, path=path, body=body, nonce_ns=nonce_ns,
        sender_ss58=VALIDATOR.hotkey, receiver_ss58=MINER.hotkey,
    )  # fmt: skip
    ours = signed_payload(
        method=method, path=path, body=body, nonce_ns=nonce_ns, sender=VALIDATOR.hotkey, receiver=MINER.hotkey
    )
    assert ours == theirs


def test_the_sdk_accepts_our_request() -> None:
    caller = http_auth.verify(
        signed(), BODY, method="POST", path=PATH, self_hotkey_ss58=MINER.hotkey, now_ns=NOW_NS,
        nonce_store=http_auth.InMemoryNonceStore(),
    )  # fmt: skip
    assert (caller.hotkey_ss58, caller.nonce_ns) == (VALIDATOR.hotkey, NOW_NS)


def test_we_accept_the_sdks_request() -> None:
    headers = http_auth.sign(SDK_KEY, method="POST", path=PATH, body=BODY, receiver_ss58=MINER.hotkey, nonce_ns=NOW_NS)
    assert verified(headers) == RequestIdentity(hotkey=VALIDATOR.hotkey, method="POST", path=PATH, nonce_ns=NOW_NS)


def test_the_headers_are_found_in_any_case() -> None:
    assert verified({name.lower(): value for name, value in signed().items()}).hotkey == VALIDATOR.hotkey


@pytest.mark.parametrize(
    "change",
    [{"body": BODY + b" "}, {"method": "GET"}, {"path": "/v1/forecasts?x=2"}, {"path": "/v1/forecasts"}],
)
def test_a_request_changed_on_its_way_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadSignature):
        verified(signed(), **change)


def test_a_request_in_anothers_name_is_refused() -> None:
    with pytest.raises(BadSignature):
        verified(signed() | {HEADER_HOTKEY: HotkeySigner.generate().hotkey})


def test_a_signature_moved_to_another_nonce_is_refused() -> None:
    with pytest.raises(BadSignature):
        verified(signed() | {HEADER_NONCE: str(NOW_NS + 1)})


def test_a_request_to_somebody_else_is_refused() -> None:
    with pytest.raises(WrongReceiver):
        verified(signed(receiver=VALIDATOR.hotkey))


def test_a_request_to_nobody_is_refused() -> None:
    unbound = http_auth.sign(SDK_KEY, method="POST", path=PATH, body=BODY, nonce_ns=NOW_NS)
    with pytest.raises(WrongReceiver):
        verified(unbound)


@pytest.mark.parametrize(("age_ns", "fresh"), [
    (10_000_000_000, True), (10_000_000_001, False), (-2_000_000_000, True), (-2_000_000_001, False),
])  # fmt: skip
def test_a_request_is_good_for_ten_seconds_and_two_ahead(age_ns: int, fresh: bool) -> None:
    headers = signed(nonce_ns=NOW_NS - age_ns)
    if fresh:
        assert verified(headers).hotkey == VALIDATOR.hotkey
        return
    with pytest.raises(StaleRequest):
        verified(headers)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (HEADER_VERSION, "2"),
        (HEADER_HOTKEY, ""),
        (HEADER_HOTKEY, "5" * 65),
        (HEADER_NONCE, "-1"),
        (HEADER_NONCE, "0"),
        (HEADER_NONCE, "1_000"),
        (HEADER_NONCE, "9" * 20),
        (HEADER_NONCE, "١٢٣"),
        (HEADER_SIGNATURE, "0x00"),
        (HEADER_SIGNATURE, "zz" * 64),
        (HEADER_CRYPTO, "ed25519"),
        (HEADER_CRYPTO, "ecdsa"),
    ],
)
def test_a_malformed_header_is_refused(header: str, value: str) -> None:
    with pytest.raises(MalformedSignature):
        verified(signed() | {header: value})


@pytest.mark.parametrize("header", [HEADER_VERSION, HEADER_HOTKEY, HEADER_RECEIVER, HEADER_NONCE, HEADER_SIGNATURE])
def test_a_missing_header_is_refused(header: str) -> None:
    headers = signed()
    del headers[header]
    with pytest.raises(SignatureRefused, match=header):
        verified(headers)


def test_a_repeated_header_is_refused() -> None:
    headers = CIMultiDict(signed())
    headers.add(HEADER_NONCE, headers[HEADER_NONCE])
    with pytest.raises(MalformedSignature, match="repeated"):
        verified(headers)


def test_a_replayed_request_is_refused() -> None:
    nonces, headers = NonceStore(), signed()
    verified(headers, nonces=nonces)
    with pytest.raises(ReplayedRequest):
        verified(headers, nonces=nonces)


def test_a_nonce_is_remembered_only_after_the_signature_has_verified() -> None:
    nonces, headers = NonceStore(), signed()
    with pytest.raises(BadSignature):
        verified(headers, body=b"changed", nonces=nonces)
    assert verified(headers, nonces=nonces).nonce_ns == NOW_NS


def test_a_caller_who_is_not_permitted_fills_no_store() -> None:
    nonces = NonceStore()
    with pytest.raises(CallerNotPermitted):
        verified(signed(), nonces=nonces, permitted=lambda hotkey: hotkey != VALIDATOR.hotkey)
    assert len(nonces) == 0


def test_refusals_do_not_repeat_what_the_caller_sent() -> None:
    headers = signed()
    with pytest.raises(BadSignature) as refusal:
        verified(headers, body=b"secret-payload")
    assert "secret-payload" not in str(refusal.value)
    assert headers[HEADER_SIGNATURE] not in str(refusal.value)


def test_the_nonce_store_forgets_stale_nonces() -> None:
    nonces = NonceStore()
    for second in range(100):
        at_ns = NOW_NS + second * 1_000_000_000
        nonces.remember(VALIDATOR.hotkey, at_ns, now_ns=at_ns)
    assert len(nonces) == 11  # those of the last 10 s and the newest


def test_a_flooding_key_fills_only_its_own_share() -> None:
    nonces = NonceStore(capacity=100, per_hotkey=5)
    for number in range(5):
        nonces.remember(Hotkey("flooder"), NOW_NS + number, now_ns=NOW_NS)
    with pytest.raises(TooManyRequests):
        nonces.remember(Hotkey("flooder"), NOW_NS + 5, now_ns=NOW_NS)
    nonces.remember(Hotkey("other"), NOW_NS, now_ns=NOW_NS)
    assert len(nonces) == 6


def test_the_nonce_store_never_holds_more_than_its_capacity() -> None:
    nonces = NonceStore(capacity=3)
    for number in range(3):
        nonces.remember(Hotkey(f"key-{number}"), NOW_NS, now_ns=NOW_NS)
    with pytest.raises(TooManyRequests):
        nonces.remember(Hotkey("late"), NOW_NS, now_ns=NOW_NS)
    nonces.remember(Hotkey("late"), NOW_NS + 11_000_000_000, now_ns=NOW_NS + 11_000_000_000)
    assert len(nonces) == 1


def test_nanoseconds_are_exact() -> None:
    # by hand: 20454 days after the epoch x 86400 s
    instant = datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
    assert unix_ns(instant) == 20_454 * 86_400 * 10**9 + 123_456_000


REQUEST = RequestIdentity(hotkey=VALIDATOR.hotkey, method="GET", path="/v1/x", nonce_ns=NOW_NS)


def answered(**changes: Any) -> dict[str, str]:
    arguments: dict[str, Any] = {"status": 200, "body": BODY, "nonce_ns": NOW_NS + 5}
    return sign_response(MINER, REQUEST, **(arguments | changes))


def test_an_answer_of_the_asked_miner_is_accepted() -> None:
    verify_response(answered(), BODY, request=REQUEST, status=200, responder=MINER.hotkey)


def test_the_sdk_accepts_our_answer() -> None:
    caller = http_auth.verify(
        answered(), BODY, method="RESPONSE", path=f"GET /v1/x {NOW_NS} 200",
        self_hotkey_ss58=VALIDATOR.hotkey, now_ns=NOW_NS, nonce_store=http_auth.InMemoryNonceStore(),
    )  # fmt: skip
    assert caller.hotkey_ss58 == MINER.hotkey


@pytest.mark.parametrize(
    "asked",
    [
        RequestIdentity(hotkey=VALIDATOR.hotkey, method="GET", path="/v1/x", nonce_ns=NOW_NS + 1),
        RequestIdentity(hotkey=VALIDATOR.hotkey, method="GET", path="/v1/y", nonce_ns=NOW_NS),
        RequestIdentity(hotkey=VALIDATOR.hotkey, method="POST", path="/v1/x", nonce_ns=NOW_NS),
    ],
    ids=["older request", "other path", "other method"],
)
def test_an_answer_to_another_request_is_refused(asked: RequestIdentity) -> None:
    with pytest.raises(BadSignature):
        verify_response(answered(), BODY, request=asked, status=200, responder=MINER.hotkey)


def test_an_answer_to_another_asker_is_refused() -> None:
    asked = RequestIdentity(hotkey=Hotkey("5other"), method="GET", path="/v1/x", nonce_ns=NOW_NS)
    with pytest.raises(WrongReceiver):
        verify_response(answered(), BODY, request=asked, status=200, responder=MINER.hotkey)


def test_an_answer_of_another_miner_is_refused() -> None:
    with pytest.raises(BadSignature, match="another hotkey"):
        verify_response(answered(), BODY, request=REQUEST, status=200, responder=HotkeySigner.generate().hotkey)


def test_an_answer_with_another_status_or_body_is_refused() -> None:
    for status, body in ((404, BODY), (200, b"")):
        with pytest.raises(BadSignature):
            verify_response(answered(), body, request=REQUEST, status=status, responder=MINER.hotkey)
