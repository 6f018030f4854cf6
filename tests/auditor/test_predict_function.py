"""Classifiers that MLflow serves by labels, asked for their probabilities: whole audits, beside a plain loop."""

import catboost
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import xgboost
import yaml
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier

from nnperm_mlflow import audit, compare, propose, write_config
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.basics.audit_files import CARD_FILE
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, NoSuchFunctionError, PredictionError
from nnperm_mlflow.config.audit_config import AuditConfig, parse_config
from tests.support.stored import by_column, change_mlmodel, load, predicted

N_ROWS = 150
RNG = np.random.default_rng(5)
TABLE = pd.DataFrame({"age": RNG.normal(40, 9, N_ROWS), "wage": RNG.normal(3, 1, N_ROWS)})
SCORE = (TABLE["age"] - 40) / 9 + TABLE["wage"] - 3 + RNG.normal(size=N_ROWS) / 2
PASSES = np.where(SCORE > 0, "pays", "defaults")
KINDS = np.digitize(SCORE, [-0.7, 0.7])
ASKS = {"analysis": {"predict": "predict_proba"}}

CLASSIFIERS = {
    "xgboost": ("xgboost", xgboost.XGBClassifier(n_estimators=5), KINDS, ["0", "1", "2"], {}),
    "xgboost, two classes": ("xgboost", xgboost.XGBClassifier(n_estimators=5), KINDS // 2, ["0", "1"], {}),
    "xgboost, labels of its own": (
        "xgboost", xgboost.XGBClassifier(n_estimators=5, objective="multi:softmax"), KINDS, ["0", "1", "2"], {},
    ),
    "lightgbm": ("lightgbm", lightgbm.LGBMClassifier(n_estimators=5, verbose=-1), KINDS + 1, ["1", "2", "3"], {}),
    "catboost": (
        "catboost", catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False), PASSES,
        ["defaults", "pays"], {},
    ),
    "scikit-learn, skops": ("sklearn", LogisticRegression(), PASSES, ["defaults", "pays"], {}),
    "scikit-learn, pickle": (
        "sklearn", RandomForestClassifier(5, random_state=0), KINDS, ["0", "1", "2"],
        {"serialization_format": "cloudpickle"},
    ),
}  # fmt: skip


def saved(path, flavour, model, **more):
    signature = infer_signature(TABLE, np.zeros(N_ROWS))
    getattr(mlflow, flavour).save_model(model, str(path), signature=signature, pip_requirements=[flavour], **more)
    return str(path)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_probabilities_of_a_classifier_are_audited_where_they_are_asked_for(tmp_path, tracked, name):
    """Deviations are those of a loop over `predict_proba`, and outputs bear the names of the classes."""
    flavour, model, labels, classes, more = CLASSIFIERS[name]
    model.fit(TABLE, labels)
    path = saved(tmp_path / "model", flavour, model, **more)
    followed = classes[-1]
    config = {"analysis": {"predict": "predict_proba", "output": followed}}
    result = audit(config, model_uri=path, data=TABLE, trust_model=True, isolate=False)
    shuffled = TABLE["age"].to_numpy()[donor_positions(ShuffleBlock(0, np.arange(N_ROWS)), 0, "age", 0)]
    plain, moved = (model.predict_proba(rows)[:, -1] for rows in (TABLE, TABLE.assign(age=shuffled)))
    np.testing.assert_array_equal(result.table["baseline"], plain)
    np.testing.assert_array_equal(result.table["age"], np.abs(moved - plain).astype(result.table["age"].dtype))
    decisions = [model.predict_proba(rows).argmax(axis=1) for rows in (TABLE, TABLE.assign(age=shuffled))]
    flipped = result.summary.set_index("perturbation").loc["age", "flipped_share"]
    assert flipped == pytest.approx((decisions[0] != decisions[1]).mean())
    assert flipped > 0
    assert result.unit == "probability"
    assert tracked.get_run(result.run_id).data.params["predicted_by"] == "predict_proba"
    card = mlflow.artifacts.load_text(f"runs:/{result.run_id}/{CARD_FILE}")
    assert r"; predicted by predict\_proba." in card


def test_labels_are_audited_as_before_where_nothing_is_asked(tmp_path, tracked):
    _, model, labels, _, _ = CLASSIFIERS["xgboost"]
    path = saved(tmp_path / "model", "xgboost", model.fit(TABLE, labels))
    result = audit({}, model_uri=path, data=TABLE, trust_model=True, isolate=False)
    np.testing.assert_array_equal(result.table["baseline"], model.predict(TABLE))
    assert "predicted_by" not in tracked.get_run(result.run_id).data.params
    assert result.order_by == "flipped_share"


def test_the_probabilities_of_a_trusted_model_are_asked_for_in_its_process(tmp_path, tracked):
    _, model, labels, _, more = CLASSIFIERS["scikit-learn, pickle"]
    path = saved(tmp_path / "model", "sklearn", model.fit(TABLE, labels), **more)
    config = {"analysis": {"predict": "predict_proba", "output": 0}}
    result = audit(config, model_uri=path, data=TABLE, trust_model=True)
    np.testing.assert_array_equal(result.table["baseline"], model.predict_proba(TABLE)[:, 0])
    assert tracked.get_run(result.run_id).data.params["model_code"] == "isolated"


def test_the_probabilities_of_several_outcomes_are_told_apart_by_position(tmp_path):
    model = MultiOutputClassifier(LogisticRegression()).fit(TABLE, np.column_stack([KINDS, KINDS > 0]))
    files_of = saved(tmp_path / "model", "sklearn", model)
    predictor = load(files_of, asks_for="predict_proba")
    found = predicted(predictor.fitted(by_column(TABLE)), by_column(TABLE))
    np.testing.assert_array_equal(found, np.concatenate(model.predict_proba(TABLE), axis=1))
    assert predictor.outputs.names == ("0_0", "0_1", "0_2", "1_0", "1_1")


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("flavour", ["xgboost", "sklearn"])
def test_labels_that_a_row_may_bear_together_are_called_labels(tmp_path, flavour, n_labels):
    """Not classes of which one is right, though `classes_` numbers two of them the same way."""
    model = xgboost.XGBClassifier(n_estimators=3) if flavour == "xgboost" else MLPClassifier((3,), random_state=0)
    model.fit(TABLE, np.column_stack([KINDS > 0, KINDS > 1, KINDS == 1])[:, :n_labels].astype(int))
    more = {"serialization_format": "cloudpickle"} if flavour == "sklearn" else {}
    predictor = load(saved(tmp_path / "model", flavour, model, **more), trust_model=True, asks_for="predict_proba")
    predictor = predictor.fitted(by_column(TABLE))
    np.testing.assert_array_equal(predicted(predictor, by_column(TABLE)), model.predict_proba(TABLE))
    assert predictor.outputs.names == ("label 0", "label 1", "label 2")[:n_labels]


def test_a_function_that_nobody_reads_is_not_told(tmp_path, tracked):
    """Of a network the forward pass is audited, whatever function stands beside it."""
    rows = TABLE.to_numpy("float32")
    path = tmp_path / "model"
    mlflow.pytorch.save_model(
        torch.nn.Linear(2, 1), str(path), input_example=rows[:4], signature=infer_signature(rows, rows[:, :1]),
        pip_requirements=[],
    )  # fmt: skip
    change_mlmodel(path, lambda told: told["flavors"]["python_function"].update(predict_fn="predict_proba"))
    result = audit({}, model_uri=str(path), data={"num_input": rows}, trust_model=True, isolate=False)
    assert "predicted_by" not in tracked.get_run(result.run_id).data.params


# What has no probabilities


@pytest.mark.parametrize(
    ("flavour", "model", "kind"),
    [
        ("sklearn", LinearRegression(), "a LinearRegression"),
        ("xgboost", xgboost.XGBRegressor(n_estimators=2), "a XGBRegressor"),
        ("catboost", catboost.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False), "a CatBoostRegr"),
    ],
)
def test_what_is_no_classifier_says_so(tmp_path, tracked, flavour, model, kind):
    path = saved(tmp_path / "model", flavour, model.fit(TABLE, SCORE))
    with pytest.raises(NoSuchFunctionError, match=rf"is {kind}\w*, which has no predict_proba. Leave the key out."):
        audit(ASKS, model_uri=path, data=TABLE, trust_model=True, isolate=False)


class Doubling(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["age"] * 2


def test_a_flavour_without_classifiers_says_so(tmp_path, tracked):
    signature = infer_signature(TABLE, TABLE["age"])
    mlflow.pyfunc.save_model(str(tmp_path / "model"), python_model=Doubling(), signature=signature, pip_requirements=[])
    with pytest.raises(NoSuchFunctionError, match="asks classifiers of .* and .* is of 'python_function', whi"):
        audit(ASKS, model_uri=str(tmp_path / "model"), data=TABLE, trust_model=True, isolate=False)


def test_another_function_is_refused_by_the_configuration():
    with pytest.raises(ConfigError, match="predict"):
        parse_config({"analysis": {"predict": "decision_function"}})


def test_a_configuration_without_the_key_has_the_digest_that_it_had():
    assert AuditConfig().digest().startswith("1dc7b65b7153")
    asking = parse_config(ASKS)
    assert asking.digest() != AuditConfig().digest()
    assert asking.design_digest() != AuditConfig().design_digest()
    assert "predict:" not in AuditConfig().to_yaml()
    assert parse_config(yaml.safe_load(asking.to_yaml())).analysis.predict == "predict_proba"


def test_labels_in_words_are_told_with_what_the_flavour_has(tmp_path, tracked):
    for flavour, model, remedy in [
        ("sklearn", LogisticRegression(), r"no distance. Ask for probabilities \(analysis: {predict: predict_proba}\)"),
        ("catboost", CLASSIFIERS["catboost"][1], r"no distance. Ask for probabilities"),
    ]:
        path = saved(tmp_path / flavour, flavour, model.fit(TABLE, PASSES))
        with pytest.raises(PredictionError, match=remedy):
            audit({}, model_uri=path, data=TABLE, trust_model=True, isolate=False)


# Registered versions


@pytest.fixture(scope="module")
def version(store):
    """A registered classifier, its configuration as `nnperm init` writes it beside it."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    model = LogisticRegression().fit(TABLE, PASSES)
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model, name="payers", registered_model_name="payers", signature=infer_signature(TABLE, PASSES),
            pip_requirements=["scikit-learn"],
        )  # fmt: skip
    return "models:/payers/1"


def test_init_writes_that_a_classifier_is_asked_for_probabilities(version, tracked, tmp_path):
    TABLE.assign(paid=KINDS // 2).to_csv(tmp_path / "payers.csv", index=False)
    write_config(propose(version, str(tmp_path / "payers.csv")), tmp_path / "payers.yaml")
    written = yaml.safe_load((tmp_path / "payers.yaml").read_text())
    assert written["analysis"] == {"predict": "predict_proba", "output": 1}
    result = audit(str(tmp_path / "payers.yaml"))
    assert result.unit == "probability"


@pytest.mark.parametrize(
    ("model", "more"), [(LinearRegression(), {}), (LogisticRegression(), {"pyfunc_predict_fn": "predict_proba"})]
)
def test_init_writes_nothing_of_it_for_what_mlflow_serves_by_numbers(tmp_path, tracked, model, more):
    path = saved(tmp_path / "model", "sklearn", model.fit(TABLE, KINDS), **more)
    TABLE.to_csv(tmp_path / "payers.csv", index=False)
    assert propose(path, str(tmp_path / "payers.csv")).predict is None


def test_audits_by_different_functions_are_not_compared(version, tracked):
    """Neither row by row nor otherwise, and one sentence says why."""
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            LogisticRegression().fit(TABLE, KINDS // 2), name="payers", registered_model_name="payers",
            signature=infer_signature(TABLE, KINDS), pip_requirements=["scikit-learn"],
        )  # fmt: skip
    audit(ASKS, model_uri=version, data=TABLE)
    audit({}, model_uri="models:/payers/2", data=TABLE)
    with pytest.raises(EvidenceError, match="'predict: None', not 'predict_proba'"):
        compare(version, "models:/payers/2")
    with pytest.raises(EvidenceError, match="of predict_proba, run .* those of what MLflow serves, which are not comp"):
        compare(version, "models:/payers/2", paired=False)


def test_a_function_is_the_same_whether_it_is_asked_for_or_served(store, tracked):
    """One model, logged in two ways, has no difference row by row."""
    mlflow.set_tracking_uri(store)
    model = LogisticRegression().fit(TABLE, KINDS // 2)
    for more in ({}, {"pyfunc_predict_fn": "predict_proba"}):
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                model, name="served", registered_model_name="served", signature=infer_signature(TABLE, np.ones(2)),
                pip_requirements=["scikit-learn"], **more,
            )  # fmt: skip
    first, second = "models:/served/1", "models:/served/2"
    audit({"analysis": {"predict": "predict_proba", "output": 1}}, model_uri=first, data=TABLE)
    audit({"analysis": {"output": 1}}, model_uri=second, data=TABLE)
    np.testing.assert_allclose(compare(first, second).table["difference"], 0, atol=1e-12)
