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
from mlflow.exceptions import MlflowException

from nnperm_mlflow.approval.judgement import Judged
from nnperm_mlflow.auditor.record import Record
from nnperm_mlflow.auditor.workspace import State, Workspace
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, TrackingError, says_missing
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.registry.connection import command, connected, run_address
from nnperm_mlflow.registry.publication import Publication, load_publication
from nnperm_mlflow.registry.publication import publish as write
from nnperm_mlflow.registry.refusals import explained
from nnperm_mlflow.registry.run_session import ERROR_TAG, MOST_MESSAGE

logger = logging.getLogger(__name__)

_IDENTITY = ("model_digest", "data_digest", "config_digest")


@dataclass(frozen=True)
class Published:
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


def publish(folder: str | Path) -> Published:
    """Write the results of an audit that could not be written, or only in part.

    Parameters
    ----------
    folder : str or Path
        Where they lie, as the audit said.

    Returns
    -------
    Published

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
    return Published(publication.run_id, address, denied, publication.lacks_verdict)


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


def unpublished(work_dir: str | Path | None = None) -> list[Path]:
    """Return the folders whose results wait to be published."""
    return Workspace.at(work_dir).unpublished()


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
    if any(waiting.evidence.params.get(key) != str(record[key]) for key in _IDENTITY):
        raise ConfigError(
            f"the results of another audit (run {waiting.run_id}) wait in '{folder}' to be written. Name another "
            f"directory (--output), or write them first: {command('publish', str(folder.resolve()))}"
        )


@contextmanager
def kept_until_published(record: Record, state: State, asks_verdict: bool = False) -> Iterator[None]:
    """Keep the results of an audit where they cannot be written within the block, and say how to write them later.

    Parameters
    ----------
    record : Record
    state : State
        What the audit has computed, which goes with its results.
    asks_verdict : bool
        Whether there is a policy to apply.
    """
    folder = record.place.folder
    replace(record.publication(), lacks_verdict=asks_verdict).save(folder.path)
    state.wait(folder.path)
    try:
        with explained():
            yield
    except TrackingError as error:
        raise TrackingError(f"{error} {_kept(record)}") from error
    except BaseException:
        logger.warning("%s", _kept(record))
        raise


def publish_record(client: MlflowClient, record: Record, judged: Judged) -> list[str]:
    """Write an audit and its verdict; return what could not be written for want of permission."""
    tags = {} if judged.problem is None else {ERROR_TAG: str(judged.problem)[:MOST_MESSAGE]}
    publication = replace(record.publication(judged.verdict, tags), lacks_verdict=judged.problem is not None)
    publication.save(record.place.folder.path)
    return write(client, record.place.folder.path, publication)


def _kept(record: Record) -> str:
    """Let an audit's folder stay, and say where what was computed lies, and how to write it."""
    folder = record.place.folder
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
