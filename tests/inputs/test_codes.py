"""Text that looks like numbers: in a csv file it reaches the model as it is written there."""

from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from nnperm_mlflow import audit
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.promotion.alias_promotion import promote

POLICY = Policy(checks=[{"feature": "age", "max": 100}])


def registered(table, columns=("code", "age")):
    """Register a model of codes and a number, whose effect is known; return its URI."""
    effect = {code: place for place, code in enumerate(table["code"].unique())}
    codes = ("codes", OneHotEncoder(handle_unknown="ignore"), [name for name in columns if name == "code"])
    model = make_pipeline(ColumnTransformer([codes], remainder="passthrough"), LinearRegression())
    given = table[[*columns]]
    model.fit(given, table["age"] + table["code"].map(effect))
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model, name="codes", signature=infer_signature(given, model.predict(given)), registered_model_name="codes",
            serialization_format="cloudpickle", pip_requirements=["scikit-learn"],
        )  # fmt: skip
    return f"models:/codes/{logged.registered_model_version}"


@pytest.mark.parametrize("codes", [["01067", "10115", "1067"], ["1.10", "1.1", "2.0"], ["TRUE", "FALSE", "NA"]])
def test_a_csv_file_gives_the_numbers_of_a_file_that_says_what_is_text(tracked, tmp_path, codes):
    table = pd.DataFrame({"code": (codes * 30)[:80], "age": np.linspace(-1, 1, 80)})
    uri = registered(table)
    table.to_csv(tmp_path / "codes.csv", index=False)
    table.to_parquet(tmp_path / "codes.parquet")
    first, second = (
        audit({"data": {"static": str(tmp_path / name)}}, model_uri=uri, policy=POLICY, trust_model=True, isolate=False)
        for name in ("codes.parquet", "codes.csv")
    )
    assert first.table.equals(second.table)
    assert first.summary.set_index("perturbation").loc["code", "median"] > 0.5


def test_versions_that_take_a_column_as_text_or_not_at_all_are_audited_on_the_same_data(tracked, tmp_path):
    table = pd.DataFrame({"code": ["01067", "1067"] * 40, "age": np.linspace(-1, 1, 80)})
    table.to_csv(tmp_path / "codes.csv", index=False)
    config = {"data": {"static": str(tmp_path / "codes.csv")}}
    with_codes = registered(table)
    audited = audit(config, model_uri=with_codes, policy=POLICY, trust_model=True, isolate=False)
    without = registered(table, ["age"])
    against = Policy(checks=[{"against": with_codes, "statistic": "mean", "max_shift": 9, "allow_missing": True}])
    second = audit(config, model_uri=without, policy=against, trust_model=True, isolate=False)
    assert second.verdict.status == "pass"
    assert promote(with_codes, "champion").run_id == audited.run_id


def test_a_column_that_feeds_text_and_numbers_is_each_as_it_is_taken():
    specs = [InputSpec("grade_input", (), np.dtype(object)), InputSpec("num_input", (1,), np.dtype("float32"))]
    columns = {"grade": np.array([1.0, 2.0])}
    data = replace(dataset_from(columns), written={"grade": np.array(["1.0", "02"], dtype=object)})
    bound = bind_inputs(specs, data, {"grade_input": "grade", "num_input": ["grade"]})
    read = bound.read(np.arange(2))
    assert [*read["grade_input"]] == ["1.0", "02"]
    assert read["num_input"].tolist() == [[1.0], [2.0]]


def test_an_audit_of_codes_that_are_spelled_otherwise_goes_on_from_no_other(tracked, tmp_path):
    """Though the digest of the data, which does not depend on the model, is the same."""
    table = pd.DataFrame({"code": ["01067", "1067"] * 40, "age": np.linspace(-1, 1, 80)})
    uri, config = registered(table), {"data": {"static": str(tmp_path / "codes.csv")}, "analysis": {"block_rows": 20}}

    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    table.to_csv(tmp_path / "codes.csv", index=False)
    with pytest.raises(KeyboardInterrupt):
        audit(config, model_uri=uri, trust_model=True, isolate=False, work_dir=tmp_path / "work", progress=stop)
    table.assign(code="1067").to_csv(tmp_path / "codes.csv", index=False)
    again = audit(config, model_uri=uri, trust_model=True, isolate=False, work_dir=tmp_path / "work")
    assert again.table["code"].max() == 0
