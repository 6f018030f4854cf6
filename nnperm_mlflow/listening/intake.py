"""The door of the listener: what comes over HTTP is checked, answered, and queued where it is somebody's business."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from nnperm_mlflow.listening.backlog import Backlog
from nnperm_mlflow.listening.configs import configs_in
from nnperm_mlflow.listening.delivery import read_event
from nnperm_mlflow.listening.delivery_ledger import Deliveries
from nnperm_mlflow.listening.versions import Alias, Version
from nnperm_mlflow.listening.webhook_signature import RefusedDeliveryError, verify

logger = logging.getLogger(__name__)

WEBHOOK_PATH, HEALTH_PATH = "/webhook", "/health"
MOST_BODY_BYTES = 2**20

_BODY_SECONDS = 30.0
_RETRY_SECONDS = "60"  # MLflow tries three times more, and a delivery is good for five minutes


@dataclass(frozen=True)
class Answer:
    """What a delivery is answered: status code, JSON, headers."""

    code: int
    content: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
        """Return it as FastAPI wants it."""
        return JSONResponse(dict(self.content), self.code, dict(self.headers))


class Intake:
    """Decides what is done with a delivery.

    Parameters
    ----------
    secret : str
        What the webhook was created with.
    configs : Path
        Directory of the configurations.
    backlog : Backlog
    deliveries : Deliveries
    clock : callable, optional
        Gives the seconds since 1970.
    moved : callable, optional
        Is given model and alias of an alias that was set or deleted, and returns whether it is guarded.

    Attributes
    ----------
    without_config : int
        How many new versions were ignored, since their model has no configuration.
    """

    def __init__(
        self,
        secret: str,
        configs: Path,
        backlog: Backlog,
        deliveries: Deliveries,
        *,
        clock: Callable[[], float] = time.time,
        moved: Callable[[str, str], bool] | None = None,
    ) -> None:
        self._moved = moved
        self._secret = secret
        self._configs = configs
        self._backlog = backlog
        self._deliveries = deliveries
        self._clock = clock
        self._lock = threading.Lock()
        self.without_config = 0

    def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Check a delivery and queue the version that it announces, or have the alias looked at that has moved.

        Parameters
        ----------
        headers : mapping of str to str
        body : bytes

        Returns
        -------
        Answer
        """
        try:
            delivery = verify(headers, body, self._secret, self._clock())
        except RefusedDeliveryError as error:
            logger.warning("a delivery was refused: %s", error)
            return Answer(401, {"reason": str(error)})
        try:
            told = read_event(body)
        except ValueError:
            logger.warning("a delivery was refused: its signature is right, but it is no event of MLflow's registry")
            return Answer(400, {"reason": "no event of a model registry"})
        if isinstance(told, Alias) and self._moved is not None:
            return self._look_at(told)
        if not isinstance(told, Version):
            logger.info("an event was ignored: only new model versions are audited")
            return Answer(200, {"status": "ignored", "reason": "not a new model version"})
        try:
            with self._lock:
                return self._queue(delivery, told)
        except (OSError, sqlite3.Error) as error:
            logger.error("%s cannot be queued: %s", told, error)
            return _later("the listener cannot write its queue")

    def _look_at(self, alias: Alias) -> Answer:
        """Have an alias looked at; an event that comes again leads to another look, and to nothing else."""
        if self._moved is None or not self._moved(alias.model, alias.name):
            logger.info("%s has moved, and is not guarded", alias)
            return Answer(200, {"status": "ignored", "reason": "this alias is not guarded"})
        logger.info("%s has moved: it is looked at", alias)
        return Answer(202, {"status": "looked at soon"})

    def _queue(self, delivery: str, version: Version) -> Answer:
        if version.name not in configs_in(self._configs):
            self.without_config += 1
            logger.info("%s is ignored: its model has no configuration", version)
            return Answer(200, {"status": "ignored", "reason": "no configuration for this model"})
        if self._deliveries.knows(delivery):
            logger.info("%s was delivered again", version)
            return Answer(200, {"status": "delivered before"})
        added = self._backlog.add(version)
        if added == "full":
            logger.warning("%s is not queued: too many versions wait; it will be found in the registry", version)
            return _later("too many versions wait")
        self._deliveries.remember(delivery, self._clock())
        logger.info("%s is new: %s", version, added)
        return Answer(202, {"status": added})


def build_app(intake: Intake, health: Callable[[], Mapping[str, object]]) -> FastAPI:
    """Return the web application.

    Parameters
    ----------
    intake : Intake
    health : callable
        Gives what `GET /health` tells.

    Returns
    -------
    FastAPI
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post(WEBHOOK_PATH)
    async def take(request: Request) -> JSONResponse:
        try:
            body = await asyncio.wait_for(_body(request), _BODY_SECONDS)
        except (ClientDisconnect, asyncio.TimeoutError):
            return Answer(408, {"reason": "the body did not arrive"}).response()
        if body is None:
            return Answer(413, {"reason": "the body is too large"}).response()
        answer = await run_in_threadpool(intake.take, request.headers, body)
        return answer.response()

    @app.get(HEALTH_PATH)
    def tell_health() -> JSONResponse:
        return JSONResponse(dict(health()))

    return app


async def _body(request: Request) -> bytes | None:
    """Return a request's body; None where it is too large, of which no more than that is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            return None
    return bytes(body)


def _later(reason: str) -> Answer:
    return Answer(503, {"reason": reason}, {"Retry-After": _RETRY_SECONDS})
