"""Run as a program: many audits in one process, and what it holds after each."""

import gc
import json
import sys
import tempfile
from pathlib import Path

import mlflow
import psutil

from nnperm_mlflow import audit


def main(config, store, work, count):
    mlflow.set_tracking_uri(store)
    this, temporary = psutil.Process(), Path(tempfile.gettempdir())
    told = []
    for _ in range(int(count)):
        audit(config, model_uri="models:/house/1", work_dir=work)
        gc.collect()
        left = [*temporary.iterdir(), *Path(work).glob("results/*/*"), *Path(work).glob("states/*")]
        told.append({"mib": this.memory_info().rss / 2**20, "files": this.num_fds(), "left": len(left)})
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
