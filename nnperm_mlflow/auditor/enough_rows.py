"""Whether the rows of a look decide each check, as if the audit had stopped there."""

from __future__ import annotations

from nnperm_mlflow.basics.errors import CheckError, name_list
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.judged_evidence import evidence_of
from nnperm_mlflow.verdict.judgement import judge


def what_is_open(record: AuditRecord) -> str:
    """Return in words which checks are still undecided, or why one cannot be answered; nothing where all are decided.

    Parameters
    ----------
    record : AuditRecord
        As it would be on record if this look were the last.
    """
    try:
        verdict = judge(record.config.policy, evidence_of(record, {}))
    except CheckError as error:
        return str(error)
    names = dict.fromkeys(outcome.check for outcome in verdict.outcomes if outcome.is_undecided)
    return f"undecided: {name_list(names)}" if names else ""
