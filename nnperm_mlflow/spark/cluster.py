"""What a cluster does for an audit: finds out what has to be known of all rows, audits the shuffle blocks, counts.

Nothing but DataFrames is used, so that all of it goes through Spark Connect as well.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nnperm_mlflow.analysis.blockwise import block_outcome
from nnperm_mlflow.analysis.blockwise.block_task import BlockTask
from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME, ROW
from nnperm_mlflow.analysis.blockwise.slices import PIECE
from nnperm_mlflow.analysis.perturbation.donors import shuffle_block_sizes
from nnperm_mlflow.analysis.statistics.rank_search import Counts, Wanted, added
from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError
from nnperm_mlflow.basics.own_code import surroundings
from nnperm_mlflow.inputs.layout import Layout
from nnperm_mlflow.inputs.survey import Questions, Survey
from nnperm_mlflow.spark import worker
from nnperm_mlflow.spark.numbered_rows import NumberedRows, quoted
from nnperm_mlflow.spark.parts_list import Written
from nnperm_mlflow.spark.session import Session, refused

logger = logging.getLogger(__name__)

_MERGING_TASKS = 16  # that add up the outcomes of shuffle blocks, so that the driver has few to hold
_NOT_THERE = ("PATH_NOT_FOUND", "UNABLE_TO_INFER_SCHEMA")


def head(rows: NumberedRows, n_rows: int) -> pa.Table:
    """Return a few rows, whichever, to see what columns hold."""
    with refused():
        return rows.frame.select(*(quoted(name) for name in rows.schema.names)).limit(n_rows).toArrow()


def find_out(
    rows: NumberedRows, layout: Layout, questions: Questions, positions: np.ndarray
) -> tuple[Survey, np.ndarray, pa.Table]:
    """Find out what has to be known of all rows, and return some of them; all rows are read once.

    Parameters
    ----------
    rows : NumberedRows
    layout : Layout
    questions : Questions
    positions : ndarray of shape (n,), int64
        Rows to return, ascending.

    Returns
    -------
    survey : Survey
    positions : ndarray of shape (n,), int64
        Those that were asked for.
    table : pyarrow.Table
        These rows, in that order.

    Raises
    ------
    ConfigError
        If a worker runs other versions or code than this process.
    DataError
        If rows changed while they were read.
    """
    task = worker.SurveyTask(layout, questions, positions)
    frame = rows.select(rows.schema.names)
    total, parts = Survey(), []
    with refused():
        told = frame.mapInArrow(lambda batches: worker.survey(task, batches), _ddl(worker.FOUND)).collect()
    for kind, payload in told:
        if kind == worker.ERROR:
            worker.raise_told(bytes(payload))
        elif kind == worker.SURROUNDINGS:
            _refuse_others(json.loads(payload))
        elif kind == worker.ROWS:
            parts.append(_table(payload))
        else:
            total.take_in(pickle.loads(payload))  # noqa: S301 - from workers that run this package's code
    if total.digest.n_rows != rows.n_rows:
        raise _changed(rows.n_rows, total.digest.n_rows)
    return total, positions, _in_order(parts, positions)


def take(rows: NumberedRows, positions: np.ndarray) -> pa.Table:
    """Return the rows at some positions, which ascend."""
    with refused():
        frame = rows.select(rows.schema.names)
        told = frame.mapInArrow(lambda batches: worker.take(positions, batches), _ddl(worker.FOUND)).collect()
    return _in_order([_table(payload) for _, payload in told], positions)


def _table(payload: bytes) -> pa.Table:
    return pa.ipc.open_stream(bytes(payload)).read_all()


def _in_order(parts: Sequence[pa.Table], positions: np.ndarray) -> pa.Table:
    table = pa.concat_tables(parts).sort_by(ROW)
    if not np.array_equal(table.column(ROW).to_numpy(), positions):
        raise _changed(len(positions), table.num_rows)
    return table.drop_columns([ROW])


def _changed(before: int, now: int) -> DataError:
    return DataError(
        f"the data have changed while they were read: {before:,} rows were expected, each once, and {now:,} came. Pin "
        "their version (data: version), or copy them."
    )


def _refuse_others(told: dict[str, str]) -> None:
    """Refuse workers whose numbers may be others."""
    own = surroundings()
    apart = [
        f"{name} {told.get(name, 'none')}, not {own.get(name, 'none')}" for name in own if told.get(name) != own[name]
    ]
    apart += [f"{name} {told[name]}, not none" for name in told if name not in own]
    if apart:
        raise ConfigError(
            f"a worker of the cluster was expected to have the versions, code and switches of this process, and has "
            f"{'; '.join(apart)}. Give both the same environment (PYSPARK_PYTHON, spark.executorEnv.*)."
        )


def _ddl(schema: pa.Schema) -> str:
    kinds = {pa.string(): "string", pa.binary(): "binary", pa.int32(): "int", pa.int64(): "long"}
    return ", ".join(f"{each.name} {kinds[each.type]}" for each in schema)


@dataclass(frozen=True)
class AuditedTable:
    """What is read of a deviation table that the cluster has written.

    Attributes
    ----------
    outcome : BlockOutcome
        Of all rows.
    first : list of ndarray of shape (n_repeats, n_first_rows), float32
        For each perturbation the deviations of the first shuffle block.
    parts : list of Written
        Its files, by their names.
    """

    outcome: block_outcome.BlockOutcome
    first: list[np.ndarray]
    parts: list[Written]


@dataclass(frozen=True)
class ClusterTable:
    """A deviation table in a directory of Parquet files on the cluster's storage.

    Attributes
    ----------
    session : Session
    location : str
    """

    session: Session
    location: str

    def refuse_rows(self) -> None:
        """Refuse a location that holds rows.

        Raises
        ------
        ConfigError
            If it does.
        """
        with refused():
            if self._holds_rows():
                raise ConfigError(
                    f"there are rows in '{self.location}' already, and an audit overwrites nothing. Name another place "
                    "(--table)."
                )

    def make_room(self, task: BlockTask) -> None:
        """See whether the cluster can write there, and leave an empty table; refuse rows, see `refuse_rows`.

        Raises
        ------
        AuditError
            If nothing can be written there.
        """
        self.refuse_rows()
        with refused():
            self._leave_empty(task)

    def _holds_rows(self) -> bool:
        from pyspark.errors import AnalysisException  # noqa: PLC0415 - an extra

        try:
            return bool(self.session.spark.read.parquet(self.location).limit(1).collect())
        except AnalysisException as error:
            if error.getCondition() not in _NOT_THERE:
                raise
            return False

    def _leave_empty(self, task: BlockTask) -> None:
        empty = self.session.spark.createDataFrame(task.schema.empty_table(), self._schema(task))
        empty.coalesce(1).write.mode("overwrite").parquet(self.location)

    @staticmethod
    def _schema(task: BlockTask) -> Any:  # noqa: ANN401 - a StructType of Spark
        from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - an extra

        return from_arrow_schema(task.schema)

    def _read(self, task: BlockTask) -> Any:  # noqa: ANN401 - a DataFrame of Spark
        return self.session.spark.read.schema(self._schema(task)).parquet(self.location)

    def write(self, rows: NumberedRows, task: BlockTask, shipment: worker.Shipment, n_slices: int = 1) -> AuditedTable:
        """Let the cluster audit all shuffle blocks and write the table; rows move once, and to each slice of a block.

        Parameters
        ----------
        rows : NumberedRows
        task : BlockTask
        shipment : Shipment
            Of the model, whose archive the session has.
        n_slices : int
            Into how many slices the perturbations of a block are cut, each a task.

        Returns
        -------
        AuditedTable

        Raises
        ------
        AuditError
            As it was raised in a worker; the table is then left without rows.
        """
        try:
            with refused():
                self._audited(rows, task, shipment, n_slices).write.mode("overwrite").parquet(self.location)
            return self._read_back(task)
        except AuditError:
            with refused():
                self._leave_empty(task)
            raise

    def _audited(
        self,
        rows: NumberedRows,
        task: BlockTask,
        shipment: worker.Shipment,
        n_slices: int,
    ) -> Any:  # noqa: ANN401 - a DataFrame of Spark
        needed, n_rows, seed = task.needed_columns, task.n_rows, task.seed
        schema = pa.schema([*(rows.schema.field(name) for name in needed), pa.field(ROW, pa.int64())])
        n_blocks = len(shuffle_block_sizes(n_rows))
        packed = rows.select(needed).mapInArrow(
            lambda batches: worker.pack(n_rows, seed, n_slices, batches), _ddl(worker.PACKED)
        )
        dealt = packed.repartitionById(n_blocks * n_slices, "task")
        if n_slices == 1:
            return dealt.mapInArrow(lambda batches: worker.audit(task, shipment, schema, batches), self._schema(task))
        pieces = dealt.mapInArrow(
            lambda batches: worker.audit_in_slices(task, shipment, schema, n_slices, batches), _ddl(PIECE)
        )
        gathered = pieces.repartitionById(n_blocks, "block").sortWithinPartitions("first_row", "place")
        return gathered.mapInArrow(lambda batches: worker.join(task, n_slices, batches), self._schema(task))

    def _read_back(self, task: BlockTask) -> AuditedTable:
        """Read three things of the table at once: most of such a job is planning, and waiting for tasks to begin."""
        with ThreadPoolExecutor(3) as at_once:
            outcome = at_once.submit(self._merged, task)
            first = at_once.submit(self._first, task)
            parts = at_once.submit(self._parts)
            return AuditedTable(outcome.result(), first.result(), parts.result())

    def _merged(self, task: BlockTask) -> block_outcome.BlockOutcome:
        with refused():
            told = self._read(task).select(quoted(OUTCOME)).where(f"{quoted(OUTCOME)} IS NOT NULL")
            parts = told.coalesce(_MERGING_TASKS).mapInArrow(worker.merge, _ddl(worker.MERGED)).collect()
        for (payload,) in parts:
            worker.raise_told(bytes(payload))
        outcome = block_outcome.merged([block_outcome.load(bytes(payload)) for (payload,) in parts])
        if outcome.tallies[0].n_rows != task.n_rows:
            raise _changed(task.n_rows, outcome.tallies[0].n_rows)
        return outcome

    def _first(self, task: BlockTask) -> list[np.ndarray]:
        columns = [quoted(name) for name in ("row", "repeat", *task.columns)]
        with refused():
            table = self._read(task).where(f"{quoted(BLOCK)} = 0").select(*columns).toArrow()
        ordered = table.sort_by([("repeat", "ascending"), ("row", "ascending")])
        return [
            ordered.column(2 + place).to_numpy().astype(np.float32, copy=False).reshape(task.repeats, -1)
            for place in range(len(task.columns))
        ]

    def _parts(self) -> list[Written]:
        from pyspark.sql import functions as of  # noqa: PLC0415 - an extra

        with refused():
            files = (
                self.session.spark.read.format("binaryFile").option("pathGlobFilter", "*.parquet").load(self.location)
            )
            told = files.select("path", "length", of.sha2("content", 256).alias("digest")).collect()
        return sorted((Written(str(path), int(n), str(digest)) for path, n, digest in told), key=lambda part: part.path)

    def count(self, task: BlockTask, wanted: Sequence[Wanted]) -> list[Counts]:
        """Count deviations of all rows, see `analysis.statistics.rank_search`."""
        used = sorted({each.number for each in wanted})
        columns = [quoted(name) for name in ("repeat", *(task.columns[number] for number in used))]
        asked = [
            Wanted(used.index(each.number), each.repeat, each.prefixes, each.n_bits, each.finer) for each in wanted
        ]
        with refused():
            frame = self._read(task).select(*columns)
            told = frame.mapInArrow(lambda batches: worker.count(asked, batches), _ddl(worker.COUNTED)).collect()
        parts: list[list[Counts]] = [[] for _ in wanted]
        for place, bits, counts in told:
            parts[place].append((np.frombuffer(bytes(bits), np.uint32), np.frombuffer(bytes(counts), np.int64)))
        return [added(each) for each in parts]
