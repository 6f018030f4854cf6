"""Measures the memory of audits whose files are larger than the memory they may take.

    python benchmarks/large.py --rows 2000000 4000000 --features 12

For each number of rows a table in Parquet and a history in .npy are made up, of the article's shape, and audited in a
process of its own, as `nnperm audit` reads them. What is reported is the peak of its resident memory above what the
interpreter had taken with TensorFlow and the network loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from contenders import audit
from memory import peak_mib
from shapes import N_CODES, SHAPES, feature_names, save_model

from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.models.keras.network_predictor import keras_predictor

SHAPE = SHAPES["article"]
_CHUNK_ROWS = 50_000


def main() -> None:
    """Audit files of each size in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000, 4_000_000])
    parser.add_argument(
        "--features", type=int, default=None, help="how many are disturbed, evenly from all; all of them"
    )
    parser.add_argument("--folder", type=Path, help="where an audit finds its files (used by this program itself)")
    asked = parser.parse_args()
    if asked.folder:
        print(json.dumps(measure(asked.folder, asked.features)))
        return
    print("| rows | features | files, MiB | seconds | peak MiB above the start |\n| --- | --- | --- | --- | --- |")
    for n_rows in asked.rows:
        with tempfile.TemporaryDirectory() as folder:
            make_files(n_rows, Path(folder))
            size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
            command = [sys.executable, __file__, "--folder", folder]
            command += ["--features", str(asked.features)] if asked.features else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
        cells = [
            f"{n_rows:,}",
            str(found["features"]),
            f"{size:,.0f}",
            f"{found['seconds']:,.0f}",
            f"{found['above_mib']:,.0f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def make_files(n_rows: int, folder: Path) -> None:
    """Write a network and data of the article's shape, chunk by chunk."""
    save_model(SHAPE, folder)
    rng = np.random.default_rng(0)
    numbers, codes = (
        feature_names(SHAPE)[part] for part in (slice(SHAPE.n_numbers), slice(SHAPE.n_numbers, -SHAPE.n_channels))
    )
    schema = pa.schema([*((name, pa.float32()) for name in numbers), *((name, pa.int32()) for name in codes)])
    shape = (n_rows, SHAPE.n_steps, SHAPE.n_channels)
    history = np.lib.format.open_memmap(folder / "history.npy", "w+", np.float32, shape)
    with pq.ParquetWriter(folder / "static.parquet", schema, use_dictionary=False) as table:
        for start in range(0, n_rows, _CHUNK_ROWS):
            size = min(_CHUNK_ROWS, n_rows - start)
            history[start : start + size] = rng.random((size, *shape[1:]), dtype=np.float32) - 0.5
            columns = [
                *rng.random((len(numbers), size), dtype=np.float32),
                *rng.integers(0, N_CODES, (len(codes), size), np.int32),
            ]
            table.write_table(pa.table(columns, schema=schema))
    history.flush()


def measure(folder: Path, n_features: int | None) -> dict[str, float]:
    """Audit the files in a folder; return the seconds, and the peak of memory above what was taken before."""
    predictor = keras_predictor(keras.saving.load_model(folder / "model.keras"))
    names = feature_names(SHAPE)
    audited = (
        names
        if n_features is None
        else [names[place] for place in np.linspace(0, len(names) - 1, n_features, dtype=int)]
    )
    temporal = {
        "history": {"file": str(folder / "history.npy"), "channels": names[-SHAPE.n_channels :], "channel_axis": 2}
    }
    config = parse_config(
        {
            "data": {"static": str(folder / "static.parquet"), "temporal": temporal},
            "inputs": {"num_input": names[: SHAPE.n_numbers]},
            "analysis": {"rare_below": 0.0, "exclude": [name for name in names if name not in audited]},
        }
    )
    before, started = peak_mib(), time.perf_counter()
    dataset = load_dataset(config.data, Path)
    dataset.digest()
    inputs = bind_inputs(predictor.inputs, dataset, config.inputs)
    audit(predictor, inputs, config.analysis, folder)
    return {
        "features": len(audited),
        "seconds": time.perf_counter() - started,
        "above_mib": peak_mib() - before,
    }


if __name__ == "__main__":
    main()
