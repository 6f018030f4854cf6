"""Decisions of people in runs of their own: the signed statement, and what it says as a document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from nnperm_mlflow.attestation.envelopes import Sealed
from nnperm_mlflow.basics.audit_files import DECISION_FILE
from nnperm_mlflow.basics.text import beginning_with, named
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.registry.audits import find_runs
from nnperm_mlflow.registry.records import RunFiles
from nnperm_mlflow.registry.run_session import RunSession
from nnperm_mlflow.registry.statement_files import log_statement, statements_in
from nnperm_mlflow.registry.tags import ACT_TAG, ALIAS_TAG, DECISION, KIND_TAG, MODEL_TAG, PROMOTION


def log_decision(
    client: MlflowClient, reference: ModelReference, sealed: Sealed, told: Mapping[str, object], experiment: str | None
) -> str:
    """Write a decision into a run of its own; return its id.

    Parameters
    ----------
    client : MlflowClient
    reference : ModelReference
        The version.
    sealed : Sealed
    told : mapping of str to object
        What it says, for people and history: `act`, `alias`, ...
    experiment : str or None
        Name of the experiment for the run; by default that of the model.
    """
    act, alias = str(told["act"]), str(told["alias"])
    tags = {KIND_TAG: DECISION, MODEL_TAG: reference.uri, ALIAS_TAG: alias, ACT_TAG: act}
    name = f"{act} of {alias} for {reference.name} {reference.version}"
    with RunSession(client) as session:
        session.start(reference, experiment, run_name=name, tags=tags)
        text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
        client.log_text(session.run_id, text, DECISION_FILE)
        log_statement(client, client.get_run(session.run_id), "decision", sealed)
    return session.run_id


def sealed_decisions(client: MlflowClient, uri: str, folder: Path) -> list[Sealed]:
    """Return the decisions on a version that runs hold, deleted ones among them; nobody has verified them yet."""
    condition = f"tags.`{KIND_TAG}` = '{DECISION}' and {named(f'tags.`{MODEL_TAG}`', uri)}"
    return _sealed_in(client, find_runs(client, condition, finished=False, deleted=True), "decision", folder)


def sealed_promotions(client: MlflowClient, name: str, folder: Path) -> list[Sealed]:
    """Return the signed promotions of a model, of all aliases, from runs that may be deleted; not verified yet."""
    condition = f"tags.`{KIND_TAG}` = '{PROMOTION}' and {beginning_with(f'tags.`{MODEL_TAG}`', f'models:/{name}/')}"
    return _sealed_in(client, find_runs(client, condition, finished=False, deleted=True), "promotion", folder)


def _sealed_in(client: MlflowClient, runs: list[Run], kind: str, folder: Path) -> list[Sealed]:
    found = [statements_in(RunFiles.of(client, run, folder)) for run in runs]
    return [sealed for told in found for of, sealed in told if of == kind]
