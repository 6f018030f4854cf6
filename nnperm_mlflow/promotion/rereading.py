"""Whether the evidence of an audit is what it says: model, data, table, summary and verdict read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.analysis.difference.recomputation import (
    confirm_numbers,
    confirm_own_scores,
    confirm_segments,
    confirm_summary,
)
from nnperm_mlflow.analysis.difference.recorded_table import read_provenance
from nnperm_mlflow.approval.audit_judgement import evidence_of
from nnperm_mlflow.approval.baselines import find_baselines, pin_baselines
from nnperm_mlflow.auditor.measurement import measure
from nnperm_mlflow.auditor.preparation import prepare
from nnperm_mlflow.basics.audit_files import TABLE_FILE, VERDICT_FILE
from nnperm_mlflow.basics.errors import DataError, EvidenceError
from nnperm_mlflow.config.audit_config import AuditConfig, load_config
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.models.loaders import download_model
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Verdict

_DECISIVE = ("verdict", "subject", "baselines", "checks")


@dataclass(frozen=True)
class Rereading:
    """How much of an audit is read, or made, again.

    Attributes
    ----------
    data : bool
        Whether the data are read, and must still be those that were audited.
    audit : bool
        Whether the whole audit is made again, and its numbers must come out as on record: the only way to know that
        nobody has made them up.
    config : str or Path, optional
        A configuration whose `data` say where the data are now; by default they are where the audit found them.
    trust_model : bool
        Allow code that came with the model to run, where the audit is made again.
    """

    data: bool = True
    audit: bool = False
    config: str | Path | None = None
    trust_model: bool = False

    def source(self, record: AuditRecord) -> DataConfig:
        """Return where the data are."""
        return record.config.data if self.config is None else load_config(self.config).data


def confirm(
    client: MlflowClient, record: AuditRecord, reference: ModelReference, folder: Path, rereading: Rereading
) -> None:
    """Refuse an audit of other model files or other data than there are now, or whose numbers are not its own.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    reference : ModelReference
        The version that it is said to be of.
    folder : Path
        Directory for downloads; made here.
    rereading : Rereading

    Raises
    ------
    EvidenceError
        The message says what is not as it was.
    """
    (folder / "model").mkdir(parents=True)
    _compare(record, "model_digest", download_model(reference, folder / "model").digest(), "the model's files")
    told = read_provenance(record.table)
    for name in ("model", "model_digest", "data_digest", "seed", "within"):
        _compare(record, name, str(getattr(told, name)), f"what {TABLE_FILE} tells of its {name}")
    if record.params.get("cluster") != told.cluster:
        raise EvidenceError(
            f"what {TABLE_FILE} tells of its clusters ({told.cluster}) is not what {record} says "
            f"({record.params.get('cluster')}). Audit the version again."
        )
    confirm_summary(record.table, record.summary)
    if rereading.data:
        _compare(record, "data_digest", _digest_now(record, folder, rereading), "the data")
    if rereading.audit:
        _audit_again(client, record, folder, rereading)


def confirm_verdict(
    client: MlflowClient, record: AuditRecord, policy: Policy, folder: Path, experiment: str | None = None
) -> Verdict:
    """Return the verdict on record, if it is the one that the evidence gives under the policy now.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    policy : Policy
    folder : Path
        Directory for downloads.
    experiment : str, optional
        Name of the only experiment whose audits of other versions count.

    Raises
    ------
    EvidenceError
        If there is none, it was given under another policy or against other versions, or the numbers give another.
    """
    again = f"Apply the policy again: nnperm check --run {record.run_id}"
    told = record.verdict
    if told is None:
        raise EvidenceError(f"{record} has no verdict. {again}")
    if not policy.applies:
        raise EvidenceError("the policy's mode is 'off': nothing is decided. Set it to enforce or dry_run.")
    if told.policy_digest != policy.digest():
        raise EvidenceError(
            f"the verdict of {record} was given under policy {told.policy_digest[:12]}, not under the one given "
            f"now, {policy.digest()[:12]}. {again}"
        )
    pinned = pin_baselines(client, policy)
    before = told.baselines
    for asked, uri in pinned.items():
        if before.get(asked) != uri:
            raise EvidenceError(f"{asked} was {before.get(asked)} when {record} was judged, and is {uri} now. {again}")
    found = _judge(client, record, policy, pinned, folder=folder, experiment=experiment)
    if any(getattr(told, key) != value for key, value in found.as_dict().items() if key in _DECISIVE):
        raise EvidenceError(f"{VERDICT_FILE} of {record} is not what its numbers give under this policy. {again}")
    return found


def _judge(
    client: MlflowClient,
    record: AuditRecord,
    policy: Policy,
    pinned: dict[str, str],
    *,
    folder: Path,
    experiment: str | None,
) -> Verdict:
    """Apply a policy to an audit on record, those that it is compared with confirmed, too."""
    where = folder / "baselines"
    baselines = find_baselines(client, policy, pinned, record=record, folder=where, experiment=experiment)
    for number, baseline in enumerate(baselines.values()):
        of_baseline = read_audit(client, baseline.run_id, where / "again")
        of_files = pin_model(client, baseline.uri)
        confirm(client, of_baseline, of_files, where / f"confirmed{number}", Rereading(data=False))
    return judge(policy, evidence_of(record, baselines))


def _digest_now(record: AuditRecord, folder: Path, rereading: Rereading) -> str:
    data = rereading.source(record)
    if data.static is None and not any(spec.file for spec in data.temporal.values()):
        raise EvidenceError(
            "the data were given in memory, and cannot be read again. Say where they are (--config FILE), or that "
            "what is on record of them is to be relied on (--no-data)."
        )
    try:
        return load_dataset(data, Fetcher(folder / "data")).digest()
    except DataError as error:
        raise EvidenceError(
            f"the data cannot be read again: {error} Say where they are now (--config FILE), or that what is on record "
            "of them is to be relied on (--no-data)."
        ) from error


def _audit_again(client: MlflowClient, record: AuditRecord, folder: Path, rereading: Rereading) -> None:
    """Make the whole audit again, without a run, and compare its numbers."""
    if record.donors != record.config.analysis.donors:
        raise EvidenceError(
            f"{record} drew donors within strata as {record.donors}, and they are drawn as "
            f"{record.config.analysis.donors} now, so that its numbers do not come again. Audit the version again."
        )
    (folder / "again").mkdir()
    config: AuditConfig = record.config.model_copy(update={"data": rereading.source(record)})
    config = config.with_policy(Policy()).with_repeats(record.repeats)
    plan = prepare(client, config, record.model, data=None, trust_model=rereading.trust_model, scratch=folder / "again")
    found = measure(plan, folder / "again" / TABLE_FILE)
    confirm_numbers(record.summary, found.summary)
    confirm_own_scores(record.own_scores, found.own_scores)
    confirm_segments(record.segments, found.segments)


def _compare(record: AuditRecord, name: str, found: str, what: str) -> None:
    told = record.param(name)
    if found != told:
        raise EvidenceError(
            f"{what} are not those that {record} audited: {name} is {found[:12]}, and was {told[:12]}. Audit the "
            "version again."
        )
