"""The approval policy as a strict, frozen value: limits on what an audit found, and what follows from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from nnperm_mlflow.basics.documents import Strict, read_yaml, validated
from nnperm_mlflow.basics.errors import ConfigError
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

Format = Literal[1, 2]
"""Of a policy: checks that name no statistic mean the median in the first, and the mean since the second."""


def with_defaults(content: object) -> object:
    """Return what a document says of checks with the statistic filled in that its format means where none is named."""
    if not isinstance(content, Mapping):
        return content
    if content.get("format", 1) == 1:
        if content.get("requires") is not None:
            raise ValueError("'requires' needs 'format: 2', in which it is a part of the policy's digest")
        return content
    if not isinstance(content.get("checks"), list):
        return content
    checks = [
        {"statistic": "mean", **check} if isinstance(check, Mapping) and kind_of(check) in WITH_STATISTIC else check
        for check in content["checks"]
    ]
    return {**content, "checks": checks}


class Policy(Strict):
    """What a version must keep to be approved.

    Attributes
    ----------
    format : {1, 2}
        What is meant where nothing is said: see `Format`.
    checks : list of the kinds in `config.checks`
    undecided : {"fail", "pass"}
        What a check counts as whose interval straddles its limit.
    requires : Requirements or None
        What an audit must rest on before anything is said of it; since the second format.
    mode : {"enforce", "dry_run", "off"}
        Whether a verdict of fail blocks, is only written, or no verdict is given at all.
    """

    format: Format = 1
    checks: list[Check] = []
    undecided: Literal["fail", "pass"] = "fail"
    mode: Literal["enforce", "dry_run", "off"] = "enforce"
    requires: Requirements | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, content: object) -> object:
        return with_defaults(content)

    @field_validator("checks")
    @classmethod
    def _distinct(cls, checks: list[Check]) -> list[Check]:
        return distinct(checks)

    @model_validator(mode="after")
    def _can_fail(self) -> Policy:
        if self.format > 1:
            refuse_vacuous(self.checks)
        return self

    @property
    def applies(self) -> bool:
        """Whether there is a verdict to give."""
        return bool(self.checks) and self.mode != "off"

    @property
    def baselines(self) -> tuple[str, ...]:
        """URIs of the versions that checks compare with."""
        compares = (AgainstCheck, ScoreAgainstCheck)
        return tuple(dict.fromkeys(check.against for check in self.checks if isinstance(check, compares)))

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
