"""Large Parquet tables: the same values as small ones, their numbers in files without a name."""

import gc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nnperm_mlflow.config import DataConfig
from nnperm_mlflow.errors import DataError, ShapeError
from nnperm_mlflow.inputs import tables
from nnperm_mlflow.inputs.dataset import Series, dataset_from, load_dataset
from nnperm_mlflow.inputs.sources import ColumnGrid, StoredArray, release

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
