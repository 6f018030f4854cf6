"""The web server's settings: how many connections it holds, and how long one may stay that asks for nothing."""

from __future__ import annotations

import asyncio

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 100

_CLOSE_SECONDS = 5  # for requests that are being answered


class PromptProtocol(H11Protocol):
    """HTTP on a connection that is closed where no request has begun in time; uvicorn would wait for ever."""

    seconds = 10.0
    """From when the connection is made, or a request is answered, to the end of the next one's headers."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for another one."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.seconds, self._close_where_idle)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _close_where_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()  # which waits for nobody to read what was answered


def web_config(app: FastAPI) -> uvicorn.Config:
    """Return how an application is served: without TLS, and with bounds on what strangers can hold."""
    return uvicorn.Config(
        app,
        http=PromptProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )
