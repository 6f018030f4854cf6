"""Writing a verdict into the run of its audit: what holds now, and beside it all that were given before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import HTTPError

from nnperm_mlflow import __version__
from nnperm_mlflow.basics.files import CARD_FILE, VERDICT_FILE, VERDICTS_FOLDER
from nnperm_mlflow.registry.connection import current_user
from nnperm_mlflow.registry.refusals import refused
from nnperm_mlflow.registry.run_session import ERROR_TAG
from nnperm_mlflow.registry.version_link import verdict_tags
from nnperm_mlflow.verdict.judgement import Verdict, stamp


@dataclass(frozen=True)
class Judgement:
    """What a run tells of a verdict, as JSON can hold it.

    Attributes
    ----------
    texts : mapping of str to str
        For the path of each file its content.
    tags : mapping of str to str
        Of the run.
    """

    texts: Mapping[str, str]
    tags: Mapping[str, str]


def judgement_of(verdict: Verdict | None, card: str, when: datetime) -> Judgement:
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
        return Judgement({CARD_FILE: card}, {})
    given = {"given_at": stamp(when), "given_by": current_user(), "nnperm": __version__}
    text = json.dumps({**verdict.as_dict(), **given}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    kept = f"{VERDICTS_FOLDER}/{when:%Y%m%dT%H%M%S.%fZ}-{verdict.policy.digest()[:12]}.json"
    return Judgement({kept: text, VERDICT_FILE: text, CARD_FILE: card}, verdict_tags(verdict))


def log_judgement(client: MlflowClient, run_id: str, judgement: Judgement) -> list[str]:
    """Write a verdict and the card into the run of the audit.

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    try:
        for path, text in judgement.texts.items():
            client.log_text(run_id, text, path)
        for key, value in judgement.tags.items():
            client.set_tag(run_id, key, value)
        if VERDICT_FILE in judgement.texts and ERROR_TAG in client.get_run(run_id).data.tags:
            client.delete_tag(run_id, ERROR_TAG)  # it said why there was no verdict
    except (MlflowException, HTTPError) as error:
        return [refused(error, f"run {run_id}")]
    return []
