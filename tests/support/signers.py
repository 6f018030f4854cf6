"""People with keys, trust files that know them, and DSSE once more, written from its specification alone."""

import base64
import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import yaml
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from nnperm_mlflow.attestation.key_files import CryptoSigner, SigningKey, _public_of

REGISTRY = "risk registry"
PASSWORD = "a password of several words"
ROLES = {
    "service": ["auditor"], "asker": ["requester"], "anna": ["approver"], "ben": ["approver"], "carla": ["approver"],
    "deploy": ["promoter"],
}  # fmt: skip
"""Who may sign what."""


@cache
def key_of(name: str) -> SigningKey:
    """The key of a name, always the same."""
    private = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")[:32])
    return SigningKey(_public_of(private), CryptoSigner(private))


@dataclass
class TrustFile:
    """A trust file in the making, as nested dicts."""

    content: dict = field(default_factory=dict)

    @classmethod
    def of(cls, model, record, policy, alias="champion"):
        """One that asks of an alias what an audit is."""
        terms = {
            "policy": policy.digest(), "config": record.config.design_digest(), "data": record.param("data_digest"),
            "auditors": ["service"], "approvals": {"of": ["anna", "ben", "carla"], "at_least": 2},
            "promoters": ["deploy"],
        }  # fmt: skip
        made = cls({"expires": date.today() + timedelta(days=30), "registry": REGISTRY, "keys": {}})
        for name, roles in ROLES.items():
            made.add(name, roles)
        made.content["aliases"] = {f"models:/{model}@{alias}": terms}
        return made

    def add(self, name, roles, person=None, *, from_=None, until=None):
        """Let a key count for a person."""
        public = key_of(name).public
        today = date.today()
        self.content["keys"][public.key_id] = {
            "person": person or name, "roles": roles, "public": public.public,
            "from": from_ or today - timedelta(days=1), "until": until or today + timedelta(days=1),
        }  # fmt: skip
        return self

    def revoke(self, name, at=None):
        """Let a key count no longer."""
        at = at or datetime.now(timezone.utc) + timedelta(hours=1)
        self.content.setdefault("revoked", {})[key_of(name).public.key_id] = {"at": at, "why": "lost"}
        return self

    def write(self, path: Path) -> Path:
        path.write_text(yaml.safe_dump(self.content, sort_keys=False))
        return path


def pre_authentication_encoding(payload_type: bytes, body: bytes) -> bytes:
    """PAE, as protocol.md of DSSE 1.0.0 defines it: lengths in decimal bytes, one blank between the parts."""
    parts = [b"DSSEv1", str(len(payload_type)).encode(), payload_type, str(len(body)).encode(), body]
    return b" ".join(parts)


def verify_by_specification(envelope: bytes, public: str) -> bytes:
    """Return what an envelope holds, if a key has signed it; by the specification, and by nothing of ours."""
    told = json.loads(envelope)
    body = base64.standard_b64decode(told["payload"])
    signed = pre_authentication_encoding(told["payloadType"].encode("utf-8"), body)
    for signature in told["signatures"]:
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
                base64.standard_b64decode(signature["sig"]), signed
            )
        except InvalidSignature:
            continue
        return body
    raise InvalidSignature
