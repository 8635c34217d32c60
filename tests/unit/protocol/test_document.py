"""docs/reference/protocol.md tells the truth: its vectors hold by the standard library and the Bittensor SDK, and by
our code.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import bittensor_core
from bittensor import http_auth

from gaia.contracts.ids import Hotkey
from gaia.protocol.forecast_messages import CommitmentMessage, commitment_path, decode_request
from gaia.protocol.manifest import check_manifest, commitment_digest
from gaia.protocol.messages import custom_serializer, decode_answer
from gaia.protocol.signing import NonceStore, verify_request, verify_response

DOCUMENT = (Path(__file__).parents[3] / "docs" / "reference" / "protocol.md").read_text()
VALIDATOR = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
MINER = "5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe"
NONCE = bytes(range(32))
ASKED_NS = 1_483_257_660_000_000_000


def vector(name: str) -> str:
    match = re.search(rf"<!-- vector: {name} -->\n```text\n(.*?)\n```", DOCUMENT, re.DOTALL)
    assert match is not None, name
    return match[1]


def headers(name: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in vector(name).splitlines())


def test_the_phrases_give_the_keys() -> None:
    for role, hotkey in (("Validator", VALIDATOR), ("Miner", MINER)):
        match = re.search(rf"{role}: `([a-z ]+)`", DOCUMENT)
        assert match is not None
        assert bittensor_core.Keypair.create_from_mnemonic(match[1]).ss58_address == hotkey


def test_the_spec_digest_is_sha256_of_the_spec_as_sent() -> None:
    request, manifest = vector("request"), json.loads(vector("manifest"))
    spec = request[request.index('"spec":') + 7 : -1]
    assert hashlib.sha256(spec.encode()).hexdigest() == manifest["spec_digest"]


def test_the_commitment_input_is_laid_out_as_described() -> None:
    manifest_digest = hashlib.sha256(vector("manifest").encode()).digest()
    described = b"".join(
        [b"gaia/commitment/1", bytes([0, 25]), b"sn57-weather-20170101T00Z", bytes([0, 48]), MINER.encode(), NONCE]
    )
    given = bytes.fromhex(vector("commitment-input"))
    assert given == described + manifest_digest
    assert len(given) == 158
    assert hashlib.sha256(given).hexdigest() == json.loads(vector("answer"))["digest"]


def test_the_payloads_are_the_sdks() -> None:
    path = "/v1/forecasts/sn57-weather-20170101T00Z/commitment"
    assert vector("request-payload").encode() == http_auth.build_payload(
        scheme="sr25519", method="GET", path=path, body=b"", nonce_ns=ASKED_NS, sender_ss58=VALIDATOR,
        receiver_ss58=MINER,
    )  # fmt: skip
    assert vector("answer-payload").encode() == http_auth.build_payload(
        scheme="sr25519", method="RESPONSE", path=f"GET {path} {ASKED_NS} 200", body=vector("answer").encode(),
        nonce_ns=ASKED_NS + 250_000_000, sender_ss58=MINER, receiver_ss58=VALIDATOR,
    )  # fmt: skip


def test_the_signatures_verify_with_the_chains_library() -> None:
    for name, hotkey in (("request", VALIDATOR), ("answer", MINER)):
        signature = bytes.fromhex(headers(f"{name}-headers")["X-Bittensor-Signature"][2:])
        payload = vector(f"{name}-payload").encode()
        assert bittensor_core.verify(payload, signature, hotkey, bittensor_core.CRYPTO_SR25519)


def test_our_code_accepts_all_of_it() -> None:
    request = decode_request(vector("request").encode())
    assert custom_serializer(request) == vector("request").encode()
    answer = decode_answer(vector("answer").encode(), CommitmentMessage)
    manifest = vector("manifest").encode()
    commitment = commitment_digest(request.run_id, Hotkey(MINER), NONCE, manifest)
    assert commitment.hex() == answer.digest
    check_manifest(
        manifest, nonce=NONCE, commitment=commitment, run_id=request.run_id, hotkey=Hotkey(MINER),
        init_time=request.init_time, spec=request.spec,
    )  # fmt: skip
    asked = verify_request(
        headers("request-headers"), b"", method="GET", path=commitment_path(request.run_id),
        self_hotkey=Hotkey(MINER), now_ns=ASKED_NS, nonces=NonceStore(),
    )  # fmt: skip
    verify_response(
        headers("answer-headers"), vector("answer").encode(), request=asked, status=200, responder=Hotkey(MINER)
    )
