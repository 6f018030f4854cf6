"""An audit that other code of the same version number began: what it left is not used, and the log says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import nnperm_mlflow
from nnperm_mlflow import audit
from tests.support.stored import save_pipeline

pytestmark = pytest.mark.slow

DEVIATION = "return reduce(np.abs(difference, out=difference)).astype(np.float32)"
AUDIT = """
import logging
import sys
import mlflow
from nnperm_mlflow import audit

logging.basicConfig(level="INFO")

store, model, rows, work, output, stop_after = sys.argv[1:]
mlflow.set_tracking_uri(store)

def tell(done, total):
    if done == int(stop_after):
        raise KeyboardInterrupt

audit({"data": {"static": rows}, "analysis": {"block_rows": 20}}, model_uri=model, work_dir=work, output=output,
      experiment="tests", progress=tell)
"""


@pytest.fixture
def linear(tmp_path):
    """A model of two columns, 2 * age + income, and the file of its rows."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(size=60), "income": rng.normal(size=60)})
    table.to_parquet(tmp_path / "rows.parquet")
    model = LinearRegression().fit(table, 2 * table["age"] + table["income"])
    return save_pipeline(model, tmp_path / "model", table, model.predict(table)), tmp_path / "rows.parquet"


def copied(folder, deviation):
    """Copy the package as another checkout of it, in which deviations are what is given."""
    copy = folder / "nnperm_mlflow"
    shutil.copytree(Path(nnperm_mlflow.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "configs"))
    module = copy / "analysis" / "engine" / "deviation.py"
    text = module.read_text()
    assert DEVIATION in text
    module.write_text(text.replace(DEVIATION, deviation))
    return folder


def audited(code, store, linear, folders, stop_after=-1):
    """Audit in a process with some code; return its exit status and what it wrote."""
    environment = {**os.environ, "PYTHONPATH": str(code)}
    command = [sys.executable, "-c", AUDIT, store, *map(str, [*linear, *folders, stop_after])]
    ended = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.usefixtures("tracked")
def test_what_other_code_of_the_same_version_has_computed_is_not_gone_on_with(tmp_path, store, linear):
    ours = copied(tmp_path / "ours", DEVIATION)
    theirs = copied(tmp_path / "theirs", DEVIATION.replace("return ", "return 2 * "))
    work = tmp_path / "work"
    status, said = audited(theirs, store, linear, [work, tmp_path / "begun"], stop_after=40)
    assert status != 0
    assert "KeyboardInterrupt" in said
    assert [*work.glob("states/*/blocks/*.sheet")], said
    status, said = audited(ours, store, linear, [work, tmp_path / "ended"])
    assert status == 0, said
    assert "is of another code: this one starts afresh" in said
    table = pd.read_parquet(tmp_path / "ended" / "deviations.parquet")
    own = {"data": {"static": str(linear[1])}, "analysis": {"block_rows": 20}}
    whole = audit(own, model_uri=str(linear[0]), work_dir=tmp_path / "other", experiment="tests")
    pd.testing.assert_frame_equal(table, whole.table)
    ages = pd.read_parquet(linear[1])["age"]
    assert 0 < whole.table["age"].max() <= 2.001 * (ages.max() - ages.min())
