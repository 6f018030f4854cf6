"""Linking an audit to the model version: its tags, and a section of its description."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone

import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nnperm_mlflow.models.pinning import ModelReference

logger = logging.getLogger(__name__)

_BEGIN, _END = "<!-- nnperm audit: begin -->", "<!-- nnperm audit: end -->"
_SECTION = re.compile(rf"\n*{re.escape(_BEGIN)}(?:(?!{re.escape(_BEGIN)}).)*?{re.escape(_END)}", re.DOTALL)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>&~-])")
_NAMED_FEATURES = 3


def link_version(
    client: MlflowClient, reference: ModelReference, run_id: str, experiment_id: str, summary: pd.DataFrame
) -> list[str]:
    """Tag a model version with its audit and put a section into its description.

    Parameters
    ----------
    client : MlflowClient
    reference : ModelReference
        Where it is no registered version, nothing is done.
    run_id, experiment_id : str
        The run that holds the audit.
    summary : DataFrame
        A row per perturbation, ordered.

    Returns
    -------
    list of str
        What could not be written for want of permission; empty where all was.
    """
    if reference.name is None or reference.version is None:
        return []
    name, version = reference.name, reference.version
    now = datetime.now(timezone.utc)
    tags = {
        "nnperm.run_id": run_id,
        "nnperm.audited_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "nnperm.top_feature": str(summary["perturbation"][0])[:250],
    }
    denied = []
    try:
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)
    except MlflowException as error:
        denied.append(_denied(error, f"the tags of {reference}"))
    try:
        before = client.get_model_version(name, version).description or ""
        section = audit_section(summary, run_id, experiment_id, now)
        client.update_model_version(name, version, with_section(before, section))
    except MlflowException as error:
        denied.append(_denied(error, f"the description of {reference}"))
    return denied


def audit_section(summary: pd.DataFrame, run_id: str, experiment_id: str, when: datetime) -> str:
    """Return the few lines of Markdown that tell what an audit found, with a link to its run."""
    top = summary.head(_NAMED_FEATURES)
    named = [f"{as_text(name)} ({median:.3g})" for name, median in zip(top["perturbation"], top["median"], strict=True)]
    return (
        f"**Audit** of {when:%Y-%m-%d} on {summary['rows'][0]:,} rows: predictions move most with {', '.join(named)} "
        f"(median deviation). [Audit run](#/experiments/{experiment_id}/runs/{run_id})"
    )


def with_section(description: str, section: str) -> str:
    """Return a description in which the audit's section is replaced, or added at the end; other text stays.

    >>> with_section(with_section("Made by Ada.", "old"), "new").splitlines()[0]
    'Made by Ada.'
    """
    framed = f"{_BEGIN}\n{section}\n{_END}"
    before, after = description, ""
    if found := _SECTION.search(description):
        before, after = description[: found.start()], _SECTION.sub("", description[found.end() :])
    return f"{before}\n\n{framed}{after}".lstrip("\n")


def as_text(name: object) -> str:
    """Return a name in which no letter means anything to Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(name).split()))


def _denied(error: MlflowException, what: str) -> str:
    if error.error_code != "PERMISSION_DENIED":
        raise error
    logger.warning("you may not change %s: the audit's run does not show there", what)
    return what
