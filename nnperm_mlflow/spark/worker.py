"""What runs in the Python workers of a cluster: some rows as Arrow batches in, record batches out.

Each function is given batches of one partition. What Spark binds by position is made by the declared schema, and what
is wrong with model or data comes back as a row, since an error would be tried four times.
"""

from __future__ import annotations

import gc
import hashlib
import json
import pickle
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from nnperm_mlflow.analysis.blockwise import block_outcome
from nnperm_mlflow.analysis.blockwise.block_task import BlockTask, audit_rows, table_batches
from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME, ROW
from nnperm_mlflow.analysis.blockwise.slices import audit_slice, joined_results, piece_batch
from nnperm_mlflow.analysis.perturbation.donors import block_numbers
from nnperm_mlflow.analysis.statistics.rank_search import Counts, Wanted, added
from nnperm_mlflow.basics import errors
from nnperm_mlflow.basics.errors import AuditError, ModelError, PredictionError
from nnperm_mlflow.basics.own_code import surroundings
from nnperm_mlflow.inputs.layout import Layout
from nnperm_mlflow.inputs.survey import Questions, Survey
from nnperm_mlflow.models.loaders import ModelAccess
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.predictor import Predictor

Batches = Iterable[pa.RecordBatch]

FOUND = pa.schema([("kind", pa.string()), ("payload", pa.binary())])
PACKED = pa.schema([("task", pa.int32()), ("packed", pa.binary())])
COUNTED = pa.schema([("place", pa.int32()), ("bits", pa.binary()), ("counts", pa.binary())])
MERGED = pa.schema([("outcome", pa.binary())])

SURVEY, ROWS, ERROR, SURROUNDINGS = "survey", "rows", "error", "surroundings"
"""Kinds of what a survey gives back."""

_ERROR_MARK = b"\x00error"
_WAITING_BYTES = 1 << 27  # of rows that a worker holds before it gives them to their blocks: 128 MiB
_MOST_COUNTED = 1 << 20  # different deviations that a worker counts before they are added up


@dataclass(frozen=True)
class SurveyTask:
    """What is to be found out of all rows.

    Attributes
    ----------
    layout : Layout
    questions : Questions
    positions : ndarray of shape (n,), int64
        Rows that are given back as they are, ascending.
    """

    layout: Layout
    questions: Questions
    positions: np.ndarray


def survey(task: SurveyTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Find out what has to be known of some rows; give `FOUND`."""
    found, held = Survey(), []
    try:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            rows = table.column(ROW).to_numpy()
            found.take_in(task.questions.ask(task.layout.dataset(table.drop_columns([ROW])), rows))
            if (kept := np.isin(rows, task.positions)).any():
                held.append(batch.filter(pa.array(kept)))
    except AuditError as error:
        yield _found([(ERROR, error_as_bytes(error))])
        return
    told = [(SURVEY, pickle.dumps(found)), (SURROUNDINGS, json.dumps(surroundings()).encode())]
    yield _found([*told, *((ROWS, as_bytes(pa.Table.from_batches([batch]))) for batch in held)])


def take(positions: np.ndarray, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Give back the rows at some positions; give `FOUND`."""
    for batch in batches:
        if (kept := np.isin(batch.column(ROW).to_numpy(), positions)).any():
            yield _found([(ROWS, as_bytes(pa.Table.from_batches([batch.filter(pa.array(kept))])))])


def _found(told: Sequence[tuple[str, bytes]]) -> pa.RecordBatch:
    kinds, payloads = zip(*told, strict=True)
    return pa.record_batch([pa.array(kinds, pa.string()), pa.array(payloads, pa.binary())], schema=FOUND)


def pack(n_rows: int, seed: int, n_slices: int, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Give rows to the tasks of their shuffle blocks, many in one piece of bytes; give `PACKED`.

    Rows that travel one by one take twice their bytes, and a record batch of many hardly more than these.
    """
    waiting: list[pa.RecordBatch] = []
    n_bytes = 0
    for batch in batches:
        waiting.append(batch)
        n_bytes += batch.nbytes
        if n_bytes > _WAITING_BYTES:
            yield from _dealt(waiting, n_rows, seed, n_slices)
            waiting, n_bytes = [], 0
    if waiting:
        yield from _dealt(waiting, n_rows, seed, n_slices)


def _dealt(waiting: list[pa.RecordBatch], n_rows: int, seed: int, n_slices: int) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches(waiting).combine_chunks()
    numbers = block_numbers(table.column(ROW).to_numpy(), n_rows, seed)
    order = np.argsort(numbers, kind="stable")
    blocks, first = np.unique(numbers[order], return_index=True)
    for block, rows in zip(blocks.tolist(), np.split(order, first[1:]), strict=True):
        for batch in table.take(rows).combine_chunks().to_batches():
            packed = batch.serialize().to_pybytes()
            for task in range(block * n_slices, (block + 1) * n_slices):
                yield pa.record_batch([pa.array([task], pa.int32()), pa.array([packed], pa.binary())], schema=PACKED)


@dataclass(frozen=True)
class Shipment:
    """A model on its way to a worker.

    Attributes
    ----------
    digest : str
        sha256 of its archive, by which the archive is called.
    files : ModelFiles
        What the MLmodel file says; its directory is another one there.
    reference : ModelReference
    probe : dict of str to ndarray
        Rows on which the model is fitted, as on the driver.
    exact : bool
    baseline : ndarray of shape (n_rows, n_outputs)
        What the driver predicts for these.
    """

    digest: str
    files: ModelFiles
    reference: ModelReference
    probe: dict[str, np.ndarray]
    exact: bool
    baseline: np.ndarray

    @property
    def key(self) -> str:
        """What tells the fitted model from others."""
        fitted_on = pickle.dumps((self.files.asks_for, self.exact, sorted(self.probe.items())))
        return self.digest + hashlib.sha256(fitted_on).hexdigest()


_loaded: dict[str, Predictor] = {}


def audit(task: BlockTask, shipment: Shipment, schema: pa.Schema, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Audit the rows of the only shuffle block of a partition; give the task's columns."""
    for number, table in _unpacked(schema, batches):
        try:
            yield from audit_rows(task, _predictor(shipment), number, table)
        except AuditError as error:
            yield _error_batch(task.schema, number, error)


def audit_in_slices(
    task: BlockTask, shipment: Shipment, schema: pa.Schema, n_slices: int, batches: Batches
) -> Iterator[pa.RecordBatch]:
    """Audit the rows of the only shuffle block of a partition under the perturbations of a slice; give `PIECE`."""
    for key, table in _unpacked(schema, batches):
        number, place = divmod(key, n_slices)
        try:
            yield from audit_slice(task, _predictor(shipment), number, table, place=place, n_slices=n_slices)
        except AuditError as error:
            yield piece_batch(number, -1, place, error_as_bytes(error))  # before all rows


def _unpacked(schema: pa.Schema, batches: Batches) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of the only task of a partition, and its rows; nothing where there are none."""
    numbers, parts = set[int](), []
    for batch in batches:
        numbers.update(batch.column("task").to_pylist())
        parts += [pa.ipc.read_record_batch(packed.as_buffer(), schema) for packed in batch.column("packed")]
    if parts:
        (number,) = numbers
        yield number, pa.Table.from_batches(parts)


def join(task: BlockTask, n_slices: int, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Put the slices of the only shuffle block of a partition together; give the task's columns."""
    pieces = (
        piece
        for batch in batches
        for piece in zip(batch.column("block").to_pylist(), batch.column("packed").to_pylist(), strict=True)
    )
    for number, first in islice(pieces, 1):
        packed = chain([first], (later for _, later in pieces))
        try:
            raise_told(first)
            yield from table_batches(task, number, joined_results(task, number, n_slices, packed))
        except AuditError as error:
            yield _error_batch(task.schema, number, error)


def _error_batch(schema: pa.Schema, number: int, error: AuditError) -> pa.RecordBatch:
    told = {BLOCK: pa.array([number], pa.int32()), OUTCOME: pa.array([error_as_bytes(error)], pa.binary())}
    return pa.record_batch([told.get(each.name, pa.nulls(1, each.type)) for each in schema], schema=schema)


def _predictor(shipment: Shipment) -> Predictor:
    """Return the model, loaded once in a worker; refuse one that predicts other bits than the driver."""
    key = shipment.key
    if key not in _loaded:
        gc.unfreeze()
        _loaded.clear()
        _loaded[key] = _load(shipment)
        gc.collect()
        gc.freeze()  # Spark collects garbage after each task: 0.6 s where a network and its library are looked through
    return _loaded[key]


def _load(shipment: Shipment) -> Predictor:
    from pyspark import SparkFiles  # noqa: PLC0415 - in workers alone

    archive = Path(SparkFiles.get(f"nnperm-model-{shipment.digest}.zip"))
    if hashlib.sha256(archive.read_bytes()).hexdigest() != shipment.digest:
        raise ModelError(
            f"{shipment.reference} reached a worker as another file than was sent. Start the session anew."
        )
    folder = Path(tempfile.mkdtemp(prefix="nnperm-model-"))
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    files = replace(shipment.files, path=folder)
    predictor = ModelAccess(False).load(files, shipment.reference).fitted(shipment.probe, shipment.exact)
    own = predictor.begin([shipment.probe])[0].baseline
    if own.tobytes() != shipment.baseline.tobytes():
        apart = float(np.nanmax(np.abs(own.astype(float) - shipment.baseline.astype(float))))
        raise PredictionError(
            f"{shipment.reference}: a worker predicts other numbers than the driver (by up to {apart:.3g}), of the "
            "same rows by the same versions: its processor is of another kind. Take machines of one kind for both."
        )
    return predictor


def merge(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Add up the outcomes of shuffle blocks, or give back the first error; give `MERGED`."""
    outcomes: list[block_outcome.BlockOutcome] = []
    for batch in batches:
        for told in batch.column(0).to_pylist():
            if told.startswith(_ERROR_MARK):
                yield pa.record_batch([pa.array([told], pa.binary())], schema=MERGED)
                return
            outcomes = [block_outcome.merged([*outcomes, block_outcome.load(told)])]
    for outcome in outcomes:
        yield pa.record_batch([pa.array([block_outcome.dump(outcome)], pa.binary())], schema=MERGED)


def count(wanted: Sequence[Wanted], batches: Batches) -> Iterator[pa.RecordBatch]:
    """Count deviations; the columns are the repeat, and behind it one for each perturbation, by position."""
    parts: list[list[Counts]] = [[] for _ in wanted]
    n_waiting = 0
    for batch in batches:
        repeats = batch.column(0).to_numpy()
        for place, each in enumerate(wanted):
            values = batch.column(1 + each.number).to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
            found = each.count(values if each.repeat is None else values[repeats == each.repeat])
            parts[place].append(found)
            n_waiting += len(found[0])
        if n_waiting > _MOST_COUNTED:
            parts, n_waiting = [[added(each)] for each in parts], 0
    for place, found_here in enumerate(parts):
        bits, counts = added(found_here)
        if len(bits):
            told = [pa.array([place], pa.int32()), pa.array([bits.tobytes()], pa.binary())]
            yield pa.record_batch([*told, pa.array([counts.tobytes()], pa.binary())], schema=COUNTED)


def as_bytes(table: pa.Table) -> bytes:
    """Return a table as a stream of Arrow."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def error_as_bytes(error: AuditError) -> bytes:
    """Return an error as bytes that `raise_told` raises again."""
    return _ERROR_MARK + json.dumps([type(error).__name__, str(error)]).encode()


def raise_told(told: bytes) -> None:
    """Raise the error that a worker gave back, if it is one."""
    if told.startswith(_ERROR_MARK):
        kind, text = json.loads(told.removeprefix(_ERROR_MARK))
        raise getattr(errors, kind, AuditError)(text)
