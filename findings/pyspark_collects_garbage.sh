#!/usr/bin/env bash
# Guess: a Python worker of Spark that is kept for the next task does nothing between two tasks.
# Seen with pyspark 4.3.0: after each task it collects garbage, of all generations. What a task has imported is looked
#   through again each time: with TensorFlow 2.21.0 hundreds of thousands of objects, more than a tenth of a second for
#   a task that has nothing to do. Objects that a task froze (`gc.freeze`) are passed over, and it costs next to nothing.
# Why it matters: a job of many short tasks around a network pays for it in each of them: here an audit's jobs of 26
#   tasks lost a fifth of their processor time, and no profile of the tasks shows it, since it lies between them.
# Exits with another status than 0 where Spark does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install --quiet "pyspark==4.3.0" "pyarrow==25.0.1" "pandas==2.3.3" "tensorflow-cpu==2.21.0" \
    2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
export PYSPARK_PYTHON="$tmp/venv/bin/python" SPARK_LOCAL_IP=127.0.0.1 TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=0
"$tmp/venv/bin/python" -W ignore - 2> log <<'PYTHON' || { tail -5 log; exit 1; }
import sys
from importlib.metadata import version

from pyspark.sql import SparkSession


def task(freezes):
    """Return a task that tells of the collections since the task before, which this worker did as well."""

    def run(batches):
        import gc
        import os
        import time

        import pyarrow as pa

        for _ in batches:
            pass
        seen = getattr(gc, "seen_here", None)
        if seen is None:
            import tensorflow  # noqa: F401

            seen = gc.seen_here = []
            began = []

            def note(phase, told):
                if told["generation"] == 2:
                    if phase == "start":
                        began.append(time.process_time())
                    else:
                        seen.append(time.process_time() - began.pop())

            gc.collect()
            gc.callbacks.append(note)
            if freezes:
                gc.freeze()
        since, seconds = len(seen), float(sum(seen))
        seen.clear()
        row = [[os.getpid()], [since], [seconds], [len(gc.get_objects())]]
        yield pa.record_batch([pa.array(each) for each in row], names=["pid", "since", "seconds", "objects"])

    return run


def tried(freezes):
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    for key in ("spark.driver.host", "spark.driver.bindAddress"):
        builder = builder.config(key, "127.0.0.1")
    spark = builder.getOrCreate()
    schema = "pid long, since long, seconds double, objects long"
    rows = [spark.range(1, numPartitions=1).mapInArrow(task(freezes), schema).collect()[0] for _ in range(6)]
    spark.stop()
    return rows[1:]  # the first one imports


plain, frozen = tried(False), tried(True)
for name, rows in (("as it is", plain), ("frozen", frozen)):
    pids = {row.pid for row in rows}
    print(f"{name}: {len(pids)} worker, collections between tasks {[row.since for row in rows]}, "
          f"{rows[-1].objects:,} objects, {1000 * sum(row.seconds for row in rows) / len(rows):.1f} ms each")
print(f"pyspark {version('pyspark')}, tensorflow-cpu {version('tensorflow-cpu')}")
same = all(len({row.pid for row in rows}) == 1 and all(row.since >= 1 for row in rows) for rows in (plain, frozen))
dear = sum(row.seconds for row in plain) > 5 * sum(row.seconds for row in frozen)
sys.exit(0 if same and dear and plain[-1].objects > 100_000 > frozen[-1].objects else 1)
PYTHON
