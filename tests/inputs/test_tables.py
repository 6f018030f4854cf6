"""Large Parquet tables: the same values as small ones, their numbers in files without a name."""

import gc
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nnperm_mlflow.basics.errors import DataError, ShapeError
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.inputs import tables
from nnperm_mlflow.inputs._row_sources import ColumnGrid, StoredArray, release
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from, load_dataset
from nnperm_mlflow.inputs.specs import InputSpec

TABLE = pd.DataFrame(
    {
        "dose": np.arange(300, dtype=np.float32) / 7,
        "age": np.arange(300) % 90,
        "gaps": pd.array([None, *range(299)], dtype="Int64"),
        "empty": [np.nan, *range(299)],
        "small": np.arange(300).astype("uint8"),
        "city": ["Ulm", "Bonn", "Köln"] * 100,
        "yes": [True, False] * 150,
        "maybe": pd.array([True, None, False] * 100, dtype="boolean"),
        "day": pd.date_range("2024-01-01", periods=300),
    }
)


def stored(folder, table=TABLE):
    table.to_parquet(folder / "clients.parquet", row_group_size=64)
    return DataConfig(static=str(folder / "clients.parquet"))


@pytest.fixture
def mapped(monkeypatch):
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", 0)


def test_a_mapped_table_is_the_table_in_memory(tmp_path, monkeypatch):
    config = stored(tmp_path, TABLE.set_index(pd.Index(range(1, 301), name="number")))
    small = load_dataset(config, lambda location: tmp_path / "clients.parquet")
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", 0)
    large = load_dataset(config, lambda location: tmp_path / "clients.parquet")
    assert list(large.columns) == list(small.columns) == list(TABLE)
    for name in TABLE:
        assert large.columns[name].dtype == small.columns[name].dtype
        pd.testing.assert_series_equal(pd.Series(np.array(large.columns[name])), pd.Series(small.columns[name]))
    assert large.digest() == small.digest()
    kinds = {name for name, values in large.columns.items() if isinstance(values, np.memmap)}
    assert kinds == {"dose", "age", "gaps", "empty", "small"}
    assert not any(isinstance(values, np.memmap) for values in small.columns.values())


def test_its_files_have_no_name_and_vanish_with_it(tmp_path, mapped):
    opened = Path("/proc/self/fd")  # on Linux alone
    before = set(opened.iterdir()) if opened.is_dir() else set()
    data = load_dataset(stored(tmp_path), lambda location: tmp_path / "clients.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ["clients.parquet"]
    assert data.columns["dose"][-1] == TABLE["dose"].iloc[-1]
    del data
    gc.collect()
    if before:
        assert len(set(opened.iterdir()) - before) <= 1  # the listing's own


def test_a_name_that_is_there_twice_is_refused_all_the_same(tmp_path, mapped):
    pq.write_table(pa.table([[1, 2], [3, 4]], names=["age", "age"]), tmp_path / "clients.parquet")
    with pytest.raises(DataError, match="age"):
        load_dataset(DataConfig(static=str(tmp_path / "clients.parquet")), lambda _: tmp_path / "clients.parquet")


def test_columns_can_be_given_as_arrays_mapped_by_oneself(tmp_path):
    np.save(tmp_path / "age.npy", np.arange(5.0))
    data = dataset_from({"age": np.load(tmp_path / "age.npy", mmap_mode="r")}, {"pay": Series(("P",), np.ones((5, 2)))})
    assert data.n_rows == 5
    assert isinstance(data.columns["age"], np.memmap)
    with pytest.raises(DataError, match="column 'age' has 4"):
        dataset_from({"age": np.arange(4)}, {"pay": Series(("P",), np.ones((5, 2)))})
    assert dataset_from({"age": [1, 2], "city": np.array(["Ulm", "Bonn"])}).columns["city"].dtype == object
    with pytest.raises(ShapeError, match=r"column 'age' must have one axis"):
        dataset_from({"age": np.ones((4, 1))})


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux alone tells what of a file is in memory")
def test_what_was_read_of_a_mapped_array_does_not_stay_in_memory(tmp_path):
    np.save(tmp_path / "history.npy", np.zeros((50_000, 20)))
    mapped = np.load(tmp_path / "history.npy", mmap_mode="r")
    for source in (StoredArray(mapped, mapped.dtype), ColumnGrid({"a": mapped[:, 0]}, np.array("a"), mapped.dtype)):
        assert mapped.sum() == 0
        assert resident_kib("history.npy") > 7000
        source.take(np.arange(0, 50_000, 7))
        assert resident_kib("history.npy") < 2000


def resident_kib(name):
    """Return how much of a mapped file is in this process's memory."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return next(
        int(next(line for line in lines if line.startswith("Rss:")).split()[1]) for line in lines if name in line
    )


def test_memory_is_given_back_only_where_the_file_still_holds_it(tmp_path):
    np.save(tmp_path / "history.npy", np.arange(6000.0).reshape(3000, 2))
    mapped = np.load(tmp_path / "history.npy", mmap_mode="r")
    rows = np.random.default_rng(0).permutation(3000)
    taken = StoredArray(mapped, np.dtype("float32")).take(rows)
    np.testing.assert_array_equal(taken, np.arange(6000.0).reshape(3000, 2)[rows])
    own = np.load(tmp_path / "history.npy", mmap_mode="c")
    own[7] = -1
    own.flags.writeable = False
    release(own)
    assert own[7].tolist() == [-1, -1]


# What a Parquet file may say of itself


HOSTILE = [
    b"", b"{", b"5", b"\xff", b"[" * 100_000, b'{"index_columns": 5}', b'{"index_columns": [], "columns": 3}',
    b'{"index_columns": ["age", {}], "columns": [{"name": "age"}], "column_indexes": [{"name": null}]}',
    b'{"index_columns": [], "columns": [{"name": "age", "field_name": "age", "numpy_type": "no type", "metadata": 3}]}',
]  # fmt: skip


@pytest.mark.parametrize("limit", [1 << 28, 0], ids=["in memory", "mapped"])
@pytest.mark.parametrize("said", HOSTILE)
def test_what_a_file_says_of_pandas_is_not_believed(tmp_path, monkeypatch, said, limit):
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", limit)
    table = pa.table({"age": [1.0, 2.0], "dose": [3, 4]}).replace_schema_metadata({b"pandas": said})
    pq.write_table(table, tmp_path / "clients.parquet")
    columns = load_dataset(DataConfig(static=str(tmp_path / "clients.parquet")), Path).columns
    assert list(columns) == (["dose"] if b'["age"' in said else ["age", "dose"])
    assert columns["dose"].tolist() == [3, 4]


@pytest.mark.parametrize("limit", [1 << 28, 0], ids=["in memory", "mapped"])
def test_decimals_as_databases_write_them_are_numbers(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", limit)
    amounts = pa.array([Decimal("1.25"), None, Decimal("-3.50")], pa.decimal128(10, 2))
    pq.write_table(pa.table({"amount": amounts, "age": [1, 2, 3]}), tmp_path / "clients.parquet")
    columns = load_dataset(DataConfig(static=str(tmp_path / "clients.parquet")), Path).columns
    assert columns["amount"].dtype == np.float64
    np.testing.assert_array_equal(columns["amount"], [1.25, np.nan, -3.5])


def with_rows(path, claimed):
    """Write 1,000 rows into a file whose footer says that it has another number of them."""
    pq.write_table(pa.table({"age": np.arange(1000.0)}), path, compression=None)
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    body, footer = content[: -8 - length], content[-8 - length : -8]
    footer = footer.replace(as_varint(1000), as_varint(claimed), 1)
    path.write_bytes(body + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert pq.ParquetFile(path).metadata.num_rows == claimed


def as_varint(number):
    """Return a number as Parquet's footer has it: zigzag, then seven bits a byte."""
    number, digits = 2 * number, []
    while number:
        digits.append(number & 127 | (128 if number > 127 else 0))
        number >>= 7
    return bytes(digits)


@pytest.mark.parametrize("limit", [1 << 28, 0], ids=["in memory", "mapped"])
@pytest.mark.parametrize("claimed", [999, 100_000, 10**9, 10**12])
def test_a_footer_that_lies_about_the_rows_is_refused(tmp_path, monkeypatch, claimed, limit):
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", limit)
    with_rows(tmp_path / "clients.parquet", claimed)
    with pytest.raises(DataError, match=f"says that it has {claimed:,} rows, which its bytes do not bear out"):
        load_dataset(DataConfig(static=str(tmp_path / "clients.parquet")), Path)


@pytest.mark.parametrize("limit", [1 << 28, 0], ids=["in memory", "mapped"])
def test_cells_of_bytes_and_of_several_values_are_text(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", limit)
    table = {"city": [b"Ulm", "Köln".encode(), b"\xff", None], "pair": [[1, 2], [1, 3], [], None]}
    pq.write_table(pa.table(table), tmp_path / "clients.parquet")
    data = load_dataset(DataConfig(static=str(tmp_path / "clients.parquet"), row_id="pair"), Path)
    assert data.columns["city"][:3].tolist() == ["Ulm", "Köln", "\\xff"]
    assert data.row_ids[:3].tolist() == ["[1, 2]", "[1, 3]", "[]"]
    assert [pd.isna(values[3]) for values in data.columns.values()] == [True, True]


WORD = "Ulm" * 1_000


@pytest.mark.parametrize("limit", [0, 1 << 28])
@pytest.mark.parametrize(
    ("kind", "way"),
    [
        (pa.string(), {}),
        (pa.large_string(), {}),
        (pa.binary(), {}),
        (pa.string_view(), {}),
        (pa.string(), {"use_dictionary": False, "column_encoding": {"city": "DELTA_BYTE_ARRAY"}}),
    ],
    ids=["string", "large string", "binary", "view", "delta"],
)
def test_a_text_that_is_repeated_is_in_memory_once(tmp_path, monkeypatch, kind, way, limit):
    """A file of some ten thousand bytes could else take gigabytes."""
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", limit)
    path = tmp_path / "clients.parquet"
    other = f"{WORD}!" if way else "Bonn"  # in this encoding a text is short where it begins as the one before
    table = pa.table({"city": pa.array([WORD, None, other] * 50_000).cast(kind)})
    pq.write_table(table, path, row_group_size=40_000, **way)
    assert path.stat().st_size < 100_000
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        cities = load_dataset(DataConfig(static=str(path)), lambda location: path).columns["city"]
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 20 << 20  # of 150 MB
    assert list(cities[::3]) == [WORD] * 50_000
    assert len({id(city) for city in cities[2::3]}) <= len(cities) / 40_000 + 1
    assert pd.isna(cities[1::3]).all()


@pytest.mark.parametrize("limit", [0, 1 << 28], ids=["mapped", "in memory"])
def test_texts_that_unpack_to_far_more_than_their_file_are_refused(tmp_path, monkeypatch, limit):
    """Each different, but for its end the one before: 3 kB that take a few bytes of the file."""
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", limit)
    monkeypatch.setattr("nnperm_mlflow.inputs._texts._FREE_BYTES", 1 << 20)
    path = tmp_path / "clients.parquet"
    names = pa.table({"name": [f"{WORD}{number}" for number in range(10_000)]})
    delta = {"use_dictionary": False, "column_encoding": {"name": "DELTA_BYTE_ARRAY"}}
    pq.write_table(names, path, **delta)
    with pytest.raises(DataError, match="the texts of 'name' in '.*' unpack to more than 200 times the size"):
        load_dataset(DataConfig(static=str(path)), lambda location: path)
    pq.write_table(names.slice(0, 300), path, **delta)
    assert load_dataset(DataConfig(static=str(path)), lambda location: path).n_rows == 300


TYPED = pd.DataFrame(
    {
        "city": ["Ulm", None, "Köln", "Ulm"] * 25, "name": [f"client {number}" for number in range(100)],
        "flag": [True, False, False, True] * 25, "age": np.arange(100) % 90, "dose": np.arange(100) / 7,
        "amount": [Decimal("1.25"), None, Decimal("-3.50"), Decimal("0.00")] * 25, "day": pd.Timestamp("2024-01-01"),
    }
)  # fmt: skip
VERSION_2 = {"age": "DELTA_BINARY_PACKED", "dose": "BYTE_STREAM_SPLIT", "flag": "RLE", "amount": "DELTA_BYTE_ARRAY"}
"""What writers of version 2 (Spark, Rust, DuckDB) make of columns that hold no text."""


@pytest.mark.parametrize("limit", [0, 1 << 28], ids=["mapped", "in memory"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.string_view(), pa.binary_view()])
@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_however_a_parquet_file_encodes_its_columns_they_are_the_same_data(
    tmp_path, monkeypatch, encoding, kind, limit
):
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", limit)
    path, plain = tmp_path / "clients.parquet", tmp_path / "plain.parquet"
    table = pa.Table.from_pandas(TYPED, preserve_index=False)
    pq.write_table(table, plain)
    for name in ("city", "name"):
        table = table.set_column(table.schema.names.index(name), name, table[name].cast(pa.string()).cast(kind))
    way = {
        "use_dictionary": False,
        "column_encoding": {"city": encoding, "name": encoding, "day": "PLAIN", **VERSION_2},
    }
    for version, knows_arrow in (("1.0", True), ("2.0", False)):
        pq.write_table(table, path, row_group_size=40, data_page_version=version, store_schema=knows_arrow, **way)
        read, expected = (load_dataset(DataConfig(static=str(file)), Path) for file in (path, plain))
        assert list(read.columns) == list(TYPED)
        assert read.columns["city"][[0, 2, 3]].tolist() == ["Ulm", "Köln", "Ulm"]
        assert read.digest() == expected.digest()


def test_a_category_that_pyarrow_itself_does_not_read_is_not_called_damaged(tmp_path):
    table = pa.table({"city": pa.array(["Ulm", "Bonn"]).dictionary_encode()})
    delta = {"use_dictionary": False, "column_encoding": {"city": "DELTA_BYTE_ARRAY"}}
    pq.write_table(table, tmp_path / "clients.parquet", **delta)
    with pytest.raises(DataError, match="pyarrow does not read how it is encoded: write its categories as text"):
        load_dataset(DataConfig(static=str(tmp_path / "clients.parquet")), Path)


def test_a_value_that_pyarrow_names_in_its_error_is_not_passed_on(tmp_path):
    """Text of an encoding that is none, and dates of no calendar."""
    texts = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.int32([0, 5])), pa.py_buffer(b"4711\xff")])
    dates = pa.array([[10**15 + 4711]], pa.list_(pa.timestamp("s")))
    for column in (texts, dates):
        pq.write_table(pa.table({"a": column}), tmp_path / "clients.parquet")
        with pytest.raises(DataError, match="cannot be read as parquet: it is damaged") as caught:
            load_dataset(DataConfig(static=str(tmp_path / "clients.parquet")), Path)
        assert "4711" not in str(caught.value)


def test_a_name_that_ends_in_a_zero_is_a_name(tmp_path):
    """numpy's own strings lose it, and would name another column."""
    data = dataset_from(pd.DataFrame({"age\0": [1.0, 2.0], "age": [3.0, 4.0]}))
    specs = [InputSpec("num_input", (2,), np.dtype("float32"))]
    taken = bind_inputs(specs, data, {"num_input": ["age\0", "age"]}).read(np.arange(2))["num_input"]
    assert taken.tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_one_long_text_does_not_make_all_others_as_long():
    """As numpy's own strings are: 10,000 rows beside a text of a million letters would take 40 GB."""
    texts = np.array(["a"] * 10_000 + ["x" * 1_000_000, np.nan, b"\xff"], dtype=object)
    taken = ColumnGrid({"note": texts}, np.array("note"), np.dtype(object)).take(np.arange(len(texts)))
    assert taken[:2].tolist() == ["a", "a"]
    assert len(taken[10_000]) == 1_000_000
    assert np.isnan(taken[10_001])
