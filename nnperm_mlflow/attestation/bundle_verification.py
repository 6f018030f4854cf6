"""Whether a bundle is what trusted people have signed, found out without any server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nnperm_mlflow.attestation.bundle_files import kind_of, opened_bundle, sealed_in
from nnperm_mlflow.attestation.bundle_recomputation import Again, recompute
from nnperm_mlflow.attestation.consent import find_consent, may_decide
from nnperm_mlflow.attestation.envelopes import Sealed
from nnperm_mlflow.attestation.packed_audit import read_packed, read_packed_verdict, refuse_other_terms
from nnperm_mlflow.attestation.signatures import Signed, counting, read_signed
from nnperm_mlflow.attestation.statements import (
    AnyStatement,
    AuditStatement,
    DecisionStatement,
    PromotionStatement,
    Statement,
    VerdictStatement,
)
from nnperm_mlflow.attestation.trust import AliasTerms, Role, Trust, load_trust
from nnperm_mlflow.basics.audit_files import file_digest
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.errors import EvidenceError, name_list
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.verdict.verdict import GivenVerdict

_ROLES: dict[str, tuple[Role, ...]] = {
    "audit": ("auditor",),
    "verdict": ("auditor",),
    "decision": ("requester", "approver"),
    "promotion": ("promoter", "approver"),  # the latter in an emergency
}


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle whose files are those that trusted people have signed.

    Attributes
    ----------
    registry, model, version, alias : str
        As the statements name them; the alias is the one whose terms it was held against.
    model_digest : str
        sha256 of the model's files, as `basics.audit_files.folder_digest` takes it.
    verdict : {"pass", "fail"} or None
        None where no verdict was signed.
    in_words : str
        That verdict in a line.
    approved_by : tuple of str
        As many people as the trust file asks for, who have approved this verdict for the alias; else nobody.
    decision : str
        The same in words, with conditions, or why it does not count as approved.
    signed : tuple of Signed
        All statements of the bundle, ordered by the names of their files; each counts.
    files : mapping of str to str
        sha256 of each file that they tell of.
    recomputed, on_trust : tuple of str
        In words what was computed or read again here, and what was not.
    """

    registry: str
    model: str
    version: str
    alias: str
    model_digest: str
    verdict: str | None
    in_words: str
    approved_by: tuple[str, ...]
    decision: str
    signed: tuple[Signed[Any], ...]
    files: Mapping[str, str]
    recomputed: tuple[str, ...]
    on_trust: tuple[str, ...]

    def __repr__(self) -> str:
        what = f"models:/{self.model}/{self.version} for '{self.alias}'"
        return in_a_line("VerifiedBundle", what, self.in_words, f"signed by {name_list(self.people)}")

    def _repr_html_(self) -> str:
        facts = {
            "registry": self.registry,
            "sha256 of the model's files": self.model_digest,
            "signed by": name_list(self.people),
            "decision": self.decision,
            "computed again": ", ".join(self.recomputed) or "nothing",
            "taken on trust": ", ".join(self.on_trust) or "nothing",
        }
        head = f"models:/{self.model}/{self.version} for '{self.alias}': {self.in_words}"
        return as_html(head, facts=facts.items())

    @property
    def people(self) -> list[str]:
        """Everybody who has signed a part of it, once."""
        return list(dict.fromkeys(each.person for each in self.signed))


@dataclass(frozen=True)
class _Parts:
    """The statements of a bundle that count, by type."""

    audits: list[Signed[AuditStatement]]
    verdicts: list[Signed[VerdictStatement]]
    decisions: list[Signed[DecisionStatement]]
    promotions: list[Signed[PromotionStatement]]

    @property
    def all(self) -> list[Signed[Any]]:
        return [*self.audits, *self.decisions, *self.promotions, *self.verdicts]


def verify_bundle(
    bundle: str | Path,
    *,
    trust: str | Path | Trust,
    alias: str | None = None,
    model: str | Path | None = None,
    config: str | Path | None = None,
    again: Again | None = None,
) -> VerifiedBundle:
    """Verify a bundle without any server: who has signed what, that its files are these, and that its numbers fit.

    Parameters
    ----------
    bundle : str or Path
        As `nnperm bundle` writes it: a folder or a zip.
    trust : str, Path or Trust
        The trust file of whoever verifies.
    alias : str, optional
        Whose terms it is held against; may be left out where the trust file names one of the model.
    model : str or Path, optional
        A folder with the model's files, which are then held against the digest that was signed.
    config : str or Path, optional
        A configuration that says where the data are, which are then read and held against theirs.
    again : callable, optional
        Makes the audit again, see `attestation.bundle_recomputation`.

    Returns
    -------
    VerifiedBundle

    Raises
    ------
    EvidenceError
        If anything is not what somebody has signed whom the trust file names for it. The message says what.
    ConfigError
        If the bundle is not there, or the trust file cannot be used.
    """
    trusted = trust if isinstance(trust, Trust) else load_trust(trust)
    with opened_bundle(local_path(bundle, "the bundle")) as folder:
        parts = _counting_parts(sealed_in(folder), trusted)
        audit = _only(parts.audits, "audit")
        place = audit.statement.predicate
        name, terms = trusted.terms_of(place.model, alias)
        _refuse_strangers(parts, terms, name)
        _refuse_other_places(parts, name)
        record = read_packed(folder, audit)
        given, policy = _verdict_of(folder, parts, record)
        refuse_other_terms(record, policy, terms, name)
        _refuse_unsigned(folder, parts)
        approved_by, decision = _decision(parts, name, terms, trusted)
        recomputed, on_trust = recompute(record, given, policy, model=model, config=config, again=again)
        return VerifiedBundle(
            registry=trusted.registry,
            model=place.model,
            version=place.version,
            alias=name,
            model_digest=audit.statement.model_digest,
            verdict=None if given is None else given.verdict,
            in_words="no verdict" if given is None else given.in_words,
            approved_by=approved_by,
            decision=decision,
            signed=tuple(parts.all),
            files={path.name: file_digest(path) for path in sorted(folder.iterdir()) if kind_of(path.name) is None},
            recomputed=recomputed,
            on_trust=on_trust,
        )


def _counting_parts(sealed: Sequence[tuple[str, str, Sealed]], trust: Trust) -> _Parts:
    """Return the statements by type; one that does not count is refused, and so nothing of it is passed on."""
    promotions = _read(sealed, "promotion", PromotionStatement, trust)

    def read(kind: str, of: type[AnyStatement]) -> list[Signed[AnyStatement]]:
        return _refuse_revoked(_read(sealed, kind, of, trust), promotions, trust)

    return _Parts(
        audits=read("audit", AuditStatement),
        verdicts=read("verdict", VerdictStatement),
        decisions=read("decision", DecisionStatement),
        promotions=_refuse_revoked(promotions, promotions, trust),
    )


def _read(
    sealed: Sequence[tuple[str, str, Sealed]], kind: str, of: type[AnyStatement], trust: Trust
) -> list[Signed[AnyStatement]]:
    return [read_signed(each, of, trust, _ROLES[kind], name) for told, name, each in sealed if told == kind]


def _refuse_revoked(
    signed: list[Signed[AnyStatement]], promotions: list[Signed[PromotionStatement]], trust: Trust
) -> list[Signed[AnyStatement]]:
    counted = counting(signed, promotions, trust)
    for each in signed:
        if each not in counted:
            revoked = trust.revoked[each.key_id]
            raise EvidenceError(
                f"a statement is signed by a key of '{each.person}' ({each.key_id[:12]}) that was revoked at "
                f"{revoked.at:%Y-%m-%d %H:%M} UTC, and no promotion before that names it. Ask for another signature."
            )
    return signed


def _only(audits: list[Signed[AuditStatement]], what: str) -> Signed[AuditStatement]:
    """Return the audit of a bundle: several signatures of one say the same, but for when."""
    said = {each.statement.model_copy(update={"predicate": _without_time(each.statement)}) for each in audits}
    if len(said) != 1:
        raise EvidenceError(
            f"the bundle is unsigned: it holds no signed {what}. Whoever made it signs it: nnperm sign RUN"
            if not said
            else f"the bundle holds signed {what}s that say different things. Ask for the bundle of one run."
        )
    return audits[0]


def _without_time(statement: Statement) -> Any:  # noqa: ANN401 - the predicate of any type
    return statement.predicate.model_copy(update={"at": "1970-01-01T00:00:00Z"})


def _refuse_strangers(parts: _Parts, terms: AliasTerms, alias: str) -> None:
    """Refuse what somebody has signed who is trusted, but not for this alias."""
    allowed: list[tuple[Sequence[Signed[Any]], Sequence[str]]] = [
        ([*parts.audits, *parts.verdicts], terms.auditors),
        (parts.promotions, (*terms.promoters, *terms.approvals.of)),
    ]
    for signed, people in allowed:
        for each in signed:
            if each.person not in people:
                raise EvidenceError(
                    f"a statement is signed by '{each.person}', and the trust file names {name_list(people)} for "
                    f"'{alias}'."
                )


def _refuse_other_places(parts: _Parts, alias: str) -> None:
    """Refuse statements on another version, other files, another alias, or that rest on others than are here."""
    audits, verdicts = ({each.digest for each in signed} for signed in (parts.audits, parts.verdicts))
    first = parts.audits[0].statement
    for each in parts.all:
        told = each.statement.predicate
        if each.statement.subject != first.subject or getattr(told, "alias", alias) != alias:
            raise EvidenceError(
                f"a statement of '{each.person}' is on {each.statement.subject[0].name} "
                f"{getattr(told, 'alias', '')}, and the bundle of {first.subject[0].name} for '{alias}'."
            )
        rests_on = getattr(told, "rests_on", None)
        named = {getattr(rests_on, "audit", None)} - {None}, {getattr(rests_on, "verdict", None)} - {None}
        if not (named[0] <= audits and named[1] <= verdicts):
            raise EvidenceError(f"a statement of '{each.person}' rests on another audit or verdict than is here.")


def _verdict_of(folder: Path, parts: _Parts, record: AuditRecord) -> tuple[GivenVerdict | None, Policy | None]:
    """Return the verdict of a bundle with its policy, if there is one; all that were signed are on the one file."""
    found = [read_packed_verdict(folder, each, record) for each in parts.verdicts]
    return found[0] if found else (None, None)


def _decision(parts: _Parts, alias: str, terms: AliasTerms, trust: Trust) -> tuple[tuple[str, ...], str]:
    """Return who has approved, and that in words; as it was at the promotion, where there is one, else as it is now."""
    own = [each for each in parts.decisions if may_decide(each, trust)]
    if not own:
        return (), "no decision of people is in the bundle"
    ordinary = [each.statement.at for each in parts.promotions if each.statement.predicate.emergency is None]
    when = max(ordinary, default=datetime.now(timezone.utc))
    try:
        found = find_consent(own, {each.digest for each in parts.verdicts}, alias, terms, when)
    except EvidenceError as error:
        return (), str(error)
    people = tuple(sorted(each.person for each in found.approvals))
    conditions = "".join(f"; condition: {each}" for each in found.conditions)
    waived = f"; waived: {name_list(found.waived)}" if found.waived else ""
    return people, f"approved by {name_list(people)}, asked for by '{found.request.person}'{conditions}{waived}"


def _refuse_unsigned(folder: Path, parts: _Parts) -> None:
    """Refuse files that no statement tells of."""
    told = {each.name for signed in parts.audits for each in signed.statement.predicate.evidence}
    told |= {each.statement.predicate.verdict.name for each in parts.verdicts}
    unsigned = [path.name for path in folder.iterdir() if kind_of(path.name) is None and path.name not in told]
    if unsigned:
        raise EvidenceError(f"nobody has signed {name_list(sorted(unsigned))} of the bundle. Leave such files out.")
