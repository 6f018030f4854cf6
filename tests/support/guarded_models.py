"""A model whose alias was given by signed promotions, and is moved past them."""

from datetime import date, datetime, timedelta, timezone

import mlflow
from mlflow import MlflowClient

from nnperm_mlflow import guard
from nnperm_mlflow.attestation.envelopes import seal
from nnperm_mlflow.attestation.statements import (
    OnDecisions,
    PromotionPredicate,
    PromotionStatement,
    digest_of,
    resource,
    stamp_now,
    stamp_of,
)
from nnperm_mlflow.basics.audit_files import folder_digest
from nnperm_mlflow.registry.statement_files import log_statement
from tests.support.signers import REGISTRY, ROLES, TrustFile, key_of

TERMS = {
    "policy": "1" * 64, "config": "2" * 64, "data": "3" * 64, "auditors": ["service"], "promoters": ["deploy"],
    "approvals": {"of": ["anna", "ben"], "at_least": 2},
}  # fmt: skip


class GuardedModel:
    """A model with some versions, and its alias as it is promoted and moved."""

    def __init__(self, client: MlflowClient, name, folder):
        self.client, self.name, self.folder = client, name, folder
        self.last, self.number, self.digests, self.runs = None, 0, {}, []
        self.experiment_id = mlflow.set_experiment("tests").experiment_id
        client.create_registered_model(name)
        self.trust = TrustFile({"expires": _far(), "registry": REGISTRY, "keys": {}})
        for person, roles in ROLES.items():
            self.trust.add(person, roles)
        self.trust.content["aliases"] = {f"models:/{name}@champion": TERMS}
        self.trust_file = self.trust.write(folder / "trust.yaml")
        for number in range(1, 5):
            self.register(number)

    def register(self, number):
        source = self.folder / f"model{number}"
        source.mkdir()
        (source / "MLmodel").write_text("flavors: {python_function: {}}\n")
        (source / "weights").write_text(str(number))
        self.digests[str(number)] = folder_digest(source)
        self._create_version(source)

    def _create_version(self, source):
        self.client.create_model_version(self.name, str(source))

    def promote(self, version, by="deploy", *, moves=True, emergency=None):
        """As `promote --trust` does, but for the evidence."""
        self.number += 1
        rests_on = OnDecisions(audit="4" * 64, verdict="5" * 64) if emergency is None else OnDecisions()
        until = None if emergency is None else stamp_of(datetime.now(timezone.utc) + timedelta(hours=1))
        predicate = PromotionPredicate(
            registry=REGISTRY, model=self.name, version=version, at=stamp_now(), alias="champion", number=self.number,
            predecessor=self.last, rests_on=rests_on, emergency=emergency, audit_until=until,
        )  # fmt: skip
        subject = (resource(f"models:/{self.name}/{version}", self.digests[version]),)
        payload = PromotionStatement(subject=subject, predicate=predicate).encode()
        tags = {
            "nnperm.kind": "promotion",
            "nnperm.model": f"models:/{self.name}/{version}",
            "nnperm.alias": "champion",
        }
        run = self.client.create_run(self.experiment_id, tags=tags)
        log_statement(self.client, run, "promotion", seal(payload, key_of(by)))
        self.client.set_terminated(run.info.run_id)
        self.last = digest_of(payload)
        self.runs.append(run.info.run_id)
        if moves:
            self.move(version)

    def move(self, version):
        if version is None:
            self.client.delete_registered_model_alias(self.name, "champion")
        else:
            self.client.set_registered_model_alias(self.name, "champion", version)

    def champion(self):
        held = self.client.get_registered_model(self.name).aliases.get("champion")
        return None if held is None else str(held)

    def look(self, state="state", **more):
        return guard(self.name, "champion", trust=self.trust_file, state_dir=self.folder / state, **more)


def _far():
    return date.today() + timedelta(days=30)


class ServedModel(GuardedModel):
    """The same at a server, which holds the files of its models itself."""

    def _create_version(self, source):
        run = self.client.create_run(self.experiment_id)
        self.client.log_artifacts(run.info.run_id, str(source), "model")
        self.client.set_terminated(run.info.run_id)
        self.client.create_model_version(self.name, f"{run.info.artifact_uri}/model", run.info.run_id)
