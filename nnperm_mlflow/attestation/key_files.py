"""Private keys in files of their own, encrypted and for their owner alone, and the ids that follow from public keys."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

from nnperm_mlflow.attestation._signature_library import (
    BestAvailableEncryption,
    CryptoSigner,
    Ed25519PrivateKey,
    Ed25519PublicKey,
    Encoding,
    PrivateFormat,
    PublicFormat,
    SSlibKey,
    UnsupportedAlgorithm,
    load_pem_private_key,
)
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.paths import local_path

LEAST_PASSWORD = 16
"""Letters: PKCS#8 as cryptography writes it stretches a password by 2,048 rounds of PBKDF2 alone."""

_MOST_BYTES = 1 << 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class PublicKey:
    """A public key as a trust file holds it.

    Attributes
    ----------
    key_id : str
        sha256 (64 hex digits) of the key in canonical JSON, as securesystemslib computes it.
    public : str
        The 32 bytes of an Ed25519 key in hex digits.
    """

    key_id: str
    public: str


@dataclass(frozen=True)
class SigningKey:
    """What signs, and the public key that tells so.

    Attributes
    ----------
    public : PublicKey
    signer : CryptoSigner
        Of securesystemslib.
    """

    public: PublicKey
    signer: CryptoSigner = field(repr=False)


def key_of(public: str) -> SSlibKey:
    """Return a public key under the id that follows from it.

    Parameters
    ----------
    public : str
        64 hex digits.
    """
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)))


def new_key(path: str | Path, password: str) -> PublicKey:
    """Make an Ed25519 key and write it as an encrypted PKCS#8 file that its owner alone may read.

    Parameters
    ----------
    path : str or Path
        A file that is not there yet.
    password : str
        At least `LEAST_PASSWORD` letters.

    Raises
    ------
    ConfigError
        If the file is there or cannot be written, or the password is short.
    """
    if len(password) < LEAST_PASSWORD:
        raise ConfigError(
            f"the password of a key needs at least {LEAST_PASSWORD} letters, and has {len(password)}: whoever copies "
            "the file can try passwords for as long as they like. Take several words."
        )
    private = Ed25519PrivateKey.generate()
    encrypted = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    _write_for_owner(local_path(path, "the key"), encrypted)
    return _public_of(private)


def _public_of(private: Ed25519PrivateKey) -> PublicKey:
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return PublicKey(str(key_of(raw.hex()).keyid), raw.hex())


def _write_for_owner(path: Path, content: bytes) -> None:
    """Write a new file of mode 600; one that is there is never written over."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError(f"there is a file '{path}' already, and no key is written over. Name another.") from error
    except OSError as error:
        raise ConfigError(f"the key '{path}' cannot be written: {error.strerror}.") from error


def read_key(path: str | Path, password: str) -> SigningKey:
    """Return what signs with the key of a file.

    Parameters
    ----------
    path : str or Path
        As `new_key` writes it.
    password : str

    Raises
    ------
    ConfigError
        If it cannot be read, others may read it, it is not encrypted or not with this password, or is no Ed25519 key.
    """
    content = _read_of_owner(local_path(path, "the key"))
    try:
        private = load_pem_private_key(content, password.encode())
    except TypeError as error:
        raise ConfigError(f"the key '{path}' is not encrypted. Make one that is: nnperm keys new FILE") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"the key '{path}' does not open: it is no PKCS#8 file in PEM, or has another password."
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"the key '{path}' is no Ed25519 key. Make one: nnperm keys new FILE")
    return SigningKey(_public_of(private), CryptoSigner(private))


def _read_of_owner(path: Path) -> bytes:
    """Return what a file holds that nobody but its owner may read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if sys.platform != "win32" and mode & _OTHERS:
                raise ConfigError(
                    f"the key '{path}' has mode {stat.S_IMODE(mode):o}: others may read or change it. chmod 600 it, "
                    "and think of who may have copied it."
                )
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"the key '{path}' cannot be read: {error.strerror}.") from error
