"""What runs in workers, called without a cluster: rows reach their shuffle blocks whole, and counts add up."""

import numpy as np
import pyarrow as pa

from nnperm_mlflow.analysis.blockwise import block_outcome
from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME, ROW
from nnperm_mlflow.analysis.blockwise.slices import PIECE
from nnperm_mlflow.analysis.perturbation import donors
from nnperm_mlflow.analysis.perturbation.donors import shuffle_blocks
from nnperm_mlflow.analysis.statistics.rank_search import Wanted
from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.spark import worker

N_ROWS = 5_000
RNG = np.random.default_rng(4)
TABLE = pa.table(
    {
        "x": RNG.normal(size=N_ROWS).astype("float32"),
        "word": pa.array([None if n % 7 == 0 else f"w{n % 5}" for n in range(N_ROWS)]),
        "past": pa.array(list(RNG.normal(size=(N_ROWS, 3))), pa.list_(pa.float64())),
        ROW: np.arange(N_ROWS),
    }
)


def test_every_row_reaches_its_shuffle_block_once_and_as_it_was(monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 900)
    monkeypatch.setattr(worker, "_WAITING_BYTES", 20_000)  # so that a worker gives rows away several times
    mixed = TABLE.take(RNG.permutation(N_ROWS))
    parts = {}
    for partition in (mixed.slice(0, 3_000), mixed.slice(3_000)):
        for batch in worker.pack(N_ROWS, 7, 1, partition.to_batches(max_chunksize=400)):
            assert batch.schema == worker.PACKED
            for block, packed in zip(batch.column("task").to_pylist(), batch.column("packed"), strict=True):
                parts.setdefault(block, []).append(pa.ipc.read_record_batch(packed.as_buffer(), TABLE.schema))
    for block in shuffle_blocks(N_ROWS, 7):
        held = pa.Table.from_batches(parts.pop(block.number)).sort_by(ROW)
        assert held.equals(TABLE.take(block.rows))
    assert not parts


def test_rows_that_travel_packed_take_hardly_more_than_their_bytes():
    """One and a fifth times at most, for twenty columns of numbers."""
    table = pa.table({f"c{n}": RNG.normal(size=60_000).astype("float32") for n in range(20)})
    table = table.append_column(ROW, pa.array(np.arange(60_000)))
    moved = sum(batch.column("packed").nbytes for batch in worker.pack(600_000, 0, 1, table.to_batches(10_000)))
    assert moved < 1.2 * 60_000 * 20 * 4


def test_counts_of_partitions_are_bytes_that_add_up():
    deviations = RNG.exponential(size=(2, N_ROWS)).astype("float32")
    repeats = np.arange(N_ROWS) % 2
    table = pa.table({"repeat": repeats.astype("int32"), "a": deviations[0], "b": deviations[1]})
    bins = np.unique(deviations[1].view(np.uint32) >> 16)[:3].astype(np.uint32)
    wanted = [Wanted(1, 1, bins, 16, 32)]
    (batch,) = worker.count(wanted, table.to_batches(max_chunksize=700))
    assert batch.schema == worker.COUNTED
    bits = np.frombuffer(batch.column("bits")[0].as_py(), np.uint32)
    own = deviations[1][(repeats == 1) & np.isin(deviations[1].view(np.uint32) >> 16, bins)]
    assert np.array_equal(
        np.repeat(bits, np.frombuffer(batch.column("counts")[0].as_py(), np.int64)), np.sort(own).view(np.uint32)
    )


def test_an_error_of_one_block_goes_before_the_counts_of_others():
    counted = block_outcome.dump(block_outcome.BlockOutcome.empty(1, 2, 1, signed=True))
    told = [counted, worker.error_as_bytes(DataError("the rows are others")), counted]
    (batch,) = worker.merge([pa.record_batch([pa.array(told, pa.binary())], ["outcome"])])
    assert batch.column(0)[0].as_py() == told[1]


def test_rows_of_a_block_in_slices_reach_each_of_its_tasks(monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 2_600)  # two blocks
    packed = pa.Table.from_batches(worker.pack(N_ROWS, 7, 3, TABLE.to_batches()), worker.PACKED)
    assert sorted(packed.column("task").to_pylist()) == [*range(6)]
    told = packed.sort_by("task").column("packed").to_pylist()
    assert told[0] == told[1] == told[2] != told[3] == told[4] == told[5]


def test_an_error_of_a_slice_goes_before_the_pieces_of_others():
    """It has no rows, so that it is sorted before them."""
    told = {"block": [2, 2], "first_row": [-1, 0], "place": [1, 0]}
    packed = [worker.error_as_bytes(DataError("the rows are others")), b"a piece"]
    pieces = pa.table({**told, "packed": packed}, schema=PIECE).sort_by("first_row")

    class Task:
        schema = pa.schema([("row", pa.int64()), (BLOCK, pa.int32()), (OUTCOME, pa.binary())])

    (batch,) = worker.join(Task(), 2, pieces.to_batches())
    assert batch.to_pylist() == [{"row": None, BLOCK: 2, OUTCOME: packed[0]}]
    assert [*worker.join(Task(), 2, [])] == []


def test_batches_come_by_the_declared_columns():
    """Spark binds them by position, whatever they are called."""
    schema = pa.schema([("row", pa.int64()), ("repeat", pa.int32()), ("__nnperm_block__", pa.int32())])
    schema = schema.append(pa.field("__nnperm_outcome__", pa.binary()))
    assert worker._error_batch(schema, 3, DataError("no")).schema == schema
