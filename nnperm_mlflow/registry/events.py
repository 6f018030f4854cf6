"""What happened to a version, as its runs tell it: audits, verdicts, decisions, promotions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Literal

from mlflow.entities import Run

from nnperm_mlflow.analysis.statistics.order import BEFORE, most_in_words, shuffles
from nnperm_mlflow.basics.audit_files import DECISION_FILE, PROMOTION_FILE, VERDICTS_FOLDER
from nnperm_mlflow.basics.documents import Tolerant
from nnperm_mlflow.basics.errors import AuditError, EvidenceError, name_list
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.registry._metric_keys import METRIC_PREFIXES, is_of_set_value
from nnperm_mlflow.registry.audits import holds_audit, status_of
from nnperm_mlflow.registry.records import RunFiles, moment_of, record_in
from nnperm_mlflow.registry.tags import (
    ALIAS_TAG,
    DECISION,
    DIGEST_TAG,
    ERROR_TAG,
    KIND_TAG,
    PROMOTION,
    REPLACED_TAG,
    VERDICT_TAGS,
)
from nnperm_mlflow.verdict.verdict import PastVerdict, Status, stamp

logger = logging.getLogger(__name__)

Kind = Literal["audit", "verdict", "decision", "promotion"]
KINDS: tuple[Kind, ...] = ("audit", "verdict", "decision", "promotion")
"""In the order in which they happen where the clock does not tell them apart."""

_KINDS_OF_RUNS: dict[str, Kind] = {PROMOTION: "promotion", DECISION: "decision"}
_NO_MOMENT = datetime.fromtimestamp(0, timezone.utc)
_ACTS = {"request": "asks for", "approve": "approves", "refuse": "refuses"}
_GIVEN_AT, _IN_FILE_NAME = "%Y-%m-%dT%H:%M:%S%z", "%Y%m%dT%H%M%S.%f%z"


@dataclass(frozen=True)
class Event:
    """Something that happened to a version.

    Attributes
    ----------
    kind : {"audit", "verdict", "decision", "promotion"}
    when : str
        In UTC, to the millisecond: when the run of an audit, a decision or a promotion began, or the verdict was given.
    version : str
    in_registry : bool
        Whether the version is still there.
    run_id, experiment_id : str
        The run of the audit, or of the promotion.
    who : str
    status : str
        Of the run: only what is `FINISHED` is evidence, or has moved an alias.
    is_readable : bool
        False where what the run holds is not there, is damaged or has been changed.
    as_told : bool
        Whether this is what the run's parameters, tags and metrics say, and its files were not read.
    verdict : {"pass", "fail"} or None
        That was given, or that a promotion stood on.
    mode : str or None
        `dry_run` where a verdict blocks nothing.
    policy_name, policy_digest : str or None
    top_feature : str or None
        What moved predictions most in an audit.
    alias, replaced : str or None
        Of a decision or a promotion: the alias; of a promotion the version that had it before.
    model_digest : str or None
        Of a promotion: the sha256 of the model's files that were promoted; promotions of before do not tell it.
    doubt : str
        Why nobody should believe when an audit ended; nothing where it may well be so.
    in_words : str
    """

    kind: Kind
    when: str
    version: str
    in_registry: bool
    run_id: str
    experiment_id: str
    who: str
    status: str
    is_readable: bool = True
    as_told: bool = False
    verdict: str | None = None
    mode: str | None = None
    policy_name: str | None = None
    policy_digest: str | None = None
    top_feature: str | None = None
    alias: str | None = None
    replaced: str | None = None
    model_digest: str | None = None
    doubt: str = ""
    in_words: str = ""

    @property
    def is_evidence(self) -> bool:
        """Whether it can be relied on."""
        return self.status == "FINISHED" and self.is_readable and not self.doubt

    def doubted(self, doubt: str) -> Event:
        """Return the event with a doubt, in words, too."""
        return replace(self, doubt=doubt, in_words=f"{self.in_words}; doubtful: {doubt}") if doubt else self


class _ToldSignatures(Tolerant):
    """Whose signatures a promotion rests on, as its run tells it."""

    number: int
    reason: str
    approved_by: list[str]


class _ToldPromotion(Tolerant):
    """A promotion as its run holds it."""

    alias: str
    replaced: str | None
    by: str
    verdict: Status | Literal["none"]
    policy_digest: str
    model_digest: str | None = None
    signed: _ToldSignatures | None = None


class _ToldDecision(Tolerant):
    """A decision as its run holds it; whether it counts, a trust file tells, and no run."""

    act: str
    alias: str
    person: str
    reason: str
    conditions: tuple[str, ...] = ()
    waives: tuple[str, ...] = ()


def events_of(run: Run, files: RunFiles, version: str, in_registry: bool) -> list[Event]:
    """Return what a run tells: an audit with its verdicts, a decision, or a promotion.

    Parameters
    ----------
    run : Run
        Of any status.
    files : RunFiles
        Of the run.
    version : str
    in_registry : bool

    Returns
    -------
    list of Event
        What cannot be read is among them, and says so; it is logged as well.
    """
    record, event = record_in(run, files), _blank(run, version, in_registry)
    if event.kind == "promotion":
        return [_told(record, event, lambda: _promotion(record, event))]
    if event.kind == "decision":
        return [_told(record, event, lambda: _decision(record, event))]
    verdicts = _verdicts(record, event)
    return [_told(record, event, lambda: _audit(record, event, bool(verdicts))), *verdicts]


def tells_itself(run: Run) -> bool:
    """Tell whether what a search finds of a run says enough: not of decisions, nor of promotions without an alias."""
    kind = run.data.tags.get(KIND_TAG)
    return kind != DECISION and (kind != PROMOTION or ALIAS_TAG in run.data.tags)


def events_as_told(run: Run, version: str, in_registry: bool) -> list[Event]:
    """Return what a run tells without its files: an audit with its newest verdict, or a promotion.

    Parameters
    ----------
    run, version, in_registry
        As for `events_of`.
    """
    event, tags = replace(_blank(run, version, in_registry), as_told=True), run.data.tags
    verdict, policy, mode, policy_name = map(tags.get, VERDICT_TAGS)
    event_of_verdict = replace(event, verdict=verdict, mode=mode, policy_name=policy_name, policy_digest=policy)
    if event.kind == "promotion":
        alias, replaced = tags.get(ALIAS_TAG), tags.get(REPLACED_TAG)
        words = _moved(event, tags, alias, replaced)
        digest = tags.get(DIGEST_TAG)
        return [replace(event_of_verdict, alias=alias, replaced=replaced, model_digest=digest, in_words=words)]
    if event.status != "FINISHED":
        return [replace(event, in_words=_broken(tags, event))]
    if not holds_audit(run):
        return [replace(event, is_readable=False, in_words="unreadable: the run holds no audit")]
    audit = _with_top(event, run)
    if verdict is None:
        return [audit]
    when = moment_of(run.info.end_time)
    given = replace(event_of_verdict, kind="verdict", who="unknown", in_words=f"{verdict}: the newest verdict")
    return [audit, given if when is None else replace(given, when=_iso(when))]


def _with_top(event: Event, run: Run) -> Event:
    """Tell what the metrics of an audit say moved predictions most; they do not tell of every statistic."""
    lead = str(run.data.params.get("order_by", BEFORE))
    prefix = f"{METRIC_PREFIXES.get(lead, lead)}/"
    numbers = {key.removeprefix(prefix): value for key, value in run.data.metrics.items() if key.startswith(prefix)}
    shuffled = {name: value for name, value in numbers.items() if not is_of_set_value(name)}
    if not shuffled:
        return replace(event, in_words="an audit")
    name = max(shuffled, key=lambda each: shuffled[each])
    return replace(event, top_feature=name, in_words=f"{most_in_words(lead)} with {name} ({shuffled[name]:.3g})")


def _blank(run: Run, version: str, in_registry: bool) -> Event:
    """Return what every run tells of what it is."""
    info, tags = run.info, run.data.tags
    return Event(
        kind=_KINDS_OF_RUNS.get(tags.get(KIND_TAG, ""), "audit"),
        when=_iso(moment_of(info.start_time) or moment_of(info.end_time) or _NO_MOMENT),
        version=version,
        in_registry=in_registry,
        run_id=str(info.run_id),
        experiment_id=str(info.experiment_id),
        who=str(tags.get("mlflow.user") or info.user_id or "unknown"),
        status=status_of(run),
    )


def _told(record: AuditRecord, event: Event, read: Callable[[], Event]) -> Event:
    """Return the event as read, or one that says why it cannot be read."""
    try:
        return read()
    except AuditError as error:
        return _unreadable(record, event, error)


def _unreadable(record: AuditRecord, event: Event, error: AuditError) -> Event:
    """Return an event that says why it cannot be read; where the server itself is silent, there is none to tell."""
    record.files.ask_server()
    logger.warning("%s of version %s: %s", event.kind, event.version, error)
    return replace(event, is_readable=False, in_words=f"unreadable: {error}")


def _audit(record: AuditRecord, event: Event, has_verdict: bool) -> Event:
    """Tell what an audit found; of one that did not finish, why."""
    if event.status != "FINISHED":
        return replace(event, in_words=_broken(record.tags, event))
    try:
        top = shuffles(record.summary).iloc[0]
        name, number = str(top["perturbation"]), float(top[record.order_by])
    except (ValueError, LookupError) as error:
        raise EvidenceError(
            f"the summary of {record} is no table of perturbations. Audit the version again."
        ) from error
    words = f"{most_in_words(record.order_by)} with {name} ({number:.3g})"
    problem = record.tags.get(ERROR_TAG)
    if problem and not has_verdict:
        words += f"; no verdict: {problem}"
    return replace(event, top_feature=name, in_words=words)


def _verdicts(record: AuditRecord, audit: Event) -> list[Event]:
    """Return all verdicts that were given on an audit."""
    blank = replace(audit, kind="verdict", who="unknown")
    try:
        names = record.files.names_in(VERDICTS_FOLDER)
    except AuditError as error:
        return [_unreadable(record, blank, error)]
    return [_verdict(record, blank, name) for name in names]


def _verdict(record: AuditRecord, blank: Event, name: str) -> Event:
    moment = _moment_in(name)
    event = blank if moment is None else replace(blank, when=_iso(moment))
    return _told(record, event, lambda: _given(record, event, name, moment))


def _given(record: AuditRecord, event: Event, name: str, moment: datetime | None) -> Event:
    """Tell a verdict; the name of its file has the moment to the microsecond, the file to the second."""
    told = record.read(name, PastVerdict)
    if told.subject.get("run_id") != record.run_id:
        raise EvidenceError(f"{name} of {record} is no verdict on its audit. Apply the policy again: nnperm check.")
    try:
        given_at = datetime.strptime(told.given_at, _GIVEN_AT)
    except ValueError as error:
        raise EvidenceError(f"{name} of {record} does not say when it was given.") from error
    return replace(
        event,
        when=event.when if moment and stamp(moment) == stamp(given_at) else _iso(given_at),
        who=told.given_by,
        verdict=told.verdict,
        mode=told.mode,
        policy_name=told.policy_name,
        policy_digest=told.policy_digest,
        in_words=told.in_words if event.status == "FINISHED" else f"{told.in_words}, but the audit is {event.status}",
    )


def _promotion(record: AuditRecord, event: Event) -> Event:
    """Tell where an alias went; of a try that did not finish, why it stayed."""
    told = record.read(PROMOTION_FILE, _ToldPromotion)
    return replace(
        event,
        who=told.by,
        verdict=told.verdict,
        policy_digest=told.policy_digest,
        alias=told.alias,
        replaced=told.replaced,
        model_digest=told.model_digest,
        in_words=_moved(event, record.tags, told.alias, told.replaced) + _signatures(told),
    )


def _signatures(told: _ToldPromotion) -> str:
    """Tell on whose signatures a promotion says that it rests."""
    if told.signed is None:
        return ""
    if told.verdict == "none":
        return f"; in an emergency, without an audit: {told.signed.reason}"
    return f"; signed as number {told.signed.number}, approved by {name_list(told.signed.approved_by)}"


def _decision(record: AuditRecord, event: Event) -> Event:
    """Tell what a person has asked for or decided."""
    told = record.read(DECISION_FILE, _ToldDecision)
    also = [f"condition: {each}" for each in told.conditions] + [f"waives '{each}'" for each in told.waives]
    words = f"{_ACTS.get(told.act, told.act)} '{told.alias}': {'; '.join([told.reason, *also])}"
    if event.status != "FINISHED":
        words = f"{words} ({_broken(record.tags, event)})"
    return replace(event, who=told.person, alias=told.alias, in_words=words)


def _moved(event: Event, tags: Mapping[str, str], alias: str | None, replaced: str | None) -> str:
    if event.status != "FINISHED":
        return f"did not become '{alias}': {_broken(tags, event)}"
    return f"became '{alias}'" + (f", replacing version {replaced}" if replaced else "")


def _broken(tags: Mapping[str, str], event: Event) -> str:
    """Return the status of a run that did not finish, and what hindered it where that is on record."""
    problem = tags.get(ERROR_TAG)
    return f"{event.status}: {problem}" if problem else event.status


def _moment_in(name: str) -> datetime | None:
    """Return the moment that the name of a verdict's file tells; None where it tells none."""
    try:
        return datetime.strptime(PurePosixPath(name).name.partition("-")[0], _IN_FILE_NAME)
    except ValueError:
        return None


def _iso(when: datetime) -> str:
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
