"""What people ask for and decide about a version, each under their own signature."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.policy_check import find_record
from nnperm_mlflow.approval.signed_evidence import SignedEvidence, find_signed_evidence
from nnperm_mlflow.attestation.consent import SignedDecision, open_request
from nnperm_mlflow.attestation.envelopes import seal
from nnperm_mlflow.attestation.key_files import SigningKey, read_key
from nnperm_mlflow.attestation.statements import DecisionPredicate, DecisionStatement, OnVerdict, stamp_now
from nnperm_mlflow.attestation.trust import AliasTerms, Role, Trust, load_trust
from nnperm_mlflow.basics.display import in_a_line
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, RefusedError, name_list
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.decision_runs import log_decision
from nnperm_mlflow.registry.sightings import Sightings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What a person has asked for or decided.

    Attributes
    ----------
    act : {"request", "approve", "refuse"}
    model, version, alias : str
    person, key_id : str
        Who signed, as the trust file has it.
    reason : str
    conditions, waives : tuple of str
        Under which it is approved; checks of the policy that are waived.
    until : str or None
        Until when it holds, in UTC.
    at : str
        By the clock of whoever signed.
    audited : str
        The run of the audit.
    verdict : str
        The verdict at stake, in a line.
    statement : str
        sha256 of what was signed.
    run_id : str
        The run that holds it.
    """

    act: str
    model: str
    version: str
    alias: str
    person: str
    key_id: str
    reason: str
    conditions: tuple[str, ...]
    waives: tuple[str, ...]
    until: str | None
    at: str
    audited: str
    verdict: str
    statement: str
    run_id: str

    def __repr__(self) -> str:
        what = f"{self.act} of '{self.alias}' for version {self.version} of {self.model}"
        return in_a_line("Decision", what, f"by {self.person}", self.reason)


@dataclass(frozen=True)
class _Case:
    """What a decision is about, found out once."""

    client: MlflowClient
    reference: ModelReference
    record: AuditRecord
    evidence: SignedEvidence
    terms: AliasTerms
    alias: str
    trust: Trust


@dataclass(frozen=True)
class _Said:
    """What a person says."""

    act: str
    reason: str
    conditions: tuple[str, ...] = ()
    waives: tuple[str, ...] = ()
    until: str | None = None


@dataclass(frozen=True)
class _Own:
    """What somebody signs with, and the trust file by which it counts."""

    key: str | Path
    password: str = field(repr=False)
    trust: str | Path = ""


def request(
    model_uri: str,
    alias: str,
    *,
    reason: str,
    key: str | Path,
    password: str,
    trust: str | Path,
    until: str | None = None,
    experiment: str | None = None,
) -> Decision:
    """Ask that a version gets an alias, on its newest audit and the verdict there.

    Parameters
    ----------
    model_uri : str
        A registered version.
    alias : str
        The alias it shall have.
    reason : str
        Why.
    key, password : str or Path, str
        File of a requester's key, and its password.
    trust : str or Path
        The trust file.
    until : str, optional
        Until when the request holds, in UTC: `2027-01-31T12:00:00Z`.
    experiment : str, optional
        Name of the experiment for the run of the decision; by default that of the model.

    Returns
    -------
    Decision

    Raises
    ------
    RefusedError
        If audit or verdict are unsigned, or not what the trust file asks of the alias.
    ConfigError
        If the key does not open, its signature would not count, or what is said has another form.
    """
    own = _Own(key, password, trust)
    return _decide(model_uri, alias, _Said("request", reason, until=until), own, experiment)


def approve(
    model_uri: str,
    alias: str,
    *,
    reason: str,
    key: str | Path,
    password: str,
    trust: str | Path,
    conditions: Sequence[str] = (),
    waives: Sequence[str] = (),
    until: str | None = None,
    experiment: str | None = None,
) -> Decision:
    """Approve the newest request that a version gets an alias; who asked cannot.

    Parameters
    ----------
    model_uri, alias, reason, key, password, trust, until, experiment
        As for `request`, with an approver's key.
    conditions : sequence of str
        Under which it is approved, in words; promotion and history tell them.
    waives : sequence of str
        Names of checks that the version does not keep, and that shall not stand in its way.

    Returns
    -------
    Decision

    Raises
    ------
    RefusedError
        If there is no request on the present verdict, or the same person has asked.
    ConfigError
        As for `request`, or if there is no such check.
    """
    said = _Said("approve", reason, tuple(conditions), tuple(waives), until)
    return _decide(model_uri, alias, said, _Own(key, password, trust), experiment)


def refuse(
    model_uri: str,
    alias: str,
    *,
    reason: str,
    key: str | Path,
    password: str,
    trust: str | Path,
    experiment: str | None = None,
) -> Decision:
    """Refuse the newest request that a version gets an alias; of each person the last word counts.

    Parameters
    ----------
    model_uri, alias, reason, key, password, trust, experiment
        As for `approve`.

    Returns
    -------
    Decision

    Raises
    ------
    RefusedError, ConfigError
        As for `approve`.
    """
    return _decide(model_uri, alias, _Said("refuse", reason), _Own(key, password, trust), experiment)


def _decide(model_uri: str, alias: str, said: _Said, own: _Own, experiment: str | None) -> Decision:
    """Sign what a person says, and write it down."""
    trust, now = load_trust(own.trust), datetime.now(timezone.utc)
    key = read_key(own.key, own.password)
    role: Role = "requester" if said.act == "request" else "approver"
    person = trust.refuse_to_sign(key.public.key_id, role, now)
    with connected() as (client, scratch):
        case = _case_of(client, model_uri, alias, trust, scratch)
        asked = None if said.act == "request" else _asked(case, person, now)
        return _sign(case, said, asked, (key, person), experiment)


def _case_of(client: MlflowClient, model_uri: str, alias: str, trust: Trust, folder: Path) -> _Case:
    """Return what a decision is about: the newest audit of a version, and what counts of it."""
    reference = pin_model(client, model_uri)
    if reference.name is None or reference.version is None:
        raise ConfigError(f"{model_uri} is no registered version, so that no alias can name it: give models:/name/4.")
    _, terms = trust.terms_of(reference.name, alias)
    try:
        record = find_record(client, folder, model_uri=reference.uri, sightings=Sightings.of_user())
        evidence = find_signed_evidence(client, record, reference, alias, trust=trust, folder=folder)
    except EvidenceError as error:
        raise RefusedError(f"nothing is decided about {reference}: {error}") from error
    return _Case(client, reference, record, evidence, terms, alias, trust)


def _asked(case: _Case, person: str, now: datetime) -> SignedDecision:
    """Return the request that is answered, if this person may."""
    found = open_request(case.evidence.decisions, case.evidence.verdict_digests, case.alias, now)
    if found is None:
        raise RefusedError(
            f"nobody has asked that {case.reference} becomes '{case.alias}' on its present verdict: nnperm request."
        )
    if person == found.person:
        raise RefusedError(
            f"'{person}' has asked that {case.reference} becomes '{case.alias}', and so does not decide about it. Ask "
            f"{name_list(each for each in case.terms.approvals.of if each != person)}."
        )
    if person not in case.terms.approvals.of:
        raise RefusedError(f"'{person}' does not decide about '{case.alias}': {name_list(case.terms.approvals.of)} do.")
    return found


def _sign(
    case: _Case, said: _Said, asked: SignedDecision | None, signer: tuple[SigningKey, str], experiment: str | None
) -> Decision:
    key, person = signer
    verdict = case.record.verdict
    _refuse_unknown_checks(said, [] if verdict is None else [str(each.get("check")) for each in verdict.checks])
    statement = _statement(case, said, asked)
    sealed = seal(statement.encode(), key)
    told = Decision(
        act=said.act,
        model=str(case.reference.name),
        version=str(case.reference.version),
        alias=case.alias,
        person=person,
        key_id=key.public.key_id,
        reason=said.reason,
        conditions=said.conditions,
        waives=said.waives,
        until=said.until,
        at=statement.predicate.at,
        audited=case.record.run_id,
        verdict="" if verdict is None else verdict.in_words,
        statement=sealed.digest,
        run_id="",
    )
    shown = {key: value for key, value in vars(told).items() if key != "run_id"}
    run_id = log_decision(case.client, case.reference, sealed, shown, experiment)
    logger.info("%s, signed by '%s' (%s)", told.act, person, key.public.key_id[:12])
    return Decision(**{**vars(told), "run_id": run_id})


def _statement(case: _Case, said: _Said, asked: SignedDecision | None) -> DecisionStatement:
    if asked is None:
        signed = case.evidence.verdicts[-1]
        audit, verdict = signed.statement.predicate.rests_on.audit, signed.digest
    else:
        audit, verdict = asked.statement.predicate.rests_on.audit, asked.statement.predicate.rests_on.verdict
    document = {
        "registry": case.trust.registry,
        "model": case.reference.name,
        "version": case.reference.version,
        "at": stamp_now(),
        "alias": case.alias,
        "rests_on": OnVerdict(audit=audit, verdict=verdict, request=None if asked is None else asked.digest),
        **vars(said),
    }
    try:
        predicate = DecisionPredicate.model_validate(document)
    except ValueError as error:
        raise ConfigError(
            "a decision needs a reason of at most 2,000 letters, conditions of the same, and an end in UTC such as "
            "2027-01-31T12:00:00Z."
        ) from error
    return DecisionStatement(subject=case.evidence.audits[0].statement.subject, predicate=predicate)


def _refuse_unknown_checks(said: _Said, known: Sequence[str]) -> None:
    unknown = [name for name in said.waives if name not in known]
    if unknown:
        raise ConfigError(
            f"there is no check {name_list(unknown)} in the verdict, which has {name_list(dict.fromkeys(known))}."
        )
