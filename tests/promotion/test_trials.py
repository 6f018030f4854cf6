"""Nobody shops for an alias: seeds that a trial does not fix, attempts beside others, a fail before a pass."""

import hmac
import json
from datetime import datetime, timezone

import mlflow
import pytest
from click.testing import CliRunner

from nnperm_mlflow.approval.audit_contents import contents_of
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import CheckError, ConfigError, RefusedError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.promotion.verdict_confirmation import judge_against
from nnperm_mlflow.registry.audits import find_runs
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.verdicts import log_verdict
from tests.support.shopping import open_shop, policy, register, run_audit
from tests.support.simulations import in_full

N_SEEDS, N_PASSING = in_full((40, 4), (12, 2))


@pytest.fixture(scope="module")
def shop(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return open_shop("shopped", tmp_path_factory.mktemp("shopped"))


@pytest.fixture
def version(shop, tracked):
    """Another version of the model, of other files: MLflow writes into each when it was made."""

    return register(shop.name)


def uri_of(version):
    return f"models:/shopped/{version}"


def refused(version, message, **more):
    with pytest.raises(RefusedError, match=f"{uri_of(version)} does not become 'champion'.*{message}"):
        promote(uri_of(version), "champion", **more)


def holder(client):
    return {name: str(held) for name, held in client.get_registered_model("shopped").aliases.items()}.get("champion")


def told_by_promotion(client, version):
    (run,) = find_runs(client, f"tags.`nnperm.kind` = 'promotion' and tags.`nnperm.model` = '{uri_of(version)}'")
    return json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/promotion.json"))


@pytest.mark.slow
def test_shopping_over_many_seeds_ends_in_a_refusal_each_time(shop, tracked, tmp_path):
    """Some of the seeds would pass, which is what the same policy says without its trial."""
    before, audits = holder(tracked), [run_audit(shop, seed=seed) for seed in range(N_SEEDS)]
    highs = [float(each.summary.set_index("perturbation").loc["age", "mean_high"]) for each in audits]
    limit = (sorted(highs)[N_PASSING - 1] + sorted(highs)[N_PASSING]) / 2
    trial = policy(limit, "shopped")
    untried = Policy.model_validate({"format": 2, "checks": trial.model_dump(exclude_none=True)["checks"]})
    best = highs.index(min(highs))
    assert check(run_id=audits[best].run_id, policy=untried).verdict.status == "pass"
    assert check(run_id=audits[highs.index(max(highs))].run_id, policy=untried).verdict.status == "fail"
    for seed, audited in enumerate(audits):
        with pytest.raises(CheckError, match=rf"the seed of its trial, \d+, and it has {seed}:"):
            check(run_id=audited.run_id, policy=trial)
        refused("1", "was given under policy|has no verdict", policy=trial, run_id=audited.run_id)
    forge_verdict(tracked, audits[best].run_id, trial, tmp_path)
    refused("1", rf"fixes the seed on these data|the seed of its trial, \d+, and it has {best}", policy=trial,
            run_id=audits[best].run_id)  # fmt: skip
    assert holder(tracked) == before


def forge_verdict(client, run_id, used, folder):
    """Write the verdict that a policy would give if the seed were right."""
    record = read_audit(client, run_id, folder)
    verdict = judge_against(used, {}, record, {}, seed=record.seed)
    assert verdict.status == "pass"
    log_verdict(client, client.get_run(run_id), contents_of(record, verdict)[0])


def test_a_version_is_promoted_by_an_audit_of_the_trial_with_a_configuration_that_names_no_seed(
    shop, version, tracked, tmp_path
):
    used = policy(9.0, "promoted", repeats=2)
    audited = run_audit(shop, used, version)
    done = promote(uri_of(version), "champion", policy=used, config=shop.file, recompute=True)
    assert holder(tracked) == version
    assert (done.run_id, done.policy_name, done.attempts) == (audited.run_id, "promoted", ())
    assert (done.seed, done.seed_is_secret) == (audited.verdict.subject.seed, False)


def test_a_pass_after_a_fail_needs_a_waiver_which_is_written_down(shop, version, tracked, store, tmp_path):
    before = holder(tracked)
    failed = run_audit(shop, policy(1e-6, "waived", attempts=2), version)
    used = policy(9.0, "waived", attempts=2)
    run_audit(shop, used, version)
    refused(version, rf"failed 'waived' on the same data.*run {failed.run_id} of .*: fail.*--waive", policy=used)
    tracked.delete_run(failed.run_id)
    refused(version, rf"failed 'waived' on the same data.*run {failed.run_id} of .*deleted.*: fail", policy=used)
    assert holder(tracked) == before
    with pytest.raises(ConfigError, match="needs a reason"):
        promote(uri_of(version), "champion", policy=used, waiver=" ")
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(used.as_dict()))  # which is YAML, too
    reason = "the limit was a typing error"
    where = ["--policy", str(file), "--tracking-uri", store]
    said = CliRunner().invoke(main, ["promote", uri_of(version), "--alias", "champion", "--waive", reason, *where])
    assert said.exit_code == 0, said.output
    assert f"waived: {reason}" in said.output
    assert holder(tracked) == version
    told = told_by_promotion(tracked, version)
    assert (told["waiver"], told["policy_name"]) == (reason, "waived")
    assert [(each["run_id"], each["result"], each["is_deleted"]) for each in told["attempts"]] == [
        (failed.run_id, "fail", True)
    ]


def test_more_attempts_than_a_trial_allows_are_refused_and_a_dry_run_says_so(shop, version, tracked, caplog):
    used = policy(9.0, "counted twice")
    for _ in range(2):
        run_audit(shop, used, version)
    refused(version, "it is one of 2 attempts under 'counted twice', which allows 1", policy=used)
    dry = policy(9.0, "counted twice", mode="dry_run")
    run_audit(shop, dry, version)
    assert promote(uri_of(version), "champion", policy=dry).verdict == "pass"
    assert "the policy is a dry run: it is one of 3 attempts" in caplog.text


def test_a_secret_gives_a_seed_that_is_judged_baselines_included(shop, version, tracked, tmp_path):
    """The seed is told by hmac alone."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret of the promoter\n")
    document = policy(9.0, "secret").as_dict()
    against = {"against": "models:/shopped/1", "statistic": "mean", "max_shift": 1e-9}
    used = Policy.model_validate({**document, "checks": [*document["checks"], against]})
    audited = run_audit(shop, used, version)  # and version 1, by the same donors
    more = {"policy": used, "seed_secret": secret}
    with pytest.raises(ConfigError, match="add --recompute"):
        promote(uri_of(version), "champion", **more)
    done = promote(uri_of(version), "champion", recompute=True, **more)
    data = audited.verdict.subject.data_digest
    told = hmac.new(b"a secret of the promoter", f"seed of a trial\n{used.digest()}\n{data}\n".encode(), "sha256")
    assert (done.seed, done.seed_is_secret) == (int(told.hexdigest()[:16], 16) >> 1, True)
    assert told_by_promotion(tracked, version)["seed"] == done.seed != audited.verdict.subject.seed


def test_another_seed_does_not_undo_a_fail_on_record(shop, version, tracked, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret of the promoter")
    used = policy(1e-6, "undone")
    run_audit(shop, used, version)
    refused(version, "fail under 'undone'", policy=used, recompute=True, seed_secret=secret)


def test_a_promoter_remembers_which_audit_came_first(shop, version, tracked, tmp_path, monkeypatch):
    """The one that passes was promoted before the one that fails was made, and then says that it ended after it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    checks = [{"feature": "age", "max": 9.0}]
    lenient = Policy.model_validate({"format": 2, "checks": checks})
    passed = run_audit(shop, lenient, version)
    promote(uri_of(version), "champion", policy=lenient)
    failed = run_audit(shop, Policy.model_validate({"format": 2, "checks": [{"feature": "age", "max": 1e-6}]}), version)
    ahead = int(datetime.now(timezone.utc).timestamp() * 1000) + 60_000
    tracked.set_terminated(passed.run_id, end_time=ahead)
    refused(version, rf"the verdict of run {failed.run_id} was given under policy", policy=lenient)
