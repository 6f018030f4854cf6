"""Which runs hold audits, how they ended, and which of a version's audits is the newest."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.errors import ConfigError, says_missing
from nnperm_mlflow.basics.text import named
from nnperm_mlflow.models.model_uri import asked_store
from nnperm_mlflow.registry.sightings import Sightings
from nnperm_mlflow.registry.tags import AUDIT, KIND_TAG, MODEL_TAG, WHOLE_TAG

logger = logging.getLogger(__name__)

FINISHED = "FINISHED"

_AGAIN = "Look at the clocks, or audit again"

SKEW_MS = 5 * 60 * 1000
"""By how much two clocks may differ: the end of a run is told by one, the creation of a version by the server's."""


TABLE_DIGEST = "table_digest"
"""Parameter of a run that holds an audit; without it there is nothing that its files could be held against."""

_EXPERIMENTS_AT_ONCE = 100
_PAGE = 1000


def find_audits(
    client: MlflowClient, uri: str, experiment: str | None = None, *, sightings: Sightings | None = None
) -> list[Run]:
    """Return the finished audits of a pinned model, the newest first; of those whose end is doubtful a line is logged.

    Parameters
    ----------
    client : MlflowClient
    uri : str
        `models:/credit/3`, or what else `pin_model` returned.
    experiment : str, optional
        Name of the only experiment whose runs count; by default all do.
    sightings : Sightings, optional
        When runs were first seen, which goes before what they tell of their end; the audits are noted there.
    """
    return AuditSearch(client, uri, experiment).newest_first(sightings)


def finished_audits(client: MlflowClient, uri: str, experiment: str | None = None) -> list[Run]:
    """Return a pinned model's finished audits by the end that they tell, the last first, doubtful ones included."""
    return AuditSearch(client, uri, experiment).finished()


@dataclass(frozen=True)
class AuditSearch:
    """A search for the audits of one model, which may be made again and then asks for what is new alone.

    Attributes
    ----------
    client : MlflowClient
    uri : str
        `models:/credit/3`, or what else `pin_model` returned.
    experiment : str or None
        Name of the only experiment whose runs count; by default all do that were there at the first search.
    """

    client: MlflowClient
    uri: str
    experiment: str | None = None

    def newest_first(self, sightings: Sightings | None = None) -> list[Run]:
        """Return the finished audits whose end is not doubtful, see `find_audits`."""
        found = self.finished(tells=True)
        now = _now()
        ids = [str(run.info.run_id) for run in found]
        seen = dict.fromkeys(ids, now) if sightings is None else sightings.first_seen(ids, now)
        created = self.created if found else None
        doubts = {run.info.run_id: doubt_of(run, created, seen[run.info.run_id]) for run in found}
        for run_id, doubt in doubts.items():
            if doubt:
                logger.warning("run %s is passed over: %s", run_id, doubt)
        sure = [run for run in found if not doubts[run.info.run_id]]
        return sorted(sure, key=lambda run: (seen[run.info.run_id], ended(run)), reverse=True)

    def finished(self, *, tells: bool = False) -> list[Run]:
        """Return the finished audits by the end that they tell, the last first, doubtful ones included.

        With `tells` a line is logged of each run that bears their tags and holds none.
        """
        condition = f"tags.`{KIND_TAG}` = '{AUDIT}' and {named(f'tags.`{MODEL_TAG}`', self.uri)}"
        found = _runs_of(self.client, self._experiments, condition, ViewType.ACTIVE_ONLY, finished=True)
        tagged = [run for run in found if run.data.tags.get(MODEL_TAG) == self.uri]
        for run in (run for run in tagged if tells and not holds_audit(run)):
            logger.warning(
                "run %s is passed over: its tags say that it is an audit of %s, and it has no %s. %s",
                run.info.run_id, self.uri, TABLE_DIGEST, "Every audit writes that: delete the run if it is nobody's",
            )  # fmt: skip
        return [run for run in tagged if holds_audit(run)]

    @cached_property
    def created(self) -> int | None:
        """When the model was created by the server's clock; None where nobody knows."""
        return int(self.version.creation_timestamp) if self.version else _logged_at(self.client, self.uri)

    @cached_property
    def version(self) -> ModelVersion | None:
        """The version as it is at the first question; None of what is no version, or is gone."""
        return _version_of(self.client, self.uri)

    @cached_property
    def _experiments(self) -> list[list[str]]:
        return list(_experiments(self.client, self.experiment, ViewType.ACTIVE_ONLY))


def doubt_of(run: Run, created: int | None, seen: int) -> str:
    """Return in words why nobody should believe when a run ended; nothing where it may well be so.

    MLflow takes start and end of a run from whoever writes it.

    Parameters
    ----------
    run : Run
    created : int or None
        When the version was created by the server's clock, in milliseconds since 1970; None where nobody knows.
    seen : int
        When the run had ended for sure: when it was first seen, or now.
    """
    end = run.info.end_time or 0
    if end > seen + SKEW_MS:
        return f"it tells as its end {_moment(end)}, and was there on {_moment(seen)}. {_AGAIN}"
    if created is not None and end < created - SKEW_MS:
        return f"it tells as its end {_moment(end)}, and the version was created on {_moment(created)}. {_AGAIN}"
    return ""


def _logged_at(client: MlflowClient, uri: str) -> int | None:
    """Return when a logged model was created; None where the URI means none, or nobody knows."""
    match = re.fullmatch(r"models:/(m-[0-9a-f]+)", uri)
    try:
        return int(client.get_logged_model(match[1]).creation_timestamp) if match else None
    except MlflowException as error:
        if not says_missing(error):
            raise
        return None


def _version_of(client: MlflowClient, uri: str) -> ModelVersion | None:
    """Return the version that a URI means; None where it means none, or one that is gone."""
    match = re.fullmatch(r"models:/(.+)/(\d+)", uri)
    try:
        return client.get_model_version(match[1], match[2]) if match else None
    except MlflowException as error:
        if not says_missing(error):
            raise
        return None


def _now() -> int:
    """Return the milliseconds since 1970 by this machine's clock."""
    return int(time.time() * 1000)


def _moment(when: int) -> str:
    try:
        return f"{datetime.fromtimestamp(when / 1000, timezone.utc):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):  # beyond all calendars
        return f"{when} ms after 1970"


def find_runs(
    client: MlflowClient,
    condition: str,
    experiment: str | None = None,
    *,
    finished: bool = True,
    deleted: bool = False,
) -> list[Run]:
    """Return the runs that meet a condition, the last one finished first; of one experiment, or of all.

    With `finished=False` those are among them that failed, were killed or still go on; with `deleted=True` those that
    were deleted, by themselves or with their experiment, and not yet removed for good.
    """
    view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    return _runs_of(client, _experiments(client, experiment, view), condition, view, finished=finished)


def _runs_of(
    client: MlflowClient, experiments: Iterable[list[str]], condition: str, view: int, *, finished: bool
) -> list[Run]:
    """Return the runs of some experiments that meet a condition, the last one finished first."""
    found: list[Run] = []
    for ids in experiments:
        token = None
        while True:
            page = client.search_runs(ids, condition, view, max_results=_PAGE, page_token=token)
            found.extend(run for run in page if not finished or status_of(run) == FINISHED)
            token = page.token
            if not token:
                break
    return sorted(found, key=ended, reverse=True)


def ended(run: Run) -> tuple[int, str]:
    """Return what runs are ordered by: of a version's audits the newest is the one that ended last, but for doubts."""
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


def only_experiment(client: MlflowClient, name: str) -> str:
    """Return the id of the only experiment whose audits count.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    only = client.get_experiment_by_name(name)
    if only is None:
        raise ConfigError(f"there is no experiment '{name}' in the tracking store. {asked_store()}")
    return str(only.experiment_id)


def _experiments(client: MlflowClient, name: str | None, view: int) -> Iterator[list[str]]:
    if name is not None:
        yield [only_experiment(client, name)]
        return
    ids, token = [], None
    while True:
        page = client.search_experiments(view, max_results=_PAGE, page_token=token)
        ids += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            break
    for start in range(0, len(ids), _EXPERIMENTS_AT_ONCE):
        yield ids[start : start + _EXPERIMENTS_AT_ONCE]
