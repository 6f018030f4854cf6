"""The listener as a whole: its state directory, its threads, its web server, from start to stop."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import uvicorn

from nnperm_mlflow.basics.errors import ConfigError, name_list
from nnperm_mlflow.config.audit_config import load_config
from nnperm_mlflow.listening.audit_process import AuditProgram, surroundings
from nnperm_mlflow.listening.audit_work import Auditor, keep_working
from nnperm_mlflow.listening.backlog import Backlog
from nnperm_mlflow.listening.configs import SUFFIX, configs_in
from nnperm_mlflow.listening.connections import web_config
from nnperm_mlflow.listening.delivery_ledger import Deliveries, Failures, first_start
from nnperm_mlflow.listening.intake import WEBHOOK_PATH, Intake, build_app
from nnperm_mlflow.listening.reconciliation import REGISTRY_OK, Reconciler, keep_reconciling
from nnperm_mlflow.listening.settings import ListenSettings
from nnperm_mlflow.listening.signing import Signer, SigningProgram
from nnperm_mlflow.listening.state_lock import only_listener
from nnperm_mlflow.registry.connection import bounded

if TYPE_CHECKING:
    from nnperm_mlflow.listening.alias_watch import AliasWatch

logger = logging.getLogger(__name__)

DATABASE = "listener.db"
"""The file in the state directory that holds the queue and what is remembered."""


class Listener:
    """The parts of a listener, put together over one state directory.

    Parameters
    ----------
    settings : ListenSettings
    """

    def __init__(self, settings: ListenSettings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        database = settings.state / DATABASE
        failures, deliveries = Failures(database), Deliveries(database)
        since = _since(settings, first_start(database, time.time()))
        environment = surroundings(str(mlflow.get_tracking_uri()), settings.withheld, settings.passed)
        program = AuditProgram(
            settings.state / "audit.lock",
            60 * settings.most_minutes,
            environment,
            self._stopping,
            tells_run=settings.key is not None,
        )
        self._failures = failures
        self._signer = _signer(settings, environment, self._stopping, program)
        self._auditor = Auditor(settings.configs, failures, program, self._signer)
        self._backlog = Backlog(database, settings.most_waiting, self._auditor.audit)
        self._watch = _watch(settings)
        moved = None if self._watch is None else self._watch.take
        self._intake = Intake(settings.secret, settings.configs, self._backlog, deliveries, moved=moved)
        self._reconciler = Reconciler(settings.configs, self._backlog, failures, deliveries, since)
        between = (lambda: None) if self._signer is None else self._signer.sign_noted
        working = (self._backlog, self._stopping, between)
        self._worker = threading.Thread(target=keep_working, args=working, daemon=True)
        logger.info(
            "versions created since %s are audited; %d wait from before",
            datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ"),
            self._backlog.waiting,
        )

    def run(self, door: socket.socket) -> None:
        """Serve until a signal comes; then stop the audit that is running, which ends its run as killed."""
        every = 60 * self._settings.every_minutes
        asking = threading.Thread(target=keep_reconciling, args=(self._reconciler, every, self._stopping), daemon=True)
        self._worker.start()
        asking.start()
        if self._watch is not None:
            _guard_in_thread(self._watch, every, self._stopping)
        try:
            uvicorn.Server(web_config(build_app(self._intake, self.health))).run(sockets=[door])
        except (SystemExit, KeyboardInterrupt):
            pass  # the signal that uvicorn stopped for, sent on once it has closed
        finally:
            logger.info("stopping")
            self._stopping.set()
            self._worker.join()

    def health(self) -> dict[str, object]:
        """Return what `GET /health` tells: states and counts, no name and no value."""
        given_up, waiting = self._failures.given_up(), self._backlog.waiting
        registry, last = self._reconciler.registry, self._reconciler.last
        not_kept = 0 if self._watch is None else self._watch.not_kept
        unsigned = 0 if self._signer is None else self._signer.given_up
        is_well = registry == REGISTRY_OK and not given_up and not self._backlog.is_full and self._worker.is_alive()
        return {
            "status": "ok" if is_well and not (not_kept or unsigned) else "degraded",
            "waiting": waiting,
            "running": int(self._backlog.running is not None),
            "audited": self._auditor.audited,
            "given_up": given_up,
            "without_config": self._intake.without_config,
            "registry": registry,
            "last_reconciled": None if last is None else last.strftime("%Y-%m-%dT%H:%M:%SZ"),
            **({} if self._watch is None else {"guarded": self._watch.guarded, "not_kept": not_kept}),
            **({} if self._signer is None else {"unsigned": self._signer.unsigned}),
        }


def listen(settings: ListenSettings) -> None:
    """Audit each model version as it is registered, and guard aliases, until a signal comes.

    Parameters
    ----------
    settings : ListenSettings

    Raises
    ------
    ConfigError
        If the directories cannot be used, another listener has the state directory, the port is taken, or aliases are
        to be guarded of which the trust file says nothing.
    """
    known = _read_configs(settings.configs)
    with bounded(), only_listener(settings.state), _door(settings.host, settings.port) as door:
        try:
            listener = Listener(settings)
        except sqlite3.Error as error:
            raise ConfigError(
                f"the database '{settings.state / DATABASE}' cannot be used ({error}). Move it away, or give another "
                "directory with --state-dir."
            ) from error
        host, port = door.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        logger.info("listening at http://%s:%d%s for versions of %s", shown, port, WEBHOOK_PATH, name_list(known))
        listener.run(door)


def _read_configs(folder: Path) -> list[str]:
    """Return the names of the models that have a configuration, and warn of those that will not work."""
    try:
        configs = configs_in(folder)
    except OSError as error:
        raise ConfigError(
            f"the directory of configurations '{folder}' cannot be read ({error.strerror}). Give one with --configs."
        ) from error
    for config in configs.values():
        try:
            load_config(config)
        except ConfigError as error:
            logger.warning("%s", error)
    if not configs:
        logger.warning("no model has a configuration: put <model name>%s into '%s'", SUFFIX, folder)
    return list(configs)


def _door(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ConfigError(
            f"nothing can listen at {host}, port {port}: {error.strerror}. Give another --port or --host."
        ) from error


def _signer(
    settings: ListenSettings, environment: Mapping[str, str], stopping: threading.Event, program: AuditProgram
) -> Signer | None:
    """Return what signs audits, where a key is given."""
    if settings.key is None:
        return None
    if settings.trust is None:
        raise ConfigError("audits are signed for a registry that a trust file names: give one with --trust.")
    if not settings.key.is_file():
        raise ConfigError(f"there is no key '{settings.key}'. Make one with: nnperm keys new")
    signing = SigningProgram(settings.key, settings.trust, settings.key_password, environment, stopping)
    return Signer(settings.state / DATABASE, signing, program.wait_for_others)


def _watch(settings: ListenSettings) -> AliasWatch | None:
    """Return what guards aliases, where some are to be guarded; it needs what comes with the extra `sign`."""
    if not settings.guarded:
        return None
    from nnperm_mlflow.listening.alias_reports import AliasReports  # noqa: PLC0415
    from nnperm_mlflow.listening.alias_watch import AliasWatch, GuardSettings  # noqa: PLC0415

    if settings.trust is None:
        raise ConfigError("aliases are guarded by a trust file: give one with --trust.")
    told = GuardSettings(settings.guarded, settings.trust, settings.state / "guard", settings.move_back)
    return AliasWatch(told, AliasReports(settings.report_to))


def _guard_in_thread(watch: AliasWatch, every_seconds: float, stopping: threading.Event) -> None:
    from nnperm_mlflow.listening.alias_watch import keep_watching  # noqa: PLC0415

    threading.Thread(target=keep_watching, args=(watch, every_seconds, stopping), daemon=True).start()


def _since(settings: ListenSettings, started: float) -> float:
    if settings.everything:
        return 0.0
    return started if settings.since_days is None else max(0.0, time.time() - settings.since_days * 86400)
