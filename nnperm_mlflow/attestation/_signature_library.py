"""Securesystemslib and cryptography, which come with an extra: whoever signs nothing needs neither."""

from __future__ import annotations

from nnperm_mlflow.basics.errors import ConfigError

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]
except ImportError as error:
    raise ConfigError(
        f"to sign, and to verify what is signed, the module '{error.name}' is needed, which is not here. Install the "
        "extra that brings it: pip install 'nnperm_mlflow[sign]'."
    ) from error

__all__ = [
    "BestAvailableEncryption",
    "CryptoSigner",
    "Ed25519PrivateKey",
    "Ed25519PublicKey",
    "Encoding",
    "Envelope",
    "PrivateFormat",
    "PublicFormat",
    "SSlibKey",
    "UnsupportedAlgorithm",
    "UnverifiedSignatureError",
    "load_pem_private_key",
]
