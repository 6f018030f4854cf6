"""Rows as a lake has them: a directory of Parquet files, the same rows in one file, and a small network for them."""

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

NAME = "lake"

FOR_A_SHORT_TIME = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Options of Java where it runs for less than a minute: it then compiles little, and takes half the time."""


def what_is_missing():
    """Return in words what tests on a cluster lack; an empty text where they can run."""
    try:
        import pyspark.sql  # noqa: F401
    except ImportError:
        return "needs pyspark: pip install -e '.[dev]'"
    return "" if shutil.which("java") else "needs Java: apt-get install openjdk-17-jre-headless"


def table_of(n_rows):
    rng = np.random.default_rng(n_rows)
    return pd.DataFrame(
        {
            "client": [f"c{number:07d}" for number in range(n_rows)],
            "age": rng.normal(size=n_rows),
            "income": rng.exponential(size=n_rows).astype("float32"),
            "flag": (rng.random(n_rows) < 0.02).astype("float64"),
            "region": rng.integers(0, 4, n_rows).astype("int32"),
            "history": list(rng.normal(size=(n_rows, 6)).astype("float32")),
        }
    )


def write_lake(folder, n_rows):
    """Write the rows into files of different sizes, in names that are not in the order of these, and into one file."""
    table = table_of(n_rows)
    (folder / "lake").mkdir(parents=True)
    edges = [0, n_rows // 7, n_rows // 2, n_rows]
    for number, (first, last) in enumerate(pairwise(edges)):
        table.iloc[first:last].to_parquet(folder / "lake" / f"part-{number}.parquet", index=False, row_group_size=9_000)
    table.to_parquet(folder / "one.parquet", index=False)
    return table


def register_network(table, name=NAME):
    """Log and register a network of numbers, codes and a history; its weights are random, and known by their seed."""
    keras.utils.set_random_seed(11)
    numbers = keras.Input((3,), name="num_input")
    region = keras.Input((1,), name="region_input", dtype="int32")
    history = keras.Input((3, 2), name="temporal_input")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(4, 2, embeddings_initializer="normal")(region))
    joined = keras.layers.Concatenate()([numbers, embedded, keras.layers.Flatten()(history)])
    network = keras.Model(
        {"num_input": numbers, "region_input": region, "temporal_input": history},
        keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dense(4, activation="tanh")(joined)),
    )
    some = table.head(9)
    inputs = {
        "num_input": some[["age", "income", "flag"]].to_numpy("float32"),
        "region_input": some[["region"]].to_numpy("int32"),
        "temporal_input": np.stack(some["history"]).reshape(-1, 3, 2),
    }
    with mlflow.start_run():
        mlflow.tensorflow.log_model(
            network,
            name=name,
            signature=infer_signature(inputs, network(inputs).numpy()),
            pip_requirements=["keras"],
            registered_model_name=name,
        )


def settings_for(static, name=NAME, **analysis):
    history = {"column": "history", "channels": ["balance", "payment"], "channel_axis": 2, "shape": [3, 2]}
    return {
        "model": f"models:/{name}/1",
        "data": {"static": str(static), "row_id": "client", "temporal": {"history": history}},
        "inputs": {"num_input": ["age", "income", "flag"]},
        "analysis": {"seed": 3, "windows": 3, **analysis},
        "checks": [{"feature": "age", "statistic": "mean", "max": 0.9}],
    }


@contextmanager
def running_cluster(master):
    """Give a session on a cluster of this machine, on loopback alone."""
    from pyspark.sql import SparkSession

    os.environ.update(PYSPARK_PYTHON=sys.executable, JAVA_TOOL_OPTIONS=FOR_A_SHORT_TIME, SPARK_LOCAL_IP="127.0.0.1")
    builder = SparkSession.builder.master(master).appName("tests")
    quiet = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.files.maxPartitionBytes": "1m",  # so that files are read in pieces
    }
    with tempfile.TemporaryDirectory() as warehouse:
        quiet |= {"spark.sql.warehouse.dir": warehouse, "spark.driver.extraClassPath": warehouse}
        for key, value in quiet.items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("FATAL")
        try:
            yield session
        finally:
            session.stop()
            del os.environ["JAVA_TOOL_OPTIONS"]


def keep_versions(session, name, folder):
    """Give a session a catalogue whose tables keep their versions: `folder`/clients/3 has version 3 of `clients`.

    Spark has none by itself, and the jars of those that others make come from registries of Java's.
    """
    java = session._jvm
    source = session.sparkContext._gateway.new_array(java.java.io.File, 1)
    source[0] = java.java.io.File(str(Path(__file__).with_name("KeptVersions.java")))
    compiler = java.org.codehaus.janino.Compiler()
    compiler.setDestinationDirectory(java.java.io.File(session.conf.get("spark.driver.extraClassPath")), False)
    assert compiler.compile(source)
    session.conf.set(f"spark.sql.catalog.{name}", "tests.KeptVersions")
    session.conf.set(f"spark.sql.catalog.{name}.folder", str(folder))
