"""A policy of the first format written in the present one: what was meant without being said is said."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from nnperm_mlflow.basics.documents import read_yaml, validated
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.checks import needs_statistic
from nnperm_mlflow.config.policy import Policy

_WIDE = 4_096  # characters, so that no line is broken that was not


@dataclass(frozen=True)
class UpgradedPolicy:
    """A policy in the present format.

    Attributes
    ----------
    text : str
        The file's new content; remarks, order and style are kept.
    policy : Policy
        What it says.
    explicit : tuple of str
        Checks for which the statistic is written down that they meant.
    """

    text: str
    policy: Policy
    explicit: tuple[str, ...]


def upgrade_policy(path: str | Path) -> UpgradedPolicy:
    """Return a policy, or a configuration with checks, in the present format.

    Every check keeps its meaning: one that named no statistic meant the median, which is written down. Verdicts under
    the policy have to be given again, since its digest is another one.

    Parameters
    ----------
    path : str or Path
        A YAML file with `checks`. Not modified.

    Returns
    -------
    UpgradedPolicy

    Raises
    ------
    ConfigError
        If it cannot be read, is not valid, has no checks, has the present format already, or has a check that cannot
        fail, which the present format refuses.
    """
    file = local_path(path, "the policy")
    before = _policy_in(read_yaml(file, "the policy"), str(path))
    if before.format > 1:
        raise ConfigError(f"the policy '{path}' has format {before.format} already: there is nothing to do.")
    if not before.checks:
        raise ConfigError(f"'{path}' has no checks, and so no policy. List some under 'checks'.")
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, _WIDE
    document = yaml.load(file.read_text(encoding="utf-8"))
    dash = document["checks"].lc.col
    yaml.indent(sequence=dash + 2, offset=dash)
    explicit = []
    for check, said in zip(before.checks, document["checks"], strict=True):
        if needs_statistic(check) and "statistic" not in said:
            said["statistic"] = "median"
            explicit.append(check.title)
    if "format" in document:
        document["format"] = 2
    else:
        document.insert(list(document).index("checks"), "format", 2)
    stream = io.StringIO()
    yaml.dump(document, stream)
    after = validated(Policy, {**before.as_dict(), "mode": before.mode, "format": 2}, str(path))
    return UpgradedPolicy(stream.getvalue(), after, tuple(explicit))


def _policy_in(content: object, where: str) -> Policy:
    """Return the policy that a file holds by itself, or as a part of a configuration."""
    keys = set(content) if isinstance(content, Mapping) else set()
    if keys - set(Policy.model_fields):
        return validated(AuditConfig, content, where).policy
    return validated(Policy, content, where)
