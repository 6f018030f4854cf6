"""Writing a verdict into the run of its audit: what holds now, and beside it all that were given before."""

from __future__ import annotations

import json
from datetime import datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import HTTPError

from nnperm_mlflow import __version__
from nnperm_mlflow.basics.audit_files import CARD_FILE, VERDICT_FILE, VERDICTS_FOLDER
from nnperm_mlflow.registry.connection import current_user
from nnperm_mlflow.registry.error_explanation import refused
from nnperm_mlflow.registry.publication import VerdictContent
from nnperm_mlflow.registry.tags import ERROR_TAG, VERDICT_TAGS
from nnperm_mlflow.verdict.verdict import Verdict, stamp


def verdict_content(verdict: Verdict | None, card: str, when: datetime) -> VerdictContent:
    """Return what a run shall tell of a verdict.

    Parameters
    ----------
    verdict : Verdict or None
        None where there is no policy to apply: then there is only the card.
    card : str
        Markdown.
    when : datetime
        When it was given, in UTC.
    """
    if verdict is None:
        return VerdictContent({CARD_FILE: card}, {})
    given = {"given_at": stamp(when), "given_by": current_user(), "nnperm": __version__}
    text = json.dumps({**verdict.as_dict(), **given}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    kept = f"{VERDICTS_FOLDER}/{when:%Y%m%dT%H%M%S.%fZ}-{verdict.policy.digest()[:12]}.json"
    return VerdictContent({kept: text, VERDICT_FILE: text, CARD_FILE: card}, verdict_tags(verdict))


def log_verdict(client: MlflowClient, run_id: str, content: VerdictContent) -> list[str]:
    """Write a verdict and the card into the run of the audit.

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    try:
        for path, text in content.texts.items():
            client.log_text(run_id, text, path)
        for key, value in content.tags.items():
            client.set_tag(run_id, key, value)
        if VERDICT_FILE in content.texts and ERROR_TAG in client.get_run(run_id).data.tags:
            client.delete_tag(run_id, ERROR_TAG)  # it said why there was no verdict
    except (MlflowException, HTTPError) as error:
        return [refused(error, f"run {run_id}")]
    return []


def verdict_tags(verdict: Verdict) -> dict[str, str]:
    """Return the tags that tell a verdict, of a run and of a version."""
    told = (verdict.status, verdict.policy.digest(), verdict.policy.mode)
    return dict(zip(VERDICT_TAGS, told, strict=True))
