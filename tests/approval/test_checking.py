"""A policy applied to audits of a real network in a real store: what is written, what blocks, what is an error."""

import json
import re
import shutil

import mlflow
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow import audit
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import (
    CheckError,
    ConfigError,
    EvidenceError,
    MissingBaselineError,
    UnknownFeatureError,
)
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.registry.audits import find_audits
from nnperm_mlflow.registry.records import read_audit
from tests.support.house import build_house, register

KEPT = {"name": "no reliance on region", "feature": "region", "max": 0.9}
MISSED = {"name": "age is no driver", "feature": "age", "statistic": "mean", "max": 1e-6}


@pytest.fixture(scope="module")
def home(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    house = build_house(tmp_path_factory.mktemp("checking"), "checked")
    register(house)
    return house


def settings_of(home, *checks, **more):
    return {**home.settings(), "checks": list(checks), **more}


@pytest.fixture
def audited(home, tracked):
    return audit(settings_of(home, KEPT), model_uri="models:/checked/1")


def write_policy(folder, *checks, **more):
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump({"checks": list(checks), **more}))
    return str(path)


def artifact(run_id, name):
    return mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")


def invoke(store, *arguments):
    return CliRunner().invoke(main, [*arguments, "--tracking-uri", store])


def test_an_audit_with_checks_leaves_its_verdict_in_run_version_and_description(audited, tracked):
    assert audited.verdict.status == "pass"
    run = tracked.get_run(audited.run_id)
    told = json.loads(artifact(audited.run_id, "verdict.json"))
    assert (told["verdict"], told["subject"]["run_id"]) == ("pass", audited.run_id)
    (outcome,) = told["checks"]
    row = audited.summary.set_index("perturbation").loc["region"]
    assert (outcome["value"], outcome["low"], outcome["high"]) == (row["median"], row["median_low"], row["median_high"])
    version = tracked.get_model_version("checked", "1")
    for tags in (run.data.tags, version.tags):
        assert (tags["nnperm.verdict"], tags["nnperm.policy"]) == ("pass", told["policy_digest"])
    assert version.tags["nnperm.run_id"] == audited.run_id
    assert version.description.count("**pass: 1 of 1 checks are kept**") == 1
    assert "no reliance on region" in artifact(audited.run_id, "audit.md")
    assert told["subject"]["table_digest"] == run.data.params["table_digest"]
    assert tracked.search_model_versions("name='checked' and tags.`nnperm.verdict`='pass'")


def test_another_policy_is_applied_without_the_model(audited, tracked, store, tmp_path, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.auditor.preparation.download_model", None)
    policy = write_policy(tmp_path, KEPT, MISSED)
    result = invoke(store, "check", "--model-uri", "models:/checked/1", "--policy", policy)
    assert result.exit_code == 1, result.output
    assert "verdict: fail: 1 of 2 checks are not kept: 'age is no driver'" in result.output
    assert re.search(r"mean of age is 0\.\d+ \(0\.\d+ to 0\.\d+\), and must be at most 1e-06", result.output)
    assert json.loads(artifact(audited.run_id, "verdict.json"))["verdict"] == "fail"
    assert len(tracked.list_artifacts(audited.run_id, "verdicts")) == 2
    version = tracked.get_model_version("checked", "1")
    assert version.tags["nnperm.verdict"] == "fail"
    assert version.description.count("checks are") == 1
    assert version.description.startswith("Audit: fail\n")


def test_the_policy_of_the_audit_is_applied_where_no_other_is_given(audited, store):
    result = invoke(store, "check", "--run", audited.run_id, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["verdict"], told["policy"]["checks"][0]["name"]) == ("pass", "no reliance on region")


def test_the_newest_audit_of_a_version_is_the_one_that_is_meant(audited, home, tracked):
    newer = audit(settings_of(home, KEPT, analysis={"seed": 4}), model_uri="models:/checked/1")
    assert check(model_uri="models:/checked/1").verdict.subject.run_id == newer.run_id


def test_a_verdict_on_an_older_audit_leaves_the_version_with_its_newest(audited, home, tracked, tmp_path):
    newer = audit(settings_of(home, KEPT), model_uri="models:/checked/1")
    assert check(run_id=audited.run_id, policy=write_policy(tmp_path, MISSED)).verdict.status == "fail"
    tags = tracked.get_model_version("checked", "1").tags
    assert (tags["nnperm.run_id"], tags["nnperm.verdict"]) == (newer.run_id, "pass")
    assert tracked.get_run(audited.run_id).data.tags["nnperm.verdict"] == "fail"


def test_an_audit_without_checks_takes_an_old_verdict_off_the_version(audited, home, tracked):
    unchecked = audit(settings_of(home), model_uri="models:/checked/1")
    version = tracked.get_model_version("checked", "1")
    assert version.tags["nnperm.run_id"] == unchecked.run_id
    assert not {"nnperm.verdict", "nnperm.policy", "nnperm.mode"} & set(version.tags)
    assert "checks are" not in version.description
    assert "No policy was applied" in artifact(unchecked.run_id, "audit.md")
    with pytest.raises(ConfigError, match="was audited without a policy: name one"):
        check(run_id=unchecked.run_id)


def test_the_audit_command_fails_with_1_where_the_verdict_is_fail(home, store, tracked, tmp_path):
    config = tmp_path / "home.yaml"
    config.write_text(yaml.safe_dump(settings_of(home)))
    audited_by = ("audit", "--model-uri", "models:/checked/1", "--config", str(config))
    failing = invoke(store, *audited_by, "--policy", write_policy(tmp_path, MISSED))
    assert failing.exit_code == 1, failing.output
    assert "NOT KEPT  age is no driver" in failing.output
    dry = invoke(store, *audited_by, "--policy", write_policy(tmp_path, MISSED, mode="dry_run"))
    assert dry.exit_code == 0, dry.output
    version = tracked.get_model_version("checked", "1")
    assert (version.tags["nnperm.verdict"], version.tags["nnperm.mode"]) == ("fail", "dry_run")
    off = invoke(store, *audited_by, "--policy", write_policy(tmp_path, MISSED, mode="off"))
    assert (off.exit_code, "verdict" in off.output) == (0, False)


def test_a_policy_on_an_unknown_feature_ends_before_anything_is_disturbed(home, store, tracked, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.auditor.measurement.find", None)
    with pytest.raises(UnknownFeatureError, match="'agee' is no feature.*Did you mean 'age'"):
        audit(settings_of(home, {"feature": "agee", "max": 1}), model_uri="models:/checked/1")
    with pytest.raises(CheckError, match="'medain' is no statistic"):
        audit(settings_of(home, {"feature": "age", "statistic": "medain", "max": 1}), model_uri="models:/checked/1")
    with pytest.raises(
        MissingBaselineError, match="@champion, which is missing: .* The first version to be 'champion' has none"
    ):
        audit(
            settings_of(home, {"against": "models:/checked@champion", "statistic": "mean", "max_shift": 1}),
            model_uri="models:/checked/1",
        )


def test_a_check_that_cannot_be_answered_takes_nothing_from_the_audit(home, store, tracked, tmp_path):
    settings = settings_of(home, {"feature": "age", "rank_at_most": 99})
    with pytest.raises(CheckError, match="the audit itself is whole .*can miss a rank of at most 99") as raised:
        audit(settings, model_uri="models:/checked/1")
    run_id = re.search(r"run (\w{32})", str(raised.value))[1]
    run = tracked.get_run(run_id)
    assert (run.info.status, "no feature can miss a rank" in run.data.tags["nnperm.error"]) == ("FINISHED", True)
    assert "nnperm.verdict" not in {**run.data.tags, **tracked.get_model_version("checked", "1").tags}
    assert check(run_id=run_id, policy=write_policy(tmp_path, KEPT)).verdict.status == "pass"


def test_a_check_that_cannot_be_answered_changes_nothing_on_record(audited, store, tracked, tmp_path):
    policy = write_policy(tmp_path, {"feature": "age", "rank_at_most": 99})
    result = invoke(store, "check", "--run", audited.run_id, "--policy", policy)
    assert result.exit_code == 2
    assert "CheckError: check 'rank of age by median is at most 99': there are 6 places, so that" in result.output
    assert json.loads(artifact(audited.run_id, "verdict.json"))["verdict"] == "pass"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name either a run (--run) or a version (--model-uri)"),
        (("--run", "0" * 32), "The store asked was sqlite:///"),
        (("--model-uri", "models:/checked/99"), "is not in the registry"),
    ],
)
def test_what_is_not_there_is_an_error(home, store, arguments, message):
    result = invoke(store, "check", *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_run_that_is_no_whole_audit_is_refused(audited, tracked):
    training = tracked.get_model_version("checked", "1").run_id
    with pytest.raises(EvidenceError, match="holds no audit"):
        check(run_id=training)
    unfinished = tracked.create_run("0").info.run_id
    with pytest.raises(EvidenceError, match="is RUNNING, not FINISHED"):
        check(run_id=unfinished)
    tracked.delete_run(audited.run_id)
    with pytest.raises(EvidenceError, match="has been deleted. Restore it"):
        check(run_id=audited.run_id)
    tracked.restore_run(audited.run_id)


def test_a_run_that_only_bears_the_tags_of_an_audit_hides_none(audited, tracked, tmp_path):
    """Neither from who asks for the newest audit of a version, nor from the version, which gets the verdict on it."""
    tags = {"nnperm.kind": "audit", "nnperm.model": "models:/checked/1", "nnperm.whole": "true"}
    empty = tracked.create_run("0", tags=tags).info.run_id
    tracked.set_terminated(empty)
    assert check(model_uri="models:/checked/1").verdict.subject.run_id == audited.run_id
    check(run_id=audited.run_id, policy=write_policy(tmp_path, MISSED))
    assert tracked.get_model_version("checked", "1").tags["nnperm.verdict"] == "fail"
    with pytest.raises(EvidenceError, match=f"run {empty} holds no audit. Name one"):
        check(run_id=empty)
    tracked.delete_run(empty)


def test_an_altered_summary_is_refused(audited, tracked, tmp_path):
    tampered = tmp_path / "summary.csv"
    tampered.write_text(artifact(audited.run_id, "summary.csv").replace("age", "ege"))
    tracked.log_artifact(audited.run_id, str(tampered))
    with pytest.raises(EvidenceError, match="summary.csv of run .* has been changed"):
        check(run_id=audited.run_id)


def test_a_version_is_compared_with_an_earlier_audit_on_the_same_data(home, tracked):
    first = audit(settings_of(home), model_uri="models:/checked/1")
    same = register(home)
    against = {"against": "models:/checked/1", "statistic": "mean", "min_rank_correlation": 0.99, "max_shift": 0.0}
    before = len(find_audits(tracked, "models:/checked/1"))
    result = audit(settings_of(home, against), model_uri=f"models:/checked/{same}")
    told = json.loads(artifact(result.run_id, "verdict.json"))
    assert told["baselines"] == {"models:/checked/1": "models:/checked/1"}
    assert [(check["value"], check["low"], check["high"]) for check in told["checks"]] == [(1, 1, 1), (0, 0, 0)]
    assert len(find_audits(tracked, "models:/checked/1")) == before
    assert first.run_id == find_audits(tracked, "models:/checked/1")[0].info.run_id


def test_a_version_is_not_compared_with_itself(home, tracked, monkeypatch):
    tracked.set_registered_model_alias("checked", "champion", "1")
    against = {"against": "models:/checked@champion", "statistic": "mean", "max_shift": 1.0}
    itself = "models:/checked@champion, which is models:/checked/1 itself"
    before = len(find_audits(tracked, "models:/checked/1"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "nnperm_mlflow.auditor.audit_procedure.measure", None
        )  # it is refused before anything is computed
        with pytest.raises(CheckError, match=itself):
            audit(settings_of(home, against), model_uri="models:/checked/1")
    assert len(find_audits(tracked, "models:/checked/1")) == before
    audited = audit(settings_of(home), model_uri="models:/checked/1")
    with pytest.raises(CheckError, match=itself):
        check(run_id=audited.run_id, policy=Policy(checks=[against]))
    tracked.delete_registered_model_alias("checked", "champion")


def test_what_is_excluded_does_not_escape_a_comparison(home, tracked):
    audit(settings_of(home), model_uri="models:/checked/1")
    other = register(home)
    excluding = home.settings()["analysis"] | {"exclude": ["region"]}
    against = {"against": "models:/checked/1", "statistic": "mean", "max_shift": 1.0}
    with pytest.raises(CheckError, match="only one of .* has 'region', which would go unchecked"):
        audit(settings_of(home, against, analysis=excluding), model_uri=f"models:/checked/{other}")


def test_a_policy_in_an_altered_configuration_is_refused(audited, tracked, tmp_path):
    altered = tmp_path / "config.yaml"
    altered.write_text(artifact(audited.run_id, "config.yaml").replace("mode: enforce", "mode: dry_run"))
    tracked.log_artifact(audited.run_id, str(altered))
    with pytest.raises(EvidenceError, match="config.yaml of run .* has been changed"):
        check(run_id=audited.run_id)


@pytest.fixture(scope="module")
def written_over(home, store):
    """The run of an audit, whose verdict each test writes over."""
    mlflow.set_tracking_uri(store)
    return audit(settings_of(home, KEPT), model_uri="models:/checked/1").run_id


@pytest.mark.parametrize("text", ["5", "[1]", "null", "{", "[" * 100_000])
def test_a_verdict_file_that_is_none_is_refused(written_over, tracked, tmp_path, text):
    (tmp_path / "verdict.json").write_text(text)
    tracked.log_artifact(written_over, str(tmp_path / "verdict.json"))
    with pytest.raises(EvidenceError, match=r"verdict.json of run .* is not what was written there \(no JSON object\)"):
        read_audit(tracked, written_over, tmp_path / "read").verdict  # noqa: B018 - reading it is the test


def test_a_plan_refuses_a_policy_that_is_not_there(home, store):
    result = invoke(store, "audit", "--plan", "--model-uri", "models:/checked/1", "--policy", "/gone.yaml")
    assert (result.exit_code, "the policy '/gone.yaml' cannot be read" in result.output) == (2, True)


def test_what_nobody_foresaw_is_no_verdict(home, store, monkeypatch):
    def fail(*args, **more):
        raise ZeroDivisionError("first line\nsecond")

    monkeypatch.setattr("nnperm_mlflow.approval.policy_check.find_record", fail)
    result = invoke(store, "check", "--model-uri", "models:/checked/1")
    assert result.exit_code == 2
    assert result.output.startswith("unexpected ZeroDivisionError: --debug shows what it says")
    assert "first line" not in result.output


def test_a_version_without_such_an_audit_is_audited_now(home, tracked):
    other = register(home)
    other_seed = home.settings()["analysis"] | {"seed": 77}
    against = {"against": "models:/checked/1", "statistic": "mean", "max_shift": 0.5}
    before = len(find_audits(tracked, "models:/checked/1"))
    result = audit(settings_of(home, against, analysis=other_seed), model_uri=f"models:/checked/{other}")
    assert result.verdict.status == "pass"
    baseline, *others = find_audits(tracked, "models:/checked/1")
    assert len(others) == before
    assert (baseline.info.status, baseline.data.params["seed"]) == ("FINISHED", "77")
    alone = audit(settings_of(home, analysis={"seed": 78}), model_uri="models:/checked/1")
    with pytest.raises(MissingBaselineError, match=f"no audit of models:/checked/{other} .* on the same data"):
        check(
            run_id=alone.run_id,
            policy=Policy.model_validate({"checks": [against | {"against": f"models:/checked/{other}"}]}),
        )


def test_an_audit_whose_table_was_kept_out_is_passed_over_as_a_baseline(home, audited, tracked):
    analysis = {"seed": 4711}
    kept_out = audit(settings_of(home, analysis=analysis), model_uri="models:/checked/1", logs_table=False)
    other = register(home)
    against = settings_of(
        home, {"against": "models:/checked/1", "statistic": "mean", "max_shift": 0.5}, analysis=analysis
    )
    with pytest.raises(MissingBaselineError, match="there is no audit of models:/checked/1 .* on the same data"):
        audit(against, model_uri=f"models:/checked/{other}", logs_table=False)  # nor may another table be logged
    made = len(find_audits(tracked, "models:/checked/1"))
    assert audit(against, model_uri=f"models:/checked/{other}").verdict.status == "pass"
    newest, *_ = runs = find_audits(tracked, "models:/checked/1")
    assert (len(runs), newest.info.run_id != kept_out.run_id) == (made + 1, True)


def test_a_table_that_is_kept_out_has_a_place(home, store):
    result = invoke(store, "audit", "--no-table", "--model-uri", "models:/checked/1", "--config", str(home.config))
    assert result.exit_code == 2
    assert "ConfigError: --no-table leaves the deviation table on this machine alone: say where (--out" in result.output


def test_a_database_that_may_only_be_read_is_told_as_that(home, audited, store, tmp_path):
    """The user of the tests may write whatever the rights of a file say, so that the connection itself is read-only."""
    path = store.removeprefix("sqlite:///")
    shutil.copy(path, tmp_path / "mlflow.db")
    only_read = f"sqlite:///file:{tmp_path / 'mlflow.db'}?mode=ro&uri=true"
    arguments = ["check", "--run", audited.run_id, "--tracking-uri", only_read]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "mlflow.db may only be read here. Ask for the right to write, or name another store" in done.stderr


def test_a_group_of_which_a_member_did_not_vary_is_no_pass(home, tracked, tmp_path):
    settings = settings_of(home, {"feature": "both", "statistic": "mean", "max": 0.9})
    home.table.assign(flag=0.0).to_parquet(tmp_path / "no_flag.parquet")
    settings["data"]["static"] = str(tmp_path / "no_flag.parquet")
    settings["analysis"] = {"groups": {"both": ["age", "flag"]}}
    with pytest.raises(CheckError, match="'flag' of the group 'both' changed no value in any row"):
        audit(settings, model_uri="models:/checked/1")
