"""What an insider tries who may write runs and tags but cannot retrain: nothing of it brings a version its alias."""

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import keras
import mlflow
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow import audit
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import ConfigError, RefusedError, TrackingError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.summary_file import read_summary
from nnperm_mlflow.promotion import alias_promotion
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.promotion.terms import Terms
from nnperm_mlflow.registry.records import read_audit
from tests.support.forging import forged, relabelled
from tests.support.house import build_house, register
from tests.support.servers import serving_files

KEPT = {"name": "no reliance on region", "feature": "region", "max": 0.9}
MISSED = {"name": "age is no driver", "feature": "age", "statistic": "mean", "max": 1e-6}


@pytest.fixture(scope="module")
def home(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return build_house(tmp_path_factory.mktemp("false"), "falsely")


@pytest.fixture(scope="module")
def versions(home):
    """Two versions: the network as it is, and one in which the region decides."""
    mlflow.set_experiment("tests")
    plain = register(home)
    (layer,) = (layer for layer in home.network.layers if isinstance(layer, keras.layers.Embedding))
    weights = layer.get_weights()
    layer.set_weights([weight * 150 for weight in weights])
    leaning = register(home)
    layer.set_weights(weights)
    return SimpleNamespace(plain=uri_of(plain), leaning=uri_of(leaning))


def uri_of(version):
    return f"models:/falsely/{version}"


def write(path, content):
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def refused(uri, message, **more):
    with pytest.raises(RefusedError, match=f"{uri} does not become 'champion'.*{message}"):
        promote(uri, "champion", **more)


def holder(client):
    return {name: uri_of(held) for name, held in client.get_registered_model("falsely").aliases.items()}.get("champion")


def nnperm(line):
    """Run a command line as a message prints it, without the program's name."""
    return CliRunner().invoke(main, shlex.split(line))


def printed_command(text):
    (line,) = re.findall(r"nnperm ((?:check|audit) --?.*|(?:check|audit) models.*)$", text.strip())
    return line


# The audit's own configuration


def test_an_audit_that_was_asked_something_else_is_refused_by_the_trusted_configuration(
    home, versions, tracked, tmp_path
):
    """Each key by itself is looked at in test_trusted_config.py. The command that the refusal prints leads on."""
    asked = home.settings()
    asked["inputs"].update(num_input=["income", "age", "flag"])
    asked["analysis"] |= {"decision": 0.99, "within": ["flag"], "exclude": ["region"], "missing": "skip", "seed": 4}
    asked["checks"] = [{**KEPT, "feature": "income"}]
    assert audit(asked, model_uri=versions.plain).verdict.status == "pass"
    with pytest.raises(RefusedError, match=r"was not made as the configuration \(--config\) says") as caught:
        promote(versions.plain, "champion", config=home.config)
    for key, expected, found in [
        ("inputs: num_input", '["age", "income", "flag"]', '["income", "age", "flag"]'),
        ("analysis: decision", "nothing", "0.99"),
        ("analysis: within", "[]", '["flag"]'),
        ("analysis: exclude", "[]", '["region"]'),
        ("analysis: missing", '"error"', '"skip"'),
        ("analysis: seed", "3", "4"),
    ]:
        assert f"'{key}' (expected {expected}, found {found})" in str(caught.value)
    assert promote(versions.plain, "champion").taken_on_trust[1] == "the audit's own configuration (no --config)"
    policy = write(tmp_path / "policy.yaml", {"checks": [KEPT]})
    with pytest.raises(RefusedError) as caught:
        promote(versions.plain, "champion", config=home.config, policy=policy)
    assert nnperm(printed_command(str(caught.value))).exit_code == 0
    assert promote(versions.plain, "champion", config=home.config, policy=policy).config_is_given


def test_what_a_configuration_leaves_out_and_where_its_files_lie_makes_no_difference(home, versions, tracked, tmp_path):
    """Inputs that find their data by name, defaults that are written down, data that have moved."""
    there = tmp_path / "there.parquet"
    home.table.to_parquet(there)
    asked = home.settings()
    asked["data"]["static"] = str(there)
    asked["inputs"] |= {"region_input": "region", "temporal_input": "history"}
    asked["analysis"] |= {"missing": "error", "rare_below": 0.05, "block_rows": 50, "repeats": 1}
    audit({**asked, "checks": [KEPT]}, model_uri=versions.plain)
    there.unlink()
    done = promote(versions.plain, "champion", config=home.config, recompute=True, policy=None)
    assert (done.config_is_given, done.audited_again) == (True, True)


def test_a_file_that_only_says_where_the_data_are_means_defaults_for_the_rest(home, versions, tracked, tmp_path):
    audit({**home.settings(), "checks": [KEPT]}, model_uri=versions.plain)
    settings = home.settings()
    only = write(tmp_path / "data.yaml", {"data": settings["data"], "inputs": settings["inputs"]})
    refused(versions.plain, r"'analysis: seed' \(expected 0, found 3\)", config=only)


def test_checks_of_the_trusted_configuration_are_the_policy_and_the_printed_command_leads_on(
    home, versions, tracked, tmp_path
):
    audit({**home.settings(), "checks": [KEPT]}, model_uri=versions.plain)
    config = write(tmp_path / "trusted config.yaml", {**home.settings(), "checks": [{**KEPT, "max": 0.8}]})
    with pytest.raises(RefusedError, match="not under the one given now") as caught:
        promote(versions.plain, "champion", config=config)
    assert nnperm(printed_command(str(caught.value))).exit_code == 0
    assert promote(versions.plain, "champion", config=config).policy_is_given


@pytest.mark.parametrize("more", [{"config": "house.yaml"}, {"recompute": True}])
def test_without_the_data_nothing_is_held_against_a_configuration_or_made_again(more):
    with pytest.raises(ConfigError, match="Leave out --no-data"):
        promote("models:/falsely/1", "champion", reads_data=False, **more)


# Numbers that were computed again are judged


def test_an_audit_of_the_baseline_that_was_made_of_another_table_is_refused(home, versions, tracked, tmp_path):
    """It bears the digests of the version that it claims to be of: what it should be like is like itself."""
    alike = {"against": versions.plain, "statistic": "mean", "max_shift": 1e-6}
    own = audit(home.settings(), model_uri=versions.plain)
    found = audit({**home.settings(), "checks": [alike]}, model_uri=versions.leaning)
    assert found.verdict.status == "fail"
    digest = tracked.get_run(own.run_id).data.params["model_digest"]
    said = {"model": versions.plain, "model_digest": digest}
    table = relabelled(found.directory / "deviations.parquet", tmp_path / "forged.parquet", **said)
    claims = forged(tracked, found.run_id, tmp_path, table=table, **said)
    assert check(run_id=found.run_id).verdict.status == "pass"
    refused(versions.leaning, "audited again, .* come out otherwise than on record", recompute=True)
    tracked.delete_run(claims)


def relabelled_kind(told):
    return told.assign(kind=told["kind"].where(told["feature"] != "region", "group"))


SUMMARIES = {
    "'kind' come out otherwise": relabelled_kind,
    "'value' come out otherwise": lambda told: told.assign(value=told["value"].where(told["feature"] != "flag", "2")),
    "'measurable' come out otherwise": lambda told: told.assign(measurable=~told["measurable"]),
    "'flipped_share_low', 'flipped_share_high' come out otherwise": (
        lambda told: told.drop(columns=["flipped_share_low", "flipped_share_high"])
    ),
    "'mean_low' come out otherwise": lambda told: told.assign(mean_low=told["mean"]),
    "added 'unheard_of'": lambda told: told.assign(unheard_of=0.0),
}


@pytest.fixture(scope="module")
def honest(home, versions, store, tmp_path_factory):
    """An audit of the plain version, with its summary."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    folder = tmp_path_factory.mktemp("honest")
    found = audit({**home.settings(), "checks": [KEPT]}, model_uri=versions.plain, output=folder)
    return SimpleNamespace(run_id=found.run_id, summary=read_summary(folder / "summary.csv"))


@pytest.mark.parametrize("message", SUMMARIES)
def test_a_summary_that_was_changed_in_any_column_is_refused(honest, versions, tracked, tmp_path, message):
    made_up = SUMMARIES[message](honest.summary)
    run_id = forged(tracked, honest.run_id, tmp_path, summary=made_up)
    try:
        assert check(run_id=run_id).verdict.status == "pass"
        refused(versions.plain, f"audited again, .*{message}", run_id=run_id, recompute=True)
    finally:
        tracked.delete_run(run_id)


def test_what_comes_out_now_is_judged_and_not_what_is_on_record(honest, versions, tracked, tmp_path):
    """Numbers on record may be off by rounding, and a limit may lie just there."""
    end = float(honest.summary.set_index("perturbation")["mean_high"]["region"])
    policy = Policy.model_validate({"checks": [{**KEPT, "statistic": "mean", "max": end * (1 - 2e-5)}]})
    assert check(run_id=honest.run_id, policy=policy).verdict.status == "fail"
    nearly = honest.summary.assign(mean_high=honest.summary["mean_high"] * (1 - 5e-5))
    run_id = forged(tracked, honest.run_id, tmp_path, summary=nearly)
    try:
        assert check(run_id=run_id, policy=policy).verdict.status == "pass"
        refused(versions.plain, "fail: 1 of 1 checks", run_id=run_id, policy=policy, recompute=True)
    finally:
        tracked.delete_run(run_id)
        check(run_id=honest.run_id)


def test_a_run_that_says_another_number_of_rows_or_repeats_is_refused(honest, versions, tracked, tmp_path):
    for told in ({"rows": "30000"}, {"repeats_made": "50"}):
        run_id = forged(tracked, honest.run_id, tmp_path, **told)
        check(run_id=run_id)
        (name,) = told
        refused(versions.plain, f"it is not what run .* says: {name} is ", run_id=run_id, recompute=True)
        tracked.delete_run(run_id)


def test_that_the_rows_are_not_those_of_the_training_is_found_out_again(honest, versions, tracked, tmp_path):
    """No data are logged as those of the training, so that it cannot be told, whatever a run says."""
    policy = Policy.model_validate({"format": 2, "checks": [KEPT], "requires": {"not_training": True}})
    run_id = forged(tracked, honest.run_id, tmp_path, training_share="0.0", training_source="made up")
    try:
        assert check(run_id=run_id, policy=policy).verdict.status == "pass"
        refused(versions.plain, "fitted to, and that cannot be told", run_id=run_id, policy=policy, recompute=True)
    finally:
        tracked.delete_run(run_id)
        check(run_id=honest.run_id)


def test_repeats_that_an_audit_found_out_and_its_baseline_come_again(home, versions, tracked, tmp_path):
    """The baseline is audited for want of such an audit, and asked for as many repeats as the other one came to."""
    alike = {"against": versions.plain, "statistic": "mean", "max_shift": 1.0}
    asked = {**home.settings(), "checks": [alike]}
    asked["analysis"] |= {"repeats": "auto", "precision": 1e-6, "max_repeats": 3}
    found = audit(asked, model_uri=versions.leaning)
    assert tracked.get_run(found.run_id).data.params["repeats_made"] == "3"
    config = write(tmp_path / "auto.yaml", asked)
    done = promote(versions.leaning, "champion", config=config, recompute=True)
    assert (done.run_id, done.taken_on_trust) == (found.run_id, ())
    asked["analysis"]["max_repeats"] = 2
    fewer = write(tmp_path / "fewer.yaml", asked)
    refused(versions.leaning, r"'analysis: max_repeats' \(expected 2, found 3\)", config=fewer)


@pytest.mark.slow
def test_rows_that_an_audit_found_out_and_its_baseline_come_again(home, versions, tracked, tmp_path, monkeypatch):
    """The baseline is audited for want of such an audit, on the same rows; the configuration says how many may be."""
    for module in ("engine.job", "perturbation.deal"):
        monkeypatch.setattr(f"nnperm_mlflow.analysis.{module}.BATCH_ROWS", 50)
    alike = {"against": versions.plain, "statistic": "mean", "max_shift": 1.0}
    asked = {**home.settings(), "checks": [alike]}
    asked["analysis"] |= {"rows": "auto", "precision": 1e-6, "max_rows": 300}
    found = audit(asked, model_uri=versions.leaning)
    baseline = found.verdict.baselines[versions.plain]
    of_both = [read_audit(tracked, run.info.run_id, tmp_path / run.info.run_id) for run in newest(tracked, 2)]
    assert {record.model for record in of_both} == {versions.leaning, baseline}
    assert [record.sampled_rows for record in of_both] == [300, 300]
    config = write(tmp_path / "auto.yaml", asked)
    done = promote(versions.leaning, "champion", config=config, recompute=True)
    assert (done.run_id, done.taken_on_trust) == (found.run_id, ())
    asked["analysis"]["max_rows"] = 200
    fewer = write(tmp_path / "fewer.yaml", asked)
    refused(versions.leaning, r"'analysis: max_rows' \(expected 200, found 300\)", config=fewer)


def newest(client, n):
    """The runs that were begun last."""
    (experiment,) = client.search_experiments(filter_string="name = 'tests'")
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=n)


def test_the_seed_and_the_repeats_of_a_trial_and_its_baseline_come_again(home, versions, tracked, tmp_path):
    """The configuration says neither: they follow from policy and data."""
    asked = {**home.settings(), "analysis": {}}
    alike = {"against": versions.plain, "statistic": "mean", "max_shift": 1.0}
    trial = {"format": 2, "name": "alike", "trial": {"repeats": 2, "attempts": 9}, "checks": [alike]}
    config, policy = write(tmp_path / "config.yaml", asked), write(tmp_path / "policy.yaml", trial)
    found = audit(config, model_uri=versions.leaning, policy=policy)
    told = tracked.get_run(found.run_id).data.params
    assert (told["repeats_made"], int(told["seed"]) > 10**6) == ("2", True)
    done = promote(versions.leaning, "champion", config=config, policy=policy, recompute=True)
    assert (done.run_id, done.taken_on_trust) == (found.run_id, ())


def test_files_of_the_model_that_change_meanwhile_are_noticed(honest, versions, tracked, monkeypatch):
    source = tracked.get_model_version_download_uri("falsely", versions.plain.rpartition("/")[2])
    added = Path(urlparse(source).path) / "README.txt"

    def changed_behind(*given, **more):
        verdict = confirm_verdict(*given, **more)
        added.write_text("added while the verdict was confirmed")
        return verdict

    confirm_verdict = alias_promotion.confirm_verdict
    monkeypatch.setattr(alias_promotion, "confirm_verdict", changed_behind)
    try:
        refused(versions.plain, "the model's files are not those", run_id=honest.run_id)
    finally:
        added.unlink()


# The alias


def test_an_alias_that_somebody_else_moves_at_the_same_time_is_an_error_that_says_what_is_there(
    honest, versions, tracked, monkeypatch
):
    set_alias = mlflow.MlflowClient.set_registered_model_alias

    def and_then_another(client, name, alias, version):
        set_alias(client, name, alias, version)
        set_alias(client, name, alias, versions.leaning.rpartition("/")[2])

    tracked.delete_model_version_tag("falsely", "1", "nnperm.promoted.champion")
    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_alias", and_then_another)
    with pytest.raises(TrackingError, match=r"'champion' of falsely was given to version 1, and is version 2 now"):
        promote(versions.plain, "champion", run_id=honest.run_id)
    assert holder(tracked) == versions.leaning
    assert "nnperm.promoted.champion" not in tracked.get_model_version("falsely", "1").tags


def test_what_is_taken_on_trust_is_said_in_a_line_and_on_record(home, honest, versions, tracked, tmp_path):
    command = f"promote {versions.plain} --alias champion --run {honest.run_id}"
    on_trust = [
        "the numbers on record (no --recompute)",
        "the audit's own configuration (no --config)",
        "the policy that the audit's author wrote (no --policy)",
    ]
    said = nnperm(command)
    assert said.exit_code == 0, said.output
    assert f"\ntaken on trust: {', '.join(on_trust)}\n" in said.output
    (run,) = tracked.search_runs(
        [tracked.get_run(honest.run_id).info.experiment_id],
        f"tags.`nnperm.kind` = 'promotion' and tags.`nnperm.model` = '{versions.plain}'",
        order_by=["attributes.start_time DESC"], max_results=1,
    )  # fmt: skip
    told = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/promotion.json"))
    assert told["taken_on_trust"] == on_trust
    less = nnperm(f"{command} --no-data")
    assert f", {on_trust[-1]}, that the data are still those audited (--no-data)\n" in less.output
    policy = write(tmp_path / "policy.yaml", {"checks": [KEPT]})
    whole = nnperm(f"{command} --policy {policy} --config {home.config} --recompute")
    assert whole.exit_code == 0, whole.output
    assert "taken on trust" not in whole.output
    unlisted = "'region_input' receives 'region'; 'temporal_input' receives 'history'"
    assert f"\nnot listed under 'inputs:' of --config: {unlisted}\n" in whole.output
    names = {"num_input": ["age", "income", "flag"], "region_input": "region", "temporal_input": "history"}
    for listed in (names, {}):  # all, or none, which leaves all to their names
        terms = Terms(config_file=write(tmp_path / "listed.yaml", {**home.settings(), "inputs": listed}))
        assert terms.found_by_name(read_audit(tracked, honest.run_id, tmp_path / str(len(listed)))) == {}


# From where data are read


def test_data_that_a_run_names_on_the_network_are_asked_for_only_where_that_is_allowed(
    home, versions, tracked, tmp_path
):
    home.table.to_parquet(tmp_path / "house.parquet")
    with serving_files(tmp_path) as site:
        asked = home.settings()
        asked["data"]["static"] = f"{site.address}/house.parquet"
        own = audit({**asked, "checks": [KEPT]}, model_uri=versions.plain)
        alike = {"against": versions.plain, "statistic": "mean", "max_shift": 1.0}
        compared = audit({**home.settings(), "checks": [alike]}, model_uri=versions.leaning)
        site.asked.clear()
        message = f"run {own.run_id} names data at '{site.address}/house.parquet'.*files of this machine"
        refused(versions.plain, message, run_id=own.run_id)
        refused(versions.plain, message, run_id=own.run_id, recompute=True)
        refused(versions.leaning, message, run_id=compared.run_id, recompute=True)
        elsewhere = message.replace("files of this machine", "allowed: http://127.0.0.1/other")
        refused(versions.plain, elsewhere, run_id=own.run_id, allow_data=["http://127.0.0.1/other"])
        assert promote(versions.plain, "champion", run_id=own.run_id, config=home.config).data_read_again
        assert site.asked == []
        history = str(home.config.parent)
        promote(versions.plain, "champion", run_id=own.run_id, allow_data=[site.address, history])
        assert set(site.asked) == {"/house.parquet"}


# Which runs count, and advice that leads on


def test_a_run_that_is_named_must_lie_in_the_only_experiment_that_counts(honest, versions, tracked, tmp_path):
    mlflow.set_experiment("audits of the service")
    copy = forged(tracked, honest.run_id, tmp_path, experiment="the insider's")
    check(run_id=copy)
    outside = "does not lie in the experiment 'audits of the service', whose audits alone count"
    refused(versions.plain, outside, run_id=copy, experiment="audits of the service")
    assert promote(versions.plain, "champion", run_id=copy, experiment="the insider's").run_id == copy
    wrong = {"--experiment": "there is no experiment 'audit'", "--policy": "", "--config": ""}
    for option, message in wrong.items():  # which says nothing of the version: an error, and no refusal
        said = nnperm(f"promote {versions.plain} --alias champion --run {copy} {option} audit")
        assert (said.exit_code, f"ConfigError: {message}" in said.output) == (2, True), said.output
    tracked.delete_run(copy)


@pytest.mark.parametrize("kept_out", [False, True])
def test_the_command_that_a_refusal_prints_leads_on(home, versions, tracked, tmp_path, kept_out):
    """The policy that was given is in it, and the copy of the table, and the experiment."""
    out = tmp_path / "my files"
    asked = {**home.settings(), "checks": [KEPT]}
    found = audit(asked, model_uri=versions.plain, output=out, logs_table=not kept_out, experiment="own audits")
    leads = {"feature": str(found.summary["feature"].iloc[0]), "statistic": "mean", "rank_at_most": 4}
    policy = write(tmp_path / "my policy.yaml", {"checks": [leads]})
    more = ["--policy", str(policy), "--experiment", "own audits"]
    more += ["--table", str(out / "deviations.parquet")] if kept_out else []
    command = shlex.join(
        ["promote", versions.plain, "--alias", "champion", "--tracking-uri", mlflow.get_tracking_uri(), *more]
    )
    said = nnperm(command)
    assert said.exit_code == 1, said.output
    checked = nnperm(printed_command(said.output))
    assert checked.exit_code == 0, checked.output
    promoted = nnperm(command)
    assert promoted.exit_code == 0, promoted.output
