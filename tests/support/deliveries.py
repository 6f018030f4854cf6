"""Deliveries as MLflow's server makes them, signed by MLflow's own code."""

import json
import time

import requests
from mlflow.webhooks.delivery import _generate_hmac_signature

SECRET = "the webhook's secret"


def event(name="house", version="1", entity="model_version", action="created", **data):
    """The body of a delivery, in the form that was seen from a server."""
    told = {"name": name, "version": version, "source": "models:/m-1", "run_id": None, "tags": {}, "description": None}
    sent = {"entity": entity, "action": action, "timestamp": "2026-01-01T00:00:00+00:00", "data": {**told, **data}}
    return json.dumps(sent)


def signed(body, delivery="a-delivery", when=None, secret=SECRET):
    """Headers of a delivery made at `when`, in seconds since 1970; now, if left out."""
    timestamp = str(int(time.time() if when is None else when))
    return {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": _generate_hmac_signature(secret, delivery, timestamp, body),
    }


def deliver(address, body, **how):
    return requests.post(f"{address}/webhook", data=body.encode(), headers=signed(body, **how), timeout=30)
