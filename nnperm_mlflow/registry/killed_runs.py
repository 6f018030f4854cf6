"""Run as a program: calls a run killed once the `mlflow run` that has ended its program has called it failed.

MLflow calls each run failed whose program it has ended itself, whatever that said of its run: it compares the name of a
status with the numbers of those that are final (`RunStatus.is_terminated`).
"""

from __future__ import annotations

import sys
import time

import psutil

from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.run_session import call_killed

_LOOKS_EVERY = 0.5  # seconds
_MOST_SECONDS = 60  # until MLflow has written what it thinks of a program that has ended


def main(caller: int, run_id: str) -> None:
    """Wait until a run is called failed, at most until the process that would call it so has ended; and mend that."""
    end = time.monotonic() + _MOST_SECONDS
    with connected() as (client, _):
        while time.monotonic() < end:
            lives = psutil.pid_exists(caller)
            if call_killed(client, run_id) or not lives:
                break
            time.sleep(_LOOKS_EVERY)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
