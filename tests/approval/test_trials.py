"""Trials: one version under many seeds, attempts that are counted whatever becomes of their runs, and stages."""

import json
import logging
import shutil
from pathlib import Path
from urllib.parse import urlparse

import mlflow
import pytest

from nnperm_mlflow import plan_audit
from nnperm_mlflow.approval.attempts import attempts_of, refuse_attempts
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import CheckError, ConfigError, EvidenceError, RefusedError
from nnperm_mlflow.cli.findings_text import describe_verdict
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.config.trial import trial_seed
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.verdict.attempt import Attempt
from tests.support.shopping import ROWS, open_shop, policy, run_audit

N_SEEDS = 40


@pytest.fixture(scope="module")
def shop(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return open_shop("tried", tmp_path_factory.mktemp("trials"))


def test_the_seed_follows_from_policy_and_data_and_nothing_else(shop, tracked, tmp_path):
    used = policy(9.0, "seeded")
    audited = run_audit(shop, used)
    record = read_audit(tracked, audited.run_id, tmp_path)
    seed = trial_seed(used.digest(), record.param("data_digest"))
    assert record.seed == record.config.analysis.seed == seed
    for again in (run_audit(shop, used, seed=seed), run_audit(shop, seed=seed)):
        assert again.summary.equals(audited.summary)
    assert not run_audit(shop, seed=0).summary.equals(audited.summary)


def test_forty_seeds_are_forty_refusals_before_the_model_is_asked(shop, tracked, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.auditor.audit_procedure.measure", None)
    used = policy(shop.true, "shopped early")
    for seed in range(N_SEEDS):
        with pytest.raises(ConfigError, match=rf"fixes the seed on these data, \d+, and the .* says {seed}:"):
            run_audit(shop, used, seed=seed)


def test_an_audit_under_another_seed_gets_no_verdict_under_a_trial(shop, tracked):
    used = policy(9.0, "shopped late")
    with pytest.raises(CheckError, match=r"the seed of its trial, \d+, and it has 5: audit again under this policy"):
        check(run_id=run_audit(shop, seed=5).run_id, policy=used)


def test_what_a_trial_plans_is_held_by_audit_and_check(shop, tracked):
    planned = plan_audit(shop.config, model_uri="models:/tried/1")
    told = dict(planned.facts)
    data, design = told["data"], told["configuration"].partition(",")[0]
    meets = policy(9.0, "planned", data={"all rows": data}, config=design[:12], rows=ROWS, repeats=2)
    done = run_audit(shop, meets)
    assert (done.verdict.status, done.verdict.subject.repeats) == ("pass", 2)
    for plan, message in (
        ({"data": {"other rows": "0" * 64}}, "is on the data 'other rows' whose sha256 begins with 0000"),
        ({"config": "0" * 12}, rf"is of the configuration 0000.*this one is {design[:12]}"),
        ({"rows": ROWS + 1}, f"needs at least {ROWS + 1} rows, and .* has {ROWS}"),
        ({"repeats": 3}, "is of 3 repeats, and the configuration says 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_audit(shop, policy(9.0, "planned", **plan), repeats=2)
    for plan, message in (
        ({"data": "0" * 64}, "data whose sha256 begins with 0000"),
        ({"config": "0" * 12}, rf"what its trial does \(config 0+\), and it did {design[:12]}"),
        ({"rows": ROWS + 1}, f"at least {ROWS + 1} rows, and it has {ROWS}"),
        ({"repeats": 3}, "3 repeats, and it has 2"),
    ):
        with pytest.raises(CheckError, match=message):
            check(run_id=done.run_id, policy=policy(9.0, "planned", **plan))


def test_attempts_are_counted_whatever_becomes_of_their_runs(shop, tracked, tmp_path):
    """One that was deleted, one without tags and verdicts that is called failed, one of another version of these."""
    used = policy(1e-6, "counted", attempts=3)
    source = tracked.get_model_version("tried", "1").source
    other = tracked.create_model_version("tried", source).version
    runs = [run_audit(shop, used, version).run_id for version in ("1", "1", other)]
    tracked.delete_run(runs[0])
    for tag in ("nnperm.kind", "nnperm.verdict", "nnperm.verdict.counted", "nnperm.model"):
        tracked.delete_tag(runs[1], tag)
    shutil.rmtree(Path(urlparse(tracked.get_run(runs[1]).info.artifact_uri).path) / "verdicts")
    tracked.set_terminated(runs[1], "FAILED")
    last = run_audit(shop, policy(9.0, "counted", attempts=3))
    told = last.verdict.attempts
    assert {each.run_id: (each.result, each.is_deleted) for each in told} == {
        runs[0]: ("fail", True),
        runs[1]: ("fail", False),
        runs[2]: ("fail", False),
    }
    assert [each.model for each in told if each.run_id == runs[2]] == [f"models:/tried/{other}"]
    verdict = json.loads(mlflow.artifacts.load_text(f"runs:/{last.run_id}/verdict.json"))
    assert [each["run_id"] for each in verdict["attempts"]] == [each.run_id for each in told]
    card = mlflow.artifacts.load_text(f"runs:/{last.run_id}/audit.md")
    assert all(run_id in card for run_id in runs)
    assert "fail, run deleted" in card
    subject = last.verdict.subject
    assert not attempts_of(tracked, policy(1.0, "other"), subject.model_digest, subject.data_digest, folder=tmp_path)


def test_a_file_beside_the_network_sheds_no_attempt(shop, tracked, tmp_path):
    """The files are others then, and what MLflow serves is not."""
    used = policy(1e-6, "beside", attempts=2)
    failed = run_audit(shop, used)
    files = Path(mlflow.artifacts.download_artifacts("models:/tried/1", dst_path=str(tmp_path / "model")))
    for place in (files, files / "data"):
        (place / "README.txt").write_text("another model, it seems")
    beside = tracked.create_model_version("tried", files.as_uri()).version
    again = run_audit(shop, policy(9.0, "beside", attempts=2), beside)
    assert again.verdict.subject.model_digest != failed.verdict.subject.model_digest
    assert [(each.run_id, each.result) for each in again.verdict.attempts] == [(failed.run_id, "fail")]
    with pytest.raises(RefusedError, match="the same model failed 'beside' on the same data"):
        promote(f"models:/tried/{beside}", "champion", policy=policy(9.0, "beside", attempts=2))


def test_a_verdict_that_was_given_afterwards_makes_an_audit_an_attempt(shop, tracked, tmp_path):
    used = Policy.model_validate({"format": 2, "name": "afterwards", "checks": [{"feature": "age", "max": 1e-6}]})
    audited = run_audit(shop, seed=77)
    before = check(run_id=audited.run_id, policy=used).verdict
    assert before.attempts == ()
    told = attempts_of(
        tracked, used, before.subject.model_digest, before.subject.data_digest, folder=tmp_path, but="another"
    )
    assert [(each.run_id, each.seed, each.result) for each in told] == [(audited.run_id, "77", "fail")]


def test_an_audit_of_the_same_rows_is_an_attempt_though_a_cluster_tells_another_digest_of_the_data(
    shop, tracked, tmp_path
):
    """There `data_digest` is the digest of the rows."""
    used = Policy.model_validate({"format": 2, "name": "rows", "checks": [{"feature": "age", "max": 1e-6}]})
    audited = run_audit(shop, used)
    told = tracked.get_run(audited.run_id).data.params
    on_cluster = (tracked, used, told["model_digest"], told["rows_digest"])
    assert attempts_of(*on_cluster, folder=tmp_path) == ()
    assert [each.run_id for each in attempts_of(*on_cluster, folder=tmp_path, rows=told["rows_digest"])] == [
        audited.run_id
    ]


def attempt(result, repeats="1"):
    return Attempt("a run", "models:/a/1", "", "0", repeats, result)


@pytest.mark.parametrize(
    ("trial", "attempts", "message"),
    [
        ({}, [], None),
        ({}, [attempt("pass")], "one of 2 attempts under 'limits', which allows 1"),
        ({}, [attempt("none")], "one of 2 attempts"),
        ({"attempts": 2}, [attempt("pass")], None),
        ({"attempts": 9}, [attempt("fail")], "the same model failed 'limits' on the same data.*a run of models:/a/1"),
        ({"stages": [1, 5]}, [attempt("undecided", "1")], None),
        ({"stages": [1, 5]}, [attempt("undecided", "5")], "one of 2 attempts"),
        ({"stages": [1, 5], "attempts": 9}, [attempt("fail", "1")], "failed 'limits'"),
    ],
)
def test_too_many_attempts_and_a_pass_after_a_fail_need_a_waiver(trial, attempts, message):
    used = policy(1.0, **trial)
    if message is None:
        refuse_attempts(used, attempts)
    else:
        with pytest.raises(EvidenceError, match=f"{message}.*say why .* a new name for it begins the count anew"):
            refuse_attempts(used, attempts)
    refuse_attempts(used, attempts, waiver="the limit was wrong")


def test_an_undecided_stage_is_followed_by_the_next_which_has_more_repeats(shop, tracked, caplog):
    caplog.set_level(logging.ERROR)
    used = policy(shop.true, "staged", stages=[1, 3])
    first = run_audit(shop, used)
    (finding,) = [outcome.finding for outcome in first.verdict.outcomes]
    assert (first.verdict.subject.repeats, finding.state, first.verdict.status) == (1, "undecided", "fail")
    assert finding.levels == {"holds": 0.0125, "fails": 0.0125}
    lines = describe_verdict(first.verdict)
    (check,) = [outcome.check for outcome in first.verdict.outcomes]
    assert lines[2] == f"  undecided, counts as not kept  {check}"
    assert lines[4] == "undecided is no fail under its trial: the next audit makes 3 repeats by itself"
    message = r"undecided with 1 repeats, .*: its next stage makes 3, and the configuration says 1\. Leave out"
    with pytest.raises(ConfigError, match=message):
        run_audit(shop, used, repeats=1)
    second = run_audit(shop, used)
    assert second.verdict.subject.repeats == 3
    assert [each.result for each in second.verdict.attempts] == ["undecided"]
    assert "the next audit" not in "".join(describe_verdict(second.verdict))
    refuse_attempts(used, second.verdict.attempts)
