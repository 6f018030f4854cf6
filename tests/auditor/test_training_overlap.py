"""Whether the audited rows are those of the training: found in the data that the model's run names, or left open."""

import mlflow
import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow import audit, check
from nnperm_mlflow.auditor.training_overlap import training_overlap
from nnperm_mlflow.basics.errors import CheckError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.training_data import TrainingData, training_data_of
from tests.support.house import build_house, register

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(
    {
        "id": np.arange(500), "age": RNG.normal(size=500), "sex": RNG.integers(1, 3, 500),
        "town": RNG.choice(["Bern", "Basel"], 500), "default": RNG.integers(0, 2, 500),
    }
)  # fmt: skip
POLICY = Policy.model_validate({"format": 2, "checks": [{"any": True, "max": 1.0}], "requires": {"not_training": True}})


def overlap_with(table, folder, rows=ROWS, name="training.csv"):
    path = folder / name
    table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
    dataset = dataset_from(rows, row_id="id", label="default")
    return training_overlap(dataset, [TrainingData("training", str(path))], Fetcher(folder))


@pytest.mark.parametrize("n_known", [0, 3, 125, 500])
@pytest.mark.parametrize("name", ["training.csv", "training.parquet"])
def test_rows_are_found_by_what_both_tables_hold(n_known, name, tmp_path):
    """Whatever they are called, however they are ordered, labelled or stored, and whatever else the training holds."""
    fresh = ROWS.assign(age=RNG.normal(size=500))
    training = pd.concat([ROWS.head(n_known), fresh]).sample(frac=1, random_state=1)
    training = training.assign(id=0, default=1, bonus=2.0).astype({"age": "float32", "sex": "float64"})
    found = overlap_with(training, tmp_path, name=name)
    assert (found.share, found.reason) == (n_known / 500, "")
    assert name in found.source


def test_columns_that_do_not_tell_rows_apart_prove_nothing(tmp_path):
    found = overlap_with(ROWS[["sex", "town"]], tmp_path)
    assert found.share is None
    assert "('sex', 'town') do not tell the audited rows apart" in found.reason


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "names no training data"),
        ([TrainingData("clients", None)], "named without a place where its rows could be read"),
        ([TrainingData("clients", "/nowhere/clients.csv")], "there is no file"),
    ],
)
def test_training_data_that_cannot_be_read_leave_it_open(source, words, tmp_path):
    found = training_overlap(dataset_from(ROWS), source, Fetcher(tmp_path))
    assert found.share is None
    assert words in found.reason


def test_only_files_and_artifacts_are_read_of_what_a_run_names(tracked, tmp_path):
    """Whoever may write a run chooses what it names: nothing is asked of another host for it."""
    frame = pd.DataFrame({"age": [1.0, 2.0]})
    with mlflow.start_run() as run:
        for number, source in enumerate(["http://127.0.0.1:9/clients.csv", str(tmp_path / "clients.csv")]):
            data = mlflow.data.from_pandas(frame + number, source=source, name=f"clients{number}")
            mlflow.log_input(data, context="training")
        mlflow.log_input(mlflow.data.from_pandas(frame, name="other"), context="validation")
    found = {each.name: each.location for each in training_data_of(mlflow.MlflowClient(), run.info.run_id)}
    assert found == {"clients0": None, "clients1": str(tmp_path / "clients.csv")}


@pytest.mark.slow
def test_a_version_that_was_fitted_to_the_audited_rows_gets_no_pass(store, tmp_path, tracked):
    """The same network twice, by runs that name other training data."""
    house = build_house(tmp_path, "fitted")
    fresh = house.table.assign(age=RNG.normal(size=len(house.table)))
    fresh.to_parquet(tmp_path / "fresh.parquet")
    for source in ("house.parquet", "fresh.parquet", None):
        made_by = tracked.get_model_version("fitted", register(house)).run_id
        if source is not None:
            path = tmp_path / source
            data = mlflow.data.from_pandas(pd.read_parquet(path), source=str(path), name=f"fitted-{source}")
            with mlflow.start_run(run_id=made_by):
                mlflow.log_input(data, context="training")
    results = {}
    for version in (1, 2, 3):
        try:
            result = audit(house.settings(), model_uri=f"models:/fitted/{version}", policy=POLICY)
            results[version] = result.verdict.status
        except CheckError as error:
            results[version] = str(error)
    assert "100.0% of them are in" in results[1]
    assert "house.parquet" in results[1]
    assert results[2] == "pass"
    assert "cannot be told: the model's run names no training data" in results[3]
    audit(house.settings(), model_uri="models:/fitted/2")
    with pytest.raises(CheckError, match="it did not look: audit again under this policy"):
        check("models:/fitted/2", policy=POLICY)
