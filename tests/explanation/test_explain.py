"""Reasons for one observation of an audit on record: the network's own numbers, and what is refused."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from mlflow.models import infer_signature

from nnperm_mlflow import audit, explain
from nnperm_mlflow.basics.errors import ConfigError, DataError, EvidenceError, UntrustedModelError
from nnperm_mlflow.cli.main import main
from tests.support.python_models import Sum

ROW, ROW_ID = 123, "c0123"


@pytest.fixture(scope="module")
def audited(house, store):
    mlflow.set_tracking_uri(store)
    analysis = {"windows": 2, "rare_below": 0, "groups": {"person": ["age", "region"]}}
    return audit({**house.settings(), "analysis": analysis}, model_uri="models:/house/1")


def predict(house, inputs):
    return house.network(inputs, training=False).numpy()[:, 0].astype(float)


def moves_of(house, feature, donors):
    """Return f(x) - f(x') of the row by the network itself, for each donor."""
    inputs = {name: np.repeat(array[[ROW]], len(donors), axis=0) for name, array in house.inputs.items()}
    before = predict(house, inputs)
    if feature == "region":
        inputs["region_input"] = house.inputs["region_input"][donors]
    elif feature in ("balance", "payment"):
        inputs["temporal_input"][:, :, ["balance", "payment"].index(feature)] = house.inputs["temporal_input"][
            donors, :, ["balance", "payment"].index(feature)
        ]
    else:
        inputs["num_input"][:, ["age", "income", "flag"].index(feature)] = house.inputs["num_input"][
            donors, ["age", "income", "flag"].index(feature)
        ]
    return before - predict(house, inputs)


def test_reasons_are_those_of_the_network_itself(audited, house, tracked):
    found = explain(audited.run_id, ROW_ID)
    assert (found.row, found.row_id, found.model, found.unit) == (ROW, ROW_ID, "models:/house/1", "probability")
    everybody = np.arange(len(house.table))
    assert found.prediction == pytest.approx(predict(house, house.inputs)[ROW], abs=1e-6)
    assert found.others == pytest.approx(predict(house, house.inputs).mean(), abs=1e-6)
    assert sorted(found.features["feature"]) == ["age", "balance", "flag", "income", "payment", "region"]
    for row in found.features.itertuples():
        moves = moves_of(house, row.feature, everybody)
        assert row.effect == pytest.approx(moves.mean(), abs=1e-6)
        assert row.size == pytest.approx(np.abs(moves).mean(), abs=1e-6)
        assert row.low <= row.effect <= row.high
    assert found.reference == "the 400 rows of the audit"


def test_windows_and_groups_are_told_where_they_are_asked_for(audited, house, store, tracked, tmp_path):
    """By the network itself: two of its inputs of one donor, and some steps of a channel."""
    found = explain(audited.run_id, ROW_ID, windows=True, groups=True)
    pd.testing.assert_frame_equal(found.features, explain(audited.run_id, ROW_ID).features)
    assert set(found.parts["kind"]) == {"window", "group"}
    everybody = np.arange(len(house.table))
    inputs = {name: np.repeat(array[[ROW]], len(everybody), axis=0) for name, array in house.inputs.items()}
    before = predict(house, inputs)
    inputs["region_input"] = house.inputs["region_input"][everybody]
    inputs["num_input"][:, 0] = house.inputs["num_input"][everybody, 0]
    told = found.parts.set_index("feature")["effect"]
    assert told["person"] == pytest.approx((before - predict(house, inputs)).mean(), abs=1e-6)
    assert len(told) == 5  # two windows of two channels
    assert "person:" in found.letter or "person" in found.letter.split("Neither raised nor lowered it")[-1]
    command = ["explain", audited.run_id, "--row-id", ROW_ID, "--groups", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*command, "--tracking-uri", store])
    assert result.exit_code == 0, result.output
    written = pd.read_csv(tmp_path / "out" / "reasons.csv")
    assert written["kind"].tolist()[-1] == "group"
    assert len(written) == 7


def test_another_reference_group_is_asked_for_by_a_condition_and_told(audited, house, tracked):
    found = explain(audited.run_id, row=ROW, among="label = 0 and age > 0")
    (donors,) = np.nonzero((house.table["label"] == 0) & (house.table["age"] > 0))
    assert found.reference == f"the {len(donors)} rows of the audit in which label = 0 and age > 0"
    told = found.features.set_index("feature").loc["age"]
    assert told["donors"] == len(donors)
    assert told["effect"] == pytest.approx(moves_of(house, "age", donors).mean(), abs=1e-6)
    assert found.reference in " ".join(found.letter.split())


def test_a_sample_is_compared_with_the_rows_that_were_audited(house, tracked, tmp_path):
    """Whatever the seed: of 4,800 rows two batches of three."""
    settings = house.settings()
    many = pd.concat([pd.read_parquet(settings["data"]["static"])] * 12, ignore_index=True)
    many.assign(client=range(len(many))).to_parquet(tmp_path / "many.parquet")
    series = settings["data"]["temporal"]["history"]
    np.save(tmp_path / "many.npy", np.tile(np.load(series["file"]), (12, 1, 1)))
    settings["data"]["static"], series["file"] = str(tmp_path / "many.parquet"), str(tmp_path / "many.npy")
    settings["analysis"] = {"rows": 3_000, "rare_below": 0}
    sampled = audit(settings, model_uri="models:/house/1")
    audited_rows = np.sort(sampled.table["row"].unique())
    found = explain(sampled.run_id, 7)
    assert found.reference.startswith(f"the {len(audited_rows):,} rows of the audit (2,000 of them stand for all)")
    assert set(found.features["donors"]) == {2_000}
    baseline = predict(house, house.inputs)[audited_rows % len(house.table)]
    assert found.others == pytest.approx(baseline.mean(), abs=1e-6)


def test_the_command_prints_a_letter_and_logs_no_value(audited, store, tmp_path, caplog):
    command = ["explain", audited.run_id, "--row-id", ROW_ID, "--among", "label = 0", "--output", str(tmp_path / "out")]
    before = len(mlflow.search_runs(search_all_experiments=True, output_format="list"))
    result = CliRunner().invoke(main, [*command, "--tracking-uri", store])
    assert result.exit_code == 0, result.output
    assert f"What the prediction rests on: observation {ROW_ID}, models:/house/1" in result.stdout
    assert "in which label = 0" in " ".join(result.stdout.split())
    assert ROW_ID not in result.stderr + caplog.text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["reasons.csv", "reasons.png", "reasons.txt"]
    assert len(mlflow.search_runs(search_all_experiments=True, output_format="list")) == before
    written = pd.read_csv(tmp_path / "out" / "reasons.csv")
    assert (
        written["feature"].tolist() == explain(audited.run_id, ROW_ID, among="label = 0").features["feature"].tolist()
    )


def test_a_result_shows_itself(audited, tracked):
    found = explain(audited.run_id, ROW_ID)
    assert ROW_ID not in repr(found)  # which ends in logs
    assert "raises the prediction by" in found._repr_html_()
    assert found.figure.axes


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({}, ConfigError, "name one observation"),
        ({"row_id": ROW_ID, "row": ROW}, ConfigError, "name one observation"),
        ({"row_id": "c9999"}, DataError, "none of the 400 rows is called so in 'client'"),
        ({"row": 400}, DataError, "there is no row 400: the data have 400"),
        ({"row": -1}, DataError, "there is no row -1"),
        ({"row": 1, "among": "age > 9"}, DataError, "0 of the audit's rows are in the reference group"),
        ({"row": 1, "among": "agee > 9"}, ConfigError, "names 'agee'.* Did you mean 'age'"),
    ],
)
def test_what_cannot_be_explained_is_told_without_a_value(audited, tracked, said, error, message):
    with pytest.raises(error, match=message) as caught:
        explain(audited.run_id, **said)
    assert "c9999" not in str(caught.value)


def test_other_data_or_files_than_were_audited_are_refused(house, tracked, tmp_path):
    settings = house.settings()
    table = shutil.copy(settings["data"]["static"], tmp_path / "house.parquet")
    settings["data"]["static"] = str(table)
    run_id = audit({**settings, "analysis": {"rare_below": 0}}, model_uri="models:/house/1").run_id
    explain(run_id, row=1)
    changed = pd.read_parquet(table)
    changed.loc[0, "age"] += 1
    changed.to_parquet(table)
    with pytest.raises(EvidenceError, match="the data are not those that run .* audited"):
        explain(run_id, row=1)
    with pytest.raises(EvidenceError, match="names data at .* read only where that is allowed"):
        explain(run_id, row=1, allow_data=["/nowhere"])
    with pytest.raises(EvidenceError, match="is not in the tracking store"):
        explain("0" * 32, row=1)


@pytest.mark.slow
def test_a_model_whose_files_have_changed_is_not_loaded(house, tracked):
    """Nothing of it: the digest of its files is compared first."""
    with mlflow.start_run():
        info = mlflow.tensorflow.log_model(
            house.network, name="changed", signature=mlflow.models.get_model_info("models:/house/1").signature,
            pip_requirements=["keras"], registered_model_name="changed",
        )  # fmt: skip
    run_id = audit({**house.settings(), "analysis": {"rare_below": 0}}, model_uri="models:/changed/1").run_id
    folder = Path(mlflow.artifacts.download_artifacts(info.model_uri))
    assert explain(run_id, row=1).row == 1
    mlmodel = next(path for path in [folder / "MLmodel"] if path.is_file())
    mlmodel.write_text(mlmodel.read_text() + "\n# another\n")
    with pytest.raises(EvidenceError, match="the model's files are not those that run .* audited"):
        explain(run_id, row=1)


@pytest.mark.slow
def test_code_of_strangers_runs_only_where_it_is_trusted_and_rows_in_memory_are_given_again(tracked):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 2)), columns=["a", "b"])
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="sum", python_model=Sum(), signature=infer_signature(rows, np.zeros(1)), pip_requirements=["numpy"],
            registered_model_name="sum",
        )  # fmt: skip
    assert logged.registered_model_version == 1
    run_id = audit("models:/sum/1", data=rows, trust_model=True).run_id
    with pytest.raises(EvidenceError, match="rows that were in memory"):
        explain(run_id, row=3, trust_model=True)
    with pytest.raises(UntrustedModelError):
        explain(run_id, row=3, data=rows)
    found = explain(run_id, row=3, data=rows, trust_model=True)
    told = found.features.set_index("feature")["effect"]
    assert told.to_dict() == pytest.approx((rows.loc[3] - rows.mean()).to_dict(), abs=1e-6)
    with pytest.raises(EvidenceError, match="the data are not those"):
        explain(run_id, row=3, data=rows + 1, trust_model=True)


def test_the_settings_that_are_left_out_are_keys_of_an_analysis():
    from nnperm_mlflow.config.audit_config import AnalysisConfig
    from nnperm_mlflow.explanation.observation_explanation import _NOT_NEEDED, _PARTS

    assert {*_NOT_NEEDED, *(key for none in _PARTS.values() for key in none)} <= set(AnalysisConfig.model_fields)
    assert yaml.safe_dump(_NOT_NEEDED)
