"""Features with names from strangers, through a whole audit: each keeps its own numbers, and none becomes a path."""

import json

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.models import infer_signature

from nnperm_mlflow import audit
from nnperm_mlflow.checking import check
from nnperm_mlflow.cli import main
from nnperm_mlflow.confirming import Rereading
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.policy import LimitCheck, Policy
from nnperm_mlflow.promoting import promote

HOSTILE = [
    "../../etc/passwd", "..", ".", "a/b", "a//b", "it's", 'say "so"', "two\nlines", "tab\there", "🦊", "x" * 300,
    "dose", "Dose", "DOSE",
    "<script>alert(1)</script>", "$(touch pwned)", "`id`; rm -rf", "=2", "a=b=c", "row", "median/age",
    "100 %", "[mg]", "NA", "nan", " leading", "{brace}", "C:\\windows", "ß", "SS",
]  # fmt: skip
N_ROWS = 60


@pytest.fixture(scope="module")
def audited(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    keras.utils.set_random_seed(0)
    given = keras.Input((len(HOSTILE),), name="num_input")
    network = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(given))
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(N_ROWS, len(HOSTILE))), columns=HOSTILE)
    numbers = table.to_numpy("float32")
    with mlflow.start_run():
        mlflow.tensorflow.log_model(
            network, name="hostile", pip_requirements=["keras"], registered_model_name="hostile",
            signature=infer_signature({"num_input": numbers}, network.predict(numbers, verbose=0)),
        )  # fmt: skip
    config = {
        "inputs": {"num_input": HOSTILE},
        "analysis": {"groups": {"../both": HOSTILE[:2], "two\nlines too": HOSTILE[3:5]}, "set": {"🦊": [0.5]}},
        "checks": [{"name": "../../check", "feature": "../../etc/passwd", "max": 1.0}],
    }
    output = tmp_path_factory.mktemp("hostile") / "output"
    return audit(config, model_uri="models:/hostile/1", data=dataset_from(table), output=output)


def test_each_name_has_metrics_and_a_column_of_its_own_and_is_written_down(audited, tracked):
    run = tracked.get_run(audited.run_id)
    names = json.loads(mlflow.artifacts.load_text(f"runs:/{audited.run_id}/names.json"))
    assert set(names) == set(audited.summary["perturbation"]) >= {*HOSTILE, "../both", "two\nlines too", "🦊=0.5"}
    keys = [told["metric"] for told in names.values()]
    assert len({key.casefold() for key in keys}) == len(keys)
    medians = audited.summary.set_index("perturbation")["median"]
    for name, told in names.items():
        assert run.data.metrics[f"median/{told['metric']}"] == pytest.approx(medians[name], rel=1e-12)
        column = audited.table[told["column"]]
        assert float(column.median()) == pytest.approx(medians[name], rel=1e-6)


def test_no_name_becomes_a_path(audited, tracked):
    assert {file.name for file in audited.directory.iterdir()} == {
        "associations.csv", "boxplot.png", "config.yaml", "deviations.parquet", "medians.json", "names.json",
        "summary.csv",
    }  # fmt: skip
    assert [file.name for file in audited.directory.parent.iterdir()] == ["output"]
    files = {file.path for file in tracked.list_artifacts(audited.run_id)}
    assert files == {file.name for file in audited.directory.iterdir()} | {"audit.md", "verdict.json", "verdicts"}


def test_what_is_read_back_has_the_same_names(audited, tracked):
    for name in HOSTILE:
        policy = Policy(checks=[LimitCheck(feature=name, max=1.0)])
        (outcome,) = check(run_id=audited.run_id, policy=policy).verdict.outcomes
        assert outcome.finding.of.partition("=0.5")[0] == name
    check(run_id=audited.run_id)
    assert promote("models:/hostile/1", "champion", rereading=Rereading(data=False)).verdict == "pass"


def test_commands_show_them(audited, store):
    for arguments in (("history", "models:/hostile"), ("check", "--run", audited.run_id)):
        result = CliRunner().invoke(main, [*arguments, "--tracking-uri", store])
        assert result.exit_code == 0, result.output
