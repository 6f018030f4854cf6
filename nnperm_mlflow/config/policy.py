"""The approval policy as a strict, frozen value: limits on what an audit found, and what follows from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from nnperm_mlflow.basics.documents import Strict, read_yaml, validated
from nnperm_mlflow.basics.errors import CheckError, ConfigError, name_list
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.checks import (
    WITH_STATISTIC,
    AgainstCheck,
    Check,
    ScoreAgainstCheck,
    distinct,
    kind_of,
    refuse_vacuous,
)
from nnperm_mlflow.config.requirements import Requirements
from nnperm_mlflow.config.trial import Text, Trial

Format = Literal[1, 2]
"""Of a policy: checks that name no statistic mean the median in the first, and the mean since the second."""

Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9 _.-]*[A-Za-z0-9])?$")]
"""Of a policy: it is a part of tags and of searches, where other letters would mean something."""


def _as_date(given: object) -> object:
    """Return the date that text tells, as a configuration on record holds it; YAML itself knows dates."""
    if not isinstance(given, str):
        return given
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise ValueError("expected a date: 2027-01-31") from error


def _only_a_date(given: date) -> date:
    if isinstance(given, datetime):
        raise ValueError("expected a date without a time of day: 2027-01-31")
    return given


Day = Annotated[date, BeforeValidator(_only_a_date), BeforeValidator(_as_date)]

_SINCE_2 = {"requires", "name", "version", "owner", "valid_until", "trial"}


def with_defaults(content: object) -> object:
    """Return what a document says of checks with the statistic filled in that its format means where none is named."""
    if not isinstance(content, Mapping):
        return content
    if content.get("format", 1) == 1:
        said = sorted(key for key in _SINCE_2 if content.get(key) is not None)
        if said:
            raise ValueError(f"{name_list(said)} needs 'format: 2', in which it is a part of the policy's digest")
        return content
    if content.get("trial") is not None and content.get("name") is None:
        raise ValueError("'trial' needs a 'name': attempts are counted by the name of the policy")
    if not isinstance(content.get("checks"), list):
        return content
    checks = [
        {"statistic": "mean", **check} if isinstance(check, Mapping) and kind_of(check) in WITH_STATISTIC else check
        for check in content["checks"]
    ]
    return {**content, "checks": checks}


class PolicyKeys(Strict):
    """What a document says of a policy, be it a file of its own or a part of a configuration.

    Attributes
    ----------
    format : {1, 2}
        What is meant where nothing is said: see `Format`.
    checks : list of the kinds in `config.checks`
    undecided : {"fail", "pass"}
        What a check counts as whose interval straddles its limit.
    mode : {"enforce", "dry_run", "off"}
        Whether a verdict of fail blocks, is only written, or no verdict is given at all.
    requires : Requirements or None
        What an audit must rest on before anything is said of it; like all that follows since the second format.
    name : str or None
        By which verdicts and tags know the policy.
    version : str, int or None
        Of the policy.
    owner : str or None
        Who answers for it.
    valid_until : date or None
        The last day (UTC) on which something is decided by it.
    trial : Trial or None
        What an audit under it has to be, and how often there may be one.
    """

    format: Format = 1
    checks: list[Check] = []
    undecided: Literal["fail", "pass"] = "fail"
    mode: Literal["enforce", "dry_run", "off"] = "enforce"
    requires: Requirements | None = None
    name: Name | None = None
    version: Annotated[int, Field(ge=0)] | Text | None = None
    owner: Text | None = None
    valid_until: Day | None = None
    trial: Trial | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, content: object) -> object:
        return with_defaults(content)

    @field_validator("checks")
    @classmethod
    def _distinct(cls, checks: list[Check]) -> list[Check]:
        return distinct(checks)

    @model_validator(mode="after")
    def _can_fail(self) -> PolicyKeys:
        if self.format > 1:
            refuse_vacuous(self.checks)
        return self


class Policy(PolicyKeys):
    """What a version must keep to be approved; see `PolicyKeys`."""

    @property
    def applies(self) -> bool:
        """Whether there is a verdict to give."""
        return bool(self.checks) and self.mode != "off"

    @property
    def least_rows(self) -> int:
        """Rows that an audit must have to be judged."""
        asked = [each.rows for each in (self.requires, self.trial) if each is not None and each.rows is not None]
        return max(asked, default=0) if self.applies else 0

    @property
    def baselines(self) -> tuple[str, ...]:
        """URIs of the versions that checks compare with."""
        compares = (AgainstCheck, ScoreAgainstCheck)
        return tuple(dict.fromkeys(check.against for check in self.checks if isinstance(check, compares)))

    @property
    def label(self) -> str:
        """What a person calls it: its name and version; nothing where it has no name."""
        if self.name is None:
            return ""
        return f"'{self.name}'" + ("" if self.version is None else f", version {self.version}")

    @property
    def about(self) -> str:
        """Whose policy it is and how long it holds, in words; nothing where it does not say."""
        owner = "" if self.owner is None else f"of {self.owner}"
        until = "" if self.valid_until is None else f"valid until {self.valid_until:%Y-%m-%d}"
        return ", ".join(part for part in (owner, until) if part)

    def refuse_expired(self, today: date) -> None:
        """Refuse to decide anything after the last day on which the policy holds.

        Parameters
        ----------
        today : date
            In UTC.

        Raises
        ------
        CheckError
        """
        if self.valid_until is not None and today > self.valid_until and self.mode != "off":
            whose = "" if self.owner is None else f" Ask {self.owner} for one that holds."
            raise CheckError(
                f"the policy {self.label or self.digest()[:12]} was valid until {self.valid_until:%Y-%m-%d}, and it is "
                f"{today:%Y-%m-%d} (UTC): nothing is decided by it any more.{whose}"
            )

    def scores_against(self, asked: str) -> frozenset[str]:
        """Return the scores that checks compare with those of a version, by the URI as the policy gives it."""
        return frozenset(
            check.score for check in self.checks if isinstance(check, ScoreAgainstCheck) and check.against == asked
        )

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of what is said; in the first format not of what follows from it (mode)."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return what decides, as JSON can hold it, without what is not said."""
        told = {"checks", "undecided"} if self.format == 1 else set(type(self).model_fields)
        return self.model_dump(mode="json", include=told, exclude_none=True)


AnyPolicy = Policy | str | Path | None
"""A policy, the file that holds one, or none."""


def load_policy(path: str | Path) -> Policy:
    """Read a policy from a file of its own.

    Parameters
    ----------
    path : str or Path
        A YAML file with `checks`, and `undecided` and `mode` where they are not the default.

    Raises
    ------
    ConfigError
        If it cannot be read, has an unknown key or a wrong value, or no check, which would approve everything.
    """
    policy = validated(Policy, read_yaml(local_path(path, "the policy"), "the policy"), str(path))
    if not policy.checks:
        raise ConfigError(f"the policy '{path}' has no checks, and would approve everything. List some under 'checks'.")
    return policy
