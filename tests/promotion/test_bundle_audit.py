"""The audit of a bundle, made again without any server where model and data are at hand."""

import mlflow
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow import audit, bundle, verify
from nnperm_mlflow.approval.signed_audit import sign_record
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, UntrustedModelError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.registry.records import read_audit
from tests.support.forging import forged
from tests.support.signed_audits import POLICY, Packed
from tests.support.signers import REGISTRY, key_of

MADE_AGAIN = "the whole audit by model and data at hand (summary, scores, segments and pairs)"
NOWHERE = "http://127.0.0.1:9"


def packed(run_id, folder):
    """Sign the audit in a run, and pack it."""
    client = mlflow.MlflowClient()
    record = read_audit(client, run_id, folder / "read")
    sign_record(client, record, key_of("service"), REGISTRY, folder)
    bundle(run_id, folder / "bundle")
    return Packed(folder / "bundle", record)


@pytest.fixture(scope="module")
def original(house, store, tmp_path_factory):
    """The bundle of an audit of the small network, with scores and segments, and the model's files."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("signed")
    settings = house.settings()
    settings["analysis"] |= {"scores": ["roc_auc"], "segments": ["region"]}
    done = audit(settings, model_uri="models:/house/1", policy=POLICY)
    mlflow.artifacts.download_artifacts(artifact_uri="models:/house/1", dst_path=str(folder / "model"))
    return packed(done.run_id, folder)


@pytest.fixture
def at_hand(original, house, tmp_path):
    """What is given to verify it, in a process that reaches no server."""
    trust = original.trust().write(tmp_path / "trust.yaml")
    mlflow.set_tracking_uri(NOWHERE)
    return {"trust": trust, "model": original.folder.parent / "model", "config": house.config}


def test_the_audit_of_a_bundle_is_made_again_without_a_server(original, at_hand, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = verify(original.folder, **at_hand, recompute=True)
    plain = verify(original.folder, **at_hand)
    assert found.recomputed == (*plain.recomputed, MADE_AGAIN)
    assert plain.on_trust == ("that the model gives these numbers (audit it again: nnperm promote --recompute)",)
    assert (found.on_trust, found.verdict) == ((), "pass")
    assert [path.name for path in tmp_path.iterdir()] == ["trust.yaml"]


def test_the_command_tells_what_was_made_again_and_refuses_what_it_lacks(original, at_hand):
    arguments = ["verify", str(original.folder), "--trust", str(at_hand["trust"]), "--recompute"]
    whole = [*arguments, "--model", str(at_hand["model"]), "--config", str(at_hand["config"])]
    done = CliRunner().invoke(main, whole)
    assert done.exit_code == 0, done.output
    told = done.stdout.splitlines()[-2:]
    assert told[0].startswith("computed or read again here: ")
    assert told[0].endswith(MADE_AGAIN)
    assert told[1] == "taken on trust: nothing"
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, "give a folder with the model's files (--model DIR)" in done.stderr) == (2, True)
    done = CliRunner().invoke(main, [*(word for word in whole if word != "--recompute"), "--trust-model"])
    assert (done.exit_code, "add --recompute" in done.stderr) == (2, True)


def test_numbers_that_the_model_does_not_give_are_refused_whoever_signed_them(original, at_hand, store, tmp_path):
    """The ends of intervals are in no table: without another audit nothing speaks against them."""
    mlflow.set_tracking_uri(store)
    client, record = mlflow.MlflowClient(), original.record
    summary = record.summary.copy()
    summary["mean_low"] = summary["mean_low"] * 0.5
    (tmp_path / "forged").mkdir()
    run_id = forged(client, record.run_id, tmp_path / "forged", summary=summary)
    made_up = packed(run_id, tmp_path)
    mlflow.set_tracking_uri(NOWHERE)
    assert verify(made_up.folder, **at_hand).people == ["service"]
    with pytest.raises(EvidenceError, match="audited again, 'mean_low' come out otherwise than on record"):
        verify(made_up.folder, **at_hand, recompute=True)


def test_data_of_which_something_else_is_said_are_not_those_that_were_audited(original, at_hand, house, tmp_path):
    settings = house.settings()
    settings["data"]["label"] = "flag"
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(settings))
    with pytest.raises(EvidenceError, match="in .data: label. .expected .flag., found .label.."):
        verify(original.folder, **{**at_hand, "config": other}, recompute=True)


@pytest.mark.slow
def test_the_audit_that_a_verdict_ended_is_made_again_at_its_look(house, store, tmp_path, monkeypatch):
    """And neither signed nor believed, whoever has signed it, where it says that there were fewer looks."""
    for module in ("engine.job", "perturbation.deal"):
        monkeypatch.setattr(f"nnperm_mlflow.analysis.{module}.BATCH_ROWS", 50)
    mlflow.set_tracking_uri(store)
    settings = house.settings()
    settings["analysis"] |= {"rows": "auto"}
    done = audit(settings, model_uri="models:/house/1", policy=POLICY)
    assert (done.verdict.subject.look, done.verdict.subject.looks) == (1, 3)
    mlflow.artifacts.download_artifacts(artifact_uri="models:/house/1", dst_path=str(tmp_path / "model"))
    own = packed(done.run_id, tmp_path / "own")
    given = {"trust": own.trust().write(tmp_path / "trust.yaml"), "model": tmp_path / "model", "config": house.config}
    found = verify(own.folder, **given, recompute=True)
    assert (found.recomputed[-1], found.on_trust) == (MADE_AGAIN, ())
    lie = forged(mlflow.MlflowClient(), done.run_id, tmp_path, looks="1")
    with pytest.raises(EvidenceError, match="there is no such look"):
        packed(lie, tmp_path / "lie")
    with monkeypatch.context() as careless:
        careless.setattr("nnperm_mlflow.approval.signed_audit.confirm_look", lambda record: None)
        signed = packed(lie, tmp_path / "careless")
    with pytest.raises(EvidenceError, match="there is no such look"):
        verify(signed.folder, trust=signed.trust().write(tmp_path / "other.yaml"))


CODE = """
import mlflow
class Sum(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return model_input[["age", "income"]].sum(axis=1).to_numpy()
mlflow.models.set_model(Sum())
"""


@pytest.mark.slow
def test_code_that_came_with_the_model_runs_only_where_that_is_allowed(house, store, tmp_path):
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    (tmp_path / "code.py").write_text(CODE)
    example = house.table[["age", "income"]]
    with mlflow.start_run():
        signature = mlflow.models.infer_signature(example, example.sum(axis=1).to_numpy())
        mlflow.pyfunc.log_model(
            name="sum", python_model=str(tmp_path / "code.py"), signature=signature, pip_requirements=[],
            registered_model_name="own_code",
        )  # fmt: skip
    config = tmp_path / "sum.yaml"
    config.write_text(yaml.safe_dump({"data": {"static": house.settings()["data"]["static"]}}))
    done = audit(config, model_uri="models:/own_code/1", policy=POLICY, trust_model=True)
    made = packed(done.run_id, tmp_path)
    folder = mlflow.artifacts.download_artifacts(artifact_uri="models:/own_code/1", dst_path=str(tmp_path / "model"))
    given = {"trust": made.trust().write(tmp_path / "trust.yaml"), "model": folder, "config": config}
    mlflow.set_tracking_uri(NOWHERE)
    with pytest.raises(UntrustedModelError, match="--trust-model"):
        verify(made.folder, **given, recompute=True)
    found = verify(made.folder, **given, recompute=True, trust_model=True)
    assert found.recomputed[-1] == MADE_AGAIN
    assert found.on_trust == ("the code that came with the model (--trust-model)",)
    with pytest.raises(ConfigError, match="add --recompute"):
        verify(made.folder, **given, trust_model=True)
