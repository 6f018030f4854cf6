"""An audit by the command line through Spark Connect, whose server runs on loopback: the numbers of one process."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml

import nnperm_mlflow
from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME
from tests.support.lake import FOR_A_SHORT_TIME, register_network, settings_for, what_is_missing, write_lake

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())]

SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


@contextmanager
def connect_server(log):
    """Give the address of a server of Spark Connect with two cores of this machine."""
    import pyspark

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
    }
    home = str(Path(pyspark.__file__).parent)
    line = [f"{home}/bin/spark-submit", "--master", "local[2]", "--class", SERVER]
    line += [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
    own = {"SPARK_HOME": home, "PYSPARK_PYTHON": sys.executable, "JAVA_TOOL_OPTIONS": FOR_A_SHORT_TIME}
    with log.open("wb") as told:
        server = subprocess.Popen([*line, "spark-internal"], env={**os.environ, **own}, stdout=told, stderr=told)
    try:
        _wait_for(port, server, log)
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(port, server, log):
    for _ in range(3_000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, log.read_text()
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


def test_an_audit_through_spark_connect_is_that_of_one_process_bit_for_bit(store, tracked, tmp_path):
    register_network(write_lake(tmp_path, 3_000), "connected")
    one = nnperm_mlflow.audit(settings_for(tmp_path / "one.parquet", "connected"), work_dir=tmp_path / "work")
    config, files = tmp_path / "audit.yaml", tmp_path / "files"
    config.write_text(yaml.safe_dump(settings_for(tmp_path / "lake", "connected")))
    with connect_server(tmp_path / "server.log") as remote:
        command = [sys.executable, "-m", "nnperm_mlflow", "audit", "--config", config, "--engine", "spark"]
        command += ["--remote", remote, "--table", tmp_path / "table", "--output", files]
        command += ["--work-dir", tmp_path / "work", "--tracking-uri", store, "--experiment", "tests"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert "table.json" in done.stdout
    pd.testing.assert_frame_equal(
        pd.read_csv(files / "summary.csv"), pd.read_csv(one.directory / "summary.csv"), check_exact=True
    )
    table = pd.read_parquet(tmp_path / "table").drop(columns=[BLOCK, OUTCOME]).sort_values("row", ignore_index=True)
    pd.testing.assert_frame_equal(table, one.table.sort_values("row", ignore_index=True), check_exact=True)
