"""DSSE envelopes: the bytes that were signed, and one signature of them.

References
----------
Secure Systems Lab, "DSSE: Dead Simple Signing Envelope", version 1.0.0: protocol.md and envelope.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import ValidationError

from nnperm_mlflow.attestation._signature_library import Envelope, UnverifiedSignatureError
from nnperm_mlflow.attestation.key_files import SigningKey, key_of
from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.basics.errors import EvidenceError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_BYTES = 1 << 20
"""Of an envelope: 1 MiB."""

_WRONG = "Ask whoever signed it for the envelope as it was written."


class _Signature(Strict):
    keyid: str
    sig: str


class _Form(Strict):
    payload: str
    payloadType: str  # noqa: N815 - as the specification calls it
    signatures: tuple[_Signature]


@dataclass(frozen=True)
class Sealed:
    """Bytes with one signature, which nobody has verified yet.

    Attributes
    ----------
    payload : bytes
        What was signed.
    key_id : str
        Of the key that is said to have signed: a hint, and no evidence.
    content : bytes
        The envelope as a file holds it.
    """

    payload: bytes
    key_id: str
    content: bytes = field(repr=False)
    _envelope: Envelope = field(repr=False, compare=False)

    @cached_property
    def digest(self) -> str:
        """The sha256 (64 hex digits) of what was signed, by which other statements name it."""
        return hashlib.sha256(self.payload).hexdigest()

    def is_signed_by(self, public: str) -> bool:
        """Tell whether the signature is that of a public key (64 hex digits) over these bytes and their type."""
        (signature,) = self._envelope.signatures.values()
        try:
            key_of(public).verify_signature(signature, self._envelope.pae())
        except UnverifiedSignatureError:
            return False
        return True


def seal(payload: bytes, key: SigningKey) -> Sealed:
    """Sign bytes.

    Parameters
    ----------
    payload : bytes
        A statement, see `statements.Statement.encode`.
    key : SigningKey
    """
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    return open_envelope(json.dumps(envelope.to_dict(), sort_keys=True).encode() + b"\n")


def open_envelope(content: bytes, what: str = "the envelope") -> Sealed:
    """Read an envelope; its signature is not verified here.

    Parameters
    ----------
    content : bytes
    what : str
        How messages call it.

    Raises
    ------
    EvidenceError
        If it has another form than payload, type and exactly one signature with the id of its key, a key twice, base64
        that could be written otherwise, or another type of payload than in-toto's.
    """
    if len(content) > MOST_BYTES:
        raise EvidenceError(f"{what} has more than {MOST_BYTES:,} bytes. {_WRONG}")
    try:
        held = _Form.model_validate_json(json.dumps(json.loads(content, object_pairs_hook=_without_doubles)))
        payload = _decoded(held.payload)
        _decoded(held.signatures[0].sig)
        envelope = Envelope.from_dict(held.model_dump(mode="json"))
    except ValidationError as error:
        raise EvidenceError(f"{what} is no DSSE envelope with one signature. {_WRONG}") from error
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{what} is no DSSE envelope ({type(error).__name__}). {_WRONG}") from error
    if held.payloadType != PAYLOAD_TYPE:
        raise EvidenceError(f"{what} holds no statement of in-toto ({PAYLOAD_TYPE}). {_WRONG}")
    return Sealed(payload, held.signatures[0].keyid, content, envelope)


def _decoded(text: str) -> bytes:
    """Return what base64 stands for, in either alphabet; of the ways to write it only the regular one is taken."""
    regular = text.replace("-", "+").replace("_", "/")
    found = base64.b64decode(regular, validate=True)
    if base64.b64encode(found).decode() != regular or (regular != text and ("+" in text or "/" in text)):
        raise binascii.Error("base64 that is not regular")
    return found


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)
