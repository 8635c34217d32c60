"""Keys and key files, against the Bittensor SDK's own wallet files."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import bittensor_core
import pytest

from gaia.protocol.keys import (
    HotkeySigner,
    KeyFileError,
    create_key_file,
    load_key_file,
    signature_is_valid,
)

# Substrate's development phrase and the sr25519 address of its root key, as `subkey inspect` prints them:
# https://docs.substrate.io/reference/command-line-tools/subkey/
DEVELOPMENT_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
DEVELOPMENT_HOTKEY = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"


def wallet_file(path: Path, **changes: object) -> Path:
    """A hotkey file in the layout of btwallet, readable by its owner only."""
    keypair = bittensor_core.Keypair.create_from_mnemonic(DEVELOPMENT_PHRASE)
    data = json.loads(bittensor_core.serialized_keypair_to_keyfile_data(keypair))
    data = {name: value for name, value in {**data, **changes}.items() if value is not None}
    path.write_text(json.dumps(data))
    path.chmod(0o600)
    return path


def test_a_mnemonic_gives_the_address_that_subkey_gives() -> None:
    assert HotkeySigner.from_mnemonic(DEVELOPMENT_PHRASE).hotkey == DEVELOPMENT_HOTKEY


def test_a_text_that_is_no_mnemonic_is_refused_without_being_repeated() -> None:
    with pytest.raises(KeyFileError) as refusal:
        HotkeySigner.from_mnemonic("correct horse battery staple")
    assert "horse" not in str(refusal.value)


def test_generated_keys_differ_and_sign_what_others_can_verify() -> None:
    one, other = HotkeySigner.generate(), HotkeySigner.generate()
    signature = one.sign(b"message")
    assert one.hotkey != other.hotkey
    assert len(signature) == 64
    assert bittensor_core.verify(b"message", signature, one.hotkey, bittensor_core.CRYPTO_SR25519)


@pytest.mark.parametrize(
    ("message", "cut", "hotkey"),
    [
        (b"other", 64, DEVELOPMENT_HOTKEY),
        (b"message", 63, DEVELOPMENT_HOTKEY),
        (b"message", 64, "not an address"),
        (b"message", 64, "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),  # Alice
    ],
)
def test_a_signature_over_anything_else_is_invalid(message: bytes, cut: int, hotkey: str) -> None:
    signature = HotkeySigner.from_mnemonic(DEVELOPMENT_PHRASE).sign(b"message")
    assert not signature_is_valid(message, signature[:cut], hotkey)


def test_a_wallets_hotkey_file_works_as_it_is(tmp_path: Path) -> None:
    assert load_key_file(wallet_file(tmp_path / "hotkey")).hotkey == DEVELOPMENT_HOTKEY


def test_a_file_of_an_older_wallet_without_a_key_kind_works(tmp_path: Path) -> None:
    assert load_key_file(wallet_file(tmp_path / "hotkey", cryptoType=None)).hotkey == DEVELOPMENT_HOTKEY


def test_a_created_file_is_private_and_a_wallet_reads_the_same_key_from_it(tmp_path: Path) -> None:
    from bittensor.keyfiles import Keyfile

    path = tmp_path / "new" / "hotkey"
    before = os.umask(0)
    try:
        signer = create_key_file(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key_file(path).hotkey == signer.hotkey
    assert Keyfile(path).get_keypair().ss58_address == signer.hotkey


def test_a_file_that_the_wallet_wrote_is_read(tmp_path: Path) -> None:
    from bittensor.keyfiles import Keyfile

    keypair = bittensor_core.Keypair.create_from_mnemonic(DEVELOPMENT_PHRASE)
    Keyfile(tmp_path / "hotkey").set_keypair(keypair, encrypt=False)
    assert load_key_file(tmp_path / "hotkey").hotkey == DEVELOPMENT_HOTKEY


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = wallet_file(tmp_path / "hotkey")
    content = path.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        create_key_file(path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot create the folder"):
        create_key_file(tmp_path / "file" / "hotkey")
    with pytest.raises(KeyFileError, match="cannot create the key file"):
        create_key_file(tmp_path / ("x" * 300))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_may_touch_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    path = wallet_file(tmp_path / "hotkey")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        load_key_file(path)


@pytest.mark.slow
def test_an_encrypted_file_is_refused_with_the_fix(tmp_path: Path) -> None:
    keypair = bittensor_core.Keypair.create_from_mnemonic(DEVELOPMENT_PHRASE)
    plain = bittensor_core.serialized_keypair_to_keyfile_data(keypair)
    path = tmp_path / "hotkey"
    path.write_bytes(bytes(bittensor_core.encrypt_keyfile_data(plain, "password")))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="unencrypted"):
        load_key_file(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"secretPhrase": "not a phrase"}', b"[1, 2"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hotkey"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="not a usable hotkey file"):
        load_key_file(path)


def test_a_public_key_alone_is_refused(tmp_path: Path) -> None:
    path = wallet_file(tmp_path / "hotkey", secretPhrase=None, secretSeed=None, privateKey=None)
    with pytest.raises(KeyFileError, match="no private key"):
        load_key_file(path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    keypair = bittensor_core.Keypair.create_from_mnemonic(DEVELOPMENT_PHRASE, bittensor_core.CRYPTO_ED25519)
    path = tmp_path / "hotkey"
    path.write_bytes(bytes(bittensor_core.serialized_keypair_to_keyfile_data(keypair)))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="sr25519"):
        load_key_file(path)


def test_a_missing_file_a_folder_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    huge.write_bytes(b" " * 20_000)
    huge.chmod(0o600)
    for path, reason in ((tmp_path / "none", "no key file"), (tmp_path, "directory"), (huge, "larger")):
        with pytest.raises(KeyFileError, match=reason):
            load_key_file(path)


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        load_key_file(tmp_path / "pipe")


def test_a_disk_that_fills_up_leaves_no_half_key(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # files end there, as on a full disk
    try:
        with pytest.raises(KeyFileError, match="cannot write"):
            create_key_file(tmp_path / "hotkey")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_signer_does_not_show_its_secret() -> None:
    shown = repr(HotkeySigner.from_mnemonic(DEVELOPMENT_PHRASE))
    assert shown == f"HotkeySigner({DEVELOPMENT_HOTKEY})"
