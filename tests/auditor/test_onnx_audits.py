"""Audits of ONNX models as they stand in a registry, without trust, beside a plain loop over sessions of the whole."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import skl2onnx
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from tests.support.onnx_models import exported_network, network_rows, served

pytestmark = pytest.mark.usefixtures("tracked")

N_ROWS = 150
ROWS = network_rows(N_ROWS)


def logged(model, name, signature=None):
    """Log and register a model as its user would; return its URI."""
    with mlflow.start_run():
        made = mlflow.onnx.log_model(
            model, name=name, registered_model_name=name, signature=signature, pip_requirements=["onnxruntime"]
        )
    return f"models:/{name}/{made.registered_model_version}"


def donors(name):
    """The donor of each row, as keyed by the feature's name."""
    return donor_positions(ShuffleBlock(0, np.arange(N_ROWS)), 0, name, 0)


def test_a_network_without_a_signature_is_audited_by_the_names_in_its_file(tmp_path):
    numbers = pd.DataFrame(ROWS["numbers"], columns=[f"n{place}" for place in range(5)])
    codes = pd.DataFrame(ROWS["codes"], columns=[f"c{place}" for place in range(4)])
    pd.concat([numbers, codes], axis=1).to_parquet(tmp_path / "clients.parquet")
    np.save(tmp_path / "history.npy", ROWS["history"])
    config = {
        "data": {
            "static": str(tmp_path / "clients.parquet"),
            "temporal": {
                "history": {"file": str(tmp_path / "history.npy"), "channels": ["a", "b", "c"], "channel_axis": 2}
            },
        },
        "inputs": {"numbers": list(numbers), "codes": list(codes), "history": "history"},
        "analysis": {"rare_below": 0.0},
    }
    audited = audit(config, model_uri=logged(exported_network(), "network"))
    places = {f"n{place}": ("numbers", (slice(None), place)) for place in range(5)}
    places |= {f"c{place}": ("codes", (slice(None), place)) for place in range(4)}
    places |= {name: ("history", (slice(None), slice(None), place)) for place, name in enumerate("abc")}
    (baseline,) = served(exported_network(), ROWS).values()
    for name, (given, where) in places.items():
        changed = ROWS[given].copy()
        changed[where] = ROWS[given][donors(name)][where]
        (predicted,) = served(exported_network(), {**ROWS, given: changed}).values()
        expected = np.abs(predicted - baseline)[:, 0]
        assert np.array_equal(audited.table[name], expected), name
        assert expected.any()


@pytest.fixture(scope="module")
def clients():
    rng = np.random.default_rng(4)
    return pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=["age", "dose", "bmi"]).astype("float32")


def test_a_classifier_is_audited_by_the_columns_of_its_signature_and_the_class_that_is_asked_for(tmp_path, clients):
    ill = np.where(clients["age"] + clients["dose"] > 0, "ill", "well")
    forest = RandomForestClassifier(5, random_state=0).fit(clients.to_numpy(), ill)
    model = skl2onnx.to_onnx(forest, clients.to_numpy()[:1])
    clients.to_parquet(tmp_path / "clients.parquet")
    uri = logged(model, "classifier", infer_signature(clients, ill))
    config = {"data": {"static": str(tmp_path / "clients.parquet")}, "analysis": {"output": "output_probability_ill"}}
    audited = audit(config, model_uri=uri)

    def probability(table):
        return np.array([row["ill"] for row in served(model, {"X": table.to_numpy()})["output_probability"]])

    for name in clients:
        changed = clients.assign(**{name: clients[name].to_numpy()[donors(name)]})
        expected = np.abs(probability(changed) - probability(clients)).astype("float32")
        np.testing.assert_allclose(audited.table[name], expected, atol=1e-6)


def test_a_forest_without_a_signature_is_audited_as_one_matrix(tmp_path, clients, tracked):
    """Trusted or not, it is read without running code that came with it."""
    forest = RandomForestRegressor(5, random_state=0).fit(clients.to_numpy(), clients["age"])
    model = skl2onnx.to_onnx(forest, clients.to_numpy()[:1])
    clients.to_parquet(tmp_path / "clients.parquet")
    config = {"data": {"static": str(tmp_path / "clients.parquet")}, "inputs": {"X": list(clients)}}
    audited = audit(config, model_uri=logged(model, "forest"), trust_model=True)
    baseline = served(model, {"X": clients.to_numpy()})["variable"]
    for name in clients:
        changed = clients.assign(**{name: clients[name].to_numpy()[donors(name)]}).to_numpy()
        expected = np.abs(served(model, {"X": changed})["variable"] - baseline)[:, 0]
        assert np.array_equal(audited.table[name], expected)
    assert tracked.get_run(audited.run_id).data.params["model_code"] == "none"
