"""Writing a verdict into the run of its audit: what holds now, and beside it all that were given before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException
from requests import HTTPError

from nnperm_mlflow import __version__
from nnperm_mlflow.basics.audit_files import CARD_FILE, VERDICT_FILE, VERDICTS_FOLDER
from nnperm_mlflow.registry.artifacts import repository_of
from nnperm_mlflow.registry.connection import current_user
from nnperm_mlflow.registry.error_explanation import refused
from nnperm_mlflow.registry.publication import VerdictContent
from nnperm_mlflow.registry.run_note import NOTE_TAG, with_note
from nnperm_mlflow.registry.tags import ERROR_TAG, VERDICT_TAGS, verdict_tag_of
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


def log_verdict(client: MlflowClient, run: Run, content: VerdictContent) -> list[str]:
    """Write a verdict and the card into the run of the audit.

    Parameters
    ----------
    client : MlflowClient
    run : Run
        As it is before.
    content : VerdictContent

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    run_id = str(run.info.run_id)
    try:
        log_texts(client, run, content.texts)
        if tags := tags_of(run, content):
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        delete_past(client, run, content)
    except (MlflowException, HTTPError) as error:
        return [refused(error, f"run {run_id}")]
    return []


def tags_of(run: Run, content: VerdictContent) -> dict[str, str]:
    """Return the tags of a run that tell a verdict, its description among them; what people wrote there stays."""
    if not content.note:
        return dict(content.tags)
    return {**content.tags, NOTE_TAG: with_note(run.data.tags.get(NOTE_TAG, ""), content.note)}


def delete_past(client: MlflowClient, run: Run, content: VerdictContent) -> None:
    """Delete of a run's tags why there was no verdict, and what the one before told beside this."""
    if VERDICT_FILE in content.texts:
        past = [ERROR_TAG, *VERDICT_TAGS]
        for key in (key for key in past if key in run.data.tags and key not in content.tags):
            client.delete_tag(str(run.info.run_id), key)


def log_texts(client: MlflowClient, run: Run, texts: Mapping[str, str]) -> None:
    """Write texts into a run, each under its path there."""
    repository = repository_of(client, run)
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        for path, text in texts.items():
            folder, _, name = path.rpartition("/")
            local = Path(scratch) / name
            local.write_text(text, encoding="utf-8")
            repository.log_artifact(str(local), folder or None)


def verdict_tags(verdict: Verdict) -> dict[str, str]:
    """Return the tags that tell a verdict, of a run and of a version."""
    policy = verdict.policy
    told = dict(zip(VERDICT_TAGS, (verdict.status, policy.digest(), policy.mode, policy.name), strict=True))
    of_policy = {} if policy.name is None else {verdict_tag_of(policy.name): verdict.status}
    return {**{key: value for key, value in told.items() if value is not None}, **of_policy}
