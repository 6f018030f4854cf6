"""Writing what has been computed, at once or later: nothing is lost where the tracking server or its disk gives way."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval import Judged
from nnperm_mlflow.errors import TrackingError
from nnperm_mlflow.filenames import PUBLICATION_FILE
from nnperm_mlflow.recording import Record
from nnperm_mlflow.registry.connection import connected, explained, run_address
from nnperm_mlflow.registry.publication import load_publication
from nnperm_mlflow.registry.publication import publish as write
from nnperm_mlflow.registry.session import ERROR_TAG, MOST_MESSAGE
from nnperm_mlflow.workspace import Workspace


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
    """

    run_id: str
    address: str | None
    not_linked: list[str] = field(default_factory=list)


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
    EvidenceError
        If there is nothing to publish.
    TrackingError
        If the tracking store refuses again; the results stay.
    """
    folder = Path(folder)
    publication = load_publication(folder)
    with connected() as (client, _):
        denied = write(client, folder, publication)
    if publication.is_temporary:
        shutil.rmtree(folder, ignore_errors=True)
    return Published(publication.run_id, run_address(publication.experiment_id, publication.run_id), denied)


def unpublished(work_dir: str | Path | None = None) -> list[Path]:
    """Return the folders whose results wait to be published."""
    return sorted(path.parent for path in Workspace.at(work_dir).results.glob(f"*/{PUBLICATION_FILE}"))


@contextmanager
def kept_until_published(record: Record) -> Iterator[None]:
    """Keep the results of an audit where they cannot be written within the block, and say how to write them later."""
    folder = record.place.folder
    record.publication().save(folder.path)
    try:
        with explained():
            yield
    except TrackingError as error:
        raise TrackingError(
            f"{error} Nothing that was computed is lost: it lies in '{folder.keep()}'. Once the store is well, write "
            f"it with: nnperm publish {shlex.quote(str(folder.path))}"
        ) from error
    except BaseException:
        folder.keep()
        raise


def publish_record(client: MlflowClient, record: Record, judged: Judged) -> list[str]:
    """Write an audit and its verdict; return what could not be written for want of permission."""
    tags = {} if judged.problem is None else {ERROR_TAG: str(judged.problem)[:MOST_MESSAGE]}
    publication = record.publication(judged.verdict, tags)
    publication.save(record.place.folder.path)
    return write(client, record.place.folder.path, publication)
