"""All that is to be written of an audit, kept beside its files until it is, so that nothing is computed in vain."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from nnperm_mlflow.basics.errors import EvidenceError, name_list
from nnperm_mlflow.basics.files import PUBLICATION_FILE, file_digest
from nnperm_mlflow.registry.audits import FINISHED, WHOLE_TAG, find_audits
from nnperm_mlflow.registry.evidence import Evidence, log_evidence
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.run_session import ERROR_TAG
from nnperm_mlflow.registry.verdicts import Judgement, log_judgement
from nnperm_mlflow.registry.version_link import Link, link_on_record, link_version

_FORMAT = 1
_TRIES = 10  # to write the newest audit onto a version, while others end


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
    lacks_verdict : bool
        Whether a policy was asked for that could not be applied yet.
    work_dir : str or None
        Where the audit kept its work, which is no longer needed then.
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
    lacks_verdict: bool = False
    work_dir: str | None = None

    def save(self, folder: Path) -> None:
        """Write it beside the files of the audit, whole or not at all."""
        path = folder / PUBLICATION_FILE
        partial = path.with_suffix(".partial")
        digests = {name: file_digest(folder / name) for name in self.evidence.files}
        text = json.dumps({"format": _FORMAT, "digests": digests, **asdict(self)}, ensure_ascii=False, indent=1)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def load_publication(folder: Path) -> Publication:
    """Read what an audit left to be written.

    Raises
    ------
    EvidenceError
        If there is none in the folder, or it is not whole, or a file is not the one that the audit wrote.
    """
    path = folder / PUBLICATION_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told.pop("format") != _FORMAT:
            raise ValueError("another format")
        digests = dict(told.pop("digests"))
        parts = {"evidence": Evidence, "judgement": Judgement, "link": Link}
        publication = Publication(**{**told, **{key: kind(**told[key]) for key, kind in parts.items()}})
        files = publication.evidence.files
        if any(Path(name).name != name for name in files):
            raise ValueError("a path, not the name of a file")
        if not isinstance(publication.work_dir, (str, type(None))):
            raise TypeError("a path is text")
        changed = [name for name in files if not _has_digest(folder / name, digests[name])]
    except FileNotFoundError as error:
        raise EvidenceError(f"there is nothing to publish in '{folder}': it holds no {PUBLICATION_FILE}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceError(f"{path} is not what an audit wrote ({type(error).__name__}). Audit again.") from error
    if changed:
        raise EvidenceError(f"{name_list(changed)} in '{folder}' have been changed since the audit. Audit again.")
    return publication


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and file_digest(path) == digest


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
        _finish(client, publication)
    if publication.name and publication.version:
        denied += link_newest(client, publication.name, publication.version, run_id, publication.link)
    (folder / PUBLICATION_FILE).unlink(missing_ok=True)
    return denied


def _finish(client: MlflowClient, publication: Publication) -> None:
    """End the run as finished, once: its end tells which audit of a version is the newest."""
    run = client.get_run(publication.run_id)
    if ERROR_TAG in run.data.tags and ERROR_TAG not in publication.evidence.tags:
        client.delete_tag(publication.run_id, ERROR_TAG)  # of a try that did not get to its end
    if run.info.status != FINISHED:
        client.set_terminated(publication.run_id, FINISHED)


def link_newest(client: MlflowClient, name: str, version: str, run_id: str, link: Link) -> list[str]:
    """Link a model version to an audit, if that is its newest one; where another ends meanwhile, to that.

    Of two audits that end at once each may overwrite what the other has just written, and the tags that it wrote first
    may be the last to stay. So each looks again after it has written: whoever writes last writes the newest.

    Parameters
    ----------
    client : MlflowClient
    name, version : str
    run_id : str
        The run of the audit.
    link : Link
        What the version shall tell of it.

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    model, denied = f"models:/{name}/{version}", list[str]()
    written, newest = None, _newest(client, model, run_id)
    if newest != run_id:
        return denied
    for _ in range(_TRIES):
        denied = link_version(client, name, version, link if newest == run_id else _link_of(client, newest))
        written, newest = newest, _newest(client, model, run_id)
        if newest == written:
            break
    return denied


def _newest(client: MlflowClient, model: str, run_id: str) -> str:
    """Return the run of the audit of a model that has ended last; one that goes on ends after all others."""
    own = client.get_run(run_id).info
    if own.end_time is None:
        return run_id
    ends = [(run.info.end_time, run.info.run_id) for run in find_audits(client, model)]
    return str(max([*ends, (own.end_time, run_id)])[1])


def _link_of(client: MlflowClient, run_id: str) -> Link:
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        return link_on_record(read_audit(client, run_id, Path(scratch)))


def is_newest(client: MlflowClient, model: str, run_id: str) -> bool:
    """Tell whether no other audit of a model has ended after that of a run, or after now where that goes on."""
    return _newest(client, model, run_id) == run_id
