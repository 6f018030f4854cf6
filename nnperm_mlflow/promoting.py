"""Giving a version an alias, only after the evidence for it has been read again."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
from mlflow import MlflowClient

from nnperm_mlflow.analysis.confirmation import confirm_summary
from nnperm_mlflow.analysis.table import table_metadata
from nnperm_mlflow.approval import judge_audit
from nnperm_mlflow.baselines import pin_baselines
from nnperm_mlflow.checking import AnyPolicy, audited_from, find_record, policy_for
from nnperm_mlflow.errors import AuditError, ConfigError, DataError, EvidenceError, RefusedError
from nnperm_mlflow.filenames import TABLE_FILE, VERDICT_FILE
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.models.loading import download_model
from nnperm_mlflow.models.pinning import ModelReference, pin_model
from nnperm_mlflow.policy import Policy
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.audits import AuditRecord, read_audit
from nnperm_mlflow.registry.connection import connected, current_user
from nnperm_mlflow.registry.linking import RUN_TAG
from nnperm_mlflow.registry.promotions import Promotion, holder_of, move_alias
from nnperm_mlflow.verdict.judging import Verdict, stamp

logger = logging.getLogger(__name__)

_DECISIVE = ("verdict", "subject", "baselines", "checks")


def promote(
    model_uri: str,
    alias: str,
    *,
    policy: AnyPolicy = None,
    run_id: str | None = None,
    rereads_data: bool = True,
    table: str | Path | None = None,
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
    rereads_data : bool
        Whether the data are read again, and must still be those that were audited.
    table : str or Path, optional
        A copy of the deviation table, where that was kept out of the run.

    Returns
    -------
    Promotion

    Raises
    ------
    RefusedError
        If the evidence does not bear it: no finished audit, another verdict or policy, other model files or data,
        changed files, an alias that has moved meanwhile. The message says which. Nothing is changed then.
    """
    with connected() as (client, scratch):
        reference = pin_model(client, model_uri)
        if reference.name is None or reference.version is None:
            raise ConfigError(
                f"{model_uri} is no registered version, so that no alias can name it: give models:/name/4."
            )
        holder = holder_of(client, reference.name, alias)
        try:
            record = _find_evidence(client, reference, run_id, scratch, table)
            used = policy_for(record, policy)
            _check_digests(record, reference, scratch, rereads_data)
            verdict = _confirmed_verdict(client, record, used, scratch)
        except AuditError as error:
            raise _refusal(reference, alias, str(error)) from error
        if verdict.blocks:
            raise _refusal(reference, alias, f"{verdict.in_words}.")
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
            verdict=verdict.status,
            policy_digest=used.digest(),
            data_read_again=rereads_data,
        )
        move_alias(client, promotion, reference)
    return promotion


def _find_evidence(
    client: MlflowClient, reference: ModelReference, run_id: str | None, folder: Path, table: str | Path | None
) -> AuditRecord:
    """Return the audit to rely on: the one named, else the newest; one that the version names must still be there."""
    if run_id is not None:
        record = find_record(client, folder, run_id=run_id, table=table)
    else:
        tags = client.get_model_version(reference.name, reference.version).tags
        if RUN_TAG in tags:
            read_audit(client, tags[RUN_TAG], folder / tags[RUN_TAG])
        record = find_record(client, folder, model_uri=reference.uri, table=table)
    if record.model != reference.uri:
        raise EvidenceError(f"{record} is an audit of {record.model}. Name one of {reference.uri} (nnperm history).")
    return record


def _check_digests(record: AuditRecord, reference: ModelReference, folder: Path, rereads_data: bool) -> None:
    """Refuse an audit of other model files or other data than there are now."""
    (folder / "model").mkdir()
    _compare(record, "model_digest", download_model(reference, folder / "model").digest(), "the model's files")
    told = table_metadata(pq.read_schema(record.table))
    for name in ("model_digest", "data_digest", "seed"):
        _compare(record, name, str(told.get(name)), f"what {TABLE_FILE} tells of its {name}")
    if rereads_data:
        data = record.config.data
        if data.static is None and not data.temporal:
            raise EvidenceError(
                "the data were given in memory, and cannot be read again. To rely on what is on record "
                "of them, say so: --no-data."
            )
        try:
            found = load_dataset(data, Fetcher(folder / "data")).digest()
        except DataError as error:
            raise EvidenceError(
                f"the data cannot be read again: {error} To rely on what is on record of them, say so: --no-data."
            ) from error
        _compare(record, "data_digest", found, "the data")


def _compare(record: AuditRecord, name: str, found: str, what: str) -> None:
    told = record.param(name)
    if found != told:
        raise EvidenceError(
            f"{what} are not those that {record} audited: {name} is {found[:12]}, and was {told[:12]}. Audit the "
            "version again."
        )


def _confirmed_verdict(client: MlflowClient, record: AuditRecord, policy: Policy, folder: Path) -> Verdict:
    """Return the verdict on record, if it is the one that the evidence gives under the policy now.

    Raises
    ------
    EvidenceError
        If there is none, it was given under another policy or against other versions, or the numbers give another.
    """
    again = f"Apply the policy again: nnperm check --run {record.run_id}"
    told = record.verdict
    if told is None:
        raise EvidenceError(f"{record} has no verdict. {again}")
    if told.get("policy_digest") != policy.digest():
        raise EvidenceError(
            f"the verdict of {record} was given under policy {str(told.get('policy_digest'))[:12]}, not under the one "
            f"given now, {policy.digest()[:12]}. {again}"
        )
    pinned = pin_baselines(client, policy)
    for asked, uri in pinned.items():
        before = dict(told.get("baselines", {})).get(asked)
        if before != uri:
            raise EvidenceError(f"{asked} was {before} when {record} was judged, and is {uri} now. {again}")
    confirm_summary(record.table, record.summary)
    verdict = judge_audit(client, audited_from(client, record, policy), policy, pinned, folder=folder / "baselines")
    if verdict is None:
        raise EvidenceError("the policy's mode is 'off': nothing is decided. Set it to enforce or dry_run.")
    found = verdict.as_dict()
    if any(told.get(key) != found[key] for key in _DECISIVE):
        raise EvidenceError(f"{VERDICT_FILE} of {record} is not what its numbers give under this policy. {again}")
    return verdict


def _refusal(reference: ModelReference, alias: str, why: str) -> RefusedError:
    return RefusedError(f"{reference} does not become '{alias}': {why}")
