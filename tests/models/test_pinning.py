"""Which model a URI means, in a real registry: one version number, whichever way one asks."""

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import keras
import mlflow
import numpy as np
import pytest

from nnperm_mlflow.basics.errors import ModelError, ModelNotFoundError
from nnperm_mlflow.models._storage import _local_directory
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_predictor
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from tests.support.empty_stores import empty_store

LEGACY = Path(__file__).parent / "legacy"
GIVEN = np.array([[1.0, 2.0], [3.0, 5.0]], dtype="float32")


def network(weight):
    """Predicts the sum of two numbers, times `weight`."""
    x = keras.Input((2,), name="num_input")
    return keras.Model(x, keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(weight))(x))


@pytest.fixture(scope="module")
def risk(store):
    """The model `risk` with versions 1 (times one) and 2 (times two), the first of them called `champion`."""
    mlflow.set_tracking_uri(store)
    experiment = mlflow.set_experiment("tests").experiment_id
    logged = []
    for weight in (1.0, 2.0):
        with mlflow.start_run():
            more = {"pip_requirements": ["keras"], "registered_model_name": "risk"}
            logged.append(mlflow.tensorflow.log_model(network(weight), name="network", **more))
    mlflow.MlflowClient().set_registered_model_alias("risk", "champion", "1")
    first, second = logged
    return SimpleNamespace(experiment=experiment, first=first, second=second)


def add_versions(client, name, count=1, files=None):
    """Register run artifacts the way of older MLflow, without a logged model; return the run."""
    with mlflow.start_run() as run:
        if files:
            mlflow.log_artifacts(str(files), "model")
    client.create_registered_model(name)
    for _ in range(count):
        client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
    return run


def predictions(reference, folder):
    folder.mkdir()
    predictor = load_predictor(download_model(reference, folder), reference)
    return predictor.begin([{"num_input": GIVEN}])[0].baseline[:, 0].tolist()


@pytest.mark.parametrize(
    "asked",
    ["models:/risk/1", "models:/risk@champion", "models:/{model_id}", "runs:/{run_id}/network", "models:/risk/1/"],
)
def test_every_way_to_ask_for_a_version_gives_the_same_pinned_version(tracked, risk, tmp_path, asked):
    uri = asked.format(model_id=risk.first.model_id, run_id=risk.first.run_id)
    reference = pin_model(tracked, uri)
    assert reference.uri == "models:/risk/1"
    assert (reference.name, reference.version) == ("risk", "1")
    assert (reference.model_id, reference.run_id) == (risk.first.model_id, risk.first.run_id)
    assert reference.experiment_id == risk.experiment
    assert reference.asked.rstrip("/") == uri.rstrip("/")
    assert predictions(reference, tmp_path / "model") == [3.0, 8.0]


def test_latest_is_the_version_of_that_moment(tracked, risk, tmp_path):
    reference = pin_model(tracked, "models:/risk/latest")
    assert (reference.uri, reference.model_id) == ("models:/risk/2", risk.second.model_id)
    assert predictions(reference, tmp_path / "model") == [6.0, 16.0]


def test_latest_is_the_largest_number_and_not_the_last_word(tracked):
    add_versions(tracked, "often", 11)
    assert pin_model(tracked, "models:/often/latest").uri == "models:/often/11"


def test_a_path_is_pinned_to_where_it_lies_and_not_to_what_it_is_called_from_there(tracked, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    reference = pin_model(tracked, "model")
    assert (reference.asked, reference.uri) == ("model", str(tmp_path / "model"))
    assert pin_model(tracked, "s3://bucket/model").uri == "s3://bucket/model"
    assert (reference.name, reference.version, reference.model_id, reference.run_id) == (None, None, None, None)


def test_an_alias_that_moves_afterwards_does_not_change_what_was_pinned(tracked, risk, tmp_path):
    tracked.set_registered_model_alias("risk", "moving", "1")
    reference = pin_model(tracked, "models:/risk@moving")
    tracked.set_registered_model_alias("risk", "moving", "2")
    assert predictions(reference, tmp_path / "before") == [3.0, 8.0]
    assert pin_model(tracked, "models:/risk@moving").uri == "models:/risk/2"


def test_a_version_and_its_logged_model_have_one_digest(tracked, risk, tmp_path):
    digests = []
    for uri in ("models:/risk/1", f"models:/{risk.first.model_id}", "models:/risk/2"):
        folder = tmp_path / str(len(digests))
        folder.mkdir()
        digests.append(download_model(ModelReference(uri, uri), folder).digest())
    assert digests[0] == digests[1] != digests[2]


def test_a_logged_model_without_a_version_is_pinned_by_its_id(tracked, tmp_path):
    with mlflow.start_run() as run:
        logged = mlflow.tensorflow.log_model(network(3.0), name="network", pip_requirements=["keras"])
    for uri in (f"models:/{logged.model_id}", f"runs:/{run.info.run_id}/network"):
        reference = pin_model(tracked, uri)
        assert reference.uri == f"models:/{logged.model_id}"
        assert (reference.name, reference.version) == (None, None)
        assert (reference.model_id, reference.run_id) == (logged.model_id, run.info.run_id)
        assert reference.experiment_id == run.info.experiment_id
    assert predictions(reference, tmp_path / "model") == [9.0, 24.0]


def test_between_two_versions_of_one_logged_model_none_is_chosen(tracked):
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(network(1.0), name="network", pip_requirements=["keras"])
    for name in ("twin-a", "twin-b"):
        mlflow.register_model(logged.model_uri, name)
    assert pin_model(tracked, logged.model_uri).version is None
    assert pin_model(tracked, logged.model_uri).model_id == logged.model_id
    assert pin_model(tracked, "models:/twin-b/1").model_id == logged.model_id


def test_a_version_without_a_logged_model_is_found_and_predicts(tracked, tmp_path):
    run = add_versions(tracked, "old", files=LEGACY / "h5")
    reference = pin_model(tracked, "models:/old/latest")
    assert (reference.uri, reference.model_id) == ("models:/old/1", None)
    assert (reference.run_id, reference.experiment_id) == (run.info.run_id, run.info.experiment_id)
    predictor = load_predictor(download_model(reference, tmp_path), reference, trust_model=True)
    with np.load(LEGACY / "expected.npz") as stored:
        found = predictor.begin([{spec.name: stored[spec.name] for spec in predictor.inputs}])[0].baseline
        np.testing.assert_allclose(found, stored["prediction"], rtol=0, atol=1e-6)


def test_model_files_in_a_run_are_found_without_a_logged_model(tracked, tmp_path):
    run = add_versions(tracked, "old-run", files=LEGACY / "h5")
    reference = pin_model(tracked, f"runs:/{run.info.run_id}/model")
    assert (reference.run_id, reference.experiment_id) == (run.info.run_id, run.info.experiment_id)
    assert load_predictor(download_model(reference, tmp_path), reference, trust_model=True).inputs


def test_a_name_may_hold_spaces_and_an_apostrophe(tracked):
    add_versions(tracked, "o'brien's risk", 2)
    assert pin_model(tracked, "models:/o'brien's risk/1").uri == "models:/o'brien's risk/1"
    assert pin_model(tracked, "models:/o'brien's risk/latest").version == "2"
    with pytest.raises(ModelNotFoundError, match="has the versions '1', '2'"):
        pin_model(tracked, "models:/o'brien's risk/3")


@pytest.mark.parametrize("uri", ["models:/rsik/1", "models:/rsik@champion", "models:/rsik/latest"])
def test_for_a_missing_model_the_nearest_name_is_told(tracked, risk, uri):
    with pytest.raises(ModelNotFoundError, match=r"there is no model 'rsik'; .* Did you mean 'risk'\?"):
        pin_model(tracked, uri)


def test_for_a_missing_version_or_alias_what_there_is_is_told(tracked):
    add_versions(tracked, "listed", 11)
    tracked.set_registered_model_alias("listed", "champion", "1")
    for uri in ("models:/listed/12", "models:/listed@challenger"):
        with pytest.raises(ModelNotFoundError) as caught:
            pin_model(tracked, uri)
        assert str(caught.value).startswith(f"{uri} is not in the registry")
        assert "'1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11'" in str(caught.value)
        assert "the aliases 'champion'" in str(caught.value)


def test_the_latest_of_no_versions_is_missing(tracked):
    tracked.create_registered_model("empty")
    with pytest.raises(ModelNotFoundError, match="'empty' has the versions none"):
        pin_model(tracked, "models:/empty/latest")


@pytest.mark.parametrize("status", ["FAILED_REGISTRATION", "PENDING_REGISTRATION"])
@pytest.mark.parametrize("asked", ["models:/{name}/1", "models:/{name}@champion", "models:/{name}/latest"])
def test_a_version_that_is_not_ready_is_refused_with_what_to_do(tracked, store, status, asked):
    name = f"{status} {asked.partition('}')[2].strip('/@')}"
    add_versions(tracked, name)
    tracked.set_registered_model_alias(name, "champion", "1")
    assert pin_model(tracked, asked.format(name=name)).version == "1"
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        database.execute("update model_versions set status = ? where name = ?", (status, name))
    told = f"models:/{name}/1 is {status}, not READY: .* Wait until it is registered, or register the model once more"
    with pytest.raises(ModelError, match=told):
        pin_model(tracked, asked.format(name=name))


@pytest.mark.parametrize("uri", ["models:/nobody/1", f"runs:/{'0' * 32}/model", f"models:/m-{'0' * 32}"])
def test_what_is_not_there_names_the_store_that_was_asked_and_what_names_another(tracked, store, uri):
    with pytest.raises(ModelNotFoundError) as caught:
        pin_model(tracked, uri)
    told = f"The store asked was {store}; --tracking-uri or MLFLOW_TRACKING_URI names another."
    assert str(caught.value).endswith(told)


def test_a_registry_of_its_own_is_named_as_that_without_its_secrets(tracked, store, monkeypatch):
    monkeypatch.setattr(mlflow, "get_registry_uri", lambda: "https://me:secret@registry.house")
    with pytest.raises(ModelNotFoundError) as caught:
        pin_model(tracked, "models:/nobody/1")
    assert str(caught.value).endswith("asked was https://registry.house; MLFLOW_REGISTRY_URI names another.")


def test_a_missing_run_or_logged_model_is_named(tracked):
    with pytest.raises(ModelNotFoundError, match=f"there is no run '{'0' * 32}'"):
        pin_model(tracked, f"runs:/{'0' * 32}/model")
    with pytest.raises(ModelNotFoundError, match=f"models:/m-{'0' * 32} is not in the tracking store"):
        pin_model(tracked, f"models:/m-{'0' * 32}")


def test_files_that_are_gone_are_named(tracked, tmp_path):
    run = add_versions(tracked, "gone")
    for uri in ("models:/gone/1", f"runs:/{run.info.run_id}/model"):
        reference = pin_model(tracked, uri)
        with pytest.raises(ModelNotFoundError, match=rf"{uri} are to lie at '.*/artifacts.*no such directory on this"):
            download_model(reference, tmp_path)


def test_a_store_that_was_moved_without_its_artifacts_says_where_they_are_looked_for(tmp_path):
    """As a database does that was copied from another machine: it holds absolute paths of that one."""
    before, artifacts = mlflow.get_tracking_uri(), tmp_path / "elsewhere"
    try:
        mlflow.set_tracking_uri(empty_store(tmp_path / "moved.db"))
        mlflow.create_experiment("moved", artifact_location=artifacts.as_uri())
        mlflow.set_experiment("moved")
        with mlflow.start_run() as run:
            more = {"pip_requirements": ["keras"], "registered_model_name": "moved"}
            logged = mlflow.tensorflow.log_model(network(1.0), name="network", **more)
        artifacts.rename(tmp_path / "left behind")
        told = rf"models:/moved/1 are to lie at '.*elsewhere.*{logged.model_id}.*moved here from another machine"
        for uri in ("models:/moved/1", f"models:/{logged.model_id}", f"runs:/{run.info.run_id}/network"):
            with pytest.raises(ModelNotFoundError, match=told):
                download_model(pin_model(mlflow.MlflowClient(), uri), tmp_path / "download")
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.parametrize(
    ("place", "directory"),
    [
        ("file:///home/anna/mlruns/1", "/home/anna/mlruns/1"),
        ("/home/anna/ml%20runs/1", "/home/anna/ml%20runs/1"),
        ("file:///home/anna/ml%20runs/1", "/home/anna/ml runs/1"),
        ("file:///C:/Users/anna/mlruns/1", "/C:/Users/anna/mlruns/1"),
        ("C:\\Users\\anna\\mlruns", "C:\\Users\\anna\\mlruns"),
        ("s3://bucket/1", None),
        ("mlflow-artifacts:/1", None),
    ],
)
def test_a_place_on_some_machine_is_told_from_one_of_a_server(place, directory):
    found = _local_directory(place)
    assert found == (None if directory is None else Path(directory))


def test_a_name_with_a_question_mark_is_the_name_of_a_model(tracked, tmp_path):
    """MLflow itself takes what follows for a query, and finds nothing."""
    with mlflow.start_run():
        more = {"pip_requirements": ["keras"], "registered_model_name": "who?"}
        mlflow.tensorflow.log_model(network(3.0), name="network", **more)
    add_versions(tracked, "what?", files=LEGACY / "h5")
    assert predictions(pin_model(tracked, "models:/who?/1"), tmp_path / "who") == [9.0, 24.0]
    older = download_model(pin_model(tracked, "models:/what?/1"), tmp_path / "what")
    assert older.digest() == download_model(ModelReference(str(LEGACY / "h5"), str(LEGACY / "h5")), tmp_path).digest()


@pytest.mark.parametrize(
    "uri",
    [
        "models:/",
        "models:/risk",
        "models:/risk/",
        "models:/risk/Production",
        "models:/risk/1/2",
        "models:/risk/-1",
        "models:/risk@",
        "models:/risk@a/b",
        "models:risk/1",
        "runs:/",
        "runs:/0a1b",
        "runs:/0a1b/",
    ],
)
def test_a_malformed_uri_is_refused_with_the_forms_that_there_are(tracked, risk, uri):
    with pytest.raises(ModelNotFoundError, match=r"is no model URI; expected models:/name/3, models:/name@alias"):
        pin_model(tracked, uri)


def test_of_two_models_of_one_name_in_a_run_the_newest_is_meant_as_mlflow_means_it(tracked):
    given = keras.Input((1,), name="num_input")
    ids = []
    with mlflow.start_run() as run:
        for _ in range(2):
            network = keras.Model(given, keras.layers.Dense(1)(given))
            logged = mlflow.tensorflow.log_model(network, name="twice", pip_requirements=["keras"])
            ids.append(logged.model_id)
    pinned = pin_model(tracked, f"runs:/{run.info.run_id}/twice")
    assert pinned.model_id == ids[1]
    assert mlflow.models.get_model_info(f"runs:/{run.info.run_id}/twice").model_id == ids[1]
