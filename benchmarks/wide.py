"""Measures `nnperm audit` as a whole command on many columns, beside another checkout of this project.

    python benchmarks/wide.py --features 1500 --rows 2000 --pairs 5 --before /path/to/other/checkout

Each command gets a copy of the same store, so that neither finds audits of the other, and writes into directories of
its own. What is compared are the seconds of the command, from its start to its end, and those of the processors.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import pandas as pd
import yaml

HEAD = ("features", "rows", "which", "s", "CPU s", "picture", "s, before / ours", "CPU s, before / ours", "agreement")
_OURS = Path(__file__).parents[1]
_STORE, _CONFIG = "mlflow.db", "wide.yaml"


@dataclass(frozen=True)
class Command:
    """What a command took, and where its files lie."""

    seconds: float
    processor_seconds: float
    output: Path


def main() -> None:
    """Measure pairs of commands in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=1_500)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--before", type=Path, help="another checkout; without it ours alone is measured")
    asked = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    with tempfile.TemporaryDirectory() as folder:
        make_site(Path(folder), asked.features, asked.rows)
        both: list[tuple[Command, Command | None]] = []
        for number in range(asked.pairs):
            sides = {"ours": _OURS, "before": asked.before}
            order = [which for which in ("ours", "before") if sides[which]][:: 1 if number % 2 else -1]
            took = {which: run(sides[which].resolve(), Path(folder), which) for which in order}
            both.append((took["ours"], took.get("before")))
        for line in lines_of(asked, both):
            print(line)


def make_site(folder: Path, n_features: int, n_rows: int) -> None:
    """Write data, a store with a registered network of three dense layers, and a configuration."""
    import keras  # noqa: PLC0415 - the commands bring their own
    import mlflow  # noqa: PLC0415

    rng = np.random.default_rng(0)
    names = [f"n{number}" for number in range(n_features)]
    table = pd.DataFrame(rng.normal(size=(n_rows, n_features)).astype(np.float32), columns=names)
    table.to_parquet(folder / "wide.parquet")
    settings = {"data": {"static": str(folder / "wide.parquet")}, "inputs": {"num_input": names}}
    (folder / _CONFIG).write_text(yaml.safe_dump(settings), encoding="utf-8")
    keras.utils.set_random_seed(0)
    given = keras.Input((n_features,), name="num_input")
    hidden = keras.layers.Dense(32, activation="relu")(keras.layers.Dense(64, activation="relu")(given))
    network = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(hidden))
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'made.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("wide", (folder / "artifacts").as_uri()))
    signature = mlflow.models.infer_signature(
        {"num_input": table.to_numpy()[:3]}, network.predict(table.to_numpy()[:3], verbose=0)
    )
    mlflow.tensorflow.log_model(network, name="model", registered_model_name="wide", signature=signature)


def run(checkout: Path, folder: Path, which: str) -> Command:
    """Run the command of a checkout once, on a store that holds nothing but the model."""
    output = folder / which
    shutil.rmtree(output, ignore_errors=True)
    shutil.copy(folder / "made.db", folder / _STORE)
    command = [sys.executable, "-m", "nnperm_mlflow", "audit", "--model-uri", "models:/wide/1"]
    command += ["--config", str(folder / _CONFIG), "--tracking-uri", f"sqlite:///{folder / _STORE}"]
    command += ["--output", str(output), "--work-dir", str(folder / "work"), "--fresh"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=False, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{which}: {done.stderr.strip().splitlines()[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Command(time.perf_counter() - started, processors, output)


def lines_of(asked: argparse.Namespace, both: list[tuple[Command, Command | None]]) -> list[str]:
    """Return rows of the table: medians over the pairs, and of the ratios within a pair the range, too."""
    rows = []
    for place, which in enumerate(("ours", "before")):
        commands = [pair[place] for pair in both if pair[place] is not None]
        if commands:
            seconds, processors = (
                median(getattr(command, name) for command in commands) for name in ("seconds", "processor_seconds")
            )
            cells = [f"{asked.features:,}", f"{asked.rows:,}", which, f"{seconds:.1f}", f"{processors:.1f}"]
            rows.append([*cells, picture_size(commands[-1].output), "", "", ""])
    if len(rows) == 2:
        for column, name in ((6, "seconds"), (7, "processor_seconds")):
            ratios = [getattr(before, name) / getattr(ours, name) for ours, before in both]
            rows[0][column] = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows[0][8] = agreement(*(command.output for command in both[-1]))
    return [f"| {' | '.join(row)} |" for row in rows]


def picture_size(output: Path) -> str:
    """Return width and height of the boxplot, as its PNG tells them."""
    header = (output / "boxplot.png").read_bytes()[16:24]
    return " x ".join(f"{int.from_bytes(header[at : at + 4], 'big'):,}" for at in (0, 4))


def agreement(ours: Path, before: Path) -> str:
    """Return how many deviations, and numbers of the summary that both have, are the same to the last bit."""
    one, other = (pd.read_parquet(folder / "deviations.parquet") for folder in (ours, before))
    names = [name for name in one if name.startswith("n")]
    same = sum(int((one[name].to_numpy() == other[name].to_numpy()).sum()) for name in names)
    summaries = [pd.read_csv(folder / "summary.csv") for folder in (ours, before)]
    shared = [name for name in summaries[0] if name in summaries[1]]
    alike = "the same" if summaries[0][shared].equals(summaries[1][shared]) else "another"
    return f"{same:,} of {len(one) * len(names):,} identical, {alike} summary"


if __name__ == "__main__":
    main()
