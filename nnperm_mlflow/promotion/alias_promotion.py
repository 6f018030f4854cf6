"""Giving a version an alias, only after the evidence for it has been read again."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.policy_check import find_record, policy_for
from nnperm_mlflow.basics.errors import AuditError, ConfigError, EvidenceError, RefusedError
from nnperm_mlflow.config.policy import AnyPolicy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.promotion.rereading import Rereading, confirm, confirm_verdict
from nnperm_mlflow.registry.aliases import Promotion, holder_of, move_alias
from nnperm_mlflow.registry.audits import find_audits
from nnperm_mlflow.registry.connection import connected, current_user
from nnperm_mlflow.registry.copies import is_audit_of
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.tags import RUN_TAG
from nnperm_mlflow.verdict.verdict import stamp

logger = logging.getLogger(__name__)


def promote(
    model_uri: str,
    alias: str,
    *,
    policy: AnyPolicy = None,
    run_id: str | None = None,
    experiment: str | None = None,
    table: str | Path | None = None,
    config: str | Path | None = None,
    reads_data: bool = True,
    recompute: bool = False,
    trust_model: bool = False,
) -> Promotion:
    """Give a version an alias, if the evidence on record bears the verdict that it passes.

    Parameters
    ----------
    model_uri : str
        A registered version: `models:/credit/4`, or by another alias.
    alias : str
        The alias it shall have: `champion`.
    policy : Policy, str or Path, optional
        What it must keep; by default the policy of its audit.
    run_id : str, optional
        The run with the audit; by default the newest of the version.
    experiment : str, optional
        Name of the only experiment whose audits count, that of the version as of those it is compared with.
    table : str or Path, optional
        A copy of the deviation table, where that was kept out of the run.
    config : str or Path, optional
        A YAML file whose `data` say where the data are now; by default they are where the audit found them.
    reads_data : bool
        Whether the data are read again, and must still be those that were audited.
    recompute : bool
        Whether the whole audit is made again, and its numbers must come out as on record: the only way to know that
        nobody has made them up.
    trust_model : bool
        Allow code that came with the model to run, where the audit is made again.

    Returns
    -------
    Promotion

    Raises
    ------
    RefusedError
        If the evidence does not bear it: no finished audit, another verdict or policy, other model files or data,
        changed files, an alias that has moved meanwhile. The message says which. Nothing is changed then.
    """
    rereading = Rereading(reads_data, recompute, config, trust_model)
    with connected() as (client, scratch):
        reference = pin_model(client, model_uri)
        if reference.name is None or reference.version is None:
            raise ConfigError(
                f"{model_uri} is no registered version, so that no alias can name it: give models:/name/4."
            )
        holder = holder_of(client, reference.name, alias)
        try:
            record = _find_evidence(client, reference, scratch, run_id=run_id, experiment=experiment, table=table)
            used = policy_for(record, policy)
            confirm(client, record, reference, scratch / "confirmed", rereading)
            verdict = confirm_verdict(client, record, used, scratch, experiment)
        except AuditError as error:
            raise RefusedError(f"{reference} does not become '{alias}': {error}") from error
        if verdict.blocks:
            raise RefusedError(f"{reference} does not become '{alias}': {verdict.in_words}.", verdict)
        if verdict.status == "fail":
            logger.warning("%s fails its policy, which is a dry run: it is promoted all the same", reference)
        promotion = Promotion(
            model=reference.name,
            version=reference.version,
            alias=alias,
            replaced=holder,
            by=current_user(),
            at=stamp(datetime.now(timezone.utc)),
            run_id=record.run_id,
            newest_run_id=next((str(run.info.run_id) for run in find_audits(client, reference.uri)), record.run_id),
            verdict=verdict.status,
            policy_digest=used.digest(),
            policy_is_given=policy is not None,
            data_read_again=rereading.data,
            audited_again=rereading.audit,
        )
        move_alias(client, promotion, reference)
    return promotion


def _find_evidence(
    client: MlflowClient,
    reference: ModelReference,
    folder: Path,
    *,
    run_id: str | None,
    experiment: str | None,
    table: str | Path | None,
) -> AuditRecord:
    """Return the audit to rely on: the one named, else the newest; one that the version names must still be there."""
    if run_id is not None:
        record = find_record(client, folder, run_id=run_id, table=table)
    else:
        tags = client.get_model_version(reference.name, reference.version).tags
        if RUN_TAG in tags:
            read_audit(client, tags[RUN_TAG], folder / tags[RUN_TAG])
        record = find_record(client, folder, model_uri=reference.uri, table=table, experiment=experiment)
    if not is_audit_of(client, record.model, reference):
        raise EvidenceError(f"{record} is an audit of {record.model}. Name one of {reference.uri} (nnperm history).")
    return record
