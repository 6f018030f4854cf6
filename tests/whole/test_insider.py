"""An insider who may write runs and tags but cannot retrain, against an officer who promotes: on a server that asks."""

import json
import re
import shlex
from contextlib import contextmanager
from types import SimpleNamespace

import keras
import mlflow
import pytest
import yaml
from click.testing import CliRunner
from mlflow.server.auth.client import AuthServiceClient

from nnperm_mlflow import audit
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.evidence.summary_file import read_summary
from tests.support.forging import forged, relabelled
from tests.support.house import build_house, register
from tests.support.servers import guarded, running_server, serving_files

pytestmark = pytest.mark.slow

KEEPER, INSIDER, OFFICER = (
    ("keeper", "a-long-password-1"),
    ("insider", "a-long-password-2"),
    ("officer", "a-long-password-3"),
)
POLICY = {"checks": [{"name": "region decides little", "feature": "region", "statistic": "share", "max": 0.4}]}


@contextmanager
def acting_as(who):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", who[0])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", who[1])
        yield mlflow.MlflowClient()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with running_server(folder, **guarded(folder, *KEEPER)) as address:
        mlflow.set_tracking_uri(address)
        yield address


@pytest.fixture(scope="module")
def house(server, tmp_path_factory):
    """A model of the insider's: version 1 is harmless, version 2 decides by the region. The officer may promote it."""
    made = build_house(tmp_path_factory.mktemp("insider"), "credit")
    with acting_as(KEEPER):
        users = AuthServiceClient(server)
        for name, password in (INSIDER, OFFICER):
            users.create_user(name, password)
        audits = mlflow.create_experiment("audits")
    with acting_as(INSIDER) as client:
        register(made, experiment="risk")
        (layer,) = (layer for layer in made.network.layers if isinstance(layer, keras.layers.Embedding))
        weights = layer.get_weights()
        layer.set_weights([weight * 150 for weight in weights])
        register(made, experiment="risk")
        layer.set_weights(weights)
        risk = client.get_experiment_by_name("risk").experiment_id
    with acting_as(KEEPER):
        for experiment in (risk, audits):
            users.grant_user_permission(OFFICER[0], "experiment", experiment, "EDIT")
        users.grant_user_permission(OFFICER[0], "registered_model", "credit", "EDIT")
    return made


@pytest.fixture(scope="module")
def files(house, tmp_path_factory):
    """What the officer has: the configuration, the policy, and where to write."""
    folder = tmp_path_factory.mktemp("officer")
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    return SimpleNamespace(config=house.config, policy=folder / "policy.yaml", folder=folder)


@pytest.fixture(scope="module")
def honest(house, files):
    """The service's audits of both versions, of which the second one fails."""
    with acting_as(KEEPER):
        found = [
            audit({**house.settings(), **POLICY}, model_uri=f"models:/credit/{number}", experiment="audits",
                  output=files.folder / f"audit{number}")
            for number in (1, 2)
        ]  # fmt: skip
    assert [each.verdict.status for each in found] == ["pass", "fail"]
    return found


def promote(files, *more, trusts=False, version=2):
    """Let the officer promote; return the exit status and what was said."""
    given = [] if trusts else ["--policy", str(files.policy), "--config", str(files.config), "--recompute"]
    with acting_as(OFFICER):
        result = CliRunner().invoke(
            main, ["promote", f"models:/credit/{version}", "--alias", "champion", *given, *more]
        )
    return result.exit_code, result.output


def champion():
    with acting_as(OFFICER) as client:
        return {str(alias): str(version) for alias, version in client.get_registered_model("credit").aliases.items()}


def test_an_honest_looking_file_that_puts_a_column_into_another_place_brings_no_pass(house, honest, files):
    settings = house.settings()
    settings["inputs"] = {"num_input": ["region", "income", "flag"], "region_input": "label"}
    del settings["data"]["label"]
    with acting_as(INSIDER):
        found = audit({**settings, **POLICY}, model_uri="models:/credit/2", experiment="risk")
    assert found.verdict.status == "pass"
    status, said = promote(files, "--run", found.run_id)
    assert status == 1, said
    assert """'inputs: num_input' (expected ["age", "income", "flag"], found ["region", "income", "flag"])""" in said
    assert """'inputs: region_input' (expected "region", found "label")""" in said
    assert champion() == {}


def test_an_audit_made_up_for_the_baseline_brings_no_pass(house, honest, files, tmp_path):
    plain, leaning = honest
    alike = {"checks": [{"against": "models:/credit/1", "statistic": "mean", "max_shift": 1e-6}]}
    (tmp_path / "alike.yaml").write_text(yaml.safe_dump(alike))
    with acting_as(INSIDER) as client:
        digest = client.get_run(plain.run_id).data.params["model_digest"]
        said = {"model": "models:/credit/1", "model_digest": digest}
        table = relabelled(leaning.directory / "deviations.parquet", tmp_path / "forged.parquet", **said)
        forged(client, leaning.run_id, tmp_path, table=table, experiment="risk", **said)
        own = forged(client, leaning.run_id, tmp_path, experiment="risk")
        assert check(run_id=own, policy=tmp_path / "alike.yaml").verdict.status == "pass"
    more = ["--run", own, "--policy", str(tmp_path / "alike.yaml")]
    status, said = promote(files, *more)
    assert status == 1, said
    assert re.search(r"audited again, .* come out otherwise than on record. Do not trust the run", said)
    assert champion() == {}


def region_as_a_group(told):
    return told.assign(kind=told["kind"].where(told["feature"] != "region", "group"))


def without_intervals(told):
    return told.drop(columns=["mean_low", "mean_high"])


@pytest.mark.parametrize(
    ("forge", "message"),
    [(region_as_a_group, "'kind' come out other"), (without_intervals, "'mean_low', 'mean_high' come out otherwise")],
)
def test_a_summary_in_which_only_words_or_ends_were_changed_brings_no_pass(honest, files, tmp_path, forge, message):
    summary = forge(read_summary(honest[1].directory / "summary.csv"))
    with acting_as(INSIDER) as client:
        own = forged(client, honest[1].run_id, tmp_path, summary=summary, experiment="risk")
    status, said = promote(files, "--run", own)
    assert (status, champion()) == (1, {}), said
    assert message in said


def test_a_run_outside_of_the_experiment_of_the_service_does_not_count_though_it_is_named(honest, files, tmp_path):
    with acting_as(INSIDER) as client:
        own = forged(client, honest[0].run_id, tmp_path, experiment="risk")
        check(run_id=own, policy=files.policy)
    status, said = promote(files, "--run", own, "--experiment", "audits", version=1)
    assert (status, champion()) == (1, {}), said
    assert "does not lie in the experiment 'audits', whose audits alone count" in said


def test_nothing_is_asked_for_on_the_network_because_a_run_names_it(house, honest, files, tmp_path):
    house.table.to_parquet(tmp_path / "house.parquet")
    with serving_files(tmp_path) as site, acting_as(INSIDER):
        settings = house.settings()
        settings["data"]["static"] = f"{site.address}/house.parquet"
        own = audit({**settings, **POLICY}, model_uri="models:/credit/1", experiment="risk").run_id
        site.asked.clear()
        status, said = promote(files, "--run", own, "--policy", str(files.policy), trusts=True, version=1)
        assert (status, site.asked, champion()) == (1, [], {}), said
        assert f"names data at '{site.address}/house.parquet'" in said


def test_the_chain_of_the_readme_leads_to_a_promotion_and_says_what_it_rests_on(house, honest, files, tmp_path):
    """A stricter policy that was tried meanwhile is in the way, and the printed command leads on."""
    (tmp_path / "stricter.yaml").write_text(yaml.safe_dump({"checks": [{"feature": "region", "max": 0.5}]}))
    with acting_as(KEEPER):
        check(run_id=honest[0].run_id, policy=tmp_path / "stricter.yaml")
    run = ["--run", honest[0].run_id, "--experiment", "audits"]
    status, said = promote(files, *run, version=1)
    assert status == 1, said
    printed = re.search(r"nnperm (check .*)$", said.strip())[1]
    with acting_as(OFFICER):
        assert CliRunner().invoke(main, shlex.split(printed)).exit_code == 0
    status, said = promote(files, *run, version=1)
    assert (status, champion()) == (0, {"champion": "1"}), said
    assert "taken on trust" not in said
    status, said = promote(files, *run, trusts=True, version=1)
    assert status == 0, said
    on_trust = "the numbers on record (no --recompute), the audit's own configuration (no --config), the policy that"
    assert f"taken on trust: {on_trust}" in said
    with acting_as(OFFICER) as client:
        tries = client.search_runs(
            [client.get_experiment_by_name("risk").experiment_id], "tags.`nnperm.kind` = 'promotion'"
        )
        told = [json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/promotion.json")) for run in tries]
    assert sorted(len(each["taken_on_trust"]) for each in told) == [0, 3]
