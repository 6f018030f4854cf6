"""Promotion: an alias moves only where the evidence bears it, and each way of tampering is refused."""

import json
import re
import sqlite3
from pathlib import Path
from urllib.parse import urlparse

import mlflow
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.engine.table import METADATA_KEY
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import ConfigError, ModelError, RefusedError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.summary_file import read_summary
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.models.model_uri import pin_model
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.registry.aliases import move_alias
from nnperm_mlflow.registry.audits import find_runs
from tests.support.forging import forged
from tests.support.house import build_house, register

KEPT = {"name": "no reliance on region", "feature": "region", "max": 0.9}
MISSED = {"name": "age is no driver", "feature": "age", "statistic": "mean", "max": 1e-6}
AGAINST = {"against": "models:/promoted@champion", "statistic": "mean", "max_shift": 0.9}


@pytest.fixture(scope="module")
def home(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return build_house(tmp_path_factory.mktemp("promoting"), "promoted")


@pytest.fixture
def version(home, tracked):
    """A version that nothing has been done to yet."""
    return register(home)


def audit_version(home, version, *checks, **more):
    return audit({**home.settings(), "checks": list(checks), **more}, model_uri=uri_of(version))


def uri_of(version):
    return f"models:/promoted/{version}"


def refused(version, message, **more):
    with pytest.raises(RefusedError, match=f"{uri_of(version)} does not become 'champion'.*{message}"):
        promote(uri_of(version), "champion", **more)


def holder(client):
    return {name: str(version) for name, version in client.get_registered_model("promoted").aliases.items()}.get(
        "champion"
    )


def path_of(client, run_id, name):
    return Path(urlparse(client.get_run(run_id).info.artifact_uri).path) / name


def promotions(client, version):
    return find_runs(client, f"tags.`nnperm.kind` = 'promotion' and tags.`nnperm.model` = '{uri_of(version)}'")


def test_a_version_that_passes_gets_the_alias_and_it_is_written_down(home, version, tracked):
    audited = audit_version(home, version, KEPT)
    before = holder(tracked)
    done = promote(uri_of(version), "champion")
    assert holder(tracked) == version
    assert (done.replaced, done.run_id, done.data_read_again) == (before, audited.run_id, True)
    (run,) = promotions(tracked, version)
    told = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/promotion.json"))
    assert (told["replaced"], told["by"], told["version"]) == (before, run.data.tags["mlflow.user"], version)
    tag = tracked.get_model_version("promoted", version).tags["nnperm.promoted.champion"]
    assert f"by {told['by']}" in tag
    assert before is None or f"replacing version {before}" in tag


def test_who_had_the_alias_before_is_written_down(home, version, tracked, store):
    tracked.set_registered_model_alias("promoted", "champion", version)
    newer = register(home)
    audit_version(home, newer, KEPT)
    result = CliRunner().invoke(main, ["promote", uri_of(newer), "--alias", "champion", "--tracking-uri", store])
    assert result.exit_code == 0, result.output
    assert f"version {newer} of promoted is 'champion' now, which version {version} had before" in result.output


def test_a_version_that_fails_keeps_out_and_the_command_says_why(home, version, tracked, store):
    audit_version(home, version, KEPT, MISSED)
    before = holder(tracked)
    result = CliRunner().invoke(main, ["promote", uri_of(version), "--alias", "champion", "--tracking-uri", store])
    assert result.exit_code == 1
    assert f"refused: {uri_of(version)} does not become 'champion': fail: 1 of 2 checks are not kept" in result.output
    assert holder(tracked) == before
    assert promotions(tracked, version) == []


def test_a_version_whose_registration_has_failed_gets_no_alias(home, version, tracked, store):
    audit_version(home, version, KEPT)
    before = holder(tracked)
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        where = ("FAILED_REGISTRATION", "promoted", version)
        database.execute("update model_versions set status = ? where name = ? and version = ?", where)
    with pytest.raises(ModelError, match=f"{uri_of(version)} is FAILED_REGISTRATION, not READY"):
        promote(uri_of(version), "champion")
    assert holder(tracked) == before


def test_a_dry_run_writes_its_fail_and_blocks_nothing(home, version, tracked):
    audit_version(home, version, MISSED, mode="dry_run")
    assert promote(uri_of(version), "champion").verdict == "fail"
    assert holder(tracked) == version


def test_a_policy_that_is_off_decides_nothing(home, version, tracked, tmp_path):
    audit_version(home, version, KEPT)
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"checks": [KEPT], "mode": "off"}))
    refused(version, "mode is 'off': nothing is decided", policy=policy)


def test_a_version_without_an_audit_or_without_a_verdict_is_refused(home, version):
    refused(version, "has no finished audit")
    audit_version(home, version)
    refused(version, "was audited without a policy")


def test_a_forged_tag_does_not_pass(home, version, tracked):
    tracked.set_model_version_tag("promoted", version, "nnperm.verdict", "pass")
    refused(version, "has no finished audit")
    audit_version(home, version, MISSED)
    tracked.set_model_version_tag("promoted", version, "nnperm.verdict", "pass")
    refused(version, "fail: 1 of 1 checks")


def test_the_audit_of_another_version_does_not_pass(home, version, tracked):
    passed = audit_version(home, version, KEPT)
    newer = register(home)
    refused(newer, f"is an audit of {uri_of(version)}", run_id=passed.run_id)
    tracked.set_model_version_tag("promoted", newer, "nnperm.run_id", passed.run_id)
    refused(newer, "has no finished audit")


def test_a_forged_verdict_file_does_not_pass(home, version, tracked):
    audited = audit_version(home, version, MISSED)
    path = path_of(tracked, audited.run_id, "verdict.json")
    told = json.loads(path.read_text())
    told["verdict"] = "pass"
    told["checks"][0] |= {"passed": True, "state": "holds", "limit": 1.0}
    path.write_text(json.dumps(told))
    refused(version, "verdict.json of run .* is not what its numbers give under this policy")


def test_a_table_altered_by_one_byte_does_not_pass(home, version, tracked):
    audited = audit_version(home, version, KEPT)
    path = path_of(tracked, audited.run_id, "deviations.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    refused(version, "deviations.parquet of run .* has been changed")


def test_a_run_that_was_deleted_does_not_pass_and_no_older_one_takes_its_place(home, version, tracked):
    audit_version(home, version, KEPT)
    newest = audit_version(home, version, KEPT)
    tracked.delete_run(newest.run_id)
    refused(version, f"run {newest.run_id} has been deleted")
    tracked.restore_run(newest.run_id)
    assert promote(uri_of(version), "champion").run_id == newest.run_id


def test_an_edited_policy_must_be_applied_first(home, version, tmp_path):
    audited = audit_version(home, version, KEPT)
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"checks": [KEPT | {"max": 0.8}]}))
    refused(version, f"not under the one given now.*nnperm check --run {audited.run_id}", policy=policy)
    check(run_id=audited.run_id, policy=policy)
    promote(uri_of(version), "champion", policy=policy)


def test_an_alias_that_moved_since_the_audit_must_be_compared_with_again(home, version, tracked):
    audit_version(home, version, KEPT)
    tracked.set_registered_model_alias("promoted", "champion", version)
    newer, between = register(home), register(home)
    audited = audit_version(home, newer, AGAINST)
    audit_version(home, between, KEPT)
    tracked.set_registered_model_alias("promoted", "champion", between)
    refused(newer, f"models:/promoted@champion was {uri_of(version)} when run .* and is {uri_of(between)} now")
    check(run_id=audited.run_id)
    assert promote(uri_of(newer), "champion").replaced == between
    refused(
        newer, f"compares with models:/promoted@champion, which is {uri_of(newer)} itself: it has that alias already"
    )


def test_an_alias_that_moves_in_the_middle_is_left_alone_and_the_try_is_on_record(home, version, tracked):
    audit_version(home, version, KEPT)
    done = promote(uri_of(version), "champion")
    other = register(home)
    tracked.set_registered_model_alias("promoted", "champion", other)
    with pytest.raises(RefusedError, match=f"has moved meanwhile, from version {done.replaced} to {other}"):
        move_alias(tracked, done, pin_model(tracked, uri_of(version)))
    assert holder(tracked) == other
    tries = tracked.search_runs(
        [tracked.get_experiment_by_name("tests").experiment_id],
        f"tags.`nnperm.kind` = 'promotion' and tags.`nnperm.model` = '{uri_of(version)}' and status = 'FAILED'",
    )
    assert ["has moved meanwhile" in run.data.tags["nnperm.error"] for run in tries] == [True]


def test_other_model_files_do_not_pass(home, version, tracked):
    audit_version(home, version, KEPT)
    source = tracked.get_model_version_download_uri("promoted", version)
    files = Path(urlparse(source).path)
    (files / "README.txt").write_text("added later")
    refused(version, "the model's files are not those that run .* audited")


def test_other_data_do_not_pass(home, version, tmp_path):
    settings = home.settings()
    copy = tmp_path / "house.parquet"
    home.table.to_parquet(copy)
    settings["data"]["static"] = str(copy)
    audit({**settings, "checks": [KEPT]}, model_uri=uri_of(version))
    home.table.assign(age=home.table["age"] + 1e-9).to_parquet(copy)
    refused(version, "the data are not those that run .* audited")
    copy.unlink()
    refused(version, f"the data cannot be read again: there is no file '{re.escape(str(copy))}'.*--no-data")
    assert not promote(uri_of(version), "champion", reads_data=False).data_read_again


def test_data_that_were_in_memory_cannot_be_read_again(home, version):
    settings = home.settings()
    data = dataset_from(home.table, {"history": Series(("balance", "payment"), home.history, channel_axis=1)}, "client")
    audit(
        {"inputs": settings["inputs"], "analysis": settings["analysis"], "checks": [KEPT]},
        model_uri=uri_of(version),
        data=data,
    )
    refused(version, "the data were given in memory.*--no-data")
    promote(uri_of(version), "champion", reads_data=False)
    assert promote(uri_of(version), "champion", config=home.config, recompute=True).data_read_again


def test_a_table_that_was_in_memory_with_histories_of_its_columns_cannot_be_read_again(home, version):
    steps = {f"{channel}{step}": home.history[:, row, step] for row, channel in enumerate("ab") for step in range(6)}
    columns = {channel: [f"{channel}{step}" for step in range(6)] for channel in "ab"}
    data = {"row_id": "client", "temporal": {"history": {"columns": columns}}}
    asked = {**home.settings(), "data": data, "checks": [KEPT]}
    audit(uri_of(version), data=home.table.assign(**steps), config=asked)
    refused(version, "the data were given in memory.*--no-data")


def test_a_table_that_was_kept_out_must_be_brought(home, version, tracked, tmp_path):
    settings = {**home.settings(), "checks": [KEPT]}
    audited = audit(settings, model_uri=uri_of(version), logs_table=False, output=tmp_path)
    assert "deviations.parquet" not in {file.path for file in tracked.list_artifacts(audited.run_id)}
    assert check(run_id=audited.run_id).verdict.status == "pass"
    refused(version, r"was kept out of the tracking server \(--no-table\): give your copy of it \(--table FILE\)")
    refused(version, "cannot be read: No such file", table=tmp_path / "gone.parquet")
    refused(version, "summary.csv of run .* has been changed", table=tmp_path / "summary.csv")
    promote(uri_of(version), "champion", table=tmp_path / "deviations.parquet")


SEX_LIKE = {"name": "region", "feature": "region", "statistic": "changed_median", "max": 1e-9}


def test_a_run_with_a_made_up_summary_does_not_pass(home, version, tracked, tmp_path):
    audited = audit_version(home, version, SEX_LIKE)
    assert audited.verdict.status == "fail"
    summary = read_summary(audited.directory / "summary.csv")
    for column in ("changed_median", "median", "q95", "mean"):
        made_up = summary.assign(**{name: 0.0 for name in summary if name.startswith(column)})
        run_id = forged(tracked, audited.run_id, tmp_path, summary=made_up)
        check(run_id=run_id)
        refused(version, "the summary is not what the deviation table says of .*'region'", run_id=run_id)
    fewer = forged(tracked, audited.run_id, tmp_path, summary=summary[summary["perturbation"] != "region"])
    refused(version, "only one of them has 'region'", run_id=fewer)


def test_a_run_whose_table_is_of_another_model_does_not_pass(home, version, tracked, tmp_path):
    own = tracked.get_run(audit_version(home, version, MISSED).run_id).data.params["model_digest"]
    other = audit_version(home, register(home), KEPT)
    for digest, message in ((other, "the model's files are not those"), (own, "deviations.parquet tells of its model")):
        params = {"model": uri_of(version)} | ({"model_digest": own} if digest is own else {})
        run_id = forged(tracked, other.run_id, tmp_path, **params)
        check(run_id=run_id)
        refused(version, message, run_id=run_id)


def test_numbers_that_no_table_holds_are_made_again_where_that_is_asked_for(home, version, tracked, tmp_path):
    flips = {"name": "region", "feature": "region", "statistic": "flipped_share", "max": 1e-9, "undecided": "fail"}
    audited = audit_version(home, version, flips)
    assert audited.verdict.status == "fail"
    made_up = read_summary(audited.directory / "summary.csv").assign(
        flipped_share=0.0, flipped_share_low=0.0, flipped_share_high=0.0
    )
    run_id = forged(tracked, audited.run_id, tmp_path, summary=made_up)
    check(run_id=run_id)
    refused(version, "audited again, 'flipped_share'.* come out otherwise", run_id=run_id, recompute=True)
    check(run_id=audited.run_id, policy=Policy.model_validate({"checks": [KEPT]}))
    policy = Policy.model_validate({"checks": [KEPT]})
    done = promote(uri_of(version), "champion", policy=policy, run_id=audited.run_id, recompute=True)
    assert (done.audited_again, done.policy_is_given, done.newest_run_id) == (True, True, run_id)


def test_a_forged_baseline_does_not_pass(home, version, tracked, tmp_path):
    audit_version(home, version, KEPT)
    tracked.set_registered_model_alias("promoted", "champion", version)
    challenger = register(home)
    audited = audit_version(home, challenger, AGAINST)
    forged(tracked, audited.run_id, tmp_path, experiment="attacker", model=uri_of(version))
    check(run_id=audited.run_id)
    refused(challenger, "the model's files are not those")
    promote(uri_of(challenger), "champion", experiment="tests")


def test_a_verdict_in_which_one_number_was_changed_does_not_pass(home, version, tracked):
    audited = audit_version(home, version, KEPT)
    path = path_of(tracked, audited.run_id, "verdict.json")
    told = json.loads(path.read_text())
    told["checks"][0]["value"] /= 2
    path.write_text(json.dumps(told))
    refused(version, "verdict.json of run .* is not what its numbers give")


@pytest.mark.parametrize("baselines", ["[1]", "5", '["ab"]', "[" * 100_000 + "]" * 100_000])
def test_a_verdict_file_of_another_form_does_not_pass(home, version, tracked, baselines):
    audited = audit_version(home, version, KEPT)
    path = path_of(tracked, audited.run_id, "verdict.json")
    path.write_text(path.read_text().replace('"baselines": {}', f'"baselines": {baselines}'))
    refused(version, "verdict.json of run .* is not what was written there")


@pytest.mark.parametrize("key", ["perturbations", "seed", "column"])
def test_a_table_that_lacks_what_it_must_tell_does_not_pass(home, version, tracked, tmp_path, key):
    audited = audit_version(home, version, KEPT)
    table = pq.read_table(audited.directory / "deviations.parquet")
    text = table.schema.metadata[METADATA_KEY].replace(f'"{key}"'.encode(), b'"other"')
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: text}), tmp_path / "forged.parquet")
    run_id = forged(tracked, audited.run_id, tmp_path, table=tmp_path / "forged.parquet")
    check(run_id=run_id)
    wrong = "perturbations" if key == "column" else key
    refused(version, rf"does not tell what an audit writes there \(wrong or missing: '{wrong}'\)", run_id=run_id)


def test_data_that_have_moved_are_found_where_a_configuration_says(home, version, tmp_path):
    settings = home.settings()
    there = tmp_path / "there.parquet"
    home.table.to_parquet(there)
    settings["data"]["static"] = str(there)
    audit({**settings, "checks": [KEPT]}, model_uri=uri_of(version))
    there.unlink()
    refused(version, "the data cannot be read again")
    assert promote(uri_of(version), "champion", config=home.config).data_read_again


def test_a_tag_that_cannot_be_written_does_not_undo_what_the_run_says(home, version, tracked, monkeypatch):
    audit_version(home, version, KEPT)

    def deny(*args):
        raise MlflowException("no", error_code=PERMISSION_DENIED)

    monkeypatch.setattr(mlflow.MlflowClient, "set_model_version_tag", deny)
    promote(uri_of(version), "champion")
    assert holder(tracked) == version
    assert [run.info.status for run in promotions(tracked, version)] == ["FINISHED"]


def test_only_a_registered_version_can_be_promoted(home, version, tracked):
    model_id = tracked.get_model_version("promoted", version).source.removeprefix("models:/")
    run = tracked.get_logged_model(model_id).source_run_id
    with pytest.raises(ConfigError, match="is no registered version"):
        promote(str(path_of(tracked, run, ".")), "champion")
