"""What is done with a version that waits: look whether it still wants an audit, run it, note how it ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nnperm_mlflow.basics.errors import TrackingError
from nnperm_mlflow.listening.backlog import Backlog
from nnperm_mlflow.listening.child_process import Outcome
from nnperm_mlflow.listening.configs import configs_in, digest_of, policy_in
from nnperm_mlflow.listening.delivery_ledger import MOST_TRIES, Failures
from nnperm_mlflow.listening.registry_state import is_audited, standing
from nnperm_mlflow.listening.signing import Signer
from nnperm_mlflow.listening.versions import Version
from nnperm_mlflow.registry.connection import connect
from nnperm_mlflow.registry.error_explanation import explained

logger = logging.getLogger(__name__)

_ENDED: dict[int | None, str] = {0: "no check failed", 1: "the verdict is fail"}
_IDLE_SECONDS = 0.5


class Program(Protocol):
    """Runs one audit at a time; `program.AuditProgram` is the real one."""

    def wait_for_others(self) -> bool:
        """Wait for an audit that runs already; False where it does not end, or the listener is stopped meanwhile."""
        ...

    def __call__(self, version: Version, config: Path) -> Outcome:
        """Audit a version."""
        ...


class Auditor:
    """Audits versions with the configurations of a directory.

    Parameters
    ----------
    configs : Path
        Directory of the configurations.
    failures : Failures
    program : Program
    signer : Signer, optional
        Signs the runs that were written.

    Attributes
    ----------
    audited : int
        How many audits were finished, with a verdict where the configuration asks for one, whatever it was.
    """

    def __init__(self, configs: Path, failures: Failures, program: Program, signer: Signer | None = None) -> None:
        self._signer = signer
        self._configs = configs
        self._failures = failures
        self._program = program
        self.audited = 0

    def audit(self, version: Version) -> None:
        """Audit a version, unless it is gone, not ready, or audited already; what hinders it is logged.

        A version that is left is found again when the listener next asks the registry.
        """
        config = configs_in(self._configs).get(version.name)
        if config is None:
            logger.info("%s is left: its configuration is gone", version)
            return
        if not self._program.wait_for_others():
            return
        digest, policy = digest_of(config), policy_in(config)
        try:
            with explained():
                found = standing(connect(), version, policy)
        except TrackingError as error:
            logger.warning("%s is left for later: %s", version, error)
            return
        if found != "unaudited":
            logger.info("%s is left: %s", version, found)
            return
        logger.info("%s: audit begins, with %s", version, config.name)
        outcome = self._program(version, config)
        for line in outcome.said:
            logger.info("    %s", line)
        self._note(version, digest, policy, outcome)

    def _note(self, version: Version, digest: str, policy: str | None, outcome: Outcome) -> None:
        """Note how an audit ended: its run decides, since Python too ends with status 1 on an error of its own."""
        if outcome.ended == "stopped":
            logger.info("%s: audit stopped with the listener; it will be begun again", version)
            return
        try:
            with explained():
                is_audited_now = is_audited(connect(), version, policy)
        except TrackingError as error:
            logger.warning("%s: whether its audit was written is asked later: %s", version, error)
            return
        if not is_audited_now:
            self._count_failure(version, digest, outcome, "audit" if policy is None else "verdict")
            return
        self.audited += 1
        self._failures.forget(version.uri)
        logger.info("%s: audited; %s", version, _ENDED.get(outcome.status, f"exit status {outcome.status}"))
        self._have_signed(version, outcome.run_id)

    def _have_signed(self, version: Version, run_id: str | None) -> None:
        """Have the run signed that the audit's process tells: never one that was only found in the registry."""
        if self._signer is None:
            return
        if run_id is None:
            logger.error("%s: not signed, since its audit told no run; find it and sign it: nnperm sign RUN", version)
            return
        self._signer.note(run_id)

    def _count_failure(self, version: Version, digest: str, outcome: Outcome, lacking: str) -> None:
        count = self._failures.add(version, digest)
        why = "took too long" if outcome.ended == "timed out" else f"exit status {outcome.status}"
        then = "given up until its configuration changes" if count >= MOST_TRIES else "it will be tried again"
        logger.error("%s: no %s (%s), try %d of %d; %s", version, lacking, why, count, MOST_TRIES, then)


def keep_working(backlog: Backlog, stopping: threading.Event, between: Callable[[], None] = lambda: None) -> None:
    """Audit what waits, and what comes, until `stopping` is set; `between` is called before each audit and after it."""
    while not stopping.is_set():
        try:
            between()
            if not backlog.run_next():
                stopping.wait(_IDLE_SECONDS)
        except Exception:
            logger.exception("the queue cannot be read; trying again")  # a service goes on, whatever it was
            stopping.wait(10 * _IDLE_SECONDS)
