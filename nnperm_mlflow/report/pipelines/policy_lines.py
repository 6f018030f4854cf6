"""Where in a policy's file its checks stand, so that a pipeline can point at the line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from nnperm_mlflow.config.policy import Policy


@dataclass(frozen=True)
class PolicyFile:
    """The file of a policy, as the pipeline named it.

    Attributes
    ----------
    path : str
        From the working directory where it lies below that, with slashes.
    lines : mapping of str to int
        For each check's name the line that it begins on, from 1.
    """

    path: str
    lines: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str, policy: Policy) -> PolicyFile:
        """Find the checks of a policy that was read from a file; without lines where that has changed since."""
        shown = _from_here(path)
        try:
            document = YAML().load(Path(path).read_text(encoding="utf-8"))
            checks = document["checks"]
            if len(checks) != len(policy.checks):
                return cls(shown)
            lines = {check.title: checks.lc.item(place)[0] + 1 for place, check in enumerate(policy.checks)}
        except (OSError, UnicodeError, YAMLError, LookupError, TypeError, AttributeError):
            return cls(shown)
        return cls(shown, lines)


def _from_here(path: str) -> str:
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except (OSError, ValueError):
        return Path(path).as_posix()
