"""Writing a publication into the run of its audit and onto the version, once or as often as it takes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from nnperm_mlflow.basics.audit_files import PUBLICATION_FILE, VERDICT_FILE
from nnperm_mlflow.registry.audits import FINISHED, find_audits
from nnperm_mlflow.registry.publication import Publication, VerdictContent, VersionLink
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.run_content import log_run_content
from nnperm_mlflow.registry.tags import ERROR_TAG, WHOLE_TAG
from nnperm_mlflow.registry.verdicts import log_verdict
from nnperm_mlflow.registry.version_link import link_on_record, link_version

_TRIES = 10  # to write the newest audit onto a version, while others end


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
    _keep_verdict(folder, publication.verdict)
    denied = log_run_content(client, run_id, publication.model_id, folder, publication.run)
    denied += log_verdict(client, run_id, publication.verdict)
    client.set_tag(run_id, WHOLE_TAG, "true")
    if publication.ends_run:
        _finish(client, publication)
    if publication.name and publication.version:
        denied += link_newest(client, publication.name, publication.version, run_id, publication.link)
    (folder / PUBLICATION_FILE).unlink(missing_ok=True)
    return denied


def _keep_verdict(folder: Path, content: VerdictContent) -> None:
    """Write card and verdict beside the other files, too; one that an earlier audit has left there says nothing now."""
    (folder / VERDICT_FILE).unlink(missing_ok=True)
    for name, text in content.texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _finish(client: MlflowClient, publication: Publication) -> None:
    """End the run as finished, once: its end tells which audit of a version is the newest."""
    run = client.get_run(publication.run_id)
    if ERROR_TAG in run.data.tags and ERROR_TAG not in publication.run.tags:
        client.delete_tag(publication.run_id, ERROR_TAG)  # of a try that did not get to its end
    if run.info.status != FINISHED:
        client.set_terminated(publication.run_id, FINISHED)


def link_newest(client: MlflowClient, name: str, version: str, run_id: str, link: VersionLink) -> list[str]:
    """Link a model version to an audit, if that is its newest one; where another ends meanwhile, to that.

    Of two audits that end at once each may overwrite what the other has just written, and the tags that it wrote first
    may be the last to stay. So each looks again after it has written: whoever writes last writes the newest.

    Parameters
    ----------
    client : MlflowClient
    name, version : str
    run_id : str
        The run of the audit.
    link : VersionLink
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
    """Return the run of a model's newest audit, be it one that goes on; "" where the ends of all are doubtful."""
    if client.get_run(run_id).info.end_time is None:
        return run_id
    found = find_audits(client, model)
    return str(found[0].info.run_id) if found else ""


def _link_of(client: MlflowClient, run_id: str) -> VersionLink:
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        return link_on_record(read_audit(client, run_id, Path(scratch)))


def is_newest(client: MlflowClient, model: str, run_id: str) -> bool:
    """Tell whether the audit of a run is a model's newest: see `registry.audits.find_audits`, or it still goes on."""
    return _newest(client, model, run_id) == run_id
