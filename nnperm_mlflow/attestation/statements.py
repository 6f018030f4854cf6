"""What is said under a signature: in-toto Statements of four types, as JSON that can be written in one way only.

References
----------
in-toto Attestation Framework, "Statement layer specification", version 1.1, and "ResourceDescriptor".
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timezone
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from nnperm_mlflow.basics.documents import Strict, wrong_keys
from nnperm_mlflow.basics.errors import EvidenceError, name_list

_MOMENT, _TO_THE_SECOND = "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ"
_OTHER = "Ask whoever signed it for a statement that this version of nnperm reads."


def _a_moment(given: str) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", given, re.ASCII):
        raise ValueError("expected a moment in UTC: 2027-01-31T12:00:00Z")
    moment(given)  # a day that there is
    return given


def moment(text: str) -> datetime:
    """Return the moment that a statement tells."""
    form = _MOMENT if "." in text else _TO_THE_SECOND
    return datetime.strptime(text, form).replace(tzinfo=timezone.utc)


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Moment = Annotated[str, AfterValidator(_a_moment)]
"""In UTC, by the clock of whoever says it."""
Name = Annotated[str, Field(min_length=1, max_length=300)]
Words = Annotated[str, Field(min_length=1, max_length=2000)]
VersionNumber = Annotated[str, Field(pattern="^[1-9][0-9]{0,18}$")]


class Digests(Strict):
    """What identifies a resource."""

    sha256: Sha256


class Resource(Strict):
    """in-toto's resource descriptor: a name, and what it identifies."""

    name: Name
    digest: Digests


def resource(name: str, sha256: str) -> Resource:
    """Return the descriptor of a file, or of what else has a digest."""
    return Resource(name=name, digest=Digests(sha256=sha256))


class Place(Strict):
    """What each statement names: where, of which version, and when by the clock of whoever says it."""

    registry: Name
    model: Name
    version: VersionNumber
    at: Moment


class AuditPredicate(Place):
    """An audit: the run that holds it, and what came of it, by digests.

    Attributes
    ----------
    run_id : str
    evidence : tuple of Resource
        Its files, and `data`, ordered by name.
    """

    run_id: Name
    evidence: tuple[Resource, ...]

    @model_validator(mode="after")
    def _ordered(self) -> AuditPredicate:
        names = [each.name for each in self.evidence]
        if names != sorted(set(names)):
            raise ValueError("evidence is named once, in the order of the names")
        return self


class OnAudit(Strict):
    """The statement that a verdict rests on."""

    audit: Sha256


class VerdictPredicate(Place):
    """A verdict on an audit, by the digest of its file, and the digest of its policy."""

    run_id: Name
    verdict: Resource
    policy: Resource
    rests_on: OnAudit


class OnVerdict(Strict):
    """The statements that a decision rests on; an answer names the request, too."""

    audit: Sha256
    verdict: Sha256
    request: Sha256 | None = None


class DecisionPredicate(Place):
    """What a person asks for or decides.

    Attributes
    ----------
    alias : str
        That the version shall have, or not.
    act : {"request", "approve", "refuse"}
    reason : str
    conditions : tuple of str
        Under which it is approved, in words.
    until : str or None
        Moment until which it holds.
    waives : tuple of str
        Checks of the policy that are waived, by their names.
    """

    alias: Name
    act: Literal["request", "approve", "refuse"]
    reason: Words
    conditions: tuple[Words, ...] = ()
    until: Moment | None = None
    waives: tuple[Name, ...] = ()
    rests_on: OnVerdict

    @model_validator(mode="after")
    def _names_its_request(self) -> DecisionPredicate:
        if (self.act == "request") != (self.rests_on.request is None):
            raise ValueError("an answer names the request, and a request none")
        return self


class OnDecisions(Strict):
    """The statements that a promotion rests on; in an emergency there may be none but decisions."""

    audit: Sha256 | None = None
    verdict: Sha256 | None = None
    decisions: tuple[Sha256, ...] = ()


class PromotionPredicate(Place):
    """An alias given to a version.

    Attributes
    ----------
    alias : str
    number : int
        1 for the first of an alias; rises by one.
    predecessor : str or None
        Digest of the promotion with the number before.
    replaced : str or None
        The version that had the alias.
    emergency : str or None
        Why it was promoted without an audit.
    audit_until : str or None
        Moment until which that audit has to be there.
    """

    alias: Name
    number: Annotated[int, Field(ge=1)]
    predecessor: Sha256 | None = None
    replaced: VersionNumber | None = None
    emergency: Words | None = None
    audit_until: Moment | None = None
    rests_on: OnDecisions

    @model_validator(mode="after")
    def _follows(self) -> PromotionPredicate:
        if (self.number == 1) != (self.predecessor is None):
            raise ValueError("all promotions of an alias but the first name the one before")
        if (self.emergency is None) != (self.audit_until is None):
            raise ValueError("an emergency says until when the audit has to be there")
        if self.emergency is None and None in (self.rests_on.audit, self.rests_on.verdict):
            raise ValueError("a promotion rests on an audit and a verdict")
        return self


class Statement(Strict):
    """A statement of in-toto on one subject: the files of a model version.

    in-toto takes a statement for one on an artifact if *any* subject has its digest, so that there is exactly one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = (
        "https://in-toto.io/Statement/v1"
    )
    subject: tuple[Resource]
    predicate: Place

    @model_validator(mode="after")
    def _is_on_its_version(self) -> Statement:
        place = self.predicate
        if self.subject[0].name != f"models:/{place.model}/{place.version}":
            raise ValueError("subject and predicate name different versions")
        return self

    @property
    def at(self) -> datetime:
        """When it was signed, by the clock of whoever signed."""
        return moment(self.predicate.at)

    @property
    def model_digest(self) -> str:
        """The sha256 of the model's files."""
        return self.subject[0].digest.sha256

    def encode(self) -> bytes:
        """Return the statement as it is signed: JSON with sorted keys, integers as integers, nothing that is not said.

        (The protobuf classes of in-toto-attestation turn each number into a double.)
        """
        document = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()


class AuditStatement(Statement):
    """What the audit service says of an audit."""

    kind: Annotated[Literal["urn:nnperm-mlflow:audit:1"], Field(alias="predicateType")] = "urn:nnperm-mlflow:audit:1"
    predicate: AuditPredicate


class VerdictStatement(Statement):
    """What the audit service says of a verdict."""

    kind: Annotated[Literal["urn:nnperm-mlflow:verdict:1"], Field(alias="predicateType")] = (
        "urn:nnperm-mlflow:verdict:1"
    )
    predicate: VerdictPredicate


class DecisionStatement(Statement):
    """What a person asks for or decides."""

    kind: Annotated[Literal["urn:nnperm-mlflow:decision:1"], Field(alias="predicateType")] = (
        "urn:nnperm-mlflow:decision:1"
    )
    predicate: DecisionPredicate


class PromotionStatement(Statement):
    """What a promoter says of an alias."""

    kind: Annotated[Literal["urn:nnperm-mlflow:promotion:1"], Field(alias="predicateType")] = (
        "urn:nnperm-mlflow:promotion:1"
    )
    predicate: PromotionPredicate


KINDS: dict[str, type[Statement]] = {
    "audit": AuditStatement,
    "verdict": VerdictStatement,
    "decision": DecisionStatement,
    "promotion": PromotionStatement,
}
"""The four types, by the words that name their files."""

AnyStatement = TypeVar("AnyStatement", bound=Statement)


def read_statement(payload: bytes, kind: type[AnyStatement], what: str = "the statement") -> AnyStatement:
    """Return the statement that bytes hold; of the types exactly one is accepted.

    Parameters
    ----------
    payload : bytes
    kind : type
        One of `KINDS`.
    what : str
        How messages call it.

    Raises
    ------
    EvidenceError
        If it is a statement of another type, has an unknown key or a wrong value, or is not written as `encode` does:
        what two readers of JSON could take for different things is taken for nothing.
    """
    try:
        found = kind.model_validate_json(payload)
    except ValidationError as error:
        wrong = name_list(wrong_keys(error))
        raise EvidenceError(f"{what} is no {kind.__name__} (wrong or missing: {wrong}). {_OTHER}") from error
    if found.encode() != payload:
        raise EvidenceError(
            f"{what} is not written as nnperm writes statements, and could be read in two ways. {_OTHER}"
        )
    return found


def stamp_now() -> str:
    """Return this moment as statements tell it, so finely that a person's second word follows the first."""
    return stamp_of(datetime.now(timezone.utc))


def stamp_of(when: datetime) -> str:
    """Return a moment in UTC as statements tell it."""
    return when.strftime(_MOMENT)


def digest_of(payload: bytes) -> str:
    """Return the sha256 (64 hex digits) by which other statements name one."""
    return hashlib.sha256(payload).hexdigest()
