"""Data and predictions in the forms that people have them: whole audits, beside a plain loop."""

import logging

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score

from nnperm_mlflow import audit, dataset_from, plan_audit
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.auditor import preparation
from nnperm_mlflow.basics.errors import AuditError, CheckError, ConfigError, DataError, ModelError, PredictionError
from tests.support.cases import slow

N_ROWS = 120
RNG = np.random.default_rng(2)
TABLE = pd.DataFrame(
    {"age": RNG.normal(40, 9, N_ROWS), "wage": RNG.normal(3, 1, N_ROWS), "sex": RNG.integers(1, 3, N_ROWS)}
)
LABELS = (TABLE["age"] / 9 + TABLE["wage"] + RNG.normal(size=N_ROWS) > 7.4).astype(int)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """A process for each model's own code takes seconds; that its numbers are the same is tried elsewhere."""
    access = preparation.ModelAccess
    monkeypatch.setattr(preparation, "ModelAccess", lambda trust_model, isolate: access(trust_model, isolate=False))


def donors(name):
    """The donor of each row, as keyed by the feature's name."""
    return donor_positions(ShuffleBlock(0, np.arange(N_ROWS)), 0, name, 0)


def logged(model, signature, name, **more):
    """Log a model of Python's, or of scikit-learn's, without an environment; return its URI."""
    with mlflow.start_run():
        if isinstance(model, mlflow.pyfunc.PythonModel):
            more["python_model"] = model
            flavour = mlflow.pyfunc
        else:
            more |= {"sk_model": model, "serialization_format": "cloudpickle"}
            flavour = mlflow.sklearn
        made = flavour.log_model(
            name=name, signature=signature, registered_model_name=name, pip_requirements=["scikit-learn"], **more
        )
    return f"models:/{name}/{made.registered_model_version}"


def stored(folder, table=TABLE):
    table.to_parquet(folder / "clients.parquet")
    return {"static": str(folder / "clients.parquet")}


def run(uri, data, **config):
    return audit({"data": data, **config}, model_uri=uri, trust_model=True, isolate=False)


def assert_loop(audited, predict, table, names):
    """Check the deviations of shuffled columns against those of a loop over a function of a DataFrame."""
    baseline = predict(table)
    for name in names:
        changed = table.assign(**{name: table[name].to_numpy()[donors(name)]})
        np.testing.assert_allclose(audited.table[name], np.abs(predict(changed) - baseline), atol=1e-6)
        assert audited.table[name].max() > 0


# What goes in


@pytest.fixture(scope="module")
def line(store):
    """A line of two numbers, logged with their names."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    model = LinearRegression().fit(TABLE[["age", "wage"]], LABELS)
    return model, logged(model, infer_signature(TABLE[["age", "wage"]], model.predict(TABLE[["age", "wage"]])), "line")


@pytest.mark.parametrize("way", [{"sep": ";"}, {"sep": ";", "decimal": ","}, {"sep": "\t"}], ids=str)
def test_a_csv_file_of_another_country_gives_the_numbers_of_the_loop(line, tracked, tmp_path, way):
    model, uri = line
    TABLE.to_csv(tmp_path / "clients.csv", index=False, **way)
    audited = run(uri, {"static": str(tmp_path / "clients.csv")})
    assert_loop(audited, lambda table: model.predict(table[["age", "wage"]]), TABLE, ["age", "wage"])


class OfCodes(mlflow.pyfunc.PythonModel):
    """An effect for each code of each column, as an embedding has one."""

    effects = np.random.default_rng(4).normal(size=(3, 9))

    def predict(self, context, codes, params=None):
        return self.effects[np.arange(3), codes].sum(axis=1)


def test_columns_of_a_matrix_of_codes_are_shuffled_and_set_as_the_categories_that_they_are(tracked, tmp_path):
    codes = np.stack([RNG.integers(0, 4, N_ROWS), np.arange(N_ROWS) == 7, RNG.integers(2, 9, N_ROWS)], axis=1).astype(
        "int64"
    )
    table = pd.DataFrame(codes, columns=["area", "flag", "job"])
    uri = logged(OfCodes(), infer_signature(codes, np.zeros(N_ROWS)), "codes")
    audited = run(uri, stored(tmp_path, table), analysis={"rare_below": 0.02})
    predict = lambda table: OfCodes().predict(None, table.to_numpy())  # noqa: E731
    assert_loop(audited, predict, table, list(table))
    expected = np.abs(predict(table.assign(flag=1)) - predict(table))
    np.testing.assert_allclose(audited.table["flag=1"], expected, atol=1e-6)
    assert audited.summary["kind"].tolist() == ["category"] * 4
    numbers = run(
        uri, stored(tmp_path, table), analysis={"kinds": {"area": "number", "flag": "number", "job": "number"}}
    )
    assert numbers.summary["kind"].tolist() == ["number"] * 4
    pd.testing.assert_series_equal(numbers.table["area"], audited.table["area"])


class OfArrays(mlflow.pyfunc.PythonModel):
    """A model of a DataFrame whose cells are numbers, arrays of numbers, and histories of steps and channels."""

    def predict(self, context, table, params=None):
        return predicted_of_arrays(
            table["age"].to_numpy(),
            np.stack(list(table["place"])),
            np.stack([np.stack(list(cell)) for cell in table["history"]]),
        )


def predicted_of_arrays(age, place, history):
    return np.tanh(age / 40 + place @ [1.0, -2.0, 0.5]) + history[:, -1, 0] * history[:, 0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", *slow("float32")])
def test_cells_that_are_arrays_are_audited_number_by_number_and_channel_by_channel(tracked, tmp_path, dtype):
    place, history = RNG.normal(size=(N_ROWS, 3)).astype(dtype), RNG.normal(size=(N_ROWS, 4, 2)).astype(dtype)
    cells = pd.DataFrame({"age": TABLE["age"], "place": list(place), "history": list(history)})
    uri = logged(OfArrays(), infer_signature(cells, np.zeros(N_ROWS)), "arrays")
    table = pa.table({"age": TABLE["age"], "place": place.tolist(), "history": history.tolist()})
    pq.write_table(table, tmp_path / "cells.parquet")
    data = {"static": str(tmp_path / "cells.parquet")}
    audited = run(uri, data)
    baseline = predicted_of_arrays(TABLE["age"].to_numpy(), place, history)
    for position in range(3):
        changed = place.copy()
        changed[:, position] = place[donors(f"place {position + 1}"), position]
        expected = np.abs(predicted_of_arrays(TABLE["age"].to_numpy(), changed, history) - baseline)
        np.testing.assert_allclose(audited.table[f"place {position + 1}"], expected, atol=1e-6)
    for position in range(2):
        changed = history.copy()
        changed[:, :, position] = history[donors(f"history channel {position + 1}"), :, position]
        expected = np.abs(predicted_of_arrays(TABLE["age"].to_numpy(), place, changed) - baseline)
        np.testing.assert_allclose(audited.table[f"history channel {position + 1}"], expected, atol=1e-6)
    assert sorted(audited.summary["kind"]) == ["number"] * 4 + ["series"] * 2
    again = audit(audited.directory / "config.yaml", trust_model=True)
    pd.testing.assert_frame_equal(again.table, audited.table)


def test_cells_that_stay_one_value_are_text_where_they_have_a_role(tmp_path):
    pq.write_table(pa.table({"pair": [[1, 2], [3, 4]], "age": [1.0, 2.0]}), tmp_path / "t.parquet")
    from nnperm_mlflow.config.data_config import DataConfig
    from nnperm_mlflow.inputs.dataset import load_dataset

    path = str(tmp_path / "t.parquet")
    assert load_dataset(DataConfig(static=path, row_id="pair"), lambda _: tmp_path / "t.parquet").row_ids.tolist() == [
        "[1, 2]",
        "[3, 4]",
    ]
    columns = load_dataset(DataConfig(static=path), lambda _: tmp_path / "t.parquet").columns
    assert {name: values.tolist() for name, values in columns.items()} == {
        "pair 1": [1, 3],
        "pair 2": [2, 4],
        "age": [1.0, 2.0],
    }


def test_text_for_a_column_of_arrays_is_told_with_the_ways_to_give_them(tracked, tmp_path):
    cells = pd.DataFrame(
        {"age": TABLE["age"], "place": list(np.zeros((N_ROWS, 3))), "history": list(np.zeros((N_ROWS, 4, 2)))}
    )
    uri = logged(OfArrays(), infer_signature(cells, np.zeros(N_ROWS)), "arrays")
    data = stored(tmp_path, TABLE.assign(place="[1, 2, 3]", history="x"))
    with pytest.raises(
        AuditError, match=r"takes arrays in the column 'place', but column 'place' holds text. Give them as lists"
    ):
        run(uri, data)


class Ignoring(mlflow.pyfunc.PythonModel):
    def predict(self, context, table, params=None):
        return table["age"].to_numpy() * 2


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (
            Schema([ColSpec("double", "age"), ColSpec("datetime", "day")]),
            "takes the column 'day' of type datetime: cells can",
        ),
        (
            Schema([ColSpec("double"), ColSpec("double")]),
            r"neither a named column nor a tensor. Log it with the signature",
        ),
        (Schema([TensorSpec(np.dtype("float64"), (1, 2))]), r"'num_input' has 1 row\(s\), and MLflow's pyfunc refuses"),
    ],
)
def test_a_signature_that_cannot_be_followed_is_told_with_the_column_and_the_way(tracked, tmp_path, signature, message):
    with pytest.raises(ModelError, match=message):
        run(logged(Ignoring(), ModelSignature(signature), "odd"), stored(tmp_path))


def test_a_column_of_dictionaries_is_told_by_name(tracked, tmp_path):
    cells = pd.DataFrame({"age": [1.0], "who": [{"a": 1.0}]})
    with pytest.raises(ModelError, match="takes the column 'who' of type .*a: double"):
        run(logged(Ignoring(), infer_signature(cells, np.zeros(1)), "odd"), stored(tmp_path))


def test_a_signature_of_one_row_of_whole_numbers_is_told_as_the_cause(tracked, tmp_path):
    uri = logged(Ignoring(), infer_signature(pd.DataFrame([{"age": 40}]), np.zeros(1)), "one")
    with pytest.raises(
        DataError, match=r"column 'age' holds no int64 codes .* infers it of an example .*a single row.* log the"
    ):
        run(uri, stored(tmp_path))
    vector = logged(LinearRegression(), infer_signature(np.array([40.0, 3.0, 1.0]), np.zeros(1)), "one")
    with pytest.raises(
        ConfigError, match=r"inferred from a single row, given as a vector\? Log it again with infer_signature"
    ):
        run(vector, stored(tmp_path))


def test_an_optional_column_that_the_data_lack_is_left_out(tracked, tmp_path, caplog):
    schema = Schema([ColSpec("double", "age"), ColSpec("double", "height", required=False)])
    with caplog.at_level(logging.INFO):
        audited = run(logged(Ignoring(), ModelSignature(schema), "optional"), stored(tmp_path))
    assert "can do without 'height', which no data are found for" in caplog.text
    assert_loop(audited, lambda table: 2 * table["age"].to_numpy(), TABLE, ["age"])


# What comes out


@pytest.fixture(scope="module")
def classifier():
    return LogisticRegression().fit(TABLE[["age", "wage"]], LABELS)


class Telling(mlflow.pyfunc.PythonModel):
    """A classifier that tells probabilities in some form."""

    def __init__(self, classifier, form):
        self.classifier, self.form = classifier, form

    def predict(self, context, table, params=None):
        return self.form(self.classifier.predict_proba(table), self.classifier.predict(table))


def labels_and_probabilities(proba, labels):
    return {"label": labels, "probabilities": proba.astype("float32")}


def zip_map(proba, labels):
    """As skl2onnx has it."""
    return {"output_label": labels, "output_probability": [dict(enumerate(row)) for row in proba.tolist()]}


def zip_map_in_a_table(proba, labels):
    return pd.DataFrame(zip_map(proba, labels))


def words_and_columns(proba, labels):
    return pd.DataFrame({"class": np.where(labels, "good", "bad"), "bad": proba[:, 0], "good": proba[:, 1]})


FORMS = {
    "an array": (lambda proba, labels: proba, 1),
    "a mapping": (labels_and_probabilities, "probabilities_1"),
    "a mapping by class": (zip_map, "output_probability_1"),
    "a table by class": (zip_map_in_a_table, "output_probability_1"),
    "a table with words": (words_and_columns, "good"),
    "rows by class": (lambda proba, labels: [dict(zip("ab", row, strict=True)) for row in proba.tolist()], "b"),
}


@pytest.mark.usefixtures("tracked")
@pytest.mark.parametrize(
    "called", ["a table with words", *slow(*(called for called in FORMS if called != "a table with words"))]
)
def test_of_two_probabilities_the_positive_class_is_followed_and_told(classifier, tmp_path, caplog, called):
    form, output = FORMS[called]
    given = TABLE[["age", "wage"]]
    uri = logged(Telling(classifier, form), infer_signature(given, LABELS.to_numpy()), "told")
    data = stored(tmp_path, TABLE.assign(label=LABELS))
    with caplog.at_level(logging.INFO):
        audited = run(uri, {**data, "label": "label"}, analysis={"scores": ["roc_auc", "accuracy"]})
    assert f"'{output}' is followed, the second or positive one, as by scikit-learn's scorers" in caplog.text
    predict = lambda table: classifier.predict_proba(table[["age", "wage"]])[:, 1]  # noqa: E731
    assert_loop(audited, predict, TABLE, ["age", "wage"])
    used = yaml.safe_load((audited.directory / "config.yaml").read_text())
    assert used["analysis"]["output"] == output
    assert audited.unit == "probability"
    shuffled = TABLE.assign(age=TABLE["age"].to_numpy()[donors("age")])
    row = audited.summary.set_index("perturbation").loc["age"]
    assert row["flipped_share"] == np.mean((predict(shuffled) > 0.5) != (predict(TABLE) > 0.5))
    for score, predicted in ((roc_auc_score, predict), (accuracy_score, lambda table: predict(table) > 0.5)):
        drop = score(LABELS, predicted(TABLE)) - score(LABELS, predicted(shuffled))
        assert row[f"{score.__name__.removesuffix('_score')}_drop"] == pytest.approx(drop, abs=1e-6)
    first = run(uri, data, analysis={"output": 0})
    np.testing.assert_allclose(first.table["age"], audited.table["age"], atol=1e-6)


class Two(mlflow.pyfunc.PythonModel):
    """Two numbers that are no probabilities, by name."""

    def __init__(self, form):
        self.form = form

    def predict(self, context, table, params=None):
        return self.form(table["age"].to_numpy(), 3 * table["wage"].to_numpy())


@pytest.mark.parametrize(
    "form",
    [
        lambda first, second: {"slow": first, "fast": second[:, None]},
        lambda first, second: pd.DataFrame({"slow": first, "fast": second, "why": "because"}),
        lambda first, second: np.stack([first, second], axis=1),
    ],
    ids=["mapping", "table", "array with names in the signature"],
)
def test_outputs_are_chosen_by_the_names_that_they_have(tracked, tmp_path, form):
    given = TABLE[["age", "wage"]]
    uri = logged(Two(form), infer_signature(given, given.set_axis(["slow", "fast"], axis=1)), "two")
    with pytest.raises(
        ConfigError, match=r"the model has 2 outputs: choose under 'analysis: output:' an output \('slow', 'fast'"
    ):
        run(uri, stored(tmp_path))
    audited = run(uri, stored(tmp_path), analysis={"output": "fast"})
    assert_loop(audited, lambda table: 3 * table["wage"].to_numpy(), TABLE, ["wage"])
    assert audited.table["age"].max() == 0


class Logit(mlflow.pyfunc.PythonModel):
    def __init__(self, classifier):
        self.classifier = classifier

    def predict(self, context, table, params=None):
        return self.classifier.decision_function(table)


@pytest.mark.slow
def test_scores_of_classes_take_the_decision_that_the_configuration_tells(classifier, tracked, tmp_path):
    given = TABLE[["age", "wage"]]
    uri = logged(Logit(classifier), infer_signature(given, np.zeros(N_ROWS)), "logit")
    data = {**stored(tmp_path, TABLE.assign(label=LABELS)), "label": "label"}
    with pytest.raises(
        ConfigError, match="'accuracy' cannot score this model: it needs classes, .* as the decision, and"
    ):
        run(uri, data, analysis={"scores": ["accuracy"]})
    predict = lambda table: classifier.decision_function(table[["age", "wage"]])  # noqa: E731
    changed = TABLE.assign(age=55.0)
    for threshold in (0.0, -0.7):
        audited = run(
            uri, data, analysis={"scores": ["accuracy", "roc_auc"], "decision": threshold, "set": {"age": [55]}}
        )
        row = audited.summary.set_index("perturbation").loc["age=55"]
        before, after = predict(TABLE) > threshold, predict(changed) > threshold
        assert row["accuracy_drop"] == pytest.approx(
            accuracy_score(LABELS, before) - accuracy_score(LABELS, after), abs=1e-6
        )
        assert row["flipped_share"] == np.mean(before != after)
        assert row["roc_auc_drop"] == pytest.approx(
            roc_auc_score(LABELS, predict(TABLE)) - roc_auc_score(LABELS, predict(changed))
        )


# Why it fails


class Failing(mlflow.pyfunc.PythonModel):
    def predict(self, context, table, params=None):
        raise ValueError(f"cannot take {table['age'].iloc[0]}")


def test_a_failure_says_where_its_words_are_shown_and_tells_no_data(tracked, tmp_path):
    uri = logged(Failing(), infer_signature(TABLE, np.zeros(N_ROWS)), "failing")
    with pytest.raises(
        PredictionError, match=r"the model failed \(ValueError\). What it says may hold data, and is shown with"
    ) as caught:
        run(uri, stored(tmp_path))
    assert str(TABLE["age"][0]) not in str(caught.value)


CLIENTS = TABLE.assign(client=np.arange(N_ROWS) // 3)


@pytest.fixture(scope="module")
def clustered(store):
    """URI of a line of all columns but the client."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    return logged(LinearRegression().fit(TABLE, LABELS), infer_signature(TABLE, LABELS.astype(float)), "clients")


def test_clusters_are_known_of_a_file_a_table_and_a_data_set_alike(clustered, tracked, tmp_path):
    """The column is on record, is no feature, and keeps such an audit apart from one without it."""
    uri, named = clustered, {"data": {"cluster": "client"}}
    of_file = plan_audit({"data": {**stored(tmp_path, CLIENTS), "cluster": "client"}}, model_uri=uri, trust_model=True)
    of_table = plan_audit(named, model_uri=uri, data=CLIENTS, trust_model=True)
    of_set = plan_audit(uri, data=dataset_from(CLIENTS, cluster="client"), trust_model=True)
    for forecast in (of_file, of_table, of_set):
        plan = forecast.plan
        assert plan.job.clusters.tolist() == [row // 3 for row in range(N_ROWS)]
        assert plan.record["cluster"] == plan.used.disturbance()["cluster"] == "client"
        assert plan.record["clusters"] == N_ROWS / 3
        assert set(plan.job.inputs.features) == set(TABLE)
    plain = plan_audit(uri, data=CLIENTS, trust_model=True).plan
    assert plain.job.clusters is None
    assert "cluster" not in plain.record


def test_clusters_that_the_rows_do_not_hold_are_refused(clustered, tracked):
    uri, named = clustered, {"data": {"cluster": "client"}}
    with pytest.raises(DataError, match="data: cluster names the column 'client', which the static table does not"):
        audit(named, model_uri=uri, data=TABLE, trust_model=True)
    with pytest.raises(ConfigError, match="data: cluster names the column 'client', but arrays came"):
        audit(named, model_uri=uri, data=TABLE.to_numpy(), trust_model=True)
    with pytest.raises(ConfigError, match="'client', but the Dataset has no clusters"):
        audit(named, model_uri=uri, data=dataset_from(CLIENTS), trust_model=True)


def test_p_values_are_refused_where_rows_of_a_cluster_cannot_change_places(clustered, tracked):
    asked = {"data": {"cluster": "client", "label": "paid"}, "analysis": {"scores": ["r2"], "p_values": True}}
    with pytest.raises(ConfigError, match="p_values need rows that can change places, and rows of one 'client'"):
        audit(asked, model_uri=clustered, data=CLIENTS.assign(paid=LABELS), trust_model=True)


def test_few_clusters_are_told_before_anything_is_disturbed_and_pass_no_policy(clustered, tracked, caplog):
    few = TABLE.assign(client=np.arange(N_ROWS) // 10)
    policy = {"checks": [{"any": True, "statistic": "max", "max": 1e9}]}
    with pytest.raises(CheckError, match="of 12 clusters: nothing is sure below 30"):
        audit({"data": {"cluster": "client"}, **policy}, model_uri=clustered, data=few, trust_model=True)
    assert (
        "'client' has 12 different values, by their sizes as good as 12 alike: below 30 clusters no number"
        in caplog.text
    )


def test_means_that_few_rows_make_are_told(tracked, caplog):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"wage": np.exp(3 * rng.normal(size=N_ROWS)), "age": rng.normal(size=N_ROWS)})
    model = LinearRegression().fit(table, table["wage"] + table["age"])
    uri = logged(model, infer_signature(table, table["wage"]), "wages")
    with caplog.at_level(logging.WARNING):
        audit(uri, data=table, trust_model=True)
    assert "few rows make most of the mean of 'wage'" in caplog.text
    assert "mean of 'wage' and" not in caplog.text
