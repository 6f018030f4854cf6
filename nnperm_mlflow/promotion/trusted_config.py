"""Whether an audit was made as a configuration says: two canonical configurations held against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.basics.text import cut_middle
from nnperm_mlflow.config.audit_config import AuditConfig

_FREE = {"block_rows", "profile"}
"""Keys of the analysis on which nothing depends that is judged."""

_LONGEST = 60  # letters of a value in a message
_MOST_NAMED = 6  # keys in a message


def refuse_other_configuration(trusted: AuditConfig, used: AuditConfig, audit: str, remedy: str = "") -> None:
    """Refuse an audit that was made otherwise than a configuration says.

    Both are canonical: defaults are filled in, and what an audit finds out of model and data (which data each input
    receives, the output that is followed), so that what was left out in one of them counts as what it means.

    Parameters
    ----------
    trusted : AuditConfig
        As the audit would use it now, see `auditor.plan.Plan.used`.
    used : AuditConfig
        As the audit used it.
    audit : str
        How messages call the audit.
    remedy : str
        What to do about it.

    Raises
    ------
    EvidenceError
        The message names each key that differs, what was expected and what is on record.
    """
    expected, found = _document(trusted), _document(used)
    apart = [
        f"'{key}' (expected {_shown(ours)}, found {_shown(theirs)})"
        for key, ours, theirs in _pairs(expected, found)
        if ours != theirs
    ]
    if apart:
        more = f" and {len(apart) - _MOST_NAMED} more" if len(apart) > _MOST_NAMED else ""
        raise EvidenceError(
            f"{audit} was not made as the configuration (--config) says, in {', '.join(apart[:_MOST_NAMED])}{more}. "
            "What a configuration leaves out means its default, as in an audit. Give the configuration that it should "
            f"have been made with, or {remedy or 'audit the version with this one'}"
        )


def _document(config: AuditConfig) -> dict[str, Mapping[str, Any]]:
    """Return all that numbers rest on, by section; which files hold the data is not part of it, since digests tell."""
    analysis = config.analysis.model_dump(mode="json", exclude=_FREE)
    if "auto" not in (config.analysis.repeats, config.analysis.rows):
        del analysis["order_by"]
    if config.analysis.groups != "auto":
        del analysis["associated_above"]
    data: dict[str, Any] = {"cluster": config.data.cluster}
    if config.analysis.scores:
        data["label"] = config.data.label
    for name, spec in config.data.temporal.items():
        if spec.model_channel_axis is not None:
            data[f"temporal: {name}: model_channel_axis"] = spec.model_channel_axis
    return {"inputs": config.model_dump(mode="json", include={"inputs"})["inputs"], "analysis": analysis, "data": data}


def _pairs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key of two documents as a message names it, with both values; None stands for what is not there."""
    for section in ours:
        for key in dict.fromkeys([*ours[section], *theirs[section]]):
            yield f"{section}: {key}", ours[section].get(key), theirs[section].get(key)


def _shown(value: object) -> str:
    return "nothing" if value is None else cut_middle(json.dumps(value, ensure_ascii=False), _LONGEST)
