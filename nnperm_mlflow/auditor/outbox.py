"""Writing what has been computed, at once or later: nothing is lost where the tracking server or its disk gives way."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from nnperm_mlflow.approval.audit_contents import contents_of
from nnperm_mlflow.approval.audit_judgement import Judgement
from nnperm_mlflow.auditor.result import Folder
from nnperm_mlflow.auditor.workspace import State, Workspace
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, TrackingError, says_missing
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.registry.connection import command, connected, run_address
from nnperm_mlflow.registry.error_explanation import explained
from nnperm_mlflow.registry.publication import Publication, load_publication
from nnperm_mlflow.registry.publisher import publish as write
from nnperm_mlflow.registry.run_content import POLICY_PARAM, RESULT_PARAM
from nnperm_mlflow.registry.run_session import MOST_MESSAGE
from nnperm_mlflow.registry.tags import ERROR_TAG

logger = logging.getLogger(__name__)

_IDENTITY = ("model_digest", "data_digest", "config_digest")


@dataclass(frozen=True)
class PublishResult:
    """An audit that has been written.

    Attributes
    ----------
    run_id : str
    address : str or None
        The run's page; None where the tracking store is no server.
    not_linked : list of str
        What could not be written for want of permission.
    lacks_verdict : bool
        Whether a policy was asked for that could not be applied yet.
    """

    run_id: str
    address: str | None
    not_linked: list[str] = field(default_factory=list)
    lacks_verdict: bool = False


def publish(folder: str | Path) -> PublishResult:
    """Write the results of an audit that could not be written, or only in part.

    Parameters
    ----------
    folder : str or Path
        Where they lie, as the audit said.

    Returns
    -------
    PublishResult

    Raises
    ------
    ConfigError
        If a URI is given.
    EvidenceError
        If there is nothing to publish.
    TrackingError
        If the tracking store refuses again; the results stay.
    """
    folder = local_path(folder, "what waits to be written")
    publication = load_publication(folder)
    with connected() as (client, _):
        _refuse_other_store(client, publication)
        denied = write(client, folder, publication)
    if publication.work_dir is not None:
        Workspace(Path(publication.work_dir)).forget(folder)
    if publication.is_temporary:
        shutil.rmtree(folder, ignore_errors=True)
    address = run_address(publication.experiment_id, publication.run_id)
    return PublishResult(publication.run_id, address, denied, publication.lacks_verdict)


def _refuse_other_store(client: MlflowClient, publication: Publication) -> None:
    try:
        client.get_run(publication.run_id)
    except MlflowException as error:
        if not says_missing(error):
            raise
        store = without_secrets(str(mlflow.get_tracking_uri()))
        raise EvidenceError(
            f"run {publication.run_id} of these results is not in {store}. Name the store that it was begun in "
            "(--tracking-uri)."
        ) from error


def refuse_overwriting(folder: Path, record: Mapping[str, object]) -> None:
    """Refuse a directory in which the results of another audit wait to be written.

    Parameters
    ----------
    folder : Path
    record : mapping
        What identifies the audit that would write there; its own results come out the same.

    Raises
    ------
    ConfigError
        Says how to write them.
    """
    try:
        waiting = load_publication(folder)
    except EvidenceError:
        return  # nothing that could be written any more
    if any(waiting.run.params.get(key) != str(record[key]) for key in _IDENTITY):
        raise ConfigError(
            f"the results of another audit (run {waiting.run_id}) wait in '{folder}' to be written. Name another "
            f"directory (--output), or write them first: {command('publish', str(folder.resolve()))}"
        )


@contextmanager
def kept_until_published(
    publication: Publication, folder: Folder, state: State, asks_verdict: bool = False
) -> Iterator[None]:
    """Keep the results of an audit where they cannot be written within the block, and say how to write them later.

    Parameters
    ----------
    publication : Publication
    folder : Folder
        Where the files lie.
    state : State
        What the audit has computed, which goes with its results.
    asks_verdict : bool
        Whether there is a policy to apply.
    """
    replace(publication, lacks_verdict=asks_verdict).save(folder.path)
    state.wait(folder.path)
    try:
        with explained():
            yield
    except TrackingError as error:
        raise TrackingError(f"{error} {_kept(folder)}") from error
    except BaseException:
        logger.warning("%s", _kept(folder))
        raise


def publish_audit(
    client: MlflowClient,
    folder: Path,
    publication: Publication,
    record: AuditRecord,
    judgement: Judgement,
    *,
    begun: Run | None = None,
) -> list[str]:
    """Write an audit and its verdict; return what could not be written for want of permission.

    Parameters
    ----------
    client : MlflowClient
    folder : Path
        Where the files lie.
    publication : Publication
        As yet without a verdict.
    record : AuditRecord
    judgement : Judgement
    begun : Run, optional
        The run, where it was begun by this audit and nobody else has written into it.
    """
    verdict, link = publication.verdict, publication.link
    if judgement.verdict is not None:
        verdict, link = contents_of(record, judgement.verdict)
    problem = judgement.problem
    tags = {} if problem is None else {ERROR_TAG: str(problem)[:MOST_MESSAGE]}
    params = {}
    if POLICY_PARAM in publication.run.params and judgement.verdict is not None:
        params[RESULT_PARAM] = judgement.verdict.result
    content = replace(
        publication.run, params={**publication.run.params, **params}, tags={**publication.run.tags, **tags}
    )
    whole = replace(publication, run=content, verdict=verdict, link=link, lacks_verdict=problem is not None)
    whole.save(folder)
    return write(client, folder, whole, begun)


def _kept(folder: Folder) -> str:
    """Let an audit's folder stay, and say where what was computed lies, and how to write it."""
    return (
        f"Nothing that was computed is lost: it lies in '{folder.keep()}'. Once nothing stands in the way, write it "
        f"with: {_commands(folder.path)}"
    )


def _commands(folder: Path) -> str:
    """Return what somebody has to run to write an audit and, where it lacks one, its verdict."""
    publication = load_publication(folder)
    publish_it = command("publish", str(folder.resolve()))
    give_verdict = f", and then apply its policy with: {command('check', '--run', publication.run_id)}"
    return publish_it + (give_verdict if publication.lacks_verdict else "")
