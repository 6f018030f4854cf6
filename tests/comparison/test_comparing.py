"""Two versions of a real network in a real store compared: what is found, what is written, what is refused."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow import audit, compare
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, ModelNotFoundError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.registry.audits import find_audits
from tests.support.house import House, register
from tests.support.pages import read_page

NAME, N_ROWS = "twin", 300
COLUMNS = ["north", "east", "south", "west"]
BEFORE, AFTER = [1, 0.5, 0.25, 0.125], [1, 0.5, 0.75, 0.125]
"""Weights of two linear networks: what they give is exact, so that three features have the very same effect in both."""


def linear(weights):
    inputs = keras.Input((len(weights),), name="num_input")
    network = keras.Model({"num_input": inputs}, keras.layers.Dense(1, use_bias=False)(inputs))
    network.set_weights([np.array(weights, "float32")[:, None]])
    return network


@pytest.fixture(scope="module")
def twins(store, tmp_path_factory):
    """Version 1, version 2 in which 'south' weighs three times as much, version 3 that knows no 'west'."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("twins")
    rng = np.random.default_rng(7)
    table = pd.DataFrame({name: rng.integers(-16, 17, N_ROWS) / 8 for name in COLUMNS})
    table.to_parquet(folder / "twins.parquet")
    settings = {"data": {"static": "twins.parquet"}, "inputs": {"num_input": COLUMNS}, "analysis": {"seed": 3}}
    (folder / "twins.yaml").write_text(yaml.safe_dump(settings))
    twins = House(NAME, linear(BEFORE), {"num_input": table.to_numpy("float32")}, table, None, folder / "twins.yaml")
    register(twins)
    register(replace(twins, network=linear(AFTER)))
    shorter = {"num_input": table[COLUMNS[:3]].to_numpy("float32")}
    register(replace(twins, network=linear(BEFORE[:3]), inputs=shorter))
    return twins


def settings_of(twins, columns=COLUMNS, **analysis):
    data = {"static": str(twins.config.parent / "twins.parquet")}
    return {"data": data, "inputs": {"num_input": columns}, "analysis": {"seed": 3, **analysis}}


def new_version(twins, weights=AFTER):
    return f"models:/{NAME}/{register(replace(twins, network=linear(weights)))}"


@pytest.fixture(scope="module")
def audits(twins, store):
    mlflow.set_tracking_uri(store)
    columns = (COLUMNS, COLUMNS, COLUMNS[:3])
    return [
        audit(settings_of(twins, names), model_uri=f"models:/{NAME}/{version}")
        for version, names in enumerate(columns, start=1)
    ]


@pytest.fixture(scope="module")
def compared(audits, store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return compare(f"models:/{NAME}/1", f"models:/{NAME}/2", output=tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="module")
def with_and_without(audits, store, tmp_path_factory):
    """Version 1 against version 3, which lacks a feature."""
    mlflow.set_tracking_uri(store)
    return compare(f"models:/{NAME}/1", f"models:/{NAME}/3", output=tmp_path_factory.mktemp("without"))


def invoke(store, *arguments):
    return CliRunner().invoke(main, ["compare", *arguments, "--tracking-uri", store])


def artifact(run_id, name):
    return mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")


def test_only_the_feature_that_weighs_more_has_changed_and_by_exactly_so_much(compared, audits):
    medians = [audit.summary.set_index("perturbation")["median"] for audit in audits]
    table = compared.table.set_index("perturbation")
    assert set(table.index) == set(COLUMNS)
    for side, found in zip("ab", medians, strict=False):
        assert table[f"median_{side}"].to_dict() == found.to_dict()
    assert table.loc["south", "difference"] == 2 * medians[0]["south"] > 0
    assert (table.drop(index="south")[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    assert table.loc["south", "difference_low"] > 0


def test_each_median_stands_with_the_interval_of_its_own_audit(compared, audits):
    table = compared.table.set_index("perturbation")
    for side, audited in zip("ab", audits, strict=False):
        summary = audited.summary.set_index("perturbation").loc[table.index]
        for end in ("low", "high"):
            assert table[f"median_{side}_{end}"].tolist() == summary[f"median_{end}"].tolist()


def test_both_versions_are_inputs_of_the_run_and_neither_gets_a_metric(compared, audits, tracked):
    run = tracked.get_run(compared.run_id)
    ids = {audited.model.model_id for audited in audits[:2]}
    assert {model.model_id for model in run.inputs.model_inputs} == ids
    assert [told.dataset.name for told in run.inputs.dataset_inputs] == ["twins.parquet"]
    for model_id in ids:
        metrics = tracked.get_logged_model(model_id).metrics
        assert not [metric.key for metric in metrics if metric.key.startswith(("difference", "nnperm/rank"))]
        assert compared.run_id not in {metric.run_id for metric in metrics}


def test_the_run_says_what_was_compared_and_what_came_out(compared, audits, tracked):
    run = tracked.get_run(compared.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", f"comparison of {NAME} 1 and 2")
    assert run.info.experiment_id == tracked.get_experiment_by_name("tests").experiment_id
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("nnperm.")}
    assert tags == {
        "nnperm.kind": "comparison",
        "nnperm.a": f"models:/{NAME}/1",
        "nnperm.b": f"models:/{NAME}/2",
        "nnperm.run_a": audits[0].run_id,
        "nnperm.run_b": audits[1].run_id,
        "nnperm.paired": "true",
    }
    digest = tracked.get_run(audits[0].run_id).data.params["data_digest"]
    assert run.data.params == {
        "model_a": f"models:/{NAME}/1", "model_b": f"models:/{NAME}/2", "data_digest": digest, "seed": "3",
        "rows": str(N_ROWS), "repeats": "1",
    }  # fmt: skip
    table = compared.table.set_index("perturbation")
    metrics = run.data.metrics
    for column in ("difference", "mean_difference"):
        assert {name: metrics[f"{column}/{name}"] for name in COLUMNS} == table[column].to_dict()
    assert metrics["nnperm/rank_correlation"] == compared.comparison.rank_correlation.value
    largest = table.loc["south", "mean_difference"]
    assert metrics["nnperm/largest_shift"] == compared.comparison.largest_shift.value == largest


def test_the_files_lie_at_the_root_of_the_run_and_in_the_output(compared, tracked):
    names = {"comparison.csv", "comparison.png", "comparison.md", "comparison.json", "comparison.html"}
    assert {file.path for file in tracked.list_artifacts(compared.run_id)} == names
    assert {path.name for path in compared.directory.iterdir()} == names
    for path in compared.directory.iterdir():
        in_run = mlflow.artifacts.download_artifacts(f"runs:/{compared.run_id}/{path.name}")
        assert path.read_bytes() == Path(in_run).read_bytes(), path
    read = pd.read_csv(compared.directory / "comparison.csv")
    assert read["difference"].tolist() == pytest.approx(compared.table["difference"].tolist(), rel=1e-12)
    assert read["perturbation"][0] == "south"
    told = json.loads(artifact(compared.run_id, "comparison.json"))
    assert told["columns"][:2] == ["perturbation", "mean_a"]
    assert {"median_a", "median_b", "difference", "mean_difference"} < set(told["columns"])
    assert told["data"][0][0] == "south"
    card = artifact(compared.run_id, "comparison.md").replace("\\", "")
    assert f"# {NAME} 1 and {NAME} 2 compared" in card
    assert re.search(r"\| south \| 0\.\d+ \| [01]\.\d+ \| 0\.\d+ \(0\.\d+ to 0\.\d+\) \|", card)
    assert f"the same {N_ROWS} rows of twins.parquet with the same donors" in card


def test_the_report_tells_both_versions_with_what_changed_first(compared, tracked):
    page = read_page(artifact(compared.run_id, "comparison.html"))
    assert page.all("h1")[0].text == f"What changed from {NAME} 1 to {NAME} 2"
    assert page.all("p", **{"class": "lead"})[0].text.startswith(f"{NAME} 2 rests more on south than {NAME} 1")
    (table,) = page.all("table", **{"class": "boxes"})
    assert table.all("tbody")[0].all("tr")[0].all("b")[0].text == "south"
    assert [row.all("b")[0].text for row in table.all("tr", **{"class": "changed"})] == ["south"]
    assert f"the same {N_ROWS} rows of twins.parquet" in page.by_id("summary").text


def test_a_feature_that_only_one_version_has_is_listed_not_dropped(with_and_without, audits):
    row = with_and_without.table.iloc[-1]
    assert (row["perturbation"], row["only_in"]) == ("west", "a")
    assert row["median_a"] == audits[0].summary.set_index("perturbation")["median"]["west"] > 0
    assert row[["median_b", "difference", "difference_low", "mean_b", "rank_a"]].isna().all()
    assert with_and_without.table["only_in"].tolist() == ["", "", "", "a"]
    assert "west" in (with_and_without.directory / "comparison.csv").read_text()
    assert f"Only in {NAME} 1: west (0." in artifact(with_and_without.run_id, "comparison.md").replace("\\", "")
    texts = [text.get_text() for text in with_and_without.figure.axes[0].texts]
    assert f"only in {NAME} 1" in texts


def test_what_only_one_version_has_is_no_metric(with_and_without, tracked):
    metrics = tracked.get_run(with_and_without.run_id).data.metrics
    assert "difference/west" not in metrics
    assert (metrics["nnperm/only_a"], metrics["nnperm/only_b"], metrics["nnperm/common"]) == (1, 0, 3)


def test_the_command_prints_the_table_and_where_the_run_is(audits, store, tracked):
    done = invoke(store, f"models:/{NAME}/1", f"models:/{NAME}/3")
    assert done.exit_code == 0, done.output
    assert f"{NAME} 3 against {NAME} 1: the same {N_ROWS} rows of twins.parquet with the same donors" in done.output
    assert re.search(r"\n +north +\d\.\d{4} +\d\.\d{4} +0\.0000 +0\.0000 +0\.0000 +1 +1\n", done.output)
    assert re.search(r"rank correlation +1\.0000 \(", done.output)
    assert f"only in {NAME} 1: 'west'" in done.output
    run_id = re.search(r"run (\w{32})", done.output)[1]
    assert tracked.get_run(run_id).data.tags["nnperm.kind"] == "comparison"
    assert done.output.splitlines()[-3:] == [
        "page: comparison.html in the run",
        "picture: comparison.png in the run",
        "table: comparison.csv in the run (with --output DIR there, too)",
    ]


def test_the_command_ends_with_where_picture_and_tables_lie(audits, store, tmp_path):
    done = invoke(store, f"models:/{NAME}/1", f"models:/{NAME}/3", "--output", str(tmp_path))
    *_, picture, table = done.output.splitlines()
    assert picture == f"picture: {tmp_path / 'comparison.png'}"
    assert table == f"table: {tmp_path / 'comparison.csv'}, beside all other files of the run"
    assert (tmp_path / "comparison.png").is_file()


def test_an_alias_is_pinned_to_the_version_it_means(audits, tracked):
    tracked.set_registered_model_alias(NAME, "champion", "1")
    done = compare(f"models:/{NAME}@champion", f"models:/{NAME}/2")
    assert tracked.get_run(done.run_id).data.tags["nnperm.a"] == f"models:/{NAME}/1"
    with pytest.raises(ConfigError, match=f"are both models:/{NAME}/1"):
        compare(f"models:/{NAME}@champion", f"models:/{NAME}/1")
    with pytest.raises(ModelNotFoundError, match="has the versions '1'"):
        compare(f"models:/{NAME}/1", f"models:/{NAME}/99")


def test_the_newest_audits_that_are_alike_are_compared(audits, twins, tracked):
    """The newest audit of one has no like among those of the other; of two that have, the newer is taken."""
    version = new_version(twins)
    older, newer = (audit(settings_of(twins), model_uri=version).run_id for _ in range(2))
    audit(settings_of(twins, seed=8), model_uri=version)
    assert older != newer
    assert compare(f"models:/{NAME}/1", version).audits == (audits[0].run_id, newer)


def test_other_seeds_are_refused_and_told_where_they_are_compared_all_the_same(audits, twins, store, tracked):
    version = new_version(twins)
    audited = audit(settings_of(twins, seed=4), model_uri=version)
    before = len(tracked.search_runs([audited.experiment_id]))
    refused = invoke(store, f"models:/{NAME}/1", version)
    assert refused.exit_code == 2
    assert re.search(r"EvidenceError: .*'seed: 4', not '3'.*--config FILE.*--unpaired", refused.output)
    assert len(tracked.search_runs([audited.experiment_id])) == before
    done = invoke(store, "--unpaired", f"models:/{NAME}/1", version)
    assert done.exit_code == 0, done.output
    assert "not paired, with the wider intervals of independent audits ('seed: 4', not '3')" in done.output
    run = tracked.get_run(re.search(r"run (\w{32})", done.output)[1])
    assert run.data.tags["nnperm.paired"] == "false"
    assert (run.data.params["seed_a"], run.data.params["seed_b"]) == ("3", "4")
    assert "not paired" in artifact(run.info.run_id, "comparison.md")


def test_without_pairs_differences_are_less_sure(audits):
    alike = compare(f"models:/{NAME}/1", f"models:/{NAME}/2", paired=False).table.set_index("perturbation")
    assert alike.loc["north", "difference"] == 0
    assert alike.loc["north", "difference_low"] < 0 < alike.loc["north", "difference_high"]


def test_other_data_are_refused(audits, twins, tmp_path):
    version = new_version(twins)
    twins.table.iloc[:-1].to_parquet(tmp_path / "fewer.parquet")
    settings = settings_of(twins)
    settings["data"]["static"] = str(tmp_path / "fewer.parquet")
    audit(settings, model_uri=version)
    with pytest.raises(EvidenceError, match="has other data, against that of"):
        compare(f"models:/{NAME}/1", version)
    unpaired = compare(f"models:/{NAME}/1", version, paired=False)
    assert "(other data)" in unpaired.how
    assert unpaired.figure.texts[1].get_text() == unpaired.how


def test_deviations_in_other_units_have_no_difference(audits, twins):
    version = new_version(twins)
    audit(settings_of(twins, unit="euro"), model_uri=version)
    with pytest.raises(EvidenceError, match="deviations in 'euro'"):
        compare(f"models:/{NAME}/1", version)
    with pytest.raises(EvidenceError, match="deviations in 'euro'"):
        compare(f"models:/{NAME}/1", version, paired=False)


def test_a_version_without_an_audit_is_audited_now_where_a_configuration_says_how(audits, twins, store, tracked):
    version = new_version(twins)
    for paired in (True, False):
        with pytest.raises(EvidenceError, match=rf"^there is no finished audit of {version}. .*--config FILE"):
            compare(f"models:/{NAME}/1", version, paired=paired)
    done = invoke(store, f"models:/{NAME}/1", version, "--config", str(twins.config))
    assert done.exit_code == 0, done.output
    (made,) = find_audits(tracked, version)
    run = tracked.get_run(re.search(r"run (\w{32})", done.output)[1])
    assert run.data.tags["nnperm.run_b"] == made.info.run_id != run.info.run_id
    assert run.data.tags["nnperm.run_a"] == audits[0].run_id
    assert made.info.status == "FINISHED"


def test_only_what_was_not_audited_so_is_audited_anew(twins, tracked):
    """One version has audits by two configurations, the other one by neither; then neither has any by a third."""
    first, second = new_version(twins, BEFORE), new_version(twins)
    for repeats in (2, 3):
        audit(settings_of(twins, repeats=repeats), model_uri=second)
    settings = settings_of(twins, repeats=2)
    compared = compare(first, second, config=settings)
    assert [len(find_audits(tracked, uri)) for uri in (first, second)] == [1, 2]
    models = [tracked.get_run(run_id).data.params["model"] for run_id in compared.audits]
    assert models == [first, second]
    assert tracked.get_run(compared.run_id).data.params["repeats"] == "2"
    compare(first, second, config=settings_of(twins, repeats=2, seed=9))
    assert [len(find_audits(tracked, uri)) for uri in (first, second)] == [1, 2], "a pair on record goes first"


def test_versions_are_audited_with_as_many_shuffles_as_each_other(twins, tracked):
    """How many `repeats: auto` makes depends on the version."""
    first, second = new_version(twins, BEFORE), new_version(twins)
    settings = settings_of(twins, repeats="auto", precision=0.2, max_repeats=9)
    compared = compare(first, second, config=settings)
    runs = [find_audits(tracked, uri) for uri in (first, second)]
    assert [len(found) for found in runs] == [1, 1]
    made = [found[0].data.metrics["nnperm/repeats"] for found in runs]
    assert made[0] == made[1] > 1
    assert compared.comparison.paired


def test_an_audit_whose_table_was_kept_out_is_passed_over(audits, twins, tracked, tmp_path):
    version = new_version(twins)
    with_table = audit(settings_of(twins), model_uri=version)
    audit(settings_of(twins), model_uri=version, logs_table=False, output=tmp_path)
    for paired in (True, False):
        compared = compare(f"models:/{NAME}/1", version, paired=paired)
        assert compared.audits[1] == with_table.run_id
    assert len(find_audits(tracked, version)) == 2


@pytest.mark.parametrize("paired", [True, False])
def test_a_version_whose_tables_were_all_kept_out_is_refused_or_audited_now(paired, audits, twins, tracked, tmp_path):
    first, second = new_version(twins, BEFORE), new_version(twins)
    for number, version in enumerate((first, second, second)):
        audit(settings_of(twins), model_uri=version, logs_table=False, output=tmp_path / str(number))
    tables = "the deviation tables of all audits of {} were kept out of the tracking server (--no-table)"
    remedy = "To audit what is missing now, name a configuration: --config FILE."
    for before, message in (
        (first, f"{tables.format(first)}, and {tables.format(second)}. {remedy}"),
        (f"models:/{NAME}/1", f"{tables.format(second)}. {remedy}"),
    ):
        with pytest.raises(EvidenceError, match=f"^{re.escape(message)}$"):
            compare(before, second, paired=paired)
    compared = compare(f"models:/{NAME}/1", second, paired=paired, config=settings_of(twins))
    made, *others = find_audits(tracked, second)
    assert (compared.audits[1], len(others)) == (made.info.run_id, 2)


def test_a_run_that_only_bears_the_tags_of_an_audit_is_compared_with_none(audits, twins, tracked):
    version = new_version(twins)
    audited = audit(settings_of(twins), model_uri=version)
    empty = tracked.create_run("0", tags={"nnperm.kind": "audit", "nnperm.model": version}).info.run_id
    tracked.set_terminated(empty)
    for paired in (True, False):
        assert compare(f"models:/{NAME}/1", version, paired=paired).audits[1] == audited.run_id
    tracked.delete_run(audited.run_id)
    with pytest.raises(EvidenceError, match=f"^there is no finished audit of {version}"):
        compare(f"models:/{NAME}/1", version)
    tracked.delete_run(empty)


def test_a_table_that_was_altered_is_refused(audits, twins, tracked, tmp_path):
    version = new_version(twins)
    audited = audit(settings_of(twins), model_uri=version, output=tmp_path)
    table = pd.read_parquet(tmp_path / "deviations.parquet")
    table.assign(south=0.0).to_parquet(tmp_path / "deviations.parquet")
    tracked.log_artifact(audited.run_id, str(tmp_path / "deviations.parquet"))
    for paired in (True, False):
        with pytest.raises(EvidenceError, match=rf"deviations.parquet of run {audited.run_id} has been changed"):
            compare(f"models:/{NAME}/1", version, paired=paired)


def test_a_run_to_continue_is_ended_whatever_happens(audits, tracked):
    experiment = tracked.get_experiment_by_name("tests").experiment_id
    run_id = tracked.create_run(experiment).info.run_id
    assert compare(f"models:/{NAME}/1", f"models:/{NAME}/2", run_id=run_id).run_id == run_id
    assert tracked.get_run(run_id).info.status == "FINISHED"
    run_id = tracked.create_run(experiment).info.run_id
    with pytest.raises(ConfigError, match="are both"):
        compare(f"models:/{NAME}/1", f"models:/{NAME}/1", run_id=run_id)
    run = tracked.get_run(run_id)
    assert (run.info.status, "are both" in run.data.tags["nnperm.error"]) == ("FAILED", True)


def test_a_switch_may_stand_anywhere_and_take_a_value(monkeypatch):
    asked = []

    def remember(a, b, **more):
        asked.append((a, b, more["paired"], more["trust_model"]))
        raise ConfigError("as a test wants it")

    monkeypatch.setattr("nnperm_mlflow.comparison.version_comparison.compare", remember)
    for line in ("--unpaired x y", "x y --unpaired", "--unpaired TRUE --trust-model false x y", "--unpaired -- x y"):
        CliRunner().invoke(main, ["compare", *line.split()])
    CliRunner().invoke(main, ["compare", "--trust-model", "x", "y", "--unpaired", "false"])
    assert asked == [("x", "y", False, False)] * 4 + [("x", "y", True, True)]


@pytest.mark.slow
def test_mlflow_run_has_an_entry_point_for_it(audits, store, tracked):
    """The run that MLflow has made is the one that is written to."""
    project = str(Path(__file__).parents[2])
    parameters = {"a": f"models:/{NAME}/1", "b": f"models:/{NAME}/2", "unpaired": "true"}
    path = f"{Path(sys.executable).parent}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.setenv("PATH", path, prepend=":")
        submitted = mlflow.projects.run(
            project, "compare", parameters=parameters, env_manager="local", experiment_name="tests"
        )
    run = tracked.get_run(submitted.run_id)
    assert (run.info.status, run.data.tags["nnperm.kind"]) == ("FINISHED", "comparison")
    assert run.data.tags["nnperm.paired"] == "false"
