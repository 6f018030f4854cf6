"""Rows on a cluster: what is known of all, a few of them here, and others when they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nnperm_mlflow.analysis.blockwise.block_task import BlockTask
from nnperm_mlflow.analysis.blockwise.merged_findings import find_merged
from nnperm_mlflow.analysis.blockwise.slice_plan import MOST_SECONDS, count_slices
from nnperm_mlflow.analysis.blockwise.slices import seconds_of_row
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.progress import Progress
from nnperm_mlflow.analysis.engine.self_noise import MOST_ROWS as NOISE_ROWS
from nnperm_mlflow.analysis.perturbation.donors import shuffle_block_sizes
from nnperm_mlflow.analysis.perturbation.grouping import MOST_ROWS as ASSOCIATED_ROWS
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.repeats.stopping_rule import Watched
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.inputs.binding import bind_inputs, fill_unchecked
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, Wanted, probe_rows
from nnperm_mlflow.inputs.layout import Layout
from nnperm_mlflow.inputs.slots import Index, RowSource
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.inputs.survey import Questions, SurveyedDataset, with_counts
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_signature import columns_by_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.spark.cluster import ClusterTable, find_out, head, take
from nnperm_mlflow.spark.numbered_rows import NumberedRows, number_rows
from nnperm_mlflow.spark.parts_list import note_parts, rehearse
from nnperm_mlflow.spark.session import Session, open_session, packed_folder
from nnperm_mlflow.spark.worker import Shipment

logger = logging.getLogger(__name__)

_HEAD_ROWS = 20
_MOST_BLOCK_ROWS = 4_096  # of a block of the audit, on which rows are looked at for whether they mix


@dataclass(frozen=True)
class ClusterRows:
    """Rows on a cluster, as they were asked for.

    Attributes
    ----------
    session : Session
    table : ClusterTable
        Where the deviations shall go.
    frame : DataFrame of Spark, or None
        None for what the configuration names.
    """

    session: Session
    table: ClusterTable
    frame: Any = None

    def bind(self, specs: Sequence[InputSpec], config: AuditConfig, files: ModelFiles) -> ClusterData:
        """Find out what has to be known of all rows, and bind the model's inputs to them.

        Parameters
        ----------
        specs : sequence of InputSpec
            What the model takes.
        config : AuditConfig
        files : ModelFiles
            Of the model.

        Raises
        ------
        AuditError
            If the rows cannot be read, or are not what the model takes.
        """
        rows = number_rows(self.session, config.data, self.frame)
        layout = Layout.of(rows.schema, rows.missing, config.data)
        some = layout.dataset(head(rows, _HEAD_ROWS))
        said = {**columns_by_signature(files.mlmodel, specs, some.columns), **config.inputs}
        questions = Questions.on(specs, some, said)
        survey, positions, table = find_out(rows, layout, questions, _tried_out(rows.n_rows, config))
        dataset = SurveyedDataset.of(layout.dataset(table), survey, rows.source)
        bound = with_counts(bind_inputs(specs, dataset, said, survey=survey), survey.counts)
        held = _Held(rows, layout, specs, bound.wanted, positions=positions, table=table)
        sources: Mapping[str, RowSource] = {name: _Fetched(held, name) for name in bound.sources}
        return ClusterData(rows, layout, self.table, files, dataset, replace(bound, sources=sources), held)


def _tried_out(n_rows: int, config: AuditConfig) -> np.ndarray:
    """Return the rows that a plan looks at."""
    asked = config.analysis.block_rows
    block_rows = _MOST_BLOCK_ROWS if asked == "auto" else min(asked, _MOST_BLOCK_ROWS)
    looks = [probe_rows(n_rows), *(probe_rows(n_rows, most) for most in (NOISE_ROWS, ASSOCIATED_ROWS, block_rows))]
    return np.unique(np.concatenate([np.arange(1), *looks]))


@dataclass(frozen=True)
class ClusterData:
    """What is known of rows on a cluster.

    Attributes
    ----------
    rows : NumberedRows
    layout : Layout
    table : ClusterTable
        Where the deviations shall go.
    files : ModelFiles
        Of the model.
    dataset : SurveyedDataset
        Of the rows that are here.
    inputs : BoundInputs
        Of all rows: those that are not here are fetched.
    held : _Held
    """

    rows: NumberedRows
    layout: Layout
    table: ClusterTable
    files: ModelFiles
    dataset: SurveyedDataset
    inputs: BoundInputs
    held: _Held

    @property
    def location(self) -> str:
        """Where the deviation table goes."""
        return self.table.location

    def find(
        self,
        job: Job,
        block_rows: int,
        folder: Path,
        progress: Progress,
        *,
        reference: ModelReference,
        exact: bool,
        order_by: str,
        watched: Watched,
    ) -> Findings:
        """Let the cluster disturb and predict all rows and write the table, and describe what came out.

        Parameters
        ----------
        job : Job
        block_rows : int
            Most rows of a block.
        folder : Path
            Of the driver, where it is noted which parts the table has, and what was counted.
        progress : callable
            Is told all rows at once: how far tasks are Spark's own page shows.
        reference : ModelReference
        exact : bool
            How the model was fitted.
        order_by : str
        watched : frozenset of Number

        Returns
        -------
        Findings
            As one process gives them, in every number.

        Raises
        ------
        PredictionError
            If the model fails, or predicts NaN: on a few rows before the cluster has begun, or in a worker.
        """
        task = self._task(job, block_rows)
        progress(0, task.n_rows)
        rehearse(job, self.here)
        self.table.make_room(task)
        probe = job.inputs.read(probe_rows(task.n_rows))
        archive, digest = packed_folder(self.files.path)
        self.table.session.add_file(archive)
        baseline = job.predictor.begin([probe])[0].baseline
        shipment = Shipment(digest, self.files, reference, probe, exact, baseline)
        n_slices = self._count_slices(job)
        n_tasks = n_slices * len(shuffle_block_sizes(task.n_rows))
        logger.info("%s rows in %d tasks; the deviations go to %s", f"{task.n_rows:,}", n_tasks, self.location)
        written = self.table.write(self.rows, task, shipment, n_slices)
        found = find_merged(
            job,
            written.outcome,
            written.first.__getitem__,
            lambda wanted: self.table.count(task, wanted),
            order_by=order_by,
            watched=watched,
        )
        note_parts(folder, self.location, task, written.parts, written.outcome)
        progress(task.n_rows, task.n_rows)
        return found

    def _count_slices(self, job: Job) -> int:
        """Return into how many slices a block is cut, by the time that rows take here; no number hangs on it."""
        block_rows = max(job.deal.sizes)
        seconds = seconds_of_row(job, self.here, MOST_SECONDS / block_rows)
        return count_slices(seconds * block_rows, len(job.perturbations))

    def _task(self, job: Job, block_rows: int) -> BlockTask:
        return BlockTask(
            n_rows=self.rows.n_rows,
            seed=job.seed,
            repeats=job.repeats,
            block_rows=block_rows,
            perturbations=tuple(job.perturbations),
            measure=job.measure,
            decision=job.decision,
            model=job.model,
            specs=tuple(job.predictor.inputs),
            wanted=job.inputs.wanted,
            layout=self.layout,
            first_row=self.held.table.slice(0, 1),
            row_id=self.dataset.row_id,
            skips_missing=job.skips_missing,
            void_inputs=job.void_inputs,
        )

    @property
    def here(self) -> np.ndarray:
        """Positions of the rows that are here, ascending."""
        return self.held.positions


class _Held:
    """Rows that are here, by their positions; others are fetched once."""

    def __init__(
        self,
        rows: NumberedRows,
        layout: Layout,
        specs: Sequence[InputSpec],
        wanted: Wanted,
        *,
        positions: np.ndarray,
        table: pa.Table,
    ) -> None:
        self._rows, self._layout, self._specs, self._wanted = rows, layout, specs, wanted
        self._put(positions, table)

    def _put(self, positions: np.ndarray, table: pa.Table) -> None:
        self.positions, self.table = positions, table
        sources = fill_unchecked(self._specs, self._layout.dataset(table), self._wanted)
        self.inputs = BoundInputs.holding(positions, sources, self._wanted, self._rows.n_rows)

    def ensure(self, rows: np.ndarray) -> None:
        lacking = np.setdiff1d(rows, self.positions)
        if len(lacking):
            positions = np.concatenate([self.positions, lacking])
            table = pa.concat_tables([self.table, take(self._rows, lacking)])
            order = np.argsort(positions)
            self._put(positions[order], table.take(order))


class _Fetched:
    """A model input of which some rows are here."""

    def __init__(self, held: _Held, name: str) -> None:
        self._held = held
        self._name = name
        self.dtype = held.inputs.sources[name].dtype

    def take(self, rows: np.ndarray, index: Index = ()) -> np.ndarray:
        """Return the cells at `index` for `rows`, as an array of their own."""
        self._held.ensure(rows)
        return self._held.inputs.sources[self._name].take(rows, index)


@contextmanager
def open_rows(
    frame: Any,  # noqa: ANN401 - a DataFrame of Spark, or None
    *,
    master: str | None,
    remote: str | None,
    table: str,
) -> Iterator[ClusterRows]:
    """Give rows on a cluster of Spark; a session that is begun for them ends with the block.

    Parameters
    ----------
    frame : DataFrame of Spark, or None
        None for what the configuration names.
    master, remote : str or None
        Where a new session begins.
    table : str
        Where the deviation table goes; refused where rows are already.
    """
    with closing(open_session(master, remote, frame)) as session:
        written = ClusterTable(session, table)
        written.refuse_rows()
        yield ClusterRows(session, written, frame)
