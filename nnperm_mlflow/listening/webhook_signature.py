"""Whether a delivery comes from the MLflow server that knows the secret, and is not an old one sent again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

from mlflow.webhooks.constants import (
    WEBHOOK_DELIVERY_ID_HEADER,
    WEBHOOK_SIGNATURE_HEADER,
    WEBHOOK_SIGNATURE_VERSION,
    WEBHOOK_TIMESTAMP_HEADER,
)

MOST_AGE_SECONDS = 300
"""How far a delivery's time may lie from the listener's, before it or behind it."""

_MOST_ID = 200  # characters of a delivery's id; MLflow's have 36
_SECONDS = re.compile(r"[0-9]{1,12}")


class RefusedDeliveryError(Exception):
    """A delivery that does not prove where it comes from; the message tells its sender no more than that."""


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str:
    """Check a delivery's signature and age.

    Parameters
    ----------
    headers : mapping of str to str
        The request's headers, to be looked up in any case of letters.
    body : bytes
        The request's body as it came, before it is read as anything.
    secret : str
        What the webhook was created with.
    now : float
        Seconds since 1970.

    Returns
    -------
    str
        The delivery's id: the same for each time that MLflow tries again.

    Raises
    ------
    RefusedDeliveryError
        If a header is missing, the signature is not the secret's, or the time is off by more than
        `MOST_AGE_SECONDS`.
    """
    delivery, timestamp, given = (
        headers.get(name, "")
        for name in (WEBHOOK_DELIVERY_ID_HEADER, WEBHOOK_TIMESTAMP_HEADER, WEBHOOK_SIGNATURE_HEADER)
    )
    if not 0 < len(delivery) <= _MOST_ID or not _SECONDS.fullmatch(timestamp):
        raise RefusedDeliveryError("not signed")
    if not hmac.compare_digest(given.encode(), _signature(delivery, timestamp, body, secret)):
        raise RefusedDeliveryError("wrong signature")
    if abs(now - int(timestamp)) > MOST_AGE_SECONDS:
        raise RefusedDeliveryError("too old, or from the future")
    return delivery


def _signature(delivery: str, timestamp: str, body: bytes, secret: str) -> bytes:
    signed = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"{WEBHOOK_SIGNATURE_VERSION},".encode() + base64.b64encode(digest)
