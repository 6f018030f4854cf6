"""The trust file: whose keys count, for what, until when, and what a version needs for an alias."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, field_validator, model_validator

from nnperm_mlflow.attestation.key_files import key_of
from nnperm_mlflow.attestation.statements import Sha256
from nnperm_mlflow.basics.documents import AtLeast, Strict, read_yaml, validated
from nnperm_mlflow.basics.errors import ConfigError, name_list
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.policy import Day

Role = Literal["auditor", "requester", "approver", "promoter"]
"""What a person's key may sign: audits and verdicts, requests, answers to these, promotions."""

_ALIAS = re.compile(r"models:/([^/:]+)@([\w-]+)")


def _plain(given: str) -> str:
    if not given.isprintable() or given.strip() != given:
        raise ValueError("expected a name in one line, without blanks at its ends")
    return given


Person = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain)]


def _once(given: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(given)) != len(given):
        raise ValueError("each is named once")
    return given


People = Annotated[tuple[Person, ...], Field(min_length=1, strict=False), AfterValidator(_once)]
Roles = Annotated[tuple[Role, ...], Field(min_length=1, strict=False), AfterValidator(_once)]


class TrustedKey(Strict):
    """A public key, whose it is, and what it may sign.

    Attributes
    ----------
    person : str
        Two keys of one person (rotation) count once.
    roles : tuple of str
    public : str
        64 hex digits.
    from_, until : date
        First and last day (UTC) on which it signs, by the signer's own clock; `from` in the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    person: Person
    roles: Roles
    public: Sha256
    from_: Annotated[Day, Field(alias="from")]
    until: Day

    def holds_at(self, when: datetime) -> bool:
        """Tell whether the key signs at a moment."""
        return self.from_ <= when.astimezone(timezone.utc).date() <= self.until


class Revocation(Strict):
    """Since when a key is not its owner's alone any more, and why."""

    at: AwareDatetime
    why: Annotated[str, Field(min_length=1, max_length=500)]


class Approvals(Strict):
    """How many of whom have to approve."""

    of: People
    at_least: AtLeast

    @model_validator(mode="after")
    def _can_be_reached(self) -> Approvals:
        if self.at_least > len(self.of):
            raise ValueError(f"{self.at_least} of {len(self.of)} people cannot approve")
        return self


class AliasTerms(Strict):
    """What a version needs for an alias.

    Attributes
    ----------
    policy : str
        `Policy.digest` of the policy that it has to keep.
    config : str
        `AuditConfig.design_digest` of what the audit has to do.
    data : str
        sha256 of the data that it has to be of.
    auditors, promoters : tuple of str
        People (or services) whose audits and promotions count.
    approvals : Approvals
    """

    policy: Sha256
    config: Sha256
    data: Sha256
    auditors: People
    approvals: Approvals
    promoters: People

    def people(self) -> Iterator[tuple[str, Role]]:
        """Yield everybody who is named, with the role that a key of theirs needs."""
        yield from ((person, "auditor") for person in self.auditors)
        yield from ((person, "approver") for person in self.approvals.of)
        yield from ((person, "promoter") for person in self.promoters)


class Trust(Strict):
    """What a promoter, or whoever verifies, relies on: nothing of it comes from a run or a bundle.

    Attributes
    ----------
    format : int
    expires : date
        Last day (UTC) on which the file is used.
    registry : str
        How statements name the registry that is meant.
    keys : mapping of str to TrustedKey
        By the id that follows from the key.
    revoked : mapping of str to Revocation
        By the same ids.
    aliases : mapping of str to AliasTerms
        By `models:/name@alias`.
    """

    format: Literal[1] = 1
    expires: Day
    registry: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_plain)]
    keys: Annotated[dict[str, TrustedKey], Field(min_length=1)]
    revoked: Annotated[dict[str, Revocation], Field(default_factory=dict)]
    aliases: Annotated[dict[str, AliasTerms], Field(default_factory=dict)]

    @field_validator("keys")
    @classmethod
    def _under_their_own_ids(cls, keys: dict[str, TrustedKey]) -> dict[str, TrustedKey]:
        for key_id, key in keys.items():
            own = key_of(key.public).keyid
            if own != key_id:
                raise ValueError(f"the key of '{key.person}' has the id {own}, and stands under another one")
        return keys

    @field_validator("aliases")
    @classmethod
    def _are_aliases(cls, aliases: dict[str, AliasTerms]) -> dict[str, AliasTerms]:
        wrong = [name for name in aliases if not _ALIAS.fullmatch(name)]
        if wrong:
            raise ValueError(f"expected models:/name@alias, not {name_list(wrong)}")
        return aliases

    @model_validator(mode="after")
    def _names_what_is_there(self) -> Trust:
        unknown = [key_id for key_id in self.revoked if key_id not in self.keys]
        if unknown:
            raise ValueError(f"revoked are {name_list(unknown)}, which are not under 'keys': leave revoked keys there")
        held = {(key.person, role) for key in self.keys.values() for role in key.roles}
        for name, terms in self.aliases.items():
            for person, role in terms.people():
                if (person, role) not in held:
                    raise ValueError(f"'{person}' of {name} has no key with the role '{role}'")
        return self

    def models_and_aliases(self) -> list[tuple[str, str]]:
        """Return the models and aliases of which the file says what a version needs."""
        return [_parts(name) for name in self.aliases]

    def terms_of(self, model: str, alias: str | None = None) -> tuple[str, AliasTerms]:
        """Return an alias of a model, and what a version needs for it.

        Parameters
        ----------
        model : str
            Registered name.
        alias : str, optional
            May be left out where the file names one of the model.

        Raises
        ------
        ConfigError
            If the file does not say, or an alias has to be named.
        """
        known = {_parts(name)[1]: terms for name, terms in self.aliases.items() if _parts(name)[0] == model}
        if alias is None and len(known) == 1:
            return next(iter(known.items()))
        if alias is None and known:
            raise ConfigError(f"the trust file names {name_list(known)} of '{model}': say which is meant (--alias).")
        if alias not in known:
            what = f"models:/{model}@{alias or '...'}"
            raise ConfigError(
                f"the trust file says nothing of {what}, under 'aliases' there are {name_list(self.aliases)}. Whoever "
                "keeps the file writes down what a version needs for that alias."
            )
        return str(alias), known[alias]

    def refuse_to_sign(self, key_id: str, role: Role, when: datetime) -> str:
        """Return whose key it is; refuse to sign with one whose signature nobody would count.

        Parameters
        ----------
        key_id : str
        role : str
            That the key needs.
        when : datetime

        Raises
        ------
        ConfigError
        """
        key = self.keys.get(key_id)
        if key is None or key_id in self.revoked or role not in key.roles or not key.holds_at(when):
            state = "does not hold it" if key is None else "has it without that role, revoked, or for another time"
            raise ConfigError(
                f"what the key {key_id[:12]} signs as '{role}' would not count: the trust file {state}. Use another "
                "key, or ask whoever keeps the file."
            )
        return key.person

    def refuse_expired(self, today: date) -> None:
        """Refuse to rely on the file after its last day.

        Raises
        ------
        ConfigError
        """
        if today > self.expires:
            raise ConfigError(
                f"the trust file was to be used until {self.expires:%Y-%m-%d}, and it is {today:%Y-%m-%d} (UTC). Ask "
                "whoever keeps it for the present one."
            )


def _parts(name: str) -> tuple[str, str]:
    """Return the model and the alias that `models:/name@alias` means."""
    model, _, alias = name.removeprefix("models:/").rpartition("@")
    return model, alias


def load_trust(path: str | Path, today: date | None = None) -> Trust:
    """Read a trust file.

    Parameters
    ----------
    path : str or Path
        A YAML file on this machine.
    today : date, optional
        In UTC; by default that of this machine's clock.

    Raises
    ------
    ConfigError
        If it cannot be read, has an unknown key or a wrong value, a key under another id than its own, or has expired.
    """
    content = read_yaml(local_path(path, "the trust file"), "the trust file")
    trust = validated(Trust, _with_words(content), str(path))
    trust.refuse_expired(today or datetime.now(timezone.utc).date())
    return trust


def _with_words(content: object) -> object:
    """Return a document without the keys that hold nothing: `revoked:` with no entry yet."""
    if not isinstance(content, Mapping):
        return content
    return {key: value for key, value in content.items() if value is not None}
