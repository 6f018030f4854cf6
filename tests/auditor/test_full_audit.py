"""An audit with everything that can be asked for, on a real network and a real store."""

import re
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import log_loss, roc_auc_score

from nnperm_mlflow import audit, history
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions, other_positions
from nnperm_mlflow.basics.audit_files import file_digest
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError
from nnperm_mlflow.basics.text import as_text
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.profile_config import ProfileConfig
from nnperm_mlflow.evidence.audit_folder import FolderFiles
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.registry.records import read_audit
from tests.support.house import register

pytestmark = pytest.mark.slow

ANALYSIS = {
    "seed": 3,
    "repeats": "auto",
    "precision": 1e-9,
    "max_repeats": 3,
    "windows": {"early": [1, 3], "late": [4, 6]},
    "order": ["payment"],
    "within": ["region"],
    "groups": {"person": ["age", "income"]},
    "set": {"region": "all"},
    "scores": ["roc_auc", "neg_log_loss"],
    "p_values": True,
    "profile": ["age", "region"],
    "associated_above": 0.001,
}
FILES = {
    "deviations.parquet", "summary.csv", "associations.csv", "windows.csv", "profiles.csv", "strata.csv", "groups.csv",
    "medians.json", "boxplot.png", "heatmap.png", "profiles.png", "config.yaml", "audit.md", "names.json",
    "scores.json", "report.html", "associations.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def labelled(house):
    """The house with labels that its network tells something about."""
    probability = house.network(house.inputs, training=False).numpy()[:, 0].astype(float)
    spread = (probability - probability.mean()) / probability.std()
    labels = (np.random.default_rng(0).logistic(size=len(spread)) < 2 * spread).astype(int)
    return labels, probability


@pytest.fixture(scope="module")
def settings(house, labelled, tmp_path_factory):
    """The house's configuration with everything asked for."""
    folder = tmp_path_factory.mktemp("full")
    settings = house.settings()
    pd.read_parquet(settings["data"]["static"]).assign(label=labelled[0]).to_parquet(folder / "full.parquet")
    settings["data"]["static"] = str(folder / "full.parquet")
    return {**settings, "analysis": ANALYSIS}


@pytest.fixture(scope="module")
def audited(settings, store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return audit(settings, model_uri="models:/house/1", output=tmp_path_factory.mktemp("output"))


@pytest.fixture
def by_name(audited):
    return audited.summary.set_index("perturbation")


def test_every_file_lies_at_the_root_of_the_run(audited, tracked):
    assert {file.path for file in tracked.list_artifacts(audited.run_id)} == FILES


def test_every_perturbation_is_there(by_name):
    assert set(by_name.index) == {
        "age", "income", "flag", "flag=1", "person", "region", "region=0", "region=1", "region=2", "region=3",
        "balance", "balance early", "balance late", "payment", "payment early", "payment late", "payment order",
    }  # fmt: skip
    assert (by_name["rows"] == 3 * 400).all()
    assert by_name["median_spread"].notna().all()


def test_a_set_value_tells_how_many_rows_held_it(by_name, house):
    counts = house.table["region"].value_counts()
    assert by_name["held"].dropna().to_dict() == {
        **{f"region={value}": count for value, count in counts.items()},
        "flag=1": house.table["flag"].sum(),
    }


def test_the_drop_in_score_is_scikit_learns_on_the_network_s_own_predictions(by_name, house, labelled):
    """For a set value, whose predictions are known."""
    labels, before = labelled
    changed = {**house.inputs, "region_input": np.full_like(house.inputs["region_input"], 2)}
    after = house.network(changed, training=False).numpy()[:, 0].astype(float)
    row = by_name.loc["region=2"]
    assert row["roc_auc_drop"] == pytest.approx(roc_auc_score(labels, before) - roc_auc_score(labels, after), abs=1e-6)
    assert row["neg_log_loss_drop"] == pytest.approx(log_loss(labels, after) - log_loss(labels, before), abs=1e-6)
    assert (by_name["roc_auc_drop_error"] > 0).any()


def test_flips_are_those_of_a_probability_of_one_half(by_name, house, labelled):
    changed = {**house.inputs, "region_input": np.full_like(house.inputs["region_input"], 2)}
    after = house.network(changed, training=False).numpy()[:, 0]
    assert by_name.loc["region=2", "flipped_share"] == ((after > 0.5) != (labelled[1] > 0.5)).mean()


def test_p_values_count_repeats_and_are_none_for_set_values(by_name):
    random = by_name["way"] != "set"
    assert set(by_name.loc[random, "roc_auc_p"].round(12)) <= {0.25, 0.5, 0.75, 1.0}
    assert by_name["roc_auc_q"].isna().all()  # three repeats bring no p-value below 0.25, and so none to 0.05
    assert by_name.loc[~random, "roc_auc_p"].isna().all()


def test_metrics_tell_medians_flips_drops_and_what_was_reached(audited, tracked, by_name):
    metrics = tracked.get_run(audited.run_id).data.metrics
    assert metrics["nnperm/repeats"] == 3
    shuffled = by_name[by_name["way"] == "shuffle"]
    assert metrics["nnperm/widest_interval"] == (shuffled["mean_high"] - shuffled["mean_low"]).max()
    assert metrics["median/payment order"] == by_name.loc["payment order", "median"] > 0
    assert metrics["flipped/age"] == by_name.loc["age", "flipped_share"]
    assert metrics["roc_auc_drop/age"] == by_name.loc["age", "roc_auc_drop"]
    assert metrics["neg_log_loss_drop/region is 2"] == by_name.loc["region=2", "neg_log_loss_drop"]
    assert metrics["nnperm/undefined"] == 0


def test_the_model_s_own_scores_are_on_record_as_scikit_learn_has_them(audited, tracked, labelled, tmp_path):
    labels, probability = labelled
    expected = {"roc_auc": roc_auc_score(labels, probability), "neg_log_loss": -log_loss(labels, probability)}
    run = tracked.get_run(audited.run_id)
    card = (audited.directory / "audit.md").read_text()
    record = read_audit(tracked, audited.run_id, tmp_path)
    assert record.own_scores == audited.own_scores
    for name, value in expected.items():
        own = audited.own_scores[name]
        assert own.value == run.data.metrics[f"score/{name}"] == pytest.approx(value, abs=1e-6)
        assert own.low < own.value < own.high
        assert f"{as_text(str(own))} | " in card
    assert "labels" not in (audited.directory / "scores.json").read_text()


def test_an_audit_from_before_own_scores_were_told_is_read_as_one_without(audited, tracked, tmp_path):
    record = read_audit(tracked, audited.run_id, tmp_path)
    before = replace(record, params={key: value for key, value in record.params.items() if key != "scores_digest"})
    assert before.own_scores == {}


def test_scores_that_were_changed_on_record_are_refused(audited, tmp_path):
    files = FolderFiles(tmp_path)
    told = (audited.directory / "scores.json").read_text().replace("roc_auc", "accuracy")
    (tmp_path / "scores.json").write_text(told)
    digest = file_digest(audited.directory / "scores.json")
    record = AuditRecord("run", "0", {"scores_digest": digest}, files, {})
    with pytest.raises(EvidenceError, match="scores.json of run run has been changed"):
        record.own_scores  # noqa: B018
    (tmp_path / "scores.json").write_text('{"scores": {"roc_auc": {"value": "high"}}}')
    changed = replace(record, params={"scores_digest": file_digest(tmp_path / "scores.json")})
    with pytest.raises(EvidenceError, match="scores.json is not what an audit wrote"):
        changed.own_scores  # noqa: B018


def test_wrong_outcomes_show_at_once_in_log_and_card(settings, tracked, tmp_path, caplog):
    table = pd.read_parquet(settings["data"]["static"])
    table["label"] = np.random.default_rng(5).permutation(table["label"])
    table.to_parquet(tmp_path / "wrong.parquet")
    asked = {**settings, "data": {**settings["data"], "static": str(tmp_path / "wrong.parquet")}}
    found = audit({**asked, "analysis": {"scores": ["roc_auc"]}}, model_uri="models:/house/1")
    assert "'roc_auc' of the model itself is" in caplog.text
    assert "no better than guessing (0.5)" in caplog.text
    assert "No better than guessing by 'roc_auc'" in (found.directory / "audit.md").read_text()


def test_a_drop_that_leads_is_told_as_a_drop(settings, house, tracked):
    register(replace(house, name="led"))
    asked = {**settings, "analysis": {"scores": ["roc_auc"], "order_by": "roc_auc_drop"}}
    found = audit(asked, model_uri="models:/led/1")
    leads = f"roc_auc falls most with {found.summary['perturbation'][0]}"
    assert f"rows: {leads} (" in tracked.get_model_version("led", "1").description
    (event,) = history("led").events
    assert event.in_words.startswith(f"{leads} (")
    assert leads.replace("with ", "with '") in repr(found)


def test_tables_of_windows_profiles_and_strata_are_logged_as_they_are(audited, house):
    assert audited.windows[["channel", "window"]].values.tolist() == [
        [channel, window] for channel in ("balance", "payment") for window in ("early", "late")
    ]
    assert audited.profiles.groupby("feature").size().to_dict() == {"age": 20, "region": 4}
    written = pd.read_csv(audited.directory / "profiles.csv")
    np.testing.assert_allclose(written["mean"], audited.profiles["mean"].astype(float), rtol=1e-12)
    assert audited.strata["rows"].sum() == len(house.table)
    assert len(pd.read_csv(audited.directory / "associations.csv")) == len(audited.associations) > 0


def test_values_move_between_rows_of_the_same_stratum_only(audited, house, labelled):
    """The network's own predictions with the ages of donors of the same region are as far off as the table says."""
    regions = house.table["region"].to_numpy()
    donors = other_positions(ShuffleBlock(0, np.arange(len(regions))), ANALYSIS["seed"], "age", 0, regions)
    assert (regions[donors] == regions).all()
    changed = {**house.inputs, "num_input": house.inputs["num_input"].copy()}
    changed["num_input"][:, 0] = changed["num_input"][donors, 0]
    expected = np.abs(house.network(changed, training=False).numpy()[:, 0] - labelled[1])
    first = audited.table[audited.table["repeat"] == 0].sort_values("row")
    np.testing.assert_allclose(first["age"], expected, rtol=0, atol=1e-6)
    assert expected.max() > 0.01


def test_the_logged_configuration_repeats_the_audit(audited, tmp_path, store):
    again = audit(audited.directory / "config.yaml", output=tmp_path)
    pd.testing.assert_frame_equal(again.summary, audited.summary, check_exact=True)


def test_scores_without_labels_are_refused(settings, tracked):
    data = {name: value for name, value in settings["data"].items() if name != "label"}
    with pytest.raises(ConfigError, match="name their column under 'data: label'"):
        audit({**settings, "data": data}, model_uri="models:/house/1")


def test_the_command_line_shows_drops_and_flips(settings, store, tmp_path):
    import yaml

    asked = {**settings, "analysis": {"scores": ["roc_auc"]}}
    (tmp_path / "house.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
    done = CliRunner().invoke(
        main,
        ["audit", "--model-uri", "models:/house/1", "--config", str(tmp_path / "house.yaml"), "--tracking-uri", store],
    )
    assert done.exit_code == 0, done.output
    head = next(line for line in done.output.splitlines() if "perturbation" in line)
    assert head.split()[-3:] == ["changed_share", "flipped_share", "roc_auc_drop"]
    assert re.search(r"^the model itself: roc_auc 0\.\d+ \(0\.\d+ to 0\.\d+\)$", done.output, re.MULTILINE)


def test_accumulated_effects_are_told_beside_everything_else(house, tracked):
    """Of all numbers and windows; of the network's own predictions with each row moved to the ends of its interval."""
    settings = house.settings()
    settings["analysis"] = {"windows": 2, "profile": {"kind": "ale"}, "exclude": ["income"]}
    audited = audit(settings, model_uri="models:/house/1")
    assert audited.profiles is None
    windows = [f"{channel} steps {steps}" for channel in ("balance", "payment") for steps in ("1 to 3", "4 to 6")]
    assert audited.effects["feature"].unique().tolist() == ["age", "flag", *windows]
    files = {file.path for file in tracked.list_artifacts(audited.run_id)}
    assert {"effects.csv", "effects.png"} <= files
    flag = audited.effects[audited.effects["feature"] == "flag"]
    ends = []
    for value in flag["value"]:
        numbers = house.inputs["num_input"].copy()
        numbers[:, 2] = value
        ends.append(house.network({**house.inputs, "num_input": numbers}, training=False).numpy()[:, 0].mean())
    assert np.diff(flag["effect"]) == pytest.approx(np.diff(ends), abs=1e-6)
    told = read_audit(tracked, audited.run_id, audited.directory / "again").config.analysis.profile
    assert told == ProfileConfig(kind="ale")


def test_interactions_are_told_on_record_in_the_card_and_in_a_picture(house, tracked):
    """By the network itself, with the donors that all pairs have in common."""
    settings = house.settings()
    settings["analysis"] |= {"interactions": [["age", "region"], ["income", "payment"]], "repeats": 2}
    audited = audit(settings, model_uri="models:/house/1")
    files = {file.path for file in tracked.list_artifacts(audited.run_id)}
    assert {"interactions.csv", "interactions.png"} <= files
    record = read_audit(tracked, audited.run_id, audited.directory / "again")
    pd.testing.assert_frame_equal(record.interactions, audited.interactions)
    card = (audited.directory / "audit.md").read_text()
    assert "## What features do together" in card
    assert "| age | region | " in card
    plain = audit({**settings, "analysis": {"repeats": 2, "seed": 3}}, model_uri="models:/house/1")
    pd.testing.assert_frame_equal(plain.summary, audited.summary)
    assert plain.interactions is None
    assert read_audit(tracked, plain.run_id, plain.directory / "again").interactions is None
    donors = donor_positions(ShuffleBlock(0, np.arange(400)), 3, "the donors that features share", 0)
    numbers = house.inputs["num_input"].copy()
    numbers[:, 0] = numbers[donors, 0]
    both, one, other = (
        house.network({**house.inputs, **changed}, training=False).numpy()[:, 0].astype(float)
        for changed in (
            {"num_input": numbers, "region_input": house.inputs["region_input"][donors]},
            {"num_input": numbers},
            {"region_input": house.inputs["region_input"][donors]},
        )
    )
    before = house.network(house.inputs, training=False).numpy()[:, 0].astype(float)
    told = audited.interactions.set_index(["first", "second"]).loc[("age", "region")]
    assert told["mean"] == pytest.approx(np.abs(both - one - other + before).mean(), abs=1e-6)


def test_interactions_that_were_changed_on_record_are_refused(house, tracked, tmp_path):
    record = AuditRecord("run", "0", {"interactions_digest": "0" * 64}, FolderFiles(tmp_path), {})
    (tmp_path / "interactions.csv").write_text("first,second\n")
    with pytest.raises(EvidenceError, match="interactions.csv of run run has been changed"):
        record.interactions  # noqa: B018
