"""Temporal data in the cells of a Parquet table, and how tables with some of the rows become data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nnperm_mlflow.auditor.memory import rows_given
from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError
from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.inputs.layout import Layout

N_ROWS = 20
HISTORY = np.random.default_rng(2).normal(size=(N_ROWS, 3, 2)).astype("float32")
TABLE = pd.DataFrame(
    {
        "age": np.arange(N_ROWS),
        "nested": [[list(step) for step in row] for row in HISTORY],
        "flat": list(HISTORY.reshape(N_ROWS, -1)),
        "pay": list(HISTORY[:, :, 0]),
        "bill": list(HISTORY[:, :, 1]),
    }
)


def settings(folder, **history):
    used = history.get("column") or [*history["columns"].values()]
    path = folder / "data.parquet"
    used = [used] if isinstance(used, str) else used
    TABLE[[*dict.fromkeys(["age", *used])]].to_parquet(path)
    return parse_config({"data": {"static": str(path), "temporal": {"history": history}}}).data


NAMED = {"channels": ["PAY", "BILL"], "channel_axis": 2}
WAYS = {
    "lists of lists": {"column": "nested", **NAMED},
    "a list in C order": {"column": "flat", "shape": [3, 2], **NAMED},
    "a list for each channel": {"columns": {"PAY": "pay", "BILL": "bill"}},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_history_in_cells_is_read_from_a_file_and_from_arrow_alike(way, tmp_path):
    config = settings(tmp_path, **WAYS[way])
    table = pq.read_table(config.static)
    layout = Layout.of(table.schema, [], config)
    for dataset in (load_dataset(config, Path), layout.dataset(table)):
        series = dataset.temporal["history"]
        assert (series.channels, series.n_steps) == (("PAY", "BILL"), 3)
        assert np.array_equal(np.moveaxis(series.array, series.channel_axis, 2), HISTORY)
        assert [*dataset.columns] == ["age"]


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ({"column": "flat", "shape": [4, 2], **NAMED}, r"'shape' is \[4, 2\], but a cell of 'flat' holds 6 numbers"),
        (
            {"columns": {"PAY": "pay", "BILL": "flat"}},
            r"as many steps, but 'PAY' has \(3,\), 'BILL' has \(6,\)",
        ),
        ({"column": "age", **NAMED}, "the cells of 'age' were expected to be arrays"),
    ],
)
def test_cells_that_do_not_fit_are_refused(history, told, tmp_path):
    with pytest.raises(ShapeError, match=told):
        load_dataset(settings(tmp_path, **history), Path)


def test_a_column_of_cells_that_there_is_not_is_named(tmp_path):
    config = settings(tmp_path, column="flat", shape=[3, 2], **NAMED)
    wrong = config.model_copy(
        update={"temporal": {"h": config.temporal["history"].model_copy(update={"column": "flt"})}}
    )
    with pytest.raises(DataError, match="'flt'.*Did you mean 'flat'"):
        load_dataset(wrong, Path)


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ({"column": "flat"}, "'column' needs 'channels'"),
        ({"column": "flat", "file": "x.npy", "channels": ["a"]}, "either 'file' or 'columns'"),
        ({"columns": {"a": "x", "b": ["y"]}}, "either one column of arrays, or a column for each step"),
        ({"file": "x.npy", "channels": ["a"], "shape": [2]}, "'shape' is of the arrays in a 'column'"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(history, told):
    with pytest.raises(ConfigError, match=told):
        parse_config({"data": {"temporal": {"history": history}}})


def test_cells_beside_a_table_in_memory_are_refused():
    config = parse_config({"data": {"temporal": {"history": WAYS["lists of lists"]}}})
    rows = rows_given(TABLE[["age"]])
    with pytest.raises(ConfigError, match="read of files alone"):
        rows.read([], config, Path)


def test_configurations_without_the_keys_have_the_digests_that_they_had():
    """Of a history in a file, and of one in columns."""
    file = {"file": "x.npy", "channels": ["PAY"], "channel_axis": 2}
    config = parse_config({"data": {"temporal": {"h": file, "g": {"columns": {"PAY": ["a", "b"]}}}}})
    assert config.digest() == "14feb1cec9169a3b4e48137b52cdf3adf689c95c255f239aae8d1174245a931f"


@pytest.mark.parametrize("kind", [pa.int16(), pa.int64(), pa.bool_(), pa.float32(), pa.string(), pa.decimal128(9, 2)])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_part_of_a_table_has_the_types_of_the_whole(kind, gaps, tmp_path):
    """Whole numbers of which one is missing elsewhere are floats, as where all rows are read at once."""
    values = pa.array([1, 0, 1, 1]).cast(pa.int64()).cast(kind) if not pa.types.is_decimal(kind) else None
    if values is None:
        values = pa.array([1, 0, 1, 1]).cast(pa.decimal128(21, 2)).cast(kind)
    table = pa.table({"x": pa.concat_arrays([values, pa.nulls(int(gaps), kind)])})
    pq.write_table(table, tmp_path / "x.parquet")
    config = parse_config({"data": {"static": str(tmp_path / "x.parquet")}}).data
    whole = load_dataset(config, Path).columns["x"]
    part = Layout.of(table.schema, ["x"] if gaps else [], config).dataset(table.slice(0, 3)).columns["x"]
    assert part.dtype == whole.dtype
    assert part.tolist() == whole[:3].tolist()


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.struct([("a", pa.int64())]), pa.binary(), pa.null()])
def test_what_is_no_single_value_and_not_named_is_refused(kind):
    schema = pa.schema([("age", pa.int64()), ("blob", kind)])
    with pytest.raises(DataError, match="'blob' hold several values, bytes or nothing"):
        Layout.of(schema, [], parse_config({}).data)
