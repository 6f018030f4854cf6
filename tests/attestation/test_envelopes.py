"""Envelopes: what DSSE's specification says, held against a second implementation, and forms that are refused."""

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from nnperm_mlflow.attestation.envelopes import open_envelope, seal
from nnperm_mlflow.basics.errors import EvidenceError
from tests.support.signers import key_of, pre_authentication_encoding, verify_by_specification

HELLO, HELLO_TYPE = b"hello world", "http://example.com/HelloWorld"
HELLO_SIGNATURE = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
"""The example of protocol.md, DSSE 1.0.0."""

RFC8032 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", b"",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", b"\x72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
]  # fmt: skip
"""Secret key, message and signature: the first two tests of RFC 8032, section 7.1."""


def test_the_specifications_example_of_what_is_signed_comes_out_twice():
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert Envelope(HELLO, HELLO_TYPE, {}).pae() == expected
    assert pre_authentication_encoding(HELLO_TYPE.encode(), HELLO) == expected


def test_the_specifications_example_of_a_signature_is_one_of_what_is_signed():
    raw = base64.b64decode(HELLO_SIGNATURE)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key()
    public.verify(der, pre_authentication_encoding(HELLO_TYPE.encode(), HELLO), ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(der, HELLO, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(("secret", "message", "signature"), RFC8032, ids=["empty", "one byte"])
def test_the_signatures_are_those_of_ed25519(secret, message, signature):
    signer = CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))
    assert signer.sign(message).signature == signature


@given(st.binary(max_size=300))
def test_an_envelope_verifies_by_the_specification_alone(payload):
    sealed = seal(payload, key_of("anna"))
    assert verify_by_specification(sealed.content, key_of("anna").public.public) == payload
    assert sealed.payload == payload
    assert sealed.is_signed_by(key_of("anna").public.public)
    assert not sealed.is_signed_by(key_of("ben").public.public)


def test_a_signature_is_none_of_the_payload_alone_nor_of_another_type():
    """Else a signature that was made for something else could be carried over."""
    private = Ed25519PrivateKey.from_private_bytes(b"anna".ljust(32, b"."))
    told = json.loads(seal(b"{}", key_of("anna")).content)
    for signed in (b"{}", pre_authentication_encoding(b"application/json", b"{}")):
        told["signatures"][0]["sig"] = base64.b64encode(private.sign(signed)).decode()
        assert not open_envelope(json.dumps(told).encode()).is_signed_by(key_of("anna").public.public)


def forms():
    """Each a way to write an envelope that is not taken, beside what the message says of it."""
    told = json.loads(seal(b"{}!", key_of("anna")).content)
    one = told["signatures"][0]
    yield "two signatures", {**told, "signatures": [one, {**one, "keyid": "0" * 64}]}
    yield "one key twice", {**told, "signatures": [one, one]}
    yield "no signature", {**told, "signatures": []}
    yield "no key id", {**told, "signatures": [{"sig": one["sig"]}]}
    yield "another field", {**told, "certificate": "mine"}
    yield "another type", {**told, "payloadType": "application/json"}
    yield "no text", {**told, "payload": 7}
    yield "base64 with other unused bits", {**told, "payload": "e31="}  # "e30=" is the regular one
    yield "base64 with blanks", {**told, "payload": told["payload"][:2] + " " + told["payload"][2:]}
    yield "base64 in two alphabets", {**told, "payload": "-+-+"}
    yield "no base64", {**told, "payload": "\u00e9"}


@pytest.mark.parametrize("told", [form for _, form in forms()], ids=[name for name, _ in forms()])
def test_an_envelope_of_another_form_is_refused(told):
    with pytest.raises(EvidenceError, match=r"^the envelope (is no DSSE envelope|holds no statement)"):
        open_envelope(json.dumps(told).encode())


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b"{" + b" " * (1 << 20) + b"}", b"[]", b"null"])
def test_what_is_no_json_object_is_refused(content):
    with pytest.raises(EvidenceError, match="envelope"):
        open_envelope(content)


def test_a_key_given_twice_is_refused():
    """One reader would take the first, another the last."""
    content = seal(b"{}", key_of("anna")).content
    double = content.replace(b'{"payload":', b'{"payload": "bm8=", "payload":', 1)
    assert double != content
    with pytest.raises(EvidenceError, match="no DSSE envelope"):
        open_envelope(double)


def test_both_alphabets_of_base64_are_taken():
    """As the specification says a verifier must."""
    sealed = seal(b"\xfb\xff\xfe", key_of("anna"))
    told = json.loads(sealed.content)
    told["payload"] = told["payload"].replace("+", "-").replace("/", "_")
    told["signatures"][0]["sig"] = told["signatures"][0]["sig"].replace("+", "-").replace("/", "_")
    again = open_envelope(json.dumps(told).encode())
    assert again.payload == sealed.payload
    assert again.is_signed_by(key_of("anna").public.public)
