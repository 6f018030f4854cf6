"""Whether a verdict on record is the one that the numbers on record give now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.baselines import compare_with, find_baselines, pin_baselines
from nnperm_mlflow.basics.audit_files import VERDICT_FILE
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.judged_evidence import evidence_of
from nnperm_mlflow.promotion.terms import Terms
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Verdict

_DECISIVE = ("verdict", "subject", "baselines", "checks")


@dataclass(frozen=True)
class ConfirmedVerdict:
    """A verdict on record that is what its numbers give.

    Attributes
    ----------
    verdict : Verdict
    pinned : mapping of str to str
        The versions that it compares with, as `approval.baselines.pin_baselines` returns them.
    others : mapping of str to AuditRecord
        The audits of these versions, as `approval.baselines.find_baselines` returns them.
    """

    verdict: Verdict
    pinned: Mapping[str, str]
    others: Mapping[str, AuditRecord]


def confirm_verdict(
    client: MlflowClient, record: AuditRecord, folder: Path, *, terms: Terms, policy: Policy
) -> ConfirmedVerdict:
    """Return the verdict on record, if it is the one that the numbers on record give under the policy now.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    folder : Path
        Directory for downloads.
    terms : Terms
    policy : Policy

    Raises
    ------
    EvidenceError
        If there is none, it was given under another policy or against other versions, or the numbers give another.
    """
    pinned = _confirm_what_was_judged(client, record, terms=terms, policy=policy)
    others = find_baselines(client, policy, pinned, record=record, folder=folder, experiment=terms.experiment)
    found, told = judge_against(policy, pinned, record, others), record.verdict
    if any(getattr(told, key) != value for key, value in found.as_dict().items() if key in _DECISIVE):
        raise EvidenceError(
            f"{VERDICT_FILE} of {record} is not what its numbers give under this policy. {terms.next_step(record)}"
        )
    return ConfirmedVerdict(found, pinned, others)


def _confirm_what_was_judged(
    client: MlflowClient, record: AuditRecord, *, terms: Terms, policy: Policy
) -> dict[str, str]:
    """Return the versions that the policy compares with, if the verdict on record is of that policy and of them."""
    try:
        told = record.verdict
    except EvidenceError as error:
        raise EvidenceError(f"{error} {terms.next_step(record)}") from error
    if told is None:
        raise EvidenceError(f"{record} has no verdict. {terms.next_step(record)}")
    if not policy.applies:
        raise EvidenceError("the policy's mode is 'off': nothing is decided. Set it to enforce or dry_run.")
    if told.policy_digest != policy.digest():
        raise EvidenceError(
            f"the verdict of {record} was given under policy {told.policy_digest[:12]}, not under the one given "
            f"now, {policy.digest()[:12]}. {terms.next_step(record)}"
        )
    pinned = pin_baselines(client, policy)
    for asked, uri in pinned.items():
        if uri == record.model:
            raise EvidenceError(
                f"a check compares with {asked}, which is {uri} itself: it has that alias already, and is not "
                "compared with itself. Nothing is left to do (nnperm history tells how it got it); to write down "
                "another promotion of it, give a policy without this check."
            )
        if told.baselines.get(asked) != uri:
            raise EvidenceError(
                f"{asked} was {told.baselines.get(asked)} when {record} was judged, and is {uri} now. "
                f"{terms.next_step(record)}"
            )
    return pinned


def judge_against(
    policy: Policy,
    pinned: Mapping[str, str],
    record: AuditRecord,
    others: Mapping[str, AuditRecord],
    seed: int | None = None,
) -> Verdict:
    """Apply a policy to an audit, with audits of the versions that it compares with.

    Parameters
    ----------
    policy : Policy
    pinned, others : mapping
        As in `ConfirmedVerdict`.
    record : AuditRecord
    seed : int, optional
        That the audits should have under a trial, where it is not the one that follows from policy and data.
    """
    return judge(policy, replace(evidence_of(record, compare_with(policy, pinned, record, others)), seed=seed))
