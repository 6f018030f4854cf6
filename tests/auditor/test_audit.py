"""A whole audit on a real network and a real store: what was logged is read back."""

import json
import math
import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import yaml
from click.testing import CliRunner
from mlflow.models import infer_signature

from nnperm_mlflow import audit, plan_audit
from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError, NonFinitePredictionError, TrackingError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from tests.support.cases import slow
from tests.support.house import register

FILES = {
    "deviations.parquet", "summary.csv", "associations.csv", "medians.json", "boxplot.png", "config.yaml", "audit.md",
    "names.json", "report.html",
}  # fmt: skip
PERTURBATIONS = {"age", "income", "flag", "flag=1", "region", "balance", "payment"}


@pytest.fixture(scope="module")
def audited(house, store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return audit(house.config, model_uri="models:/house/1", output=tmp_path_factory.mktemp("output"))


@pytest.fixture
def run(audited, tracked):
    return tracked.get_run(audited.run_id)


def test_the_run_is_finished_and_holds_every_file_at_its_root(run, tracked):
    assert run.info.status == "FINISHED"
    assert {file.path for file in tracked.list_artifacts(run.info.run_id)} == FILES


def test_the_features_that_lead_are_the_first_parameters(audited, run):
    """Which is where MLflow begins to compare runs: with what differs, digits first."""
    leading = audited.plain.loc[audited.plain["measurable"], "perturbation"].head(3).tolist()
    assert [run.data.params[f"{place} feature"] for place in ("1st", "2nd", "3rd")] == leading
    assert sorted(run.data.params)[:3] == ["1st feature", "2nd feature", "3rd feature"]


def test_the_logged_table_holds_the_deviations_of_every_row(audited, run, house):
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="deviations.parquet")
    table = pd.read_parquet(path)
    assert list(table["row_id"]) == list(house.table["client"])
    assert set(table.columns) - {"row", "row_id", "repeat", "baseline"} == PERTURBATIONS
    baseline = house.network(house.inputs, training=False).numpy()[:, 0]
    assert np.allclose(table["baseline"], baseline, rtol=0, atol=1e-6)
    disturbed = {**house.inputs, "num_input": house.inputs["num_input"].copy()}
    disturbed["num_input"][:, 2] = 1
    expected = np.abs(house.network(disturbed, training=False).numpy()[:, 0] - table["baseline"])
    assert np.allclose(table["flag=1"], expected, rtol=0, atol=1e-6)
    assert expected.max() > 0.001
    pd.testing.assert_frame_equal(audited.table, table)


def test_the_table_says_what_it_was_made_of(audited, run):
    metadata = json.loads(pq.read_schema(audited.directory / "deviations.parquet").metadata[b"nnperm"])
    assert metadata["model"] == "models:/house/1"
    assert metadata["seed"] == 3
    for key in ("model_digest", "data_digest", "config_digest"):
        assert len(metadata[key]) == 64
        assert run.data.params[key] == metadata[key]
    assert metadata["mlflow"] == mlflow.__version__


def test_metrics_are_the_summary_and_belong_to_the_model(audited, run, tracked):
    summary = pd.read_csv(audited.directory / "summary.csv").set_index("perturbation")
    keys = {name: name.replace("=", " is ") for name in PERTURBATIONS}
    for name, key in keys.items():
        assert run.data.metrics[f"median/{key}"] == pytest.approx(summary["median"][name], rel=1e-14)
        assert run.data.metrics[f"mean/{key}"] == pytest.approx(summary["mean"][name], rel=1e-14)
    assert all(math.isfinite(value) for value in run.data.metrics.values())
    assert run.data.metrics["nnperm/rows"] == 400
    model_id = tracked.get_model_version("house", "1").source.removeprefix("models:/")
    on_model = {metric.key: metric for metric in tracked.get_logged_model(model_id).metrics}
    assert on_model["median/flag is 1"].value == run.data.metrics["median/flag is 1"]
    assert on_model["median/flag is 1"].run_id == run.info.run_id


def test_model_and_data_are_inputs_of_the_run(run, tracked):
    model_id = tracked.get_model_version("house", "1").source.removeprefix("models:/")
    assert [given.model_id for given in run.inputs.model_inputs] == [model_id]
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.digest == run.data.tags["nnperm.data_digest"][:36]
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "audit"}


def test_the_run_stands_in_the_experiment_of_the_model(run, tracked):
    assert run.info.experiment_id == tracked.get_experiment_by_name("tests").experiment_id


def test_the_comparison_table_has_a_row_for_each_perturbation(run):
    table = mlflow.load_table("medians.json", run_ids=[run.info.run_id])
    assert set(table["perturbation"]) == PERTURBATIONS
    shuffled = ~table["perturbation"].str.contains("=")
    assert table.loc[shuffled, "mean"].is_monotonic_decreasing
    assert shuffled.is_monotonic_decreasing, "set values stand behind"


def test_the_version_points_to_its_audit(audited, tracked):
    version = tracked.get_model_version("house", "1")
    assert version.tags["nnperm.run_id"] == audited.run_id
    assert version.tags["nnperm.top_feature"] == audited.summary["perturbation"][0]
    assert version.tags["nnperm.audited_at"].endswith("Z")
    assert f"#/experiments/{audited.experiment_id}/runs/{audited.run_id}" in version.description


def test_the_logged_configuration_repeats_the_audit(audited, run, tracked):
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="config.yaml")
    assert yaml.safe_load(Path(path).read_text())["inputs"]["region_input"] == "region"
    again = audit(path)
    assert again.model.uri == "models:/house/1"
    pd.testing.assert_frame_equal(again.table, audited.table)


@pytest.mark.slow
def test_a_second_audit_replaces_its_section_and_no_other_text(house, tracked):
    version = register(house)
    tracked.update_model_version("house", version, "Made by Ada.\n\nApproved for tests.")
    first = audit(house.config, model_uri=f"models:/house/{version}")
    second = audit(house.config, model_uri=f"models:/house/{version}")
    description = tracked.get_model_version("house", version).description
    assert description.startswith("Made by Ada.\n\nApproved for tests.")
    assert first.run_id not in description
    assert description.count(second.run_id) == 1


def test_an_alias_is_resolved_to_the_version_it_stands_for(house, tracked):
    tracked.set_registered_model_alias("house", "champion", "1")
    result = audit(house.config, model_uri="models:/house@champion")
    assert result.model.uri == "models:/house/1"
    assert tracked.get_run(result.run_id).data.tags["nnperm.model"] == "models:/house/1"


def test_repeats_are_rows_of_the_table_and_a_set_value_is_the_same_in_all(house, tracked):
    settings = house.settings()
    settings["analysis"]["repeats"] = 3
    table = audit(settings, model_uri="models:/house/1").table
    assert table.groupby("repeat").size().to_dict() == {0: 400, 1: 400, 2: 400}
    first, second = (table[table["repeat"] == repeat].reset_index() for repeat in (0, 1))
    assert not np.array_equal(first["age"], second["age"])
    assert np.array_equal(first["flag=1"], second["flag=1"])


def test_data_in_memory_give_the_same_numbers_and_stay_as_they_are(house, audited, tracked):
    table, history = house.table.copy(), house.history.copy()
    series = Series(("balance", "payment"), history, channel_axis=1)
    data = dataset_from(table, {"history": series}, row_id="client", label="label")
    result = audit(
        {"inputs": house.settings()["inputs"], "analysis": {"seed": 3}}, model_uri="models:/house/1", data=data
    )
    pd.testing.assert_frame_equal(result.table, audited.table)
    pd.testing.assert_frame_equal(table, house.table)
    assert np.array_equal(history, house.history)


def test_a_run_that_is_interrupted_ends_as_killed_and_leaves_no_tags(house, tracked):
    version = register(house)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(house.config, model_uri=f"models:/house/{version}", progress=interrupt)
    condition = f"attributes.status = 'KILLED' and tags.`nnperm.model` = 'models:/house/{version}'"
    (run,) = mlflow.search_runs(experiment_names=["tests"], filter_string=condition, output_format="list")
    assert run.data.metrics == {}
    assert tracked.get_model_version("house", version).tags == {}


class LogOfDifference(tf.Module):
    """log(a - b): finite where every row has a > b, NaN once one of them is shuffled."""

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="num_input")])
    def __call__(self, numbers):
        return tf.math.log(numbers[:, :1] - numbers[:, 1:])


def test_nan_in_a_perturbed_prediction_fails_the_run_and_names_the_feature(tmp_path, tracked):
    table = pd.DataFrame({"a": np.arange(10.0) + 0.5, "b": np.arange(10.0)})
    table.to_csv(tmp_path / "data.csv", index=False)
    example = table.to_numpy("float32")
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            LogOfDifference(),
            name="log",
            signature=infer_signature(example, example[:, :1]),
            pip_requirements=["keras"],
        )
    with pytest.raises(NonFinitePredictionError, match=r"for \d+ of 10 rows once 'a' was shuffled \(first: row \d\)"):
        audit({"data": {"static": str(tmp_path / "data.csv")}}, model_uri=logged.model_uri)
    run = mlflow.search_runs(experiment_names=["tests"], output_format="list", max_results=1)[0]
    assert run.info.status == "FAILED"
    assert "'a' was shuffled" in run.data.tags["nnperm.error"]
    assert tracked.list_artifacts(run.info.run_id) == []


def test_an_audit_that_need_not_be_exact_says_by_how_much_it_was_off(house, audited, tracked):
    settings = house.settings()
    settings["analysis"]["exact"] = False
    result = audit(settings, model_uri="models:/house/1")
    metrics = tracked.get_run(result.run_id).data.metrics
    assert 0 <= metrics["nnperm/inexact_largest"] < 1e-6
    assert "nnperm/inexact_largest" not in tracked.get_run(audited.run_id).data.metrics
    found, exact = result.table, audited.table
    numbers, others = ["age", "income", "flag"], ["region", "balance", "payment"]
    np.testing.assert_allclose(found[numbers], exact[numbers], atol=1e-6)
    pd.testing.assert_frame_equal(found[others], exact[others])


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_table_of_two_blocks_is_that_of_twenty(house, tracked, repeats):
    tables = []
    for block_rows in (200, 20):
        settings = house.settings()
        settings["analysis"] |= {"block_rows": block_rows, "repeats": repeats}
        tables.append(audit(settings, model_uri="models:/house/1").table)
    pd.testing.assert_frame_equal(*tables, check_exact=False, rtol=0, atol=1e-6)  # some processors round otherwise


@pytest.mark.parametrize(("profile", "calls"), [([], 4), *slow((["age", "region"], 7))])
def test_a_plan_tells_the_calls_that_an_audit_makes_and_logs_nothing(house, tracked, profile, calls, monkeypatch):
    for name in ("models.branches.branch_predictor.ends_round_alike", "models.stacking.Exactness.holds"):
        monkeypatch.setattr(f"nnperm_mlflow.{name}", lambda *_: True)  # as on processors that round each row by itself
    settings = house.settings()
    settings["analysis"] |= {"block_rows": 100, "profile": profile}
    before = len(mlflow.search_runs(experiment_names=["tests"], output_format="list"))
    forecast = plan_audit(settings, model_uri="models:/house/1")
    assert len(mlflow.search_runs(experiment_names=["tests"], output_format="list")) == before
    metrics = tracked.get_run(audit(settings, model_uri="models:/house/1").run_id).data.metrics
    assert forecast.n_blocks == 4
    assert metrics["nnperm/model_calls"] == forecast.block_calls * forecast.n_blocks
    # the baseline with what is kept, one call each for the numbers, the codes and the channels, all stacked; for
    # profiles the baseline again, the numbers and the codes
    assert forecast.block_calls == calls
    assert forecast.pairs is None
    for asked, words in (
        ("auto", "15 pairs, of 15 that are ranked on 128 rows, "),
        ({"pairs": [["age", "income"]], "h": True}, "1 pair, "),
    ):
        analysis = {**settings.get("analysis", {}), "interactions": asked}
        told = plan_audit({**settings, "analysis": analysis}, model_uri="models:/house/1")
        assert told.pairs.in_words.startswith(words)
        assert 0 < told.pairs.seconds < told.seconds
        assert ("interactions", told.pairs.in_words) in told.facts
        assert told.block_calls == calls
    assert metrics["nnperm/reuse"] == 1


def test_the_plan_stands_on_the_command_line(house, store):
    result = CliRunner().invoke(
        main,
        ["audit", "--plan", "--tracking-uri", store, "--model-uri", "models:/house/1", "--config", str(house.config)],
    )
    assert result.exit_code == 0, result.output
    assert re.search(r"^features +6, with 7 perturbations$", result.stdout, re.MULTILINE)
    assert re.search(r"^run again +\d % of the model .*: num_input$", result.stdout, re.MULTILINE)
    assert re.search(r"^run again +\d+ % of the model .*: temporal_input$", result.stdout, re.MULTILINE)
    assert "expected time" in result.stdout


@pytest.mark.parametrize("baseline", ["models:/house/99", "models:/house/1"])
def test_a_plan_refuses_the_policy_that_the_audit_would(house, tracked, baseline):
    settings = {**house.settings(), "checks": [{"against": baseline, "statistic": "mean", "max_shift": 0.1}]}
    told = []
    for asked in (audit, plan_audit):
        with pytest.raises(AuditError) as caught:
            asked(settings, model_uri="models:/house/1")
        told.append((caught.type, str(caught.value)))
    assert told[0] == told[1]


def test_a_given_run_is_ended_as_failed_even_where_the_configuration_is_not_readable(tracked, tmp_path):
    run = tracked.create_run(tracked.get_experiment_by_name("tests").experiment_id)
    (tmp_path / "bad.yaml").write_text("analyses: {}")
    with pytest.raises(ConfigError, match="unknown key"):
        audit(tmp_path / "bad.yaml", run_id=run.info.run_id)
    ended = tracked.get_run(run.info.run_id)
    assert ended.info.status == "FAILED"
    assert "unknown key" in ended.data.tags["nnperm.error"]


@pytest.mark.parametrize("status", ["RUNNING", "FINISHED"])
def test_a_given_run_of_something_else_is_refused_and_stays_as_it_is(house, tracked, monkeypatch, status):
    run = tracked.create_run(tracked.get_experiment_by_name("tests").experiment_id)
    tracked.log_param(run.info.run_id, "seed", 42)
    if status != "RUNNING":
        tracked.set_terminated(run.info.run_id, status)
    before = tracked.get_run(run.info.run_id)
    monkeypatch.setattr("nnperm_mlflow.auditor.audit_procedure.measure", None)  # nothing is computed
    with pytest.raises(TrackingError, match="holds the parameters 'seed' with other values already"):
        audit(house.config, model_uri="models:/house/1", run_id=run.info.run_id)
    after = tracked.get_run(run.info.run_id)
    assert (after.data.to_dictionary(), after.info.status) == (before.data.to_dictionary(), status)


def test_a_given_run_that_holds_an_audit_is_not_given_another(audited, house, tracked):
    with pytest.raises(TrackingError, match="holds an audit already. Begin a run of its own"):
        audit(house.config, model_uri="models:/house/1", run_id=audited.run_id)
    assert tracked.get_run(audited.run_id).info.status == "FINISHED"


def test_a_run_that_holds_an_audit_stays_as_it_is_whatever_else_is_wrong(house, tracked):
    """As `mlflow run` leaves one whose verdict is fail."""
    audited = audit(house.config, model_uri="models:/house/1")
    tracked.set_terminated(audited.run_id, "FAILED")
    before = tracked.get_run(audited.run_id).to_dictionary()
    with pytest.raises(TrackingError, match="holds an audit already"):
        audit({"data": {"static": "/nowhere.csv"}}, model_uri="models:/house/1", run_id=audited.run_id)
    assert tracked.get_run(audited.run_id).to_dictionary() == before


def test_an_output_that_cannot_be_written_is_told_before_the_model_is_loaded(house, tracked, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="the output directory .* cannot be written"):
        audit(house.config, model_uri="models:/house/1", output=tmp_path / "file")


@pytest.mark.parametrize("place", ["s3://bucket/x", "file:///tmp/x", "file:/tmp/x", "runs:/1234/x", "out-\udcff"])
@pytest.mark.parametrize("option", ["output", "work_dir"])
def test_a_directory_that_not_all_can_write_to_is_refused_at_once(tracked, tmp_path, monkeypatch, place, option):
    """The last one is what Python makes of a name that is no UTF-8."""
    monkeypatch.chdir(tmp_path)
    called = option.partition("_")[0]
    with pytest.raises(
        ConfigError, match=f"the {called} directory '.*' must be a path on this machine, .* Name another"
    ):
        audit(model_uri="models:/nobody/1", **{option: place})
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_a_colon_is_a_directory(house, tracked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = audit(house.config, model_uri="models:/house/1", output="audit-18:30", work_dir="credit:3/work")
    assert result.directory == tmp_path / "audit-18:30"
    assert {file.name for file in result.directory.iterdir()} >= FILES
    assert {path.name for path in tmp_path.iterdir()} == {"audit-18:30", "credit:3"}


def test_one_row_is_refused(house, tracked):
    data = dataset_from(house.table[:1], {"history": Series(("balance", "payment"), house.history[:1], channel_axis=1)})
    with pytest.raises(DataError, match="one row"):
        audit({"inputs": house.settings()["inputs"]}, model_uri="models:/house/1", data=data)


def test_without_a_model_nothing_is_done(house):
    with pytest.raises(ConfigError, match="no model is named"):
        audit(house.config)
