"""Whether evidence is what it says: model, data, configuration, table and numbers, read or made again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.analysis.difference.recomputation import confirm_summary
from nnperm_mlflow.analysis.difference.recorded_table import read_provenance
from nnperm_mlflow.auditor.trial_terms import with_trial_seed
from nnperm_mlflow.basics.audit_files import TABLE_FILE
from nnperm_mlflow.basics.errors import DataError, EvidenceError
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import ROWS_DIGEST, AuditRecord
from nnperm_mlflow.evidence.judged_evidence import confirm_look
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.inputs.rows_digest import rows_digest
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.promotion.second_audit import as_watched, audit_again, audit_anew, bind_again
from nnperm_mlflow.promotion.table_parts import confirm_parts
from nnperm_mlflow.promotion.terms import Terms
from nnperm_mlflow.promotion.trusted_config import refuse_other_configuration
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.copies import is_audit_of


def confirm(
    client: MlflowClient,
    record: AuditRecord,
    reference: ModelReference,
    folder: Path,
    *,
    terms: Terms,
    policy: Policy,
) -> AuditRecord:
    """Refuse an audit of other files, data or settings than there are now, or whose numbers are not its own.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    reference : ModelReference
        The version that it is said to be of.
    folder : Path
        Directory for downloads; made here.
    terms : Terms
    policy : Policy
        That decides about the version.

    Returns
    -------
    AuditRecord
        The audit to judge: as it was made again, where the terms ask for that; else the one on record.

    Raises
    ------
    EvidenceError
        The message says what is not as it was.
    """
    if not is_audit_of(client, record.model, reference):
        raise EvidenceError(f"{record} is an audit of {record.model}. Name one of {reference.uri} (nnperm history).")
    confirm_files(record, reference, folder / "before")
    _confirm_table(record, terms.allowed)
    if record.is_on_cluster and terms.config is None and (terms.reads_data or terms.recomputes):
        raise EvidenceError(
            f"the data of {record} were read by a cluster, and are not read here again. Say where a file of the same "
            "rows is (--config FILE), or that what is on record of them is to be relied on (--no-data)."
        )
    if terms.binds_again:
        return _bound_again(client, record, reference, folder, terms=terms, policy=policy)
    if terms.reads_data:
        _confirm_data(record, terms.asked_of(record), folder / "data")
    return record


def confirm_files(record: AuditRecord, reference: ModelReference, folder: Path) -> None:
    """Refuse an audit of other model files than there are now.

    Parameters
    ----------
    record : AuditRecord
    reference : ModelReference
        The version.
    folder : Path
        Directory for downloads; made here.

    Raises
    ------
    EvidenceError
        If a file is another one, is gone, or was added.
    """
    folder.mkdir(parents=True)
    _compare(record, "model_digest", download_model(reference, folder).digest(), "the model's files")


def _confirm_table(record: AuditRecord, allowed: Sequence[str]) -> None:
    """Refuse a deviation table of another audit, or a summary that is not what it says."""
    if record.is_on_cluster:
        confirm_parts(record, allowed)
        return
    told = read_provenance(record.table)
    for name in ("model", "model_digest", "data_digest", "seed", "within"):
        _compare(record, name, str(getattr(told, name)), f"what {TABLE_FILE} tells of its {name}")
    if record.sampled_rows != told.sampled_rows:
        raise EvidenceError(
            f"what {TABLE_FILE} tells of its sample ({told.sampled_rows}) is not what {record} says "
            f"({record.sampled_rows}). Audit the version again."
        )
    if record.params.get("cluster") != told.cluster:
        raise EvidenceError(
            f"what {TABLE_FILE} tells of its clusters ({told.cluster}) is not what {record} says "
            f"({record.params.get('cluster')}). Audit the version again."
        )
    confirm_look(record)
    confirm_summary(record.table, record.summary)


def _bound_again(
    client: MlflowClient,
    record: AuditRecord,
    reference: ModelReference,
    folder: Path,
    *,
    terms: Terms,
    policy: Policy,
) -> AuditRecord:
    """Bring model and data together as the configuration says, and compare; make the audit again where asked for."""
    asked, where = _of_trial(terms.asked_of(record), policy, record), folder / "again"
    _refuse_memory(asked)
    applied = _as_applied(policy, record, asked, terms)
    with _data_read():
        plan = bind_again(client, reference, asked, policy=applied, trust_model=terms.trust_model, folder=where)
    _compare_data(record, str(plan.record["data_digest"]), str(plan.record.get(ROWS_DIGEST)))
    _compare(record, "model_digest", str(plan.record["model_digest"]), "the model's files")
    if terms.config is not None:
        remedy = f"audit {reference} with this one: {terms.audit_command(record)}"
        refuse_other_configuration(plan.used, terms.used_by(record), str(record), remedy)
    if not terms.recomputes:
        return record
    seed = terms.own_seed(policy, record)
    if seed is None:
        return audit_again(plan, record, where)
    plan.close()
    own, trust = folder / "own_seed", terms.trust_model
    plan = bind_again(client, reference, asked.with_seed(seed), policy=applied, trust_model=trust, folder=own)
    return audit_anew(plan, record, own)


def _of_trial(asked: AuditConfig, policy: Policy, record: AuditRecord) -> AuditConfig:
    """Return a configuration with what the policy's trial fixes; whether the audit kept to it, its verdict tells."""
    fixed = with_trial_seed(asked, policy, record.param("data_digest"))
    return fixed.with_repeats(record.repeats) if policy.trial is not None and policy.trial.all_repeats else fixed


def _as_applied(policy: Policy, record: AuditRecord, asked: AuditConfig, terms: Terms) -> Policy:
    """Return the policy that an audit is bound or made again with; what it requires is found out where numbers are."""
    return as_watched(policy, record, asked, policy.requires if terms.recomputes else None)


def _confirm_data(record: AuditRecord, asked: AuditConfig, folder: Path) -> None:
    """Refuse an audit of other data than there are now."""
    _refuse_memory(asked)
    with _data_read():
        dataset = load_dataset(asked.data, Fetcher(folder))
    digest = dataset.digest()
    _compare_data(record, digest, rows_digest(dataset) if digest != record.param("data_digest") else None)


def _compare_data(record: AuditRecord, data_digest: str, rows: str | None) -> None:
    """Refuse data of which neither digest is on record."""
    if rows is None or record.params.get(ROWS_DIGEST) != rows:
        _compare(record, "data_digest", data_digest, "the data")


def _refuse_memory(asked: AuditConfig) -> None:
    data = asked.data
    if data.table is None and data.static is None and not any(spec.file for spec in data.temporal.values()):
        raise EvidenceError(
            "the data were given in memory, and cannot be read again. Say where they are (--config FILE), or that "
            "what is on record of them is to be relied on (--no-data)."
        )


@contextmanager
def _data_read() -> Iterator[None]:
    """Say within the block what can be done about data that cannot be read."""
    try:
        yield
    except DataError as error:
        raise EvidenceError(
            f"the data cannot be read again: {error} Say where they are now (--config FILE), or that what is on record "
            "of them is to be relied on (--no-data)."
        ) from error


def _compare(record: AuditRecord, name: str, found: str, what: str) -> None:
    told = record.param(name)
    if found != told:
        raise EvidenceError(
            f"{what} are not those that {record} audited: {name} is {found[:12]}, and was {told[:12]}. Audit the "
            "version again."
        )
