"""Audits on record: read from the runs that hold them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from nnperm_mlflow.basics.errors import AuditError, EvidenceError, TrackingError, says_missing
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import asked_store
from nnperm_mlflow.registry.artifacts import repository_of
from nnperm_mlflow.registry.audits import FINISHED, holds_audit, status_of
from nnperm_mlflow.registry.copies import audits_of
from nnperm_mlflow.registry.error_explanation import explained
from nnperm_mlflow.registry.evidence_cache import EvidenceCache
from nnperm_mlflow.registry.sightings import Sightings
from nnperm_mlflow.registry.tags import TABLE_TAG

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFiles:
    """The files of a run, fetched when they are asked for.

    Attributes
    ----------
    client : MlflowClient
    run_id : str
    folder : Path
        Directory for them.
    place : str or None
        Where they lie, as the run says; where it is not known, MLflow asks for the run before each file.
    cache : EvidenceCache or None
        Of files whose digests are known.
    """

    client: MlflowClient
    run_id: str
    folder: Path
    place: str | None = None
    cache: EvidenceCache | None = None
    _fetched: dict[str, Path] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, client: MlflowClient, run: Run, folder: Path, cache: EvidenceCache | None = None) -> RunFiles:
        """Return the files of a run, fetched into a folder of their own."""
        own = folder / str(run.info.run_id)
        own.mkdir(parents=True, exist_ok=True)
        place = str(run.info.artifact_uri or "")
        return cls(client, str(run.info.run_id), own, place if _is_reached_directly(place) else None, cache)

    def fetch(self, name: str, digest: str | None = None) -> Path:
        """Download a file of the run.

        Parameters
        ----------
        name : str
        digest : str, optional
            Its sha256, if that is known: then a file that is kept here may stand for it.

        Raises
        ------
        EvidenceError
            If it is not there.
        TrackingError
            If it is, and cannot be fetched, or the store of artifacts does not say whether it is.
        """
        if name not in self._fetched:
            kept = None if self.cache is None or digest is None else self.cache.get(digest, name)
            self._fetched[name] = self._download(name) if kept is None else kept
            if self.cache is not None and digest is not None and kept is None:
                self.cache.keep(digest, self._fetched[name])
        return self._fetched[name]

    def _download(self, name: str) -> Path:
        try:
            with explained():
                return Path(self._repository.download_artifacts(name, str(self.folder)))
        except TrackingError as error:
            if name in self.names_in(name.rpartition("/")[0]):
                raise TrackingError(
                    f"{name} of run {self.run_id} is there, and cannot be fetched ({type(error.__cause__).__name__}). "
                    "Is the store of artifacts running, and may you read there?"
                ) from error
            raise EvidenceError(
                f"{name} of run {self.run_id} is not there: the audit is not whole. Audit the version again."
            ) from error

    def names_in(self, folder: str) -> list[str]:
        """Return the paths of what a folder of the run holds; "" is its root.

        Raises
        ------
        TrackingError
            If the store of artifacts does not say.
        """
        with explained():
            return sorted(file.path for file in self._repository.list_artifacts(folder or None))

    @cached_property
    def _repository(self) -> ArtifactRepository:
        if self.place is None:
            return repository_of(self.client, self.client.get_run(self.run_id))
        return get_artifact_repository(self.place, tracking_uri=self.client.tracking_uri)

    def ask_server(self) -> None:
        """Ask for the run once more, which tells a server that has fallen silent from a store of artifacts that has.

        Raises
        ------
        TrackingError
            If the server does not answer.
        """
        with explained():
            self.client.get_run(self.run_id)


def _is_reached_directly(place: str) -> bool:
    """Tell whether a location is all that is needed to reach it."""
    return bool(place) and not place.startswith("dbfs:")


def record_in(run: Run, files: RunFiles, table: Path | None = None) -> AuditRecord:
    """Return what a run tells of an audit, of whatever status it is.

    Parameters
    ----------
    run : Run
    files : RunFiles
    table : Path, optional
        A copy of the deviation table, where that was kept out of the run.
    """
    datasets = run.inputs.dataset_inputs if run.inputs else []
    return AuditRecord(
        run_id=str(run.info.run_id),
        experiment_id=str(run.info.experiment_id),
        params=run.data.params,
        files=files,
        tags=run.data.tags,
        begun_at=moment_of(run.info.start_time),
        ended_at=moment_of(run.info.end_time),
        dataset={key: value for key, value in datasets[0].dataset if value is not None} if datasets else {},
        own_table=table,
        lacks_table=TABLE_TAG in run.data.tags,
    )


def moment_of(milliseconds: int | None) -> datetime | None:
    """Return the moment that a run tells, in UTC; None where it tells none, or one that no calendar has."""
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def is_readable(record: AuditRecord) -> bool:
    """Tell whether all that an audit tells is there; one that is damaged, or was made up, is told of in a line."""
    try:
        record.refuse_damaged()
    except AuditError as error:
        record.files.ask_server()
        logger.warning("%s is passed over: %s", record, error)
        return False
    return True


def newest_audit(
    client: MlflowClient,
    uri: str,
    folder: Path,
    experiment: str | None = None,
    table: Path | None = None,
    *,
    sightings: Sightings | None = None,
) -> AuditRecord:
    """Return the newest audit of a pinned model; an older one never stands in for one that is damaged.

    Parameters
    ----------
    client : MlflowClient
    uri : str
    folder : Path
        Directory for its files.
    experiment : str, optional
        Name of the only experiment whose audits count.
    table : Path, optional
        A copy of the deviation table, where that was kept out of the run.
    sightings : Sightings, optional
        When runs were first seen, see `find_audits`.

    Raises
    ------
    EvidenceError
        If there is none, or it cannot be read.
    """
    runs = audits_of(client, uri, experiment, sightings=sightings)
    if not runs:
        raise EvidenceError(f"{uri} has no finished audit. Audit it: nnperm audit {uri} --config FILE")
    record = _record_of(client, runs[0], folder, table)
    try:
        record.refuse_damaged()
    except EvidenceError as error:
        raise EvidenceError(
            f"the newest audit of {uri} cannot be read, and no older one stands in for it: {error} Or delete {record}, "
            "if it is nobody's audit, or name the audit that is meant (--run)."
        ) from error
    return record


def _record_of(client: MlflowClient, run: Run, folder: Path, table: Path | None = None) -> AuditRecord:
    return record_in(run, RunFiles.of(client, run, folder), table)


def comparable_audits(client: MlflowClient, uri: str, folder: Path, experiment: str | None = None) -> list[AuditRecord]:
    """Return the audits of a pinned model that can be compared with others, newest first; their files are not read yet.

    Parameters
    ----------
    client, uri, folder, experiment
        As for `newest_audit`.
    """
    runs = audits_of(client, uri, experiment)
    return [_record_of(client, run, folder) for run in runs if TABLE_TAG not in run.data.tags]


def read_audit(client: MlflowClient, run_id: str, folder: Path, table: Path | None = None) -> AuditRecord:
    """Return the audit that a run holds.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    folder : Path
        Directory for its files; made where it is not there.
    table : Path, optional
        A copy of the deviation table, where that was kept out of the run.

    Raises
    ------
    EvidenceError
        If there is no such run, or it was deleted, is not finished, or holds no audit.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if not says_missing(error):
            raise
        raise EvidenceError(
            f"run {run_id} is not in the tracking store. Look at the id (nnperm history), or audit the version again. "
            f"{asked_store()}"
        ) from error
    if run.info.lifecycle_stage != "active":
        raise EvidenceError(f"run {run_id} has been deleted. Restore it, or audit the version again.")
    if status_of(run) != FINISHED:
        raise EvidenceError(
            f"run {run_id} is {run.info.status}, not {FINISHED}. If its results wait to be written, do that (nnperm "
            "publish); else audit the version again."
        )
    if not holds_audit(run):
        raise EvidenceError(f"run {run_id} holds no audit. Name one: nnperm history lists them.")
    return record_in(run, RunFiles.of(client, run, folder), table)
