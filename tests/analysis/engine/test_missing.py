"""Missing values: moved like any other where the model takes them, refused or left out where it does not."""

import math

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import nnperm_mlflow
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.missing import find_void_inputs
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.profiles.profiles import find_profiles
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.basics.errors import DataError, ModelError, NonFinitePredictionError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.branches.branch_predictor import BranchPredictor
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from tests.support.plain import PlainPredictor, bound, deviations, run
from tests.support.python_models import Centred

N_ROWS = 200
RNG = np.random.default_rng(0)
DOSE = np.where(RNG.random(N_ROWS) < 0.1, np.nan, RNG.normal(size=N_ROWS))
TABLE = pd.DataFrame({"dose": DOSE, "age": RNG.normal(size=N_ROWS)})


def filled(inputs):
    """A model that takes what is missing for 5."""
    given = inputs["num_input"]
    return np.where(np.isnan(given[:, 0]), 5.0, given[:, 0]) + given[:, 1]


def plain(inputs):
    return inputs["num_input"].sum(axis=1)


def audit(function, tmp_path, table=TABLE, block_rows=33, **analysis):
    specs, inputs = bound(table, numbers=["dose", "age"])
    settings = AnalysisConfig(rare_below=0.0, **analysis)
    plan = plan_perturbations(inputs, "the model", settings)
    predictor = PlainPredictor(specs, function)
    skips = settings.missing == "skip"
    job = Job(
        predictor,
        inputs,
        plan,
        choose_measure(None, 1, ()),
        "the model",
        repeats=settings.repeats,
        skips_missing=skips,
        void_inputs=find_void_inputs(predictor, inputs, "the model", skips),
    )
    found = find(job, block_rows, tmp_path / "t.parquet", lambda *_: None)
    table = pd.read_parquet(tmp_path / "t.parquet").sort_values(["repeat", "row"])
    return found.summary.set_index("perturbation"), table


def test_a_shuffle_moves_what_is_missing_like_any_value():
    found, moved, predictor, _ = run(filled, bound(TABLE, numbers=["dose", "age"]))
    before, after = (predictor.seen[number]["num_input"][:, 0] for number in (0, 1))
    np.testing.assert_array_equal(np.sort(before), np.sort(after))
    assert (np.isnan(before) != np.isnan(after)).any()
    both_missing = np.isnan(before) & np.isnan(after)
    assert both_missing.any()
    np.testing.assert_array_equal(moved["dose"], (before != after) & ~both_missing)
    expected = np.abs(np.nan_to_num(after, nan=5.0) - np.nan_to_num(before, nan=5.0))
    np.testing.assert_allclose(found["dose"], expected, rtol=1e-6)


def test_a_model_that_takes_them_is_audited_on_all_rows(tmp_path):
    summary, table = audit(filled, tmp_path)
    assert summary["skipped"].tolist() == [0, 0]
    assert table.notna().all(axis=None)


def test_one_that_does_not_is_refused_with_the_column_and_what_to_do(tmp_path):
    message = r"column 'dose' holds NaN in \d+ of 200 rows \(first: row \d+\).*the model gives no finite.*missing: skip"
    with pytest.raises(DataError, match=message):
        audit(plain, tmp_path)


@pytest.mark.parametrize("block_rows", [33, 1000])
def test_rows_that_hold_them_are_left_out_by_perturbation_with_their_number_told(block_rows, tmp_path):
    summary, table = audit(plain, tmp_path, block_rows=block_rows, missing="skip", repeats=3)
    gone = np.isnan(DOSE)
    age = table["age"].to_numpy().reshape(3, N_ROWS)
    np.testing.assert_array_equal(np.isnan(age), np.tile(gone, (3, 1)))
    dose = table["dose"].to_numpy().reshape(3, N_ROWS)
    assert np.isnan(dose[:, gone]).all()
    assert (np.isnan(dose).sum(axis=1) > gone.sum()).all()  # rows that receive what is missing, too
    for name, values in (("age", age), ("dose", dose)):
        kept = values[~np.isnan(values)].astype(float)
        row = summary.loc[name]
        assert row["skipped"] == np.isnan(values).sum()
        assert row["rows"] == values.size
        assert row["median"] == pytest.approx(np.median(kept), rel=1e-12)
        assert row["mean"] == pytest.approx(kept.mean(), rel=1e-12)
        assert row["max"] == kept.max()
        assert row["median_low"] <= row["median"] <= row["median_high"]
        assert {row["median_low"], row["median_high"]} <= set(kept.tolist())
        spread = np.std([np.median(each[~np.isnan(each)].astype(float)) for each in values], ddof=1)
        assert row["median_spread"] == pytest.approx(spread, rel=1e-9)
        assert 0.95 < row["changed_share"] <= 1


def test_a_prediction_of_nan_ends_an_audit_unless_it_is_to_be_left_out(tmp_path):
    def undefined(inputs):
        return np.where(inputs["num_input"][:, 1] > 1.5, np.nan, inputs["num_input"][:, 0])

    table = TABLE.assign(dose=TABLE["age"] ** 2)
    with pytest.raises(NonFinitePredictionError, match=r"gave NaN or infinity for \d+ of 200 rows .*missing: skip"):
        audit(undefined, tmp_path, table, block_rows=1000)
    summary, found = audit(undefined, tmp_path, table, missing="skip")
    assert summary.loc["dose", "skipped"] == (TABLE["age"] > 1.5).sum() > 0
    assert found["dose"].isna().sum() == summary.loc["dose", "skipped"]


def test_where_no_row_has_a_prediction_nothing_is_claimed(tmp_path):
    def never(inputs):
        return np.where(np.ptp(inputs["num_input"][:, 0]) > 0, 1.0, np.nan) * inputs["num_input"][:, 0]

    table = TABLE.assign(dose=np.arange(N_ROWS) % 2)
    summary, _ = audit(never, tmp_path, table, block_rows=1000, missing="skip", set={"dose": [1]})
    row = summary.loc["dose=1"]
    assert row["skipped"] == N_ROWS
    assert row[["median", "mean", "max", "changed_share", "median_low"]].isna().all()
    assert summary.index[-1] == "dose=1"
    assert math.isfinite(summary.loc["dose", "median"])


def test_an_intervals_ranks_are_those_of_the_rows_that_are_left(tmp_path):
    """The same deviations, with rows left out beside them: the interval is that of an audit without these rows."""
    clean = TABLE[TABLE["dose"].notna()]
    summary, _ = audit(plain, tmp_path, set={"age": [0.0]}, missing="skip")
    expected, _ = audit(plain, tmp_path, clean, set={"age": [0.0]})
    columns = ["median", "mean", "max", "changed_share"]
    assert summary.loc["age=0", columns].tolist() == expected.loc["age=0", columns].tolist()
    for limit in ("median_low", "median_high"):
        assert summary.loc["age=0", limit] == pytest.approx(expected.loc["age=0", limit], rel=0.1)


# Real models


def network(fills):
    given = keras.Input((2,), name="num_input")
    first = keras.ops.where(keras.ops.isnan(given), 0.0, given) if fills else given
    hidden = keras.layers.Dense(8, activation="relu")(first)
    return keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(hidden))


def keras_inputs(made):
    predictor = keras_predictor(made)
    return predictor, bind_inputs(predictor.inputs, dataset_from(TABLE), {})


def test_a_network_that_fills_gaps_itself_takes_them():
    predictor, inputs = keras_inputs(network(fills=True))
    assert find_void_inputs(predictor, inputs, "the network", skips=False) == frozenset()


def test_a_number_that_a_compiled_relu_makes_of_nothing_is_no_prediction():
    """Compiled, the network gives 0.5 for a row of NaN; called as it is it gives NaN."""
    predictor, inputs = keras_inputs(network(fills=False))
    rows = inputs.read(inputs.gaps[0].first_rows)
    assert not np.isfinite(predictor.call_original(rows)).any()
    with pytest.raises(DataError, match="column 'dose' holds NaN"):
        find_void_inputs(predictor, inputs, "the network", skips=False)
    assert find_void_inputs(predictor, inputs, "the network", skips=True) == {"num_input"}


def test_trees_that_know_gaps_are_audited_with_them():
    model = HistGradientBoostingRegressor(random_state=0).fit(TABLE, np.nan_to_num(DOSE, nan=3.0))
    found = deviations(
        lambda inputs: model.predict(pd.DataFrame(inputs["num_input"], columns=["dose", "age"])),
        bound(TABLE, numbers=["dose", "age"]),
    )
    assert found["dose"].max() > 1
    assert np.isfinite(found["dose"]).all()


def test_a_pipeline_that_fills_gaps_is_audited_from_the_registry(tracked):
    """Through MLflow: numbers and text with gaps, as a table holds them."""
    towns = np.where(RNG.random(N_ROWS) < 0.2, None, RNG.choice(["Ulm", "Bonn"], N_ROWS))
    table = TABLE.assign(town=towns)
    as_codes = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    fill = ColumnTransformer([("numbers", SimpleImputer(), ["dose", "age"]), ("towns", as_codes, ["town"])])
    model = make_pipeline(fill, LinearRegression()).fit(table, np.nan_to_num(DOSE) + (towns == "Ulm"))
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model, name="filling", signature=infer_signature(table, model.predict(table)),
            serialization_format="cloudpickle", pip_requirements=["scikit-learn"],
        )  # fmt: skip
    result = nnperm_mlflow.audit(
        {"analysis": {"set": {"town": "all"}}}, model_uri=logged.model_uri, data=dataset_from(table), trust_model=True
    )
    found = result.table.sort_values("row")
    assert set(found.columns) >= {"dose", "age", "town", "town=Ulm", "town=Bonn"}
    assert found.notna().all(axis=None)
    expected = np.abs(model.predict(table.assign(town="Ulm")) - model.predict(table))
    np.testing.assert_allclose(found["town=Ulm"], expected, rtol=1e-5, atol=1e-6)
    held = result.summary.set_index("perturbation")["held"]
    assert held["town=Ulm"] == (towns == "Ulm").sum()


def test_an_audit_that_leaves_out_every_row_is_an_error(tracked):
    table = pd.DataFrame({"dose": [1.0, np.nan] * 20, "age": [np.nan, 1.0] * 20})
    network = keras.Sequential([keras.Input((2,), name="num_input"), keras.layers.Dense(1)])
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            network,
            name="dense",
            signature=infer_signature(np.zeros((3, 2)), np.zeros((3, 1))),
            pip_requirements=["keras"],
        )
    said = "predicts none of the 40 rows: something that it needs is missing in each"
    with pytest.raises(NonFinitePredictionError, match=said):
        nnperm_mlflow.audit(
            {"inputs": {"num_input": ["dose", "age"]}, "analysis": {"missing": "skip"}},
            model_uri=logged.model_uri,
            data=dataset_from(table),
        )


def test_rows_left_out_take_no_part_in_scores_profiles_or_counts(tmp_path):
    """A model may make a number of what is missing; where such rows are left out they are left out everywhere."""

    def rectified(inputs):
        return np.maximum(np.nan_to_num(inputs["num_input"][:, 0], nan=-9.0), 0) + inputs["num_input"][:, 1]

    specs, inputs = bound(TABLE.assign(age=np.arange(N_ROWS) % 4), numbers=["dose", "age"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0.0, set={"age": [1.0]}))
    labels = RNG.normal(size=N_ROWS)
    job = Job(
        PlainPredictor(specs, rectified), inputs, plan, choose_measure(None, 1, ()), "", skips_missing=True,
        void_inputs=frozenset(["num_input"]), keeps_predictions=True,
    )  # fmt: skip
    found = find(job, 33, tmp_path / "t.parquet", lambda *_: None)
    scores = choose_scorers(["neg_mean_squared_error"], labels, 1, False)
    row = with_scores(found, job, scores, p_values=True).summary.set_index("perturbation").loc["age=1"]
    kept = ~np.isnan(DOSE)
    age = (np.arange(N_ROWS) % 4)[kept]
    before, after = (np.maximum(DOSE[kept], 0) + value for value in (age, 1))
    drop = np.mean((after - labels[kept]) ** 2) - np.mean((before - labels[kept]) ** 2)
    assert row["neg_mean_squared_error_drop"] == pytest.approx(drop, rel=1e-9)
    assert row["held"] == (age == 1).sum()
    profile = find_profiles(job, 33, ["age"])
    assert profile["baseline"].unique() == pytest.approx([before.mean()], rel=1e-12)
    assert profile.set_index("value").loc[1.0, "mean"] == pytest.approx(after.mean(), rel=1e-6)
    assert pd.read_parquet(tmp_path / "t.parquet")["baseline"].isna().sum() == (~kept).sum()


def test_a_score_that_is_not_defined_under_one_perturbation_is_none_there(tmp_path, caplog):
    def never(inputs):
        return np.where(np.ptp(inputs["num_input"][:, 0]) > 0, 1.0, np.nan) * inputs["num_input"][:, 1]

    specs, inputs = bound(TABLE.assign(dose=np.arange(N_ROWS) % 2), numbers=["dose", "age"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0.0, set={"dose": [1]}))
    job = Job(
        PlainPredictor(specs, never), inputs, plan, choose_measure(None, 1, ()), "", skips_missing=True,
        keeps_predictions=True,
    )  # fmt: skip
    found = find(job, 1000, tmp_path / "t.parquet", lambda *_: None)
    scores = choose_scorers(["r2"], RNG.normal(size=N_ROWS), 1, False)
    drops = with_scores(found, job, scores, p_values=True).summary.set_index("perturbation")
    assert np.isnan(drops.loc["dose=1", "r2_drop"])
    assert np.isfinite(drops.loc["age", ["r2_drop", "r2_p"]].astype(float)).all()
    assert "once 'dose' was set to 1 no drop in score is told" in caplog.text


def test_a_gap_is_judged_on_rows_that_lack_nothing_else(tmp_path):
    """The model fills `dose` and not `age`: rows that lack `dose` alone are audited."""
    specs = [InputSpec(name, (1,), np.dtype("float64")) for name in ("dose", "age")]
    both = np.arange(N_ROWS) == np.flatnonzero(np.isnan(DOSE))[0]
    table = TABLE.assign(age=np.where(both | (np.arange(N_ROWS) == np.flatnonzero(~np.isnan(DOSE))[0]), np.nan, 1.0))
    inputs = bind_inputs(specs, dataset_from(table), {})
    predictor = PlainPredictor(specs, lambda given: np.nan_to_num(given["dose"]) + given["age"])
    assert find_void_inputs(predictor, inputs, "", skips=True) == {"age"}


def test_rows_that_mix_are_found_out_beside_a_missing_value(tracked, caplog):
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 2)), columns=["dose", "age"])
    table.loc[3, "age"] = np.nan
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="centred", python_model=Centred(), signature=infer_signature(table, table["dose"]),
            pip_requirements=["mlflow"],
        )  # fmt: skip
    with pytest.raises(ModelError, match="predicts a row otherwise alone, or with other rows beside it: by up to"):
        audit_of(logged, table, missing="skip")
    audit_of(logged, table, missing="skip", random=True)
    assert "a row's prediction depends on the rows beside it" in caplog.text


def audit_of(logged, table, **analysis):
    return nnperm_mlflow.audit(
        {"analysis": analysis}, model_uri=logged.model_uri, data=dataset_from(table), trust_model=True
    )


def test_branches_that_give_other_numbers_are_found_out_beside_a_missing_value(monkeypatch, caplog):
    given = [keras.Input((2,), name="num_input"), keras.Input((1,), name="other_input")]
    hidden = keras.layers.Dense(4, activation="tanh")(given[0])
    made = keras.Model(given, keras.layers.Dense(1)(keras.layers.Concatenate()([hidden, given[1]])))
    rows = {"num_input": TABLE.to_numpy("float32")[:20], "other_input": np.zeros((20, 1), "float32")}
    assert np.isnan(rows["num_input"]).any()
    assert isinstance(keras_predictor(made).fitted(rows), BranchPredictor)
    real = BranchPredictor.call
    monkeypatch.setattr(BranchPredictor, "call", lambda self, inputs: real(self, inputs) + 1)
    assert not isinstance(keras_predictor(made).fitted(rows), BranchPredictor)
