"""The attempts to pass a named policy: the audits that there were of the same model files on the same data.

A run is known by its parameters, which MLflow lets nobody change: a tag, a status, or a deletion takes no attempt away.
What was removed for good (`mlflow gc`) cannot be seen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from nnperm_mlflow.basics.audit_files import VERDICTS_FOLDER
from nnperm_mlflow.basics.errors import AuditError, EvidenceError
from nnperm_mlflow.basics.text import named
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.config.trial import Trial
from nnperm_mlflow.evidence.audit_record import ROWS_DIGEST, SERVED_DIGEST
from nnperm_mlflow.registry.audits import TABLE_DIGEST, ended, find_runs
from nnperm_mlflow.registry.records import RunFiles, record_in
from nnperm_mlflow.registry.run_content import POLICY_PARAM, RESULT_PARAM
from nnperm_mlflow.registry.tags import verdicts_by_policy
from nnperm_mlflow.verdict.attempt import Attempt, Result, result_of
from nnperm_mlflow.verdict.verdict import PastVerdict, stamp

logger = logging.getLogger(__name__)

_WORST_FIRST: tuple[Result, ...] = ("fail", "undecided", "pass")


def attempts_of(
    client: MlflowClient,
    policy: Policy,
    model_digest: str,
    data_digest: str,
    *,
    folder: Path,
    but: str | None = None,
    served: str | None = None,
    rows: str | None = None,
) -> tuple[Attempt, ...]:
    """Return the audits of some model files on some data under the policies of a name, the oldest first.

    Parameters
    ----------
    client : MlflowClient
    policy : Policy
        Whose name counts; without a name there are none.
    model_digest, data_digest : str
    folder : Path
        Directory for downloads.
    but : str, optional
        A run that does not count: the one that is judged.
    served : str, optional
        sha256 of those of the model's files that are served: an audit of the same ones counts, whatever lies beside.
    rows : str, optional
        The other digest of the data: an audit on the same rows counts, too, as a cluster has them in no order.
    """
    if policy.name is None:
        return ()
    found = []
    same = {"data_digest": data_digest, **({} if rows is None else {ROWS_DIGEST: rows})}
    for run in _runs_with(client, same):
        told, run_id = run.data.params, str(run.info.run_id)
        is_same = told.get("model_digest") == model_digest or (served and told.get(SERVED_DIGEST) == served)
        if run_id == but or TABLE_DIGEST not in told or not is_same or not same.items() & told.items():
            continue
        results = _results(client, run, policy.name, folder / "attempts" / run_id)
        if results or told.get(POLICY_PARAM) == policy.name:
            found.append(_attempt(run, results))
    return tuple(found)


def _runs_with(client: MlflowClient, params: Mapping[str, str]) -> list[Run]:
    """Return the runs in which one of some parameters is as given, the last one finished last."""
    found = {
        str(run.info.run_id): run
        for name, value in params.items()
        for run in find_runs(client, named(f"params.{name}", value), finished=False, deleted=True)
    }
    return sorted(found.values(), key=ended)


def refuse_attempts(policy: Policy, attempts: Sequence[Attempt], waiver: str | None = None) -> None:
    """Refuse to rely on an audit of a trial beside too many others, or beside one that failed.

    Parameters
    ----------
    policy : Policy
    attempts : sequence of Attempt
        All others.
    waiver : str, optional
        Why it is relied on all the same.

    Raises
    ------
    EvidenceError
        The message lists the attempts.
    """
    if policy.trial is None or waiver is not None:
        return
    early = {str(each) for each in policy.trial.all_repeats[:-1]}
    counted = [each for each in attempts if not (each.result == "undecided" and each.repeats in early)]
    problems, allowed = [], policy.trial.attempts
    if len(counted) + 1 > allowed:
        problems.append(f"it is one of {len(counted) + 1} attempts under {policy.label}, which allows {allowed}")
    if any(each.result == "fail" for each in attempts):
        problems.append(f"the same model failed {policy.label} on the same data")
    if problems:
        told = "; ".join(each.in_words for each in attempts)
        raise EvidenceError(
            f"{', and '.join(problems)}. The others: {told}. If it shall be promoted all the same, say why (--waive "
            "REASON). If they were made before the policy had a trial, a new name for it begins the count anew."
        )


def next_repeats(trial: Trial, attempts: Sequence[Attempt]) -> int:
    """Return the repeats of a trial's next stage: the first that was not undecided, else the last; it has some."""
    undecided = {each.repeats for each in attempts if each.result == "undecided"}
    return next((each for each in trial.all_repeats if str(each) not in undecided), trial.all_repeats[-1])


def _attempt(run: Run, results: Sequence[Result]) -> Attempt:
    told, end = run.data.params, run.info.end_time
    return Attempt(
        run_id=str(run.info.run_id),
        model=told.get("model", ""),
        when=_moment(end),
        seed=told.get("seed", ""),
        repeats=told.get("repeats_made", ""),
        result=next((each for each in _WORST_FIRST if each in results), "none"),
        is_deleted=run.info.lifecycle_stage != "active",
    )


def _moment(end: int | None) -> str:
    try:
        return "" if end is None else stamp(datetime.fromtimestamp(end / 1000, timezone.utc))
    except (OverflowError, ValueError, OSError):  # beyond all calendars
        return ""


def _results(client: MlflowClient, run: Run, name: str, folder: Path) -> list[Result]:
    """Return what came of the newest verdicts on an audit under each policy of a name.

    The one that was given with the audit is a parameter, which nobody can change. Of a fail a tag tells, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest = {
        verdict.policy_digest: verdict for verdict in _verdicts(client, run, folder) if verdict.policy_name == name
    }
    results = [result_of(each.verdict, [str(check.get("state")) for check in each.checks]) for each in newest.values()]
    told = run.data.params
    if told.get(POLICY_PARAM) == name:
        results += [each for each in _WORST_FIRST if each == told.get(RESULT_PARAM)]
    is_failed = not results and verdicts_by_policy(run.data.tags).get(name) == "fail"
    return ["fail"] if is_failed else results


def _verdicts(client: MlflowClient, run: Run, folder: Path) -> Iterator[PastVerdict]:
    """Yield the verdicts that were given on an audit, oldest first; one that cannot be read is told of."""
    record = record_in(run, RunFiles.of(client, run, folder))
    try:
        names = record.files.names_in(VERDICTS_FOLDER)
    except AuditError as error:
        record.files.ask_server()
        logger.warning("the verdicts of %s cannot be read: %s", record, error)
        return
    for each in names:
        try:
            yield record.read(each, PastVerdict)
        except AuditError as error:
            record.files.ask_server()
            logger.warning("%s", error)
