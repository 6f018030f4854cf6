"""What a listener finds of the aliases that it guards, told to an address that people watch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone

import requests

import nnperm_mlflow
from nnperm_mlflow.basics.errors import ConfigError

logger = logging.getLogger(__name__)

_SECONDS = (4, 8)  # to connect, and to be answered


class AliasReports:
    """Sends a report where something has changed; what could not be sent is sent with the next look.

    The log and the version's tag, which `guard` writes, have every look.

    Parameters
    ----------
    address : str or None
        Takes JSON by POST; None where only log and tag tell.

    Raises
    ------
    ConfigError
        If the address is none.
    """

    def __init__(self, address: str | None) -> None:
        if address is not None and not address.startswith(("http://", "https://")):
            raise ConfigError("reports on aliases go to an address that begins with https:// or http://.")
        self._address = address
        self._last: dict[tuple[str, str], tuple[object, ...]] = {}

    def tell(self, found: nnperm_mlflow.GuardReport) -> None:
        """Report a state that is another than the one reported last, and each time that an alias was moved back."""
        now = ("kept", found.promoted) if found.moved_back else (found.state, found.holder)
        told = (*now, found.promoted, found.number)
        is_first_and_kept = found.state == "kept" and (found.model, found.alias) not in self._last
        if found.moved_back or not (is_first_and_kept or self._has(found.model, found.alias, told)):
            text = f"'{found.alias}' of {found.model}: {found.state}: {found.in_words}"
            if not self._send({"text": text, **asdict(found), "is_kept": found.is_kept}):
                return
        self._last[found.model, found.alias] = told

    def tell_failure(self, model: str, alias: str, error: Exception) -> None:
        """Report, once, that an alias cannot be looked at."""
        logger.warning("'%s' of %s was not looked at: %s", alias, model, error)
        told = ("not looked at",)
        text = f"'{alias}' of {model}: not looked at: {error}"
        facts = {"text": text, "model": model, "alias": alias, "state": told[0], "is_kept": False}
        if self._has(model, alias, told) or self._send({**facts, "in_words": str(error)}):
            self._last[model, alias] = told

    def _has(self, model: str, alias: str, told: tuple[object, ...]) -> bool:
        return self._last.get((model, alias)) == told

    def _send(self, report: Mapping[str, object]) -> bool:
        """Send a report; False where it did not arrive. The address, which may be a secret, is not logged."""
        if self._address is None:
            return True
        stamped = {**report, "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
        try:
            answer = requests.post(self._address, json=stamped, timeout=_SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            logger.warning("a report on an alias was not sent (%s); it will be tried again", type(error).__name__)
            return False
        if not 200 <= answer.status_code < 300:
            logger.warning("a report on an alias was not taken (%d); it will be tried again", answer.status_code)
            return False
        return True
