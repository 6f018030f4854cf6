"""The run of an audit: begun once, and ended whatever happens as finished, failed or killed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from nnperm_mlflow.basics.errors import AuditError, ConfigError, TrackingError, name_list, says_missing
from nnperm_mlflow.models.model_uri import ModelReference, asked_store
from nnperm_mlflow.registry.tags import ERROR_TAG, WHOLE_TAG

logger = logging.getLogger(__name__)


_FINISHED, _FAILED, _KILLED = map(RunStatus.to_string, (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED))

MOST_MESSAGE = 5000
"""Characters of it; MLflow cuts a tag at 8000."""


class RunSession:
    """Holds the run that an audit writes to; leaving the `with` block ends it, unless others go on with it.

    Parameters
    ----------
    client : MlflowClient
    run_id : str, optional
        A run to continue, as `mlflow run` makes one; else `start` begins one.
    ends : bool
        Whether the run ends with the block; False where it goes on for others, as in `mlflow.models.evaluate`.

    Attributes
    ----------
    begun : Run or None
        The run as it is at its beginning, if it is begun here.
    experiment_id : str

    Raises
    ------
    TrackingError
        If there is no run with that id.
    """

    def __init__(self, client: MlflowClient, run_id: str | None = None, *, ends: bool = True) -> None:
        self._client = client
        self._ends = ends
        self._run_id = run_id
        self.begun: Run | None = None
        self.experiment_id = self._experiment_of(run_id) if run_id else ""

    @property
    def start_time(self) -> int | None:
        """When the run began: milliseconds since 1970."""
        run = self.begun or self._client.get_run(self.run_id)
        return None if run.info.start_time is None else int(run.info.start_time)

    @property
    def run_id(self) -> str:
        """Id of the run."""
        if self._run_id is None:
            raise RuntimeError("the run has not been started")
        return self._run_id

    def refuse_used(self, params: Mapping[str, object] | None = None) -> None:
        """Refuse a run to continue that is of something else; it stays as it is.

        Parameters
        ----------
        params : mapping of str to object, optional
            Parameters that it will get, as far as they are known.

        Raises
        ------
        TrackingError
            If it holds a whole audit, or some of the parameters with other values, which MLflow never changes.
        """
        if self._run_id is None:
            return
        data = self._client.get_run(self._run_id).data
        taken = [key for key, value in (params or {}).items() if data.params.get(key, str(value)) != str(value)]
        if WHOLE_TAG in data.tags or taken:
            holds = "an audit" if WHOLE_TAG in data.tags else f"the parameters {name_list(taken)} with other values"
            where = " (MLFLOW_RUN_ID names this one)" if self._ends else ""
            self.leave()
            raise TrackingError(
                f"run {self._run_id} holds {holds} already. Begin a run of its own for this audit{where}."
            )

    def start(
        self,
        reference: ModelReference,
        experiment: str | None,
        *,
        run_name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a run in the experiment asked for, else in the model's own; a run to continue stays where it is.

        Only there MLflow's page of the run shows which version its numbers belong to. The tags say from the beginning
        what the run is, if it is not one of others.

        Raises
        ------
        TrackingError
            If the experiment has been deleted.
        """
        home = reference.experiment_id
        if self._run_id is None:
            self.experiment_id = self._named_experiment(experiment) if experiment else home or "0"
            self.begun = self._create(run_name or _run_name(reference), {**resolve_tags(), **(tags or {})})
            self._run_id = str(self.begun.info.run_id)
        elif self._ends:
            for key, value in (tags or {}).items():
                self._client.set_tag(self._run_id, key, value)
        if reference.is_foreign:
            logger.warning(
                "%s was logged in another tracking store than this one, which does not know its model: the metrics are "
                "the run's alone",
                reference,
            )
        if home and self.experiment_id != home:
            logger.warning(
                "the run is in experiment %s, the model in %s: MLflow shows the version beside the metrics "
                "only in the model's own experiment",
                self.experiment_id,
                home,
            )

    def leave(self) -> None:
        """Leave the run as it is: it has been ended, or is not ours to end."""
        self._ends = False

    def __enter__(self) -> RunSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run_id is None or not self._ends:
            return
        if error is None:
            if self._client.get_run(self._run_id).info.status != _FINISHED:
                self._client.set_terminated(self._run_id, _FINISHED)
            return
        status = _KILLED if isinstance(error, (KeyboardInterrupt, SystemExit)) else _FAILED
        try:
            if self._client.get_run(self._run_id).info.status == _FINISHED:
                return  # what is missing yet is on the version
            if isinstance(error, AuditError):
                self._client.set_tag(self._run_id, ERROR_TAG, str(error)[:MOST_MESSAGE])
            self._client.set_terminated(self._run_id, status)
        except MlflowException as unanswered:
            logger.warning("run %s could not be ended as %s (%s)", self._run_id, status, unanswered.error_code)

    def _experiment_of(self, run_id: str) -> str:
        try:
            return str(self._client.get_run(run_id).info.experiment_id)
        except MlflowException as error:
            if not says_missing(error):
                raise
            raise TrackingError(
                f"run {run_id} is not in the tracking store, which must be the one that 'mlflow run' uses. "
                f"{asked_store()}"
            ) from error

    def _create(self, name: str, tags: Mapping[str, str]) -> Run:
        try:
            return self._client.create_run(self.experiment_id, tags=dict(tags), run_name=name)
        except MlflowException as error:
            if not says_missing(error):
                raise
            found = self._client.get_experiment(self.experiment_id)
            if found.lifecycle_stage == LifecycleStage.ACTIVE:
                raise
            raise TrackingError(
                f"the run belongs in the experiment '{found.name}', which has been deleted. Restore it (mlflow "
                f"experiments restore --experiment-id {self.experiment_id}), or name another one (--experiment NAME)."
            ) from error

    def _named_experiment(self, name: str) -> str:
        if str(self._client.tracking_uri).startswith("databricks") and not name.startswith("/"):
            raise ConfigError(f"experiments there are called by their path: give /Users/you/{name}, not '{name}'.")
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id) if found else str(self._client.create_experiment(name))


def call_killed(client: MlflowClient, run_id: str) -> bool:
    """Call a run killed that is called failed and is not whole; tell whether it was called so."""
    run = client.get_run(run_id)
    failed = bool(run.info.status == _FAILED)
    if failed and WHOLE_TAG not in run.data.tags:
        client.set_terminated(run_id, _KILLED)
    return failed


def _run_name(reference: ModelReference) -> str:
    return f"audit of {reference.name} {reference.version}" if reference.name else f"audit of {reference.uri}"[:200]
