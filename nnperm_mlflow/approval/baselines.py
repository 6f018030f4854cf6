"""The versions that a policy compares with, and audits of them on the same data with the same donors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.analysis.difference.table_comparison import compare_tables
from nnperm_mlflow.basics.errors import (
    AuditError,
    CheckError,
    MissingBaselineError,
    name_list,
)
from nnperm_mlflow.config.checks import AgainstCheck
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import pin_model
from nnperm_mlflow.registry.records import comparable_audits, is_readable, read_audit
from nnperm_mlflow.verdict.audit_evidence import Baseline

logger = logging.getLogger(__name__)


AuditNow = Callable[[str], str]
"""Audits a version by its pinned URI as the candidate was audited; returns the run's id."""


def pin_baselines(client: MlflowClient, policy: Policy) -> dict[str, str]:
    """Return for each URI that a policy compares with the version it means now.

    Raises
    ------
    MissingBaselineError
        If there is no such version.
    """
    pinned = {}
    for asked in policy.baselines if policy.applies else ():
        try:
            pinned[asked] = pin_model(client, asked).uri
        except AuditError as error:
            first = _FIRST.format(alias=asked.rpartition("@")[2]) if "@" in asked else ""
            raise MissingBaselineError(f"a check compares with {asked}, which is missing: {error}{first}") from error
    return pinned


_FIRST = (
    " The first version to be '{alias}' has none to be compared with: audit and promote it under a policy without this "
    "check, or give it the alias by hand."
)


def refuse_itself(pinned: Mapping[str, str], model: str) -> None:
    """Refuse to compare a version with itself.

    Parameters
    ----------
    pinned : mapping of str to str
        As `pin_baselines` returns it.
    model : str
        Pinned URI of the version that a policy is applied to.

    Raises
    ------
    CheckError
        If one of them is the version.
    """
    for asked, uri in pinned.items():
        if uri == model:
            raise CheckError(
                f"a check compares with {asked}, which is {model} itself: that tells nothing. Compare with another "
                "version."
            )


def find_baselines(
    client: MlflowClient,
    policy: Policy,
    pinned: Mapping[str, str],
    *,
    record: AuditRecord,
    folder: Path,
    audit_now: AuditNow | None = None,
    experiment: str | None = None,
) -> dict[str, AuditRecord]:
    """Return audits of the versions that a policy names, on the same data with the same donors as another audit.

    Parameters
    ----------
    client : MlflowClient
    policy : Policy
    pinned : mapping of str to str
        As `pin_baselines` returns it.
    record : AuditRecord
        The other audit.
    folder : Path
        Directory for the files of earlier audits.
    audit_now : callable, optional
        Audits a version that has no such audit yet.
    experiment : str, optional
        Name of the only experiment whose audits count.

    Returns
    -------
    dict of str to AuditRecord
        For each URI as the policy gives it.

    Raises
    ------
    CheckError
        If a version is to be compared with itself.
    MissingBaselineError
        If there is no audit to compare with, and none can be made now.
    EvidenceError
        If the files of an earlier audit have been changed.
    """
    refuse_itself(pinned, record.model)
    found = {}
    for asked, uri in pinned.items():
        scores = policy.scores_against(asked)
        other = find_comparable(client, uri, record, folder, experiment, scores=scores)
        if other is None:
            if audit_now is None:
                which = f" that tells {name_list(sorted(scores))} of the model itself" if scores else ""
                raise MissingBaselineError(
                    f"there is no audit of {uri} ({asked}) on the same data with the same donors{which}. Audit it with "
                    "the same configuration: nnperm audit."
                )
            logger.info("%s has no audit on the same data with the same donors: it is audited now", uri)
            other = read_audit(client, audit_now(uri), folder / "now")
        found[asked] = other
    return found


def compare_with(
    policy: Policy, pinned: Mapping[str, str], record: AuditRecord, others: Mapping[str, AuditRecord]
) -> dict[str, Baseline]:
    """Compare an audit with those of the versions that a policy names.

    Parameters
    ----------
    policy : Policy
    pinned : mapping of str to str
        As `pin_baselines` returns it.
    record : AuditRecord
    others : mapping of str to AuditRecord
        As `find_baselines` returns them.

    Returns
    -------
    dict of str to Baseline
        For each URI as the policy gives it.

    Raises
    ------
    EvidenceError
        If the files of an audit have been changed.
    """
    found = {}
    for asked, other in others.items():
        statistics = {
            check.statistic for check in policy.checks if isinstance(check, AgainstCheck) and check.against == asked
        }
        comparisons = {
            statistic: compare_tables(other.table, record.table, other.summary, record.summary, statistic=statistic)
            for statistic in statistics
        }
        found[asked] = Baseline(pinned[asked], other.run_id, comparisons, other.own_scores)
    return found


def find_comparable(
    client: MlflowClient,
    uri: str,
    candidate: AuditRecord,
    folder: Path,
    experiment: str | None = None,
    *,
    scores: Collection[str] = (),
) -> AuditRecord | None:
    """Return the newest audit of a version that can be compared with another row by row; None where there is none.

    It tells the scores of the model itself, of the same outcomes, that are asked for.
    """
    basis = candidate.basis
    for record in comparable_audits(client, uri, folder, experiment):
        is_alike = candidate.is_on_data_of(record) and is_readable(record)
        if is_alike and not basis.differences(record.basis) and (not scores or _tells(record, candidate, scores)):
            return record
    return None


def _tells(record: AuditRecord, candidate: AuditRecord, scores: Collection[str]) -> bool:
    """Tell whether an audit tells some scores, of the same outcomes and rows as another one."""
    if record.rows != candidate.rows:
        return False
    return set(scores) <= set(record.own_scores) and record.config.data.label == candidate.config.data.label
