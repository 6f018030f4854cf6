"""Writing a verdict into the run of its audit: what holds now, and beside it all that were given before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nnperm_mlflow import __version__
from nnperm_mlflow.filenames import CARD_FILE, VERDICT_FILE, VERDICTS_FOLDER
from nnperm_mlflow.registry.connection import current_user, refused
from nnperm_mlflow.registry.linking import verdict_tags
from nnperm_mlflow.verdict.judging import Verdict, stamp


@dataclass(frozen=True)
class GivenVerdict:
    """A verdict with when and by whom it was given.

    Attributes
    ----------
    verdict : Verdict
    when : datetime
        In UTC.
    """

    verdict: Verdict
    when: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return it as `verdict.json` holds it."""
        given = {"given_at": stamp(self.when), "given_by": current_user(), "nnperm": __version__}
        return {**self.verdict.as_dict(), **given}


def log_verdict(client: MlflowClient, run_id: str, given: GivenVerdict | None, card: str) -> list[str]:
    """Write a verdict and the card into the run of the audit.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    given : GivenVerdict or None
        None where there is no policy to apply: then only the card is written.
    card : str
        Markdown.

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    try:
        if given is not None:
            text = json.dumps(given.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            moment = f"{given.when:%Y%m%dT%H%M%S.%fZ}"
            policy = given.verdict.policy.digest()[:12]
            client.log_text(run_id, text, f"{VERDICTS_FOLDER}/{moment}-{policy}.json")
            client.log_text(run_id, text, VERDICT_FILE)
            for key, value in verdict_tags(given.verdict).items():
                client.set_tag(run_id, key, value)
        client.log_text(run_id, card, CARD_FILE)
    except MlflowException as error:
        return [refused(error, f"run {run_id}")]
    return []
