"""Text that looks like numbers: in a csv file it reaches the model as it is written there."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from nnperm_mlflow import audit
from nnperm_mlflow.confirming import Rereading
from nnperm_mlflow.policy import Policy
from nnperm_mlflow.promoting import promote

POLICY = Policy(checks=[{"feature": "age", "max": 100}])


def registered(table):
    """Register a model of codes and a number, whose effect is known; return its URI."""
    effect = {code: place for place, code in enumerate(table["code"].unique())}
    codes = ("codes", OneHotEncoder(handle_unknown="ignore"), ["code"])
    model = make_pipeline(ColumnTransformer([codes], remainder="passthrough"), LinearRegression())
    model.fit(table, table["age"] + table["code"].map(effect))
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model, name="codes", signature=infer_signature(table, model.predict(table)), registered_model_name="codes",
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
        audit({"data": {"static": str(tmp_path / name)}}, model_uri=uri, policy=POLICY, trust_model=True)
        for name in ("codes.parquet", "codes.csv")
    )
    assert first.table.equals(second.table)
    assert first.summary.set_index("perturbation").loc["code", "median"] > 0.5
    of_runs = [tracked.get_run(audited.run_id).data.params for audited in (first, second)]
    assert of_runs[0]["data_digest"] == of_runs[1]["data_digest"]


def test_what_was_read_as_text_is_on_record_and_is_read_so_again(tracked, tmp_path):
    table = pd.DataFrame({"code": ["01067", "1067"] * 40, "age": np.linspace(-1, 1, 80)})
    uri = registered(table)
    table.to_csv(tmp_path / "codes.csv", index=False)
    audited = audit({"data": {"static": str(tmp_path / "codes.csv")}}, model_uri=uri, policy=POLICY, trust_model=True)
    used = yaml.safe_load((audited.directory / "config.yaml").read_text(encoding="utf-8"))
    assert used["data"]["text"] == ["code"]
    assert promote(uri, "champion").run_id == audited.run_id
    (tmp_path / "codes.csv").rename(tmp_path / "elsewhere.csv")
    (tmp_path / "moved.yaml").write_text("data: {static: elsewhere.csv}", encoding="utf-8")
    assert promote(uri, "champion", rereading=Rereading(config=tmp_path / "moved.yaml")).run_id == audited.run_id
