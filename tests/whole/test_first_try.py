"""How many tries it takes to the first picture, by what the documents say: one, whatever the model and the data are."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier

import nnperm_mlflow
from nnperm_mlflow.cli.main import main

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]
N_ROWS = 400
CITIES = ["Ulm", "Bonn", "Köln", "Trier"]


def clients():
    """A table as a bank has it: a number of the client, numbers, text, and what came of it."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame(
        {
            "client": np.arange(1, N_ROWS + 1),
            "age": rng.integers(20, 70, N_ROWS),
            "income": rng.normal(3_000, 800, N_ROWS).round(2),
            "city": rng.choice(CITIES, N_ROWS),
        }
    )
    table["default"] = (table["income"] + 20 * table["age"] + rng.normal(0, 300, N_ROWS) < 3_900).astype(int)
    return table


def walks():
    return np.random.default_rng(5).normal(size=(N_ROWS, 8, 2)).astype("float32")


def dense(names, last=1):
    return keras.Sequential(
        [keras.layers.Rescaling(1e-3), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(last, "sigmoid")],
        name=names,
    )


def log(network, name, inputs):
    """Log and register a network as a user does; return its URI."""
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            network,
            name=name,
            signature=infer_signature(inputs, np.asarray(network(inputs))),
            pip_requirements=["keras"],
            registered_model_name=name,
        )
    return f"models:/{name}/{logged.registered_model_version}"


def functional():
    """Numbers, a category and a history, with inputs called as the article calls them."""
    table = clients().assign(region=lambda table: table["client"] % 3)
    numbers, region = keras.Input((2,), name="num_input"), keras.Input((1,), name="region_input", dtype="int32")
    history = keras.Input((8, 2), name="temporal_input")
    parts = [numbers, keras.layers.Flatten()(keras.layers.Embedding(3, 2)(region)), keras.layers.LSTM(3)(history)]
    hidden = keras.layers.Rescaling(1e-3)(keras.layers.Concatenate()(parts))
    network = keras.Model([numbers, region, history], keras.layers.Dense(1, "sigmoid")(hidden))
    inputs = {
        "num_input": table[["age", "income"]].to_numpy("float32"),
        "region_input": table[["region"]].to_numpy("int32"),
        "temporal_input": walks(),
    }
    return log(network, "functional", inputs), table, inputs


def sequential_dense():
    inputs = clients()[["age", "income"]].to_numpy("float32")
    network = dense("dense")
    network(inputs)
    return log(network, "sequential", inputs), clients(), inputs


def sequential_recurrent():
    network = keras.Sequential([keras.Input((8, 2)), keras.layers.LSTM(4), keras.layers.Dense(1, "sigmoid")])
    return log(network, "recurrent", walks()), None, walks()


def string_lookup():
    city, age = keras.Input((1,), name="city", dtype="string"), keras.Input((1,), name="age")
    lookup = keras.layers.StringLookup(vocabulary=CITIES)
    embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(lookup(city)))
    joined = keras.layers.Concatenate()([embedded, keras.layers.Rescaling(0.01)(age)])
    network = keras.Model({"city": city, "age": age}, keras.layers.Dense(1, "sigmoid")(joined))
    table = clients()
    inputs = {"city": table[["city"]].to_numpy(object), "age": table[["age"]].to_numpy("float32")}
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            network, name="lookup", signature=infer_signature(inputs, np.zeros((N_ROWS, 1), "float32")),
            pip_requirements=["keras"], registered_model_name="lookup",
        )  # fmt: skip
    return f"models:/lookup/{logged.registered_model_version}", table, inputs


def autologged():
    """A network that `mlflow.tensorflow.autolog` has logged, in the run of its training."""
    pytest.importorskip("tensorboard")  # which that needs: findings/autolog_tensorboard.sh
    table = clients()
    numbers = table[["age", "income"]].to_numpy("float32")
    network = dense("autologged")
    network.compile("adam", "binary_crossentropy")
    mlflow.tensorflow.autolog()
    try:
        with mlflow.start_run() as run:
            network.fit(numbers, table["default"].to_numpy("float32"), epochs=1, verbose=0)
    finally:
        mlflow.tensorflow.autolog(disable=True)
    (output,) = mlflow.get_run(run.info.run_id).outputs.model_outputs
    return f"models:/{output.model_id}", table, numbers


def forest():
    """A forest that gives two probabilities."""
    table = clients()
    model = RandomForestClassifier(20, random_state=0).fit(table[["age", "income"]], table["default"])
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model,
            name="forest",
            signature=infer_signature(table[["age", "income"]], model.predict_proba(table[["age", "income"]])),
            pip_requirements=["scikit-learn"],
            registered_model_name="forest",
            pyfunc_predict_fn="predict_proba",
            serialization_format="cloudpickle",  # the code of which is trusted below
        )
    return f"models:/forest/{logged.registered_model_version}", table, table[["age", "income"]]


KINDS = {
    made.__name__: made
    for made in (functional, sequential_dense, sequential_recurrent, string_lookup, autologged, forest)
}


@pytest.fixture(scope="module")
def made(store):
    """For each kind of model its URI, its table and its inputs, made once."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    known = {}

    def make(kind):
        if kind not in known:
            known[kind] = KINDS[kind]()
        return known[kind]

    return make


def nnperm(*command):
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 0, f"{shlex.join(map(str, command))}\n{result.output}"
    return result.output


def has_picture(folder):
    return (Path(folder) / "boxplot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", KINDS)
def test_init_then_audit_gives_a_picture_at_the_first_try(kind, made, store, tmp_path, monkeypatch):
    """As the README has it, from a csv file and an array, without an edit of what `nnperm init` writes."""
    monkeypatch.chdir(tmp_path)
    uri, table, _ = made(kind)
    data = []
    if table is not None:
        table.to_csv("clients.csv", index=False)
        data += ["--data", "clients.csv"]
    if kind in ("functional", "sequential_recurrent"):
        np.save("walks.npy", walks())
        data += ["--history", "walks.npy"]
    trust = ["--trust-model"] if kind == "forest" else []
    nnperm("init", *trust, uri, *data, "--output", "mine.yaml", "--tracking-uri", store)
    nnperm("audit", *trust, "--config", "mine.yaml", "--output", "audit", "--tracking-uri", store)
    assert has_picture("audit")
    summary = pd.read_csv("audit/summary.csv").set_index("perturbation")
    assert summary["max"].max() > 0
    assert not {"client", "default"} & set(summary.index)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_in_memory_give_a_picture_at_the_first_try(kind, made, tracked):
    """Arrays as Keras takes them, one or a dict; a DataFrame for a model of columns."""
    uri, _, inputs = made(kind)
    result = nnperm_mlflow.audit(uri, data=inputs, trust_model=kind == "forest")
    assert has_picture(result.directory)


def test_the_article_s_pair_gives_a_picture_at_the_first_try(made, tracked):
    uri, table, inputs = made("functional")
    X_test, X_test_batch = table[["age", "income", "region"]], inputs["temporal_input"]  # noqa: N806 - as the article
    assert has_picture(nnperm_mlflow.audit(uri, data=(X_test, X_test_batch)).directory)


def test_a_table_in_memory_gives_a_picture_at_the_first_try(made, tracked):
    uri, table, _ = made("string_lookup")
    assert has_picture(nnperm_mlflow.audit(uri, data=table).directory)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What a checkout holds that `mlflow run .` needs, with the demo made in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("MLproject", "conda.yaml"):
        shutil.copy(PROJECT / name, folder)
    for name in ("configs", "nnperm_mlflow"):
        shutil.copytree(PROJECT / name, folder / name)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    demo = [sys.executable, "-m", "nnperm_mlflow", "demo"]
    subprocess.run(demo, cwd=folder, env=environment, check=True, capture_output=True)
    return folder, environment


def test_mlflow_run_as_the_readme_has_it_works_right_after_the_demo(checkout):
    folder, environment = checkout
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- mlflow run after the demo -->\n```bash\n(.*?)```", readme, re.DOTALL)[1]
    commands = block.replace("source .venv/bin/activate\n", "")  # the environment is that of the tests
    assert commands != block
    done = subprocess.run(
        ["/bin/bash", "-ec", commands], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    store = f"sqlite:///{folder}/nnperm-demo/mlflow.db"
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("nnperm-demo").experiment_id
    newest = client.search_runs([experiment], order_by=["attributes.start_time DESC"], max_results=1)[0]
    assert "boxplot.png" in {file.path for file in client.list_artifacts(newest.info.run_id)}
    assert newest.data.tags["mlflow.project.backend"] == "local"
    assert "the run is in experiment" not in done.stderr + done.stdout


def test_init_then_audit_of_the_demo_gives_the_demo_s_numbers_without_an_edit(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, _ = checkout
    demo = folder / "nnperm-demo"
    store = ["--tracking-uri", f"sqlite:///{demo}/mlflow.db"]
    data = ["--data", str(demo / "students.parquet"), "--history", str(demo / "students_study.npy")]
    nnperm("init", "models:/students/1", *data, *store)
    nnperm("audit", "--config", "students.yaml", "--output", "audit", *store)
    folders = tmp_path / "audit", demo / "students-audit"
    mine, theirs = (pd.read_parquet(place / "deviations.parquet") for place in folders)
    for name in ("row_id", "baseline", "ease_in_maths", "cheater", "cheater=1", "hair_colour"):
        assert (mine[name] == theirs[name]).all(), name
    assert has_picture(tmp_path / "audit")


def test_init_then_audit_of_the_credit_card_clients_is_what_the_demo_s_configuration_gives(
    uci_csv, tmp_path, monkeypatch
):
    """The order of the six months, which the file has newest first, and of channels and numbers included."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    nnperm("demo", "credit", "--csv", uci_csv, "--directory", "demo")
    store = ["--tracking-uri", f"sqlite:///{tmp_path}/demo/mlflow.db"]
    said = nnperm("init", "models:/credit/1", "--data", uci_csv, *store)
    assert "steps of history: PAY_6 first, PAY_0 last. The other way round AUC is" in said
    assert "open, and marked in" not in said
    nnperm("audit", "--config", "credit.yaml", "--output", "audit", *store)
    by_hand = yaml.safe_load((PROJECT / "configs" / "credit.yaml").read_text(encoding="utf-8"))
    by_hand["data"]["static"] = str(uci_csv)
    by_hand["analysis"] = {}
    (tmp_path / "by_hand.yaml").write_text(yaml.safe_dump(by_hand, sort_keys=False))
    nnperm("audit", "models:/credit/1", "--config", "by_hand.yaml", "--output", "by_hand", *store)
    tables = [pd.read_parquet(tmp_path / folder / "deviations.parquet") for folder in ("audit", "by_hand")]
    pd.testing.assert_frame_equal(tables[0][tables[1].columns], tables[1])
    assert has_picture("audit")
