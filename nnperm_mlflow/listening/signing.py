"""Signing what a listener has audited: by a process of its own, once the audit's has ended."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnperm_mlflow.listening.audit_process import KEY_PASSWORD
from nnperm_mlflow.listening.child_process import Outcome, run_watched
from nnperm_mlflow.listening.delivery_ledger import MOST_TRIES, table_in

logger = logging.getLogger(__name__)

SIGN_PROGRAM = (sys.executable, "-m", "nnperm_mlflow", "sign")

_MOST_SECONDS = 600.0
_AGAIN_SECONDS = 300.0


@dataclass(frozen=True)
class SigningProgram:
    """Signs one run after the other, each in a process of its own, which alone gets the key's password.

    Attributes
    ----------
    key, trust : Path
        File of the key, and the trust file that holds it as an auditor's.
    password : str
    environment : mapping of str to str
        What surrounds it besides.
    stopping : Event
        Is set when the listener stops.
    program : sequence of str
        What is called with the run.
    """

    key: Path
    trust: Path
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    stopping: threading.Event
    program: Sequence[str] = SIGN_PROGRAM

    def __call__(self, run_id: str) -> Outcome:
        """Sign a run and wait for the end."""
        command = [*self.program, run_id, "--key", str(self.key), "--trust", str(self.trust)]
        surrounding = {**self.environment, KEY_PASSWORD: self.password}
        return run_watched(command, surrounding, _MOST_SECONDS, self.stopping)


class Signer:
    """Signs the runs of audits that this listener has started, and remembers which are still to be signed.

    Parameters
    ----------
    database : Path
        Sqlite file; made where there is none.
    program : callable
        Signs a run, as `SigningProgram` does.
    wait_for_others : callable
        Waits for an audit that runs already; returns False where it does not end.
    clock : callable, optional
        Gives the seconds since 1970.
    """

    def __init__(
        self,
        database: Path,
        program: Callable[[str], Outcome],
        wait_for_others: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table_in(database, "unsigned")
        self._program = program
        self._wait_for_others = wait_for_others
        self._clock = clock

    @property
    def unsigned(self) -> int:
        """How many runs are still to be signed, those that were given up among them."""
        return len(self._table.result_items())

    @property
    def given_up(self) -> int:
        """How many runs are not tried any more."""
        return sum(told["tries"] >= MOST_TRIES for told in self._noted().values())

    def note(self, run_id: str) -> None:
        """Remember that a run of this listener is to be signed."""
        self._put(run_id, tries=0, due=0.0)

    def sign_noted(self) -> None:
        """Sign what is to be signed and due; never beside an audit. What failed is tried twice more, later."""
        due = [run_id for run_id, told in self._noted().items() if told["tries"] < MOST_TRIES and self._is_due(told)]
        if due and self._wait_for_others():
            for run_id in due:
                self._sign(run_id)

    def _sign(self, run_id: str) -> None:
        outcome = self._program(run_id)
        for line in outcome.said:
            logger.info("    %s", line)
        if outcome.ended == "stopped":
            return
        if outcome.status == 0:
            self._table.pop_data(run_id)
            logger.info("run %s: signed", run_id)
            return
        tries = int(self._noted()[run_id]["tries"]) + 1
        self._put(run_id, tries=tries, due=self._clock() + _AGAIN_SECONDS)
        then = f"given up; sign it by hand: nnperm sign {run_id}" if tries >= MOST_TRIES else "it will be tried again"
        logger.error(
            "run %s: not signed (exit status %d), try %d of %d; %s", run_id, outcome.status, tries, MOST_TRIES, then
        )

    def _is_due(self, told: Mapping[str, float]) -> bool:
        return self._clock() >= told["due"]

    def _noted(self) -> dict[str, dict[str, float]]:
        return {run_id: json.loads(told) for run_id, told in self._table.result_items().items()}

    def _put(self, run_id: str, *, tries: int, due: float) -> None:
        self._table.put_data(run_id, json.dumps({"tries": tries, "due": due}).encode())
