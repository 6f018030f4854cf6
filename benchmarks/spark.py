"""Measures an audit on two executors beside one process, on two cores: time, bytes that move, memory, and a kill.

    python benchmarks/spark.py --rows 131072 400000

Each way runs in a process of its own, in turn, and audits the same rows before, so that both are warm: packages are
imported, executors and their Python workers are there, and Java has compiled what it runs often (on the cluster that
takes more than one audit). Bytes are those that all stages of the audit have written for
others, as Spark's status page tells, beside the raw ones: the cells of the rows, without their numbers. Peaks are those
of whole processes. What each job took is told with `--jobs`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

_CLUSTER = "local-cluster[2,1,1024]"
_CORES = 2
_N_NUMBERS, _N_CODES = 20, 4
_STEPS, _CHANNELS = 6, 2
_RAW_BYTES = 4 * (_N_NUMBERS + 1 + _STEPS * _CHANNELS)
_N_FILES = 8
_WARMING = 3
"""Audits of the same rows on the cluster before those that count."""

_MIB = 1 << 20
HEAD = ("rows", "what", "measured", "target")


def make(folder: Path, n_rows: int) -> None:
    """Write rows in one file and in eight, and register a network for them."""
    import mlflow  # noqa: PLC0415 - in processes of their own alone
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"x{n}": rng.normal(size=n_rows).astype("float32") for n in range(_N_NUMBERS)})
    table["code"] = rng.integers(0, _N_CODES, n_rows).astype("int32")
    table["history"] = list(rng.normal(size=(n_rows, _STEPS * _CHANNELS)).astype("float32"))
    (folder / "all").mkdir()
    for number, part in enumerate(np.array_split(np.arange(n_rows), _N_FILES)):
        table.iloc[part].to_parquet(folder / "all" / f"part-{number}.parquet", index=False)
    table.to_parquet(folder / "all.parquet", index=False)
    inputs = {
        "num_input": np.zeros((2, _N_NUMBERS), "float32"),
        "code_input": np.zeros((2, 1), "int32"),
        "temporal_input": np.zeros((2, _STEPS, _CHANNELS), "float32"),
    }
    network = _network()
    _track(folder)
    with mlflow.start_run():
        signature = infer_signature(inputs, network(inputs).numpy())
        mlflow.tensorflow.log_model(
            network, name="m", signature=signature, pip_requirements=["keras"], registered_model_name="m"
        )


def _network() -> Any:
    import keras  # noqa: PLC0415

    keras.utils.set_random_seed(1)
    numbers = keras.Input((_N_NUMBERS,), name="num_input")
    code = keras.Input((1,), name="code_input", dtype="int32")
    history = keras.Input((_STEPS, _CHANNELS), name="temporal_input")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(_N_CODES, 3)(code))
    joined = keras.layers.Concatenate()([numbers, embedded, keras.layers.LSTM(16)(history)])
    output = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dense(32, activation="relu")(joined))
    return keras.Model({"num_input": numbers, "code_input": code, "temporal_input": history}, output)


def _track(folder: Path) -> None:
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("spark")


def audit(folder: Path, static: str, **given: object) -> float:
    """Audit once, from reading to logging, and return the seconds."""
    from nnperm_mlflow import audit as audited  # noqa: PLC0415

    history = {"column": "history", "channels": ["a", "b"], "channel_axis": 2, "shape": [_STEPS, _CHANNELS]}
    config = {
        "model": "models:/m/1",
        "data": {"static": str(folder / static), "temporal": {"history": history}},
        "inputs": {"num_input": [f"x{n}" for n in range(_N_NUMBERS)], "code_input": "code"},
    }
    began = time.perf_counter()
    audited(config, work_dir=folder / "work", fresh=True, progress=False, **given)
    return time.perf_counter() - began


def one_process(folder: Path) -> dict[str, Any]:
    """Audit by one process."""
    _track(folder)
    audit(folder, "all.parquet")
    used = time.process_time()
    seconds = audit(folder, "all.parquet")
    return {"seconds": seconds, "processor_seconds": time.process_time() - used, "peak_mib": _peak_mib(os.getpid())}


def on_cluster(folder: Path) -> dict[str, Any]:
    """Audit on two executors, warm; and once more, with one of them killed as soon as blocks are audited."""
    _track(folder)
    session = _session()
    tables = Path(tempfile.mkdtemp(dir=folder))
    for number in range(_WARMING):
        audit(folder, "all", engine="spark", table=tables / f"before-{number}")
    before, used = _told(session, "stages"), _processor_seconds()
    jobs = {each["jobId"] for each in _told(session, "jobs")}
    found: dict[str, Any] = {"seconds": audit(folder, "all", engine="spark", table=tables / "warm")}
    found["processor_seconds"] = _processor_seconds() - used
    found["moved_mib"] = (_written(_told(session, "stages")) - _written(before)) / _MIB
    found["jobs"] = [_took(each) for each in reversed(_told(session, "jobs")) if each["jobId"] not in jobs]
    found["driver_mib"] = _peak_mib(os.getpid())
    found["worker_mib"] = max(_peak_mib(each.pid) for each in _children("pyspark.daemon"))
    found["jvm_mib"] = max(_peak_mib(each.pid) for each in _children("SparkSubmit"))
    killer = threading.Thread(target=_kill_one, args=(tables / "killed",))
    killer.start()
    found["killed"] = audit(folder, "all", engine="spark", table=tables / "killed")
    killer.join()
    session.stop()
    return found


def _session() -> Any:
    from pyspark.sql import SparkSession  # noqa: PLC0415

    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    builder = SparkSession.builder.master(_CLUSTER).config("spark.ui.showConsoleProgress", "false")
    for key in ("spark.driver.host", "spark.driver.bindAddress"):
        builder = builder.config(key, "127.0.0.1")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("FATAL")
    return session


def _told(session: Any, what: str) -> list[dict[str, Any]]:
    """Return what Spark's status page tells, which follows a moment later."""
    time.sleep(1)
    context = session.sparkContext
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/{what}"
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - Spark's page, on loopback
        return list(json.load(answer))


def _written(stages: list[dict[str, Any]]) -> int:
    return sum(int(stage["shuffleWriteBytes"]) for stage in stages)


def _took(job: dict[str, Any]) -> tuple[str, float]:
    """Return what a job is called, and its seconds."""
    began, ended = (
        datetime.strptime(job[f"{at}Time"], "%Y-%m-%dT%H:%M:%S.%f%Z") for at in ("submission", "completion")
    )
    return str(job["name"]), (ended - began).total_seconds()


def _children(part: str) -> list[Any]:
    import psutil  # noqa: PLC0415

    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # what has ended meanwhile
            if part in " ".join(each.cmdline()):
                found.append(each)
    return found


def _processor_seconds() -> float:
    """Return what this process and all that it has started have used, as far as they are there."""
    import psutil  # noqa: PLC0415

    own = psutil.Process()
    used = 0.0
    for each in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            times = each.cpu_times()
            used += times.user + times.system
    return used


def _kill_one(table: Path) -> None:
    """Kill an executor a second after blocks have begun to be audited."""
    while not (table / "_temporary").exists():
        time.sleep(0.05)
    time.sleep(1)
    _children("CoarseGrainedExecutorBackend")[0].kill()


def _peak_mib(pid: int) -> float:
    told = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in told if line.startswith("VmHWM:"))


WAYS = {"one": one_process, "cluster": on_cluster}


def measure(n_rows: int, n_pairs: int) -> list[dict[str, dict[str, Any]]]:
    """Audit so many rows both ways, in turn, and return what each pair took."""
    with tempfile.TemporaryDirectory() as folder:
        _run("make", folder, str(n_rows))
        orders = [[*WAYS][:: -1 if number % 2 else 1] for number in range(n_pairs)]
        return [{way: _run(way, folder) for way in order} for order in orders]


def _run(part: str, *given: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--part", part, *given], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]) or {})


def _take_part(part: str, folder: str, n_rows: str = "0") -> None:
    """Do what a process of its own does, on two cores, and print what it found."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
    print(json.dumps(make(Path(folder), int(n_rows)) if part == "make" else WAYS[part](Path(folder))))


def _lines(n_rows: int, pairs: list[dict[str, dict[str, Any]]]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table on so many rows."""
    raw = n_rows * _RAW_BYTES / _MIB

    def of(way: str, what: str) -> list[float]:
        return [pair[way][what] for pair in pairs]

    def line(what: str, ratios: list[float], told: str = "", target: float | None = None) -> tuple[str, ...]:
        spread = "" if len(ratios) == 1 else f" ({min(ratios):.2f} to {max(ratios):.2f})"
        return f"{n_rows:,}", what, f"{median(ratios):.2f}{spread}{told}", "" if target is None else f"{target:g}"

    def beside(one: list[float], other: list[float]) -> list[float]:
        return [first / second for first, second in zip(one, other, strict=True)]

    def both(one: list[float], other: list[float], unit: str) -> str:
        return f": {median(one):,.1f} and {median(other):,.1f} {unit}"

    alone, warm, killed = of("one", "seconds"), of("cluster", "seconds"), of("cluster", "killed")
    yield line("seconds, two executors / one process", beside(warm, alone), both(warm, alone, "s"), 1.6)
    own, theirs = of("one", "processor_seconds"), of("cluster", "processor_seconds")
    yield line("processor seconds, the same", beside(theirs, own), both(theirs, own, "s"))
    yield line("seconds, an executor killed / none", beside(killed, warm), both(killed, warm, "s"), 2.5)
    moved = of("cluster", "moved_mib")
    yield line("bytes moved / raw bytes", [each / raw for each in moved], both(moved, [raw], "MiB"), 1.2)
    peaks, worker = of("one", "peak_mib"), of("cluster", "worker_mib")
    yield line("peak of a worker / of one process", beside(worker, peaks), both(worker, peaks, "MiB"), 1.0)
    driver, java = of("cluster", "driver_mib"), of("cluster", "jvm_mib")
    yield (
        f"{n_rows:,}",
        "peaks of the driver: Python and Java",
        f"{median(driver):,.0f} and {median(java):,.0f} MiB",
        "",
    )


def main() -> None:
    """Measure pairs in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[131_072, 400_000])
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--jobs", action="store_true", help="tell what each job of the cluster took")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        _take_part(*asked.part)
        return
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    for n_rows in asked.rows:
        pairs = measure(n_rows, asked.pairs)
        for told in _lines(n_rows, pairs):
            print(f"| {' | '.join(told)} |", flush=True)
        if asked.jobs:
            for name, seconds in pairs[-1]["cluster"]["jobs"]:
                print(f"{seconds:8.2f} s  {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
