"""Which runs hold audits, and how they ended."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.entities import Run

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.text import named
from nnperm_mlflow.models.model_uri import asked_store
from nnperm_mlflow.registry.tags import AUDIT, KIND_TAG, MODEL_TAG, WHOLE_TAG

FINISHED = "FINISHED"


TABLE_DIGEST = "table_digest"
"""Parameter of a run that holds an audit; without it there is nothing that its files could be held against."""

_EXPERIMENTS_AT_ONCE = 100
_PAGE = 1000


def find_audits(client: MlflowClient, uri: str, experiment: str | None = None) -> list[Run]:
    """Return the finished audits of a pinned model, the last one finished first.

    Parameters
    ----------
    client : MlflowClient
    uri : str
        `models:/credit/3`, or what else `pin_model` returned.
    experiment : str, optional
        Name of the only experiment whose runs count; by default all do.
    """
    condition = f"tags.`{KIND_TAG}` = '{AUDIT}' and {named(f'tags.`{MODEL_TAG}`', uri)}"
    found = find_runs(client, condition, experiment)
    return [run for run in found if holds_audit(run) and run.data.tags.get(MODEL_TAG) == uri]


def find_runs(
    client: MlflowClient, condition: str, experiment: str | None = None, *, finished: bool = True
) -> list[Run]:
    """Return the runs that meet a condition, the last one finished first; of one experiment, or of all.

    With `finished=False` those are among them that failed, were killed or still go on.
    """
    found: list[Run] = []
    for ids in _experiments(client, experiment):
        token = None
        while True:
            page = client.search_runs(ids, condition, max_results=_PAGE, page_token=token)
            found.extend(run for run in page if not finished or status_of(run) == FINISHED)
            token = page.token
            if not token:
                break
    return sorted(found, key=ended, reverse=True)


def ended(run: Run) -> tuple[int, str]:
    """Return what runs are ordered by: of a version's audits the newest is the one that ended last."""
    return run.info.end_time or 0, str(run.info.run_id)


def holds_audit(run: Run) -> bool:
    """Tell whether a run holds an audit, and is not one that only bears its tags."""
    return status_of(run) == FINISHED and run.data.tags.get(KIND_TAG) == AUDIT and TABLE_DIGEST in run.data.params


def status_of(run: Run) -> str:
    """Return how a run has ended: an audit that is whole has finished, whatever `mlflow run` has called it.

    It calls each command failed that has another exit status than 0, and a verdict of fail has 1.
    """
    is_whole = run.info.status in ("FAILED", "KILLED") and WHOLE_TAG in run.data.tags
    return FINISHED if is_whole else str(run.info.status)


def _experiments(client: MlflowClient, name: str | None) -> Iterator[list[str]]:
    if name is not None:
        only = client.get_experiment_by_name(name)
        if only is None:
            raise ConfigError(f"there is no experiment '{name}' in the tracking store. {asked_store()}")
        yield [only.experiment_id]
        return
    ids, token = [], None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        ids += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            break
    for start in range(0, len(ids), _EXPERIMENTS_AT_ONCE):
        yield ids[start : start + _EXPERIMENTS_AT_ONCE]
