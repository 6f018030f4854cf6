"""What the registry knows of a version: whether there is one, whether it is ready, whether it was audited."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.audit_files import TABLE_FILE, VERDICT_FILE, VERDICTS_FOLDER
from nnperm_mlflow.basics.errors import AuditError, EvidenceError, name_list, says_missing
from nnperm_mlflow.evidence.audit_record import SUMMARY_DIGEST, AuditRecord
from nnperm_mlflow.listening.versions import Version
from nnperm_mlflow.registry.audits import finished_audits
from nnperm_mlflow.registry.records import RunFiles, record_in
from nnperm_mlflow.registry.tags import VERDICT_TAGS

logger = logging.getLogger(__name__)

_VERDICT, _POLICY, *_ = VERDICT_TAGS


def standing(
    client: MlflowClient, version: Version, policy: str | None
) -> Literal["missing", "not ready", "audited", "unaudited"]:
    """Tell where a version stands.

    Parameters
    ----------
    client : MlflowClient
    version : Version
    policy : str or None
        Digest of the policy whose verdict is wanted, see `is_audited`.

    Returns
    -------
    str
        `missing`, `not ready` (its files are still being written), `audited` or `unaudited`.

    Raises
    ------
    MlflowException
        If the registry cannot be asked.
    """
    try:
        found = client.get_model_version(version.name, version.number)
    except MlflowException as error:
        if not says_missing(error):
            raise
        return "missing"
    if found.status != "READY":
        return "not ready"
    return "audited" if is_audited(client, version, policy) else "unaudited"


def is_audited(client: MlflowClient, version: Version, policy: str | None) -> bool:
    """Tell whether an audit of a version has been finished: there is such a run, in whatever experiment.

    Tags can be written by anyone, so that a run counts only once its evidence has been read; one that is damaged, or
    was made up, is told of in a line.

    Parameters
    ----------
    client : MlflowClient
    version : Version
    policy : str or None
        Digest of a policy: the run then has to hold a verdict by it, be it the newest or an earlier one. None where no
        verdict is wanted.
    """
    found = finished_audits(client, version.uri)
    if policy is not None:
        found.sort(key=lambda run: run.data.tags.get(_POLICY) != policy)  # those that say so are the likely ones
    return any(_is_evidence(client, run, version, policy) for run in found)


def _is_evidence(client: MlflowClient, run: Run, version: Version, policy: str | None) -> bool:
    """Tell whether a run holds what an audit of a version leaves."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        record = record_in(run, RunFiles.of(client, run, Path(scratch)))
        try:
            names = _verdicts_by(record, policy)
            if policy is not None and not names:
                return False
            record.refuse_damaged()
            _refuse_other(record, version)
            if policy is not None:
                _refuse_verdicts(record, names, policy)
        except AuditError as error:
            record.files.ask_server()
            logger.warning("%s does not count as an audit of %s: %s", record, version, error)
            return False
    return True


def _verdicts_by(record: AuditRecord, policy: str | None) -> list[str]:
    """Return the names of the files with verdicts that may be by a policy; none where no verdict is wanted."""
    if policy is None or _VERDICT not in record.tags:
        return []
    newest = [VERDICT_FILE] if record.tags.get(_POLICY) == policy else []
    past = record.files.names_in(VERDICTS_FOLDER) if not newest else []
    return newest + [name for name in past if name.endswith(f"-{policy[:12]}.json")]


def _refuse_other(record: AuditRecord, version: Version) -> None:
    """Refuse evidence of another version, or without a table."""
    if record.model != version.uri:
        raise EvidenceError(f"it is an audit of {record.model}.")
    if not (record.lacks_table or record.holds(TABLE_FILE)):
        raise EvidenceError(f"its {TABLE_FILE} is not there.")


def _refuse_verdicts(record: AuditRecord, names: list[str], policy: str) -> None:
    """Refuse an audit where none of some files holds a verdict on it by a policy."""
    of_record = (policy, record.run_id, record.params[SUMMARY_DIGEST])
    for name in names:
        told = record.verdict_in(name)
        if told and (told.policy_digest, *map(told.subject.get, ("run_id", "summary_digest"))) == of_record:
            return
    raise EvidenceError(f"its {name_list(names)} is no verdict on it by policy {policy[:12]}.")
