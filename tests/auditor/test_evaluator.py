"""`mlflow.models.evaluate` with the plugin: what it audits, what is logged and how often, and whom it leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import EvaluationResult, MetricThreshold, infer_signature
from mlflow.models.evaluation.validation import ModelValidationFailedException
from sklearn.linear_model import LinearRegression

from nnperm_mlflow import AuditConfig, audit, dataset_from
from nnperm_mlflow.auditor.evaluate_adapter import EvaluatorConfig
from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError, ModelError, TrackingError
from nnperm_mlflow.evaluator import KEYS, NnpermEvaluator
from tests.support.cases import slow
from tests.support.house import register

CHANNELS = {
    "num_input": ["age", "income", "flag"], "region_input": ["region"], "temporal_input": ["balance", "payment"]
}  # fmt: skip
SEED = {"analysis": {"seed": 3}}
FILES = {
    "associations.csv", "audit.md", "boxplot.png", "config.yaml", "deviations.parquet", "medians.json", "names.json",
    "summary.csv", "report.html"
}  # fmt: skip


def evaluate(model, data, *, model_type="nnperm", evaluators=("nnperm",), others=None, targets=None, **settings):
    return mlflow.models.evaluate(
        model,
        data,
        model_type=model_type,
        evaluators=list(evaluators),
        evaluator_config={"nnperm": settings, **(others or {})},
        targets=targets,
    )


def deviations(result):
    return result.artifacts["deviations.parquet"].content


def id_of(client, name, version="1"):
    return client.get_model_version(name, str(version)).source.removeprefix("models:/")


def array_cells(house):
    """The network's inputs as a DataFrame that MLflow itself can predict: a cell holds all of a row's numbers."""
    return pd.DataFrame({name: list(array) for name, array in house.inputs.items()})


@pytest.fixture(scope="module")
def known(store):
    """A line 3 a, logged as `line`, with its data: `b` plays no part in it."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    rng = np.random.default_rng(8)
    table = pd.DataFrame({"a": rng.integers(0, 2, 300).astype(float), "b": rng.normal(size=300)})
    model = LinearRegression().fit(table, 3 * table["a"])
    model.coef_ = np.array([3.0, 0.0])
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model, name="line", signature=infer_signature(table, table["a"]), pip_requirements=["scikit-learn"]
        )
    return logged, table.assign(y=3 * table["a"])


@pytest.fixture(scope="module")
def evaluated(house, store):
    mlflow.set_tracking_uri(store)
    return evaluate("models:/house/1", array_cells(house), config=SEED, channels=CHANNELS)


@pytest.mark.slow
def test_cells_of_arrays_give_the_numbers_of_an_audit_of_the_same_rows(evaluated, house, tracked):
    expected = audit(house.config, model_uri="models:/house/1")
    pd.testing.assert_frame_equal(deviations(evaluated), expected.table.drop(columns="row_id"))
    medians = {key: value for key, value in evaluated.metrics.items() if key.startswith("median/")}
    assert medians == {key: value for key, value in expected.metrics.items() if key.startswith("median/")}
    assert len(medians) == 7
    assert evaluated.metrics["nnperm/reuse"] == 1


@pytest.mark.slow
def test_files_that_the_configuration_names_are_audited_in_place_of_the_data_given(house, tracked):
    given = house.table.drop(columns="income")
    result = evaluate("models:/house/1", given, config=str(house.config))
    pd.testing.assert_frame_equal(deviations(result), audit(house.config, model_uri="models:/house/1").table)


@pytest.mark.slow
def test_a_table_given_goes_with_temporal_files_and_columns_that_the_configuration_names(house, tracked):
    settings = house.settings()
    del settings["data"]["static"]
    expected = audit(house.config, model_uri="models:/house/1").table
    pd.testing.assert_frame_equal(deviations(evaluate("models:/house/1", house.table, config=settings)), expected)

    steps = {
        channel: {f"{channel}_{step}": house.history[:, position, step] for step in range(house.history.shape[2])}
        for position, channel in enumerate(["balance", "payment"])
    }
    table = house.table.assign(**steps["balance"], **steps["payment"])
    settings["data"]["temporal"] = {"history": {"columns": {channel: list(names) for channel, names in steps.items()}}}
    pd.testing.assert_frame_equal(deviations(evaluate("models:/house/1", table, config=settings)), expected)


@pytest.mark.slow
def test_a_known_model_has_the_deviations_that_it_must_have(known, tracked):
    logged, table = known
    result = evaluate(logged.model_uri, table, targets="y", config={"analysis": {"rare_below": 0}})
    assert set(deviations(result)["a"]) == {0.0, 3.0}
    assert set(deviations(result)["b"]) == {0.0}
    data = dataset_from(table, label="y")
    expected = audit({"analysis": {"rare_below": 0}}, model_uri=logged.model_uri, data=data, trust_model=True)
    pd.testing.assert_frame_equal(deviations(result), expected.table)


def test_an_array_with_named_features_is_audited_as_a_table(known, tracked):
    logged, table = known
    result = mlflow.models.evaluate(
        logged.model_uri, table[["a", "b"]].to_numpy(), targets=table["y"].to_numpy(), feature_names=["a", "b"],
        model_type="nnperm", evaluators="nnperm", evaluator_config={"config": {"analysis": {"scores": ["r2"]}}},
    )  # fmt: skip
    assert set(deviations(result)["a"]) == {0.0, 3.0}
    assert result.metrics["r2_drop/a"] > 1
    assert result.metrics["r2_drop/b"] == 0


class Triple(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return 3 * model_input["a"].to_numpy()


def test_code_of_a_model_runs_where_mlflow_has_run_it_and_the_run_says_so(known, house, tracked):
    """A model of Python is nothing but code; a network is loaded from its own file, without any."""
    table = known[1][["a", "b"]]
    with mlflow.start_run():
        signature = infer_signature(table, np.zeros(1))
        logged = mlflow.pyfunc.log_model(name="own", python_model=Triple(), signature=signature, pip_requirements=[])
    code_of = {}
    for name, model, rows, more in (
        ("python", logged.model_uri, table, {}),
        ("network", "models:/house/1", array_cells(house), {"channels": CHANNELS}),
    ):
        with mlflow.start_run() as run:
            evaluate(model, rows, **more)
        code_of[name] = tracked.get_run(run.info.run_id).data.params["model_code"]
    assert code_of == {"python": "in process", "network": "none"}


@pytest.mark.slow
def test_targets_are_the_labels_of_scores(house, tracked):
    table = array_cells(house).assign(outcome=house.table["label"])
    config = {"analysis": {"seed": 3, "scores": ["roc_auc"]}}
    result = evaluate("models:/house/1", table, targets="outcome", config=config, channels=CHANNELS)
    settings = house.settings()
    settings["analysis"] = config["analysis"]
    expected = audit(settings, model_uri="models:/house/1").metrics
    drops = {key: value for key, value in expected.items() if key.startswith("roc_auc_drop/")}
    assert len(drops) == 7
    assert {key: result.metrics[key] for key in drops} == drops


@pytest.mark.parametrize("form", ["version", *slow("alias", "logged model", "loaded", "model_id=")])
def test_each_metric_is_logged_once_on_the_run_and_once_on_the_model(form, house, tracked):
    version = register(house)
    model_id = id_of(tracked, "house", version)
    tracked.set_registered_model_alias("house", "newest", version)
    asked = {
        "version": f"models:/house/{version}",
        "alias": "models:/house@newest",
        "logged model": f"models:/{model_id}",
        "loaded": mlflow.pyfunc.load_model(f"models:/house/{version}"),
        "model_id=": f"models:/house/{version}",
    }[form]
    result = mlflow.models.evaluate(
        asked, array_cells(house), model_type="nnperm", evaluators=["nnperm"],
        model_id=model_id if form == "model_id=" else None,
    )  # fmt: skip
    run = tracked.get_run(result.run_id)
    assert run.data.metrics == result.metrics
    assert {len(tracked.get_metric_history(result.run_id, key)) for key in result.metrics} == {1}
    on_model = [metric for metric in tracked.get_logged_model(model_id).metrics if metric.run_id == result.run_id]
    assert {metric.key: metric.value for metric in on_model} == result.metrics
    assert len(on_model) == len(result.metrics)
    assert [given.model_id for given in run.inputs.model_inputs] == [model_id]
    assert tracked.get_model_version("house", version).tags["nnperm.run_id"] == result.run_id
    assert run.data.tags["nnperm.model"] == f"models:/house/{version}"
    assert run.info.status == "FINISHED"


def test_where_two_versions_are_one_logged_model_the_configuration_names_the_version(house, tracked):
    model_id = id_of(tracked, "house", register(house))
    tracked.create_registered_model("twins")
    versions = [tracked.create_model_version("twins", f"models:/{model_id}").version for _ in range(2)]
    evaluate(f"models:/{model_id}", array_cells(house), config={"model": f"models:/twins/{versions[1]}"})
    assert "nnperm.run_id" in tracked.get_model_version("twins", versions[1]).tags
    assert tracked.get_model_version("twins", versions[0]).tags == {}


def test_artifacts_are_the_files_of_the_run_and_can_be_saved(evaluated, tracked, tmp_path):
    assert set(evaluated.artifacts) == {file.path for file in tracked.list_artifacts(evaluated.run_id)} == FILES
    summary = evaluated.artifacts["summary.csv"].content
    assert summary["median"][0] == max(summary["median"]) == evaluated.metrics["nnperm/largest_median"]
    assert evaluated.artifacts["boxplot.png"].content.size[0] > 500
    assert "region_input: region" in evaluated.artifacts["config.yaml"].content
    assert set(evaluated.tables) == {"medians.json"}
    evaluated.save(str(tmp_path))
    loaded = EvaluationResult.load(str(tmp_path))
    assert loaded.metrics == evaluated.metrics
    for name in ("summary.csv", "deviations.parquet"):
        pd.testing.assert_frame_equal(loaded.artifacts[name].content, evaluated.artifacts[name].content)


def test_a_limit_on_a_median_passes_and_fails_a_model(evaluated):
    median = evaluated.metrics["median/age"]
    assert 0.05 < median < 0.5
    kept, missed = (
        {"median/age": MetricThreshold(threshold=limit, greater_is_better=False)} for limit in (median, median - 0.01)
    )
    mlflow.validate_evaluation_results(kept, evaluated)
    with pytest.raises(ModelValidationFailedException, match="median/age"):
        mlflow.validate_evaluation_results(missed, evaluated)
    with pytest.raises(ModelValidationFailedException, match="median/gender was missing"):
        mlflow.validate_evaluation_results(
            {"median/gender": MetricThreshold(threshold=1.0, greater_is_better=False)}, evaluated
        )


def test_a_candidate_is_compared_with_a_baseline(evaluated, house, known, tracked):
    """With one more shuffle seed the medians are other ones, and one of the two is the better."""
    other = evaluate("models:/house/1", array_cells(house), config={"analysis": {"seed": 4}}, channels=CHANNELS)
    better, worse = sorted([evaluated, other], key=lambda result: result.metrics["median/age"])
    change = worse.metrics["median/age"] - better.metrics["median/age"]
    assert change > 0
    less = {"median/age": MetricThreshold(min_absolute_change=change / 2, greater_is_better=False)}
    mlflow.validate_evaluation_results(less, better, worse)
    with pytest.raises(ModelValidationFailedException, match="median/age"):
        mlflow.validate_evaluation_results(less, worse, better)


@pytest.mark.slow
def test_checks_of_the_configuration_are_applied_and_a_verdict_that_fails_raises_nothing(house, tracked):
    version = register(house)
    for most, expected in [(0.9, "pass"), (0.01, "fail")]:
        config = {**SEED, "checks": [{"feature": "age", "statistic": "median", "max": most}]}
        result = evaluate(f"models:/house/{version}", array_cells(house), config=config, channels=CHANNELS)
        assert result.artifacts["verdict.json"].content["verdict"] == expected
        assert tracked.get_model_version("house", version).tags["nnperm.verdict"] == expected


def test_it_goes_along_with_the_evaluators_of_mlflow(known, tracked):
    logged, table = known
    result = evaluate(
        logged.model_uri, table, targets="y", model_type="regressor", evaluators=["default", "nnperm"],
        others={"default": {"log_model_explainability": False}}, config={},
    )  # fmt: skip
    assert result.metrics["root_mean_squared_error"] < 1e-9
    ours = [key for key in result.metrics if "/" in key]
    assert {"median/a", "mean/b", "nnperm/rows"} <= set(ours)
    assert {len(tracked.get_metric_history(result.run_id, key)) for key in ours} == {1}
    logged_on = [
        metric for metric in tracked.get_logged_model(logged.model_id).metrics if metric.run_id == result.run_id
    ]
    assert sorted(metric.key for metric in logged_on if "/" in metric.key) == sorted(ours)


def test_a_run_that_others_began_goes_on_and_holds_one_audit(known, tracked):
    logged, table = known
    with mlflow.start_run() as run:
        mlflow.log_param("epochs", 3)
        assert evaluate(logged.model_uri, table, config={}).run_id == run.info.run_id
        with pytest.raises(TrackingError, match="holds an audit already. Begin a run of its own"):
            evaluate(logged.model_uri, table, config={})
        assert tracked.get_run(run.info.run_id).info.status == "RUNNING"
    assert tracked.get_run(run.info.run_id).info.status == "FINISHED"


def test_a_run_whose_parameters_an_audit_would_contradict_is_refused_before_anything_is_logged(known, tracked):
    logged, table = known
    with mlflow.start_run() as run:
        mlflow.log_params({"seed": 17, "epochs": 3})
        with pytest.raises(TrackingError, match="holds the parameters 'seed' with other values"):
            evaluate(logged.model_uri, table, config={})
    assert tracked.get_run(run.info.run_id).data.metrics == {}
    assert tracked.list_artifacts(run.info.run_id) == []


def test_an_audit_that_cannot_be_done_fails_the_evaluation_with_its_own_message(house, tracked):
    with pytest.raises(
        DataError, match="names the column 'clients', which the static table does not have.* mean 'client'"
    ):
        evaluate("models:/house/1", house.table, config={"data": {"row_id": "clients"}})
    run = mlflow.search_runs(experiment_names=["tests"], output_format="list", max_results=1)[0]
    assert run.info.status == "FAILED"
    assert run.data.metrics == {}


def test_a_relative_database_is_no_hindrance_in_the_process_that_began_the_run(house, store, tmp_path, monkeypatch):
    """Under `mlflow run` it would be: there the run is in another database."""
    database = store.removeprefix("sqlite:///")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{os.path.relpath(database, tmp_path)}")
    mlflow.set_experiment("tests")
    assert evaluate("models:/house/1", array_cells(house)).metrics["nnperm/rows"] == 400


def test_a_model_that_is_not_logged_is_refused_with_what_to_do(known, tracked, tmp_path):
    logged, table = known
    with pytest.raises(ModelError, match=r"given a function or an endpoint. Log it with a signature"):
        evaluate(lambda rows: rows["a"], table)
    with pytest.raises(ModelError, match="given no model"):
        mlflow.models.evaluate(data=table, predictions="y", model_type="nnperm", evaluators=["nnperm"])
    model = mlflow.sklearn.load_model(logged.model_uri)
    signature = infer_signature(table[["a", "b"]], table["y"])
    mlflow.sklearn.save_model(model, tmp_path / "line", signature=signature, pip_requirements=["scikit-learn"])
    with pytest.raises(ModelError, match="from a directory that no tracking store knows"):
        evaluate(str(tmp_path / "line"), table)
    result = evaluate(str(tmp_path / "line"), table, config={"model": str(tmp_path / "line")})
    assert {len(tracked.get_metric_history(result.run_id, key)) for key in result.metrics} == {1}
    assert set(deviations(result)["a"]) == {0.0, 3.0}


def test_metrics_of_one_model_never_stand_on_another(house, known, tracked):
    logged, table = known
    with pytest.raises(ConfigError, match="given another model .* than 'config' names .models:/house/1"):
        evaluate(logged.model_uri, table, config={"model": "models:/house/1"})
    with pytest.raises(ConfigError, match=f"the metrics of models:/house/1 on another logged model, {logged.model_id}"):
        mlflow.models.evaluate(
            "models:/house/1", array_cells(house), model_type="nnperm", evaluators=["nnperm"], model_id=logged.model_id
        )


class Multiple(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["a"] * context.model_config["factor"]


class Pair(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"one": model_input["a"], "two": 2 * model_input["a"] + model_input["b"]})


def logged_python_model(model, table, output, **options):
    with mlflow.start_run():
        return mlflow.pyfunc.log_model(
            name="own", python_model=model, signature=infer_signature(table[["a", "b"]], output),
            pip_requirements=["pandas"], **options,
        ).model_uri  # fmt: skip


def test_another_configuration_than_the_logged_one_is_refused(known, tracked):
    _, table = known
    uri = logged_python_model(Multiple(), table, table["a"], model_config={"factor": 2.0})
    assert set(deviations(evaluate(uri, table))["a"]) == {0.0, 2.0}
    with pytest.raises(ConfigError, match="given a model_config, with which the model predicts otherwise"):
        evaluate(mlflow.pyfunc.load_model(uri, model_config={"factor": 5.0}), table)


@pytest.mark.slow
def test_predictions_names_the_output_to_follow(known, tracked):
    _, table = known
    uri = logged_python_model(Pair(), table, table[["a", "b"]].set_axis(["one", "two"], axis=1))
    asked = {"model_type": "nnperm", "evaluators": ["nnperm"]}
    with pytest.raises(ConfigError, match="the model has 2 outputs"):
        mlflow.models.evaluate(uri, table, **asked)
    first = deviations(mlflow.models.evaluate(uri, table, predictions="one", **asked))
    second = deviations(mlflow.models.evaluate(uri, table, predictions="two", **asked))
    assert (first["b"] == 0).all()
    assert (second["b"] > 0).any()
    with pytest.raises(ConfigError, match="'three' is no output .* which are 'one', 'two'"):
        mlflow.models.evaluate(uri, table, predictions="three", **asked)


def test_predictions_names_an_output_of_a_network_by_its_key(tracked):
    """In whatever order the signature has them, and however many numbers the others are."""
    given = keras.Input((2,), name="num_input")
    late, early = keras.layers.Dense(1, name="one"), keras.layers.Dense(2, name="another")
    network = keras.Model(given, {"late": late(given), "early": early(given)})
    rows = np.random.default_rng(0).normal(size=(30, 2)).astype("float32")
    predicted = network.predict(rows, verbose=0)
    with mlflow.start_run():
        signature = infer_signature({"num_input": rows}, {name: predicted[name] for name in ("late", "early")})
        logged = mlflow.tensorflow.log_model(network, name="network", signature=signature, pip_requirements=["keras"])
    asked = {"model_type": "nnperm", "evaluators": ["nnperm"]}
    asked["evaluator_config"] = {"nnperm": {"channels": {"num_input": ["a", "b"]}}}
    table = pd.DataFrame({"num_input": list(rows)})
    followed = deviations(mlflow.models.evaluate(logged.model_uri, table, predictions="late", **asked))
    np.testing.assert_allclose(followed["baseline"], predicted["late"][:, 0], rtol=1e-5)
    with pytest.raises(ConfigError, match="no output 'early'; choose an output \\('early_0', 'early_1', 'late'"):
        mlflow.models.evaluate(logged.model_uri, table, predictions="early", **asked)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"chanels": {}}, ConfigError, "unknown key 'chanels'.*Did you mean 'channels'"),
        ({"config": {"analyses": {}}}, ConfigError, "unknown key 'analyses'.*Did you mean 'analysis'"),
        ({"config": 3}, ConfigError, "must be a mapping"),
        ({"config": "nowhere.yaml"}, ConfigError, "'nowhere.yaml' cannot be read"),
        ({"channels": {"temporal_input": ["a"] * 2}}, ConfigError, "'a' is named twice"),
        ({"channels": {"temporal": ["a", "b"]}}, ConfigError, "'temporal' is no column of arrays.*'temporal_input'"),
        ({"channels": {"temporal_input": ["a", "b", "c"]}}, AuditError, "but 3 channels are named"),
    ],
)
def test_what_is_wrong_in_the_settings_is_told(settings, error, message, house, tracked):
    with pytest.raises(error, match=message):
        evaluate("models:/house/1", array_cells(house), **settings)


def test_what_contradicts_the_files_of_the_configuration_is_refused(house, tracked):
    with pytest.raises(DataError, match="has 400 rows, but evaluate.. was given 10"):
        evaluate("models:/house/1", house.table[:10], config=str(house.config))
    with pytest.raises(ConfigError, match="Leave out 'channels', or 'data: static'"):
        evaluate("models:/house/1", array_cells(house), config=str(house.config), channels=CHANNELS)
    with pytest.raises(ConfigError, match="targets is 'flag' and 'data: label' is 'label'"):
        evaluate("models:/house/1", house.table, targets="flag", config=str(house.config))
    settings = house.settings()
    settings["data"] = {"temporal": {"history": {"columns": {"balance": ["age", "income"], "payment": ["flag"]}}}}
    with pytest.raises(ConfigError, match="all channels of 'history' need the same number of steps"):
        evaluate("models:/house/1", house.table, config=settings)
    settings = house.settings()
    del settings["data"]["static"]
    with pytest.raises(ConfigError, match="'history': both temporal data of 'config' and a column of arrays"):
        evaluate("models:/house/1", house.table.assign(history=list(house.history)), config=settings)


def test_the_keys_that_ask_for_an_audit_are_those_that_it_takes():
    assert set(KEYS) == set(EvaluatorConfig.model_fields)


@pytest.mark.parametrize(
    ("model_type", "settings", "asks"),
    [
        ("nnperm", {}, True),
        ("classifier", {"config": {}}, True),
        ("regressor", {"channels": {}}, True),
        ("regressor", {"confg": {}}, True),
        ("classifier", {"chanels": {}}, True),
        ("classifier", {"config": None, "channels": {}}, True),
        ("classifier", {"config": AuditConfig()}, True),
        ("classifier", {"config": "audits/risk.yaml"}, True),
        ("classifier", {"config": Path("risk.YML"), "chanels": {}}, True),
        ("classifier", {"config": "mine.json"}, False),
        ("classifier", {"config": "mine"}, False),
        ("classifier", {"configs": ["mine.yaml"]}, False),
        ("classifier", {"config": 3}, False),
        ("classifier", {"config": EvaluatorConfig}, False),
        ("classifier", {"channels": ["red", "green"]}, False),
        ("classifier", {"channels": 3, "config": {}}, False),
        ("classifier", {"config": {}, "verbose": True}, False),
        ("classifier", {"verbose": True, "config": "mine.yaml"}, False),
        ("classifier", {"channels": {}, "log_model_explainability": False}, False),
        ("classifier", {"configs": {}, 3: 4}, False),
        ("classifier", {}, False),
        ("regressor", None, False),
        (None, {}, False),
        ("classifier", {"log_model_explainability": False, "explainability_algorithm": "kernel"}, False),
        ("classifier", {"pos_label": 1, "average": "macro", "sample_weights": [1], "label_list": [0, 1]}, False),
        ("question-answering", {"col_mapping": {}, "metric_prefix": "x_", 3: 4}, False),
        ("classifier", {"model_config": {}, "dataset_config": {}, "max_classes_for_multiclass_roc_pr": 5}, False),
    ],
)
def test_only_a_call_that_asks_for_an_audit_gets_one(model_type, settings, asks):
    assert NnpermEvaluator.can_evaluate(model_type=model_type, evaluator_config=settings, more="to come") is asks


def test_a_call_that_names_the_evaluator_and_nothing_else_is_refused_by_mlflow(known, tracked):
    """MLflow asks the same question as in a call that names no evaluator; docs/evaluator.md says what to write."""
    logged, table = known
    with pytest.raises(MlflowException, match="could not be evaluated by any of the registered evaluators"):
        mlflow.models.evaluate(logged.model_uri, table, targets="y", model_type="regressor", evaluators=["nnperm"])


STRANGER = """
import json, sys
import mlflow, pandas as pd

mlflow.set_experiment("tests")
rows = pd.DataFrame({"a": [0.0, 1.0] * 20, "b": range(40), "y": [0, 1, 1, 0] * 10})
told = {}
for evaluators, config in [
    (None, {"log_model_explainability": False}),
    (None, {"default": {"log_model_explainability": False}}),
    (None, {"log_model_explainability": False, "config": {"theirs": 1}}),
    (None, {"log_model_explainability": False, "configs": ["a.yaml"], "channels": 3}),
    (None, {"config": "mine.json"}),
    ("default", {"log_model_explainability": False}),
]:
    result = mlflow.models.evaluate(
        lambda frame: (frame["a"] > 0).astype(int), rows, targets="y", model_type="classifier",
        evaluators=evaluators, evaluator_config=config,
    )
    told = {"metrics": sorted(result.metrics), "artifacts": sorted(result.artifacts)}
    assert "accuracy_score" in result.metrics
print(json.dumps({**told, "evaluators": mlflow.models.list_evaluators(), "modules": list(sys.modules)}))
"""


@pytest.mark.slow
def test_evaluations_of_others_are_left_alone(store):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mlflow.models.evaluation.evaluator_registry", "-c", STRANGER],
        capture_output=True, text=True, check=False, env={**os.environ, "MLFLOW_TRACKING_URI": store},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "nnperm" in told["evaluators"]
    assert not [key for key in told["metrics"] if "/" in key]
    assert {name for name in told["modules"] if name.startswith("nnperm_mlflow")} == {
        "nnperm_mlflow", "nnperm_mlflow.evaluator"
    }  # fmt: skip
    assert not {"tensorflow", "keras"} & set(told["modules"])
