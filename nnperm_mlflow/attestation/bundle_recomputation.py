"""What of a bundle can be computed again where it is read: summary and verdict, and digests of model and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from nnperm_mlflow.analysis.difference.recomputation import confirm_summary
from nnperm_mlflow.basics.audit_files import folder_digest
from nnperm_mlflow.basics.errors import CheckError, DataError, EvidenceError
from nnperm_mlflow.basics.locations import is_uri
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.audit_config import load_config
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.judged_evidence import evidence_of
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import GivenVerdict

_GIVEN_AT = "%Y-%m-%dT%H:%M:%S%z"
_TOLD = ("check", "passed", "state", "of")

Words = tuple[tuple[str, ...], tuple[str, ...]]
"""What was computed or read again, and what was not."""

Again = Callable[[AuditRecord], Words]
"""Makes the whole audit again, or refuses what comes out otherwise than on record."""


def recompute(
    record: AuditRecord,
    given: GivenVerdict | None,
    policy: Policy | None,
    *,
    model: str | Path | None = None,
    config: str | Path | None = None,
    again: Again | None = None,
) -> Words:
    """Compute again what can be, and return in words what was, and what was not.

    Parameters
    ----------
    record : AuditRecord
        In a folder.
    given : GivenVerdict or None
    policy : Policy or None
        Of the verdict.
    model : str or Path, optional
        A folder with the model's files.
    config : str or Path, optional
        A configuration that says where the data are.
    again : callable, optional
        Makes the audit again, once model and data are those that were audited.

    Raises
    ------
    EvidenceError
        If something comes out otherwise than it was signed.
    """
    done: list[str] = []
    left = ["that the model gives these numbers (audit it again: nnperm promote --recompute)"] if again is None else []
    if record.lacks_table:
        left.append("the summary (the deviation table is not in the bundle)")
    else:
        confirm_summary(record.table, record.summary)
        done.append("the summary from the deviation table")
    if given is not None and policy is not None:
        of_verdict = "the verdict from summary and table"
        (done if _confirm_verdict(record, given, policy) else left).append(of_verdict)
    if model is None:
        left.append("the model's files (--model DIR)")
    else:
        _confirm_model(record, local_path(model, "the model"))
        done.append("the digest of the model's files")
    if config is None:
        left.append("the data (--config FILE)")
    else:
        _confirm_data(record, config)
        done.append("the digest of the data")
    if again is not None:
        done, left = [[*words, *more] for words, more in zip((done, left), again(record), strict=True)]
    return tuple(done), tuple(left)


def _confirm_verdict(record: AuditRecord, given: GivenVerdict, policy: Policy) -> bool:
    """Refuse a verdict that the numbers do not give; tell whether that could be found out from this audit alone."""
    if given.baselines or record.lacks_table:
        return False
    try:
        when = datetime.strptime(given.given_at, _GIVEN_AT).date()
        found = judge(policy, evidence_of(record, {}), when).as_dict()
    except (CheckError, ValueError) as error:
        raise EvidenceError(f"the verdict that was signed cannot be given on this audit: {error}") from error
    refuse_other_verdict(found, given)
    return True


def refuse_other_verdict(found: Mapping[str, Any], given: GivenVerdict) -> None:
    """Refuse a verdict on record that says other than what was found now; numbers may differ by rounding.

    Raises
    ------
    EvidenceError
    """
    ours, theirs = (
        [{key: each.get(key) for key in _TOLD} for each in told] for told in (found["checks"], given.checks)
    )
    if found["verdict"] != given.verdict or ours != theirs:
        raise EvidenceError(
            "the verdict on record is not what the numbers give under its policy. Give it again: nnperm check"
        )


def _confirm_model(record: AuditRecord, folder: Path) -> None:
    if not folder.is_dir():
        raise EvidenceError(f"there is no folder '{folder}' with the model's files (--model DIR).")
    _compare(record, "model_digest", folder_digest(folder), f"the model's files in '{folder}'")


def _confirm_data(record: AuditRecord, config: str | Path) -> None:
    try:
        digest = load_dataset(load_config(config).data, _on_this_machine).digest()
    except DataError as error:
        raise EvidenceError(f"the data cannot be read: {error} Say where they are (--config FILE).") from error
    _compare(record, "data_digest", digest, "the data")


def _on_this_machine(location: str) -> Path:
    path = Path(location)
    if is_uri(location) or not path.is_file():
        raise DataError(f"there is no file '{location}' on this machine, where alone data are looked for.")
    return path


def _compare(record: AuditRecord, name: str, found: str, what: str) -> None:
    told = record.param(name)
    if found != told:
        raise EvidenceError(f"{what} are not those that were audited: {name} is {found[:12]}, and was {told[:12]}.")
