"""All that is to be written of an audit, kept beside its files until it is, so that nothing is computed in vain."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import RunStatus

from nnperm_mlflow.errors import EvidenceError
from nnperm_mlflow.filenames import PUBLICATION_FILE
from nnperm_mlflow.registry.audits import WHOLE_TAG, find_audits
from nnperm_mlflow.registry.evidence import Evidence, log_evidence
from nnperm_mlflow.registry.linking import Link, link_version
from nnperm_mlflow.registry.session import ERROR_TAG
from nnperm_mlflow.registry.verdicts import Judgement, log_judgement

logger = logging.getLogger(__name__)

_FORMAT = 1


@dataclass(frozen=True)
class Publication:
    """What an audit leaves in its run and on the version, as JSON can hold it.

    Attributes
    ----------
    run_id, experiment_id : str
    model : str
        Pinned URI of what was audited.
    model_id : str or None
        Of MLflow's logged model, if it is one.
    name, version : str or None
        Of the registered version, if it is one.
    evidence : Evidence
    judgement : Judgement
    link : Link
    ends_run : bool
        Whether the run is finished with it.
    is_temporary : bool
        Whether the folder goes once all is written.
    """

    run_id: str
    experiment_id: str
    model: str
    model_id: str | None
    name: str | None
    version: str | None
    evidence: Evidence
    judgement: Judgement
    link: Link
    ends_run: bool = True
    is_temporary: bool = False

    def save(self, folder: Path) -> None:
        """Write it beside the files of the audit, whole or not at all."""
        path = folder / PUBLICATION_FILE
        partial = path.with_suffix(".partial")
        text = json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False, indent=1)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def load_publication(folder: Path) -> Publication:
    """Read what an audit left to be written.

    Raises
    ------
    EvidenceError
        If there is none in the folder, or it is not whole.
    """
    path = folder / PUBLICATION_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told.pop("format") != _FORMAT:
            raise ValueError("another format")
        parts = {"evidence": Evidence, "judgement": Judgement, "link": Link}
        return Publication(**{**told, **{key: kind(**told[key]) for key, kind in parts.items()}})
    except FileNotFoundError as error:
        raise EvidenceError(f"there is nothing to publish in '{folder}': it holds no {PUBLICATION_FILE}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{path} is not what an audit wrote ({type(error).__name__}). Audit again.") from error


def publish(client: MlflowClient, folder: Path, publication: Publication) -> list[str]:
    """Write an audit into its run, and then onto the version; doing it twice, or going on with it, changes nothing.

    Parameters
    ----------
    client : MlflowClient
    folder : Path
        Where the files lie.
    publication : Publication

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    run_id = publication.run_id
    denied = log_evidence(client, run_id, publication.model_id, folder, publication.evidence)
    denied += log_judgement(client, run_id, publication.judgement)
    client.set_tag(run_id, WHOLE_TAG, "true")
    if publication.ends_run:
        run = client.get_run(run_id)
        if ERROR_TAG in run.data.tags and ERROR_TAG not in publication.evidence.tags:
            client.delete_tag(run_id, ERROR_TAG)  # of a try that did not get to its end
        client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
    (folder / PUBLICATION_FILE).unlink(missing_ok=True)
    if publication.name and publication.version and is_newest(client, publication.model, run_id):
        denied += link_version(client, publication.name, publication.version, publication.link)
    return denied


def is_newest(client: MlflowClient, model: str, run_id: str) -> bool:
    """Tell whether no other audit of a model has ended after that of a run, or after now where that goes on."""
    own = client.get_run(run_id).info.end_time
    others = [run for run in find_audits(client, model) if run.info.run_id != run_id]
    return own is None or not others or others[0].info.end_time <= own
