"""Writing a publication into the run of its audit and onto the version, once or as often as it takes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Run

from nnperm_mlflow.basics.audit_files import PUBLICATION_FILE, VERDICT_FILE
from nnperm_mlflow.registry.audits import FINISHED, AuditSearch
from nnperm_mlflow.registry.publication import Publication, VerdictContent, VersionLink
from nnperm_mlflow.registry.records import RunFiles, is_readable, record_in
from nnperm_mlflow.registry.run_content import log_files, log_run_content
from nnperm_mlflow.registry.tags import ERROR_TAG, WHOLE_TAG
from nnperm_mlflow.registry.verdicts import delete_past, log_texts, tags_of
from nnperm_mlflow.registry.version_link import link_on_record, link_version

_Links = dict[str, VersionLink | None]

_TRIES = 10  # to write the newest audit onto a version, while others end


def publish(client: MlflowClient, folder: Path, publication: Publication, run: Run | None = None) -> list[str]:
    """Write an audit into its run, and then onto the version; doing it twice, or going on with it, changes nothing.

    Parameters
    ----------
    client : MlflowClient
    folder : Path
        Where the files lie.
    publication : Publication
    run : Run, optional
        As it is before, where that is known: one that has just been begun; else it is asked for.

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    run_id = publication.run_id
    _keep_verdict(folder, publication.verdict)
    run = client.get_run(run_id) if run is None else run
    verdict = publication.verdict
    log_files(client, run, folder, publication.run.files)
    log_texts(client, run, verdict.texts)
    last_tags = {**tags_of(run, verdict), WHOLE_TAG: "true"}
    denied = log_run_content(client, run, publication.model_id, publication.run, last_tags)
    delete_past(client, run, verdict)
    if publication.ends_run:
        _finish(client, publication, run)
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


def _finish(client: MlflowClient, publication: Publication, run: Run) -> None:
    """End the run as finished, once: its end tells which audit of a version is the newest."""
    has_verdict = VERDICT_FILE in publication.verdict.texts  # with which that tag went
    if ERROR_TAG in run.data.tags and ERROR_TAG not in publication.run.tags and not has_verdict:
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
    search, denied = AuditSearch(client, f"models:/{name}/{version}"), list[str]()
    links: _Links = {run_id: link}
    written, newest = None, _newest(search, run_id, links)
    if newest != run_id:
        return denied
    for _ in range(_TRIES):
        found = search.version if written is None else None
        denied = link_version(client, name, version, links[newest] or link, found)
        written, newest = newest, _newest(search, run_id, links)
        if newest in (written, ""):
            break
    return denied


def _newest(search: AuditSearch, run_id: str, links: _Links) -> str:
    """Return the run of a model's newest audit that can be read, be it one that goes on; "" where there is none.

    What a version shall tell of an audit that is newer than that of the run is put into `links`.
    """
    found = {str(run.info.run_id): run for run in search.newest_first()}
    if run_id not in found and search.client.get_run(run_id).info.end_time is None:
        return run_id
    for newest, run in found.items():
        if newest != run_id and newest not in links:
            links[newest] = _link_of(search.client, run)
        if newest == run_id or links[newest] is not None:
            return newest
    return ""


def _link_of(client: MlflowClient, run: Run) -> VersionLink | None:
    """Return what a version shall tell of an audit on record; None of one that is damaged, or was made up."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        record = record_in(run, RunFiles.of(client, run, Path(scratch)))
        return link_on_record(record) if is_readable(record) else None


def is_newest(client: MlflowClient, model: str, run_id: str) -> bool:
    """Tell whether the audit of a run is a model's newest that can be read, or still goes on."""
    return _newest(AuditSearch(client, model), run_id, {}) == run_id
