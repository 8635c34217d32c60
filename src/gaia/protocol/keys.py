"""Hotkeys: sr25519 keys through `bittensor_core`, and the files that hold them.

A key file is a Bittensor wallet's unencrypted hotkey file (JSON), so a real wallet's file works as it is and
ours works in a wallet. There is no default key and no cryptography of our own; a secret is never logged or
put into an error.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import bittensor_core

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import Hotkey

SIGNATURE_BYTES = 64
_KEY_FILE_LIMIT_BYTES = 16_384


class KeyFileError(ConfigurationError):
    """A hotkey's file is missing, unsafe, encrypted or not a key; the message names the fix."""


class HotkeySigner:
    """An sr25519 key pair that signs: `gaia.contracts.ports.Signer`."""

    def __init__(self, keypair: bittensor_core.Keypair) -> None:
        self._keypair = keypair
        self._hotkey = Hotkey(str(keypair.ss58_address))

    def __repr__(self) -> str:
        return f"HotkeySigner({self._hotkey})"

    @property
    def hotkey(self) -> Hotkey:
        """The ss58 address of the public key."""
        return self._hotkey

    def sign(self, message: bytes) -> bytes:
        """64 bytes. sr25519 is randomised: two signatures of one message differ, and both verify."""
        return bytes(self._keypair.sign(message))

    @staticmethod
    def generate() -> HotkeySigner:
        """A new key from the operating system's randomness."""
        return HotkeySigner.from_mnemonic(bittensor_core.Keypair.generate_mnemonic())

    @staticmethod
    def from_mnemonic(mnemonic: str) -> HotkeySigner:
        """The key that a phrase of 12 or 24 words stands for; raises KeyFileError for any other text."""
        try:
            return HotkeySigner(bittensor_core.Keypair.create_from_mnemonic(mnemonic))
        except ValueError:
            raise KeyFileError("not a mnemonic; expected 12 or 24 words of the BIP-39 list") from None


def create_key_file(path: Path) -> HotkeySigner:
    """Make a new key and write it to `path`, readable by its owner only. Never overwrites a file."""
    keypair = bittensor_core.Keypair.create_from_mnemonic(bittensor_core.Keypair.generate_mnemonic())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"cannot create the folder {path.parent}: {error.strerror}") from error
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} exists; a key file is never overwritten: choose another path") from None
    except OSError as error:
        raise KeyFileError(f"cannot create the key file {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            file.write(bytes(bittensor_core.serialized_keypair_to_keyfile_data(keypair)))
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key is worse than none
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from error
    return HotkeySigner(keypair)


def load_key_file(path: Path) -> HotkeySigner:
    """The key in a wallet's unencrypted hotkey file; raises KeyFileError, also if others may read it."""
    data = _read_private_file(path)
    if bittensor_core.keyfile_data_is_encrypted(data):
        raise KeyFileError(
            f"{path} is encrypted, and an unattended process has no password: give an unencrypted hotkey file"
        )
    try:
        keypair = bittensor_core.deserialize_keypair_from_keyfile_data(data)
        keypair.sign(b"")
    except (bittensor_core.KeyfileError, ValueError) as error:
        # `from None`: a chained parser error could carry parts of the secret into a traceback
        reason = "it holds no private key" if "no private key" in str(error) else "no hotkey can be read from it"
        raise KeyFileError(f"{path} is not a usable hotkey file: {reason}") from None
    if keypair.crypto_type != bittensor_core.CRYPTO_SR25519:
        raise KeyFileError(f"{path} holds a key of another kind; a hotkey must be sr25519")
    return HotkeySigner(keypair)


def _read_private_file(path: Path) -> bytes:
    try:
        # non-blocking: opening a named pipe would wait for its writer for ever
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"{path} is not a regular file")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileError(
                    f"others may read the key file {path} ({stat.S_IMODE(mode):04o}): run chmod 600 {path}"
                )
            data = file.read(_KEY_FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise KeyFileError(f"there is no key file {path}; create one or correct the path") from None
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from error
    if len(data) > _KEY_FILE_LIMIT_BYTES:
        raise KeyFileError(f"{path} is larger than any hotkey file ({_KEY_FILE_LIMIT_BYTES} bytes)")
    return data


def signature_is_valid(message: bytes, signature: bytes, hotkey: str) -> bool:
    """Whether `hotkey` signed `message` with sr25519. False, never an error, for malformed keys and
    signatures.
    """
    try:
        return bool(bittensor_core.verify(message, signature, hotkey, bittensor_core.CRYPTO_SR25519))
    except ValueError:
        return False
