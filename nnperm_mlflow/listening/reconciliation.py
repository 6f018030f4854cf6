"""Comparing with the registry what was audited, so that a version whose event was lost is audited as well."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.basics.errors import TrackingError
from nnperm_mlflow.listening.backlog import Backlog
from nnperm_mlflow.listening.configs import configs_in, digest_of, policy_in
from nnperm_mlflow.listening.delivery_ledger import MOST_TRIES, Deliveries, Failures
from nnperm_mlflow.listening.registry_state import is_audited
from nnperm_mlflow.listening.versions import Version
from nnperm_mlflow.registry.audits import holds_audit
from nnperm_mlflow.registry.connection import connect
from nnperm_mlflow.registry.error_explanation import explained
from nnperm_mlflow.registry.model_lookups import runs_of, versions_of
from nnperm_mlflow.registry.sightings import Sightings

logger = logging.getLogger(__name__)

REGISTRY_OK = "ok"


class Reconciler:
    """Finds versions without an audit and lets them wait for one.

    Parameters
    ----------
    configs : Path
        Directory of the configurations; models without one are not looked at.
    backlog : Backlog
    failures : Failures
    deliveries : Deliveries
    since : float
        Versions created before are left alone; seconds since 1970.
    clock : callable, optional
        Gives the seconds since 1970.

    Attributes
    ----------
    registry : str
        `ok`, or what is wrong with the registry.
    last : datetime or None
        When everything was last compared.
    """

    def __init__(
        self,
        configs: Path,
        backlog: Backlog,
        failures: Failures,
        deliveries: Deliveries,
        since: float,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._configs = configs
        self._backlog = backlog
        self._failures = failures
        self._deliveries = deliveries
        self._since_ms = since * 1000
        self._clock = clock
        self._audited: set[tuple[Version, str | None]] = set()
        self.registry = "not asked yet"
        self.last: datetime | None = None

    def reconcile(self) -> None:
        """Compare once; a registry that cannot be asked is told in the log and in `registry`."""
        self._deliveries.forget_old(self._clock())
        noted = self._failures.uris()
        try:
            with explained():
                client = connect()
                lacking = [
                    version
                    for name, config in configs_in(self._configs).items()
                    for version in self._lacking(client, name, config)
                ]
        except TrackingError as error:
            self.registry = "not reached; see the log"
            logger.warning("the registry was not compared, which will be tried again: %s", error)
            return
        for uri in noted - {version.uri for version in lacking}:
            self._failures.forget(uri)
        self.registry = REGISTRY_OK
        self.last = datetime.fromtimestamp(self._clock(), timezone.utc)

    def _lacking(self, client: MlflowClient, name: str, config: Path) -> list[Version]:
        """Return the versions of a model that lack what its configuration wants, and queue those that can have it."""
        lacking, digest, policy = [], digest_of(config), policy_in(config)
        self._note_audits(client, name)
        for found in versions_of(client, name):
            version = Version(name, str(found.version))
            if found.creation_timestamp < self._since_ms or self._is_audited(client, version, policy):
                continue
            lacking.append(version)
            is_ready = found.status == "READY"
            if is_ready and self._failures.count(version, digest) < MOST_TRIES:
                added = self._backlog.add(version)
                if added == "queued":
                    logger.info("%s has no %s: queued", version, "audit" if policy is None else "verdict by its policy")
        return lacking

    def _note_audits(self, client: MlflowClient, name: str) -> None:
        """Note which audits of a model have ended by now, whatever they will tell of their ends."""
        ended = [str(run.info.run_id) for run, _ in runs_of(client, name) if holds_audit(run)]
        Sightings.of_user().first_seen(ended, int(self._clock() * 1000))

    def _is_audited(self, client: MlflowClient, version: Version, policy: str | None) -> bool:
        """Ask for each version until it is audited, and no longer: one question each round would be many."""
        asked = (version, policy)
        if asked not in self._audited and is_audited(client, version, policy):
            self._audited.add(asked)
        return asked in self._audited


def keep_reconciling(reconciler: Reconciler, every_seconds: float, stopping: threading.Event) -> None:
    """Compare at once and then every so often, until `stopping` is set."""
    while not stopping.is_set():
        try:
            reconciler.reconcile()
        except Exception:
            reconciler.registry = "not compared; see the log"
            logger.exception("the registry was not compared")  # a service goes on, whatever it was
        stopping.wait(every_seconds)
