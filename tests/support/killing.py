"""Run as a program: audits that are killed at random moments and begun again, each in a child of this process.

It is given how many, and whether the audits have `conditional` shuffles or only `plain` ones. Writes as JSON, for each
audit, whether the table had the bytes of an uninterrupted one in the end, how often it had been begun, and how often
the last try called the model.
"""

import json
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

from nnperm_mlflow.analysis.engine.journal import Journal
from tests.analysis.engine.test_journal import audit

MOST_TRIES = 20


def in_child(folder, journal, kill_at, donors):
    """Audit in a child that kills itself at its n-th call of a function; return how often functions and the model were
    called, or None where it was killed."""
    result = folder / "calls"
    result.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        calls = 0

        def count(frame, event, argument):
            nonlocal calls
            if event in ("call", "c_call"):
                calls += 1
                if calls == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        _, predicted, _ = audit(folder, journal, repeats=2, donors=donors)
        sys.setprofile(None)
        result.write_text(json.dumps([calls, predicted]))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None
    assert os.WEXITSTATUS(status) == 0, "the audit failed"
    return json.loads(result.read_text())


def main(kills, donors):
    draw = random.Random(0)
    told = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        n_calls, n_predicted = in_child(whole, Journal(whole / "journal"), None, donors)
        expected = (whole / "table.parquet").read_bytes()
        for number in range(kills):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            journal, tries, done = Journal(folder / "journal"), 0, None
            while done is None and tries < MOST_TRIES:
                tries += 1
                kill_at = draw.randint(1, n_calls) if tries < 3 else None
                done = in_child(folder, journal, kill_at, donors)
            same = (folder / "table.parquet").read_bytes() == expected
            left = sorted(file.name for file in folder.iterdir() if file.name not in ("journal", "calls"))
            told.append({"same": same, "tries": tries, "predicted": done[1], "of": n_predicted, "left": left})
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]), "conditional" if sys.argv[2] == "conditional" else None)
