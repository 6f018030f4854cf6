"""The deviation table: what is written is read back, in the final layout, or there is no file."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nnperm_mlflow.analysis.engine.table import METADATA_KEY, TableReader, TableWriter, column_names, table_metadata
from nnperm_mlflow.analysis.perturbation.kinds import SetTo, Shuffle
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.slots import Feature

DOSE, SEX = Feature("dose", (), "number"), Feature("SEX", (), "category")
PLAN = [Shuffle(DOSE), Shuffle(SEX), SetTo(SEX, 2)]
METADATA = {"model": "models:/risk/4", "seed": 7, "rows": 5, "größe": "ä"}
BLOCKS = [np.array([3, 0]), np.array([1, 2, 4])]
BASELINE = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
DEVIATIONS = np.arange(30, dtype=np.float32).reshape(2, 3, 5) / 7
"""Of 2 repeats, 3 perturbations, 5 rows."""


def shuffles(*names):
    return [Shuffle(Feature(name, (), "number")) for name in names]


def write_all(writer):
    for rows in BLOCKS:
        for repeat in range(2):
            writer.write(rows, repeat, BASELINE[rows, None], DEVIATIONS[repeat][:, rows])


def written(path, row_ids=None, metadata=METADATA):
    with TableWriter(path, PLAN, ["baseline"], row_ids, metadata, repeats=range(2)) as writer:
        write_all(writer)
    return path


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    table = pq.read_table(written(tmp_path / "deviations.parquet"))
    assert [(field.name, field.type) for field in table.schema] == [
        ("row", pa.int64()),
        ("repeat", pa.int32()),
        ("baseline", pa.float64()),
        ("dose", pa.float32()),
        ("SEX", pa.float32()),
        ("SEX=2", pa.float32()),
    ]
    rows, repeats = [3, 0, 1, 2, 4] * 2, [0] * 5 + [1] * 5
    assert table["row"].to_pylist() == rows
    assert table["repeat"].to_pylist() == repeats
    assert table["baseline"].to_pylist() == BASELINE[rows].tolist()
    for position, column in enumerate(["dose", "SEX", "SEX=2"]):
        np.testing.assert_array_equal(table[column].to_numpy(), DEVIATIONS[repeats, position, rows])


def test_a_column_is_read_by_row_groups_in_the_order_of_writing(tmp_path):
    with TableReader(written(tmp_path / "deviations.parquet")) as reader:
        blocks = list(reader.column("SEX"))
    assert [block.dtype for block in blocks] == [np.float32] * 2
    for block, values in zip(blocks, DEVIATIONS[:, 1], strict=True):
        np.testing.assert_array_equal(block, values[[3, 0, 1, 2, 4]])


def test_row_groups_are_cut_alike_whatever_the_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.engine.table._FEWEST_GROUP_ROWS", 100)
    monkeypatch.setattr("nnperm_mlflow.analysis.engine.table._GROUP_BYTES", 1)
    values = np.random.default_rng(0).random((2, 3, 250), dtype=np.float32)
    files = []
    for step in (7, 100, 125, 250):
        files.append(tmp_path / f"{step}.parquet")
        with TableWriter(files[-1], PLAN, ["baseline"], None, METADATA, repeats=range(2)) as writer:
            for rows in np.split(np.arange(250), range(step, 250, step)):
                for repeat in range(2):
                    writer.write(rows, repeat, rows[:, None] / 7, values[repeat][:, rows])
    sizes = [pq.ParquetFile(files[0]).metadata.row_group(group).num_rows for group in range(6)]
    assert sizes == [100, 100, 100, 100, 50, 50]
    assert len({file.read_bytes() for file in files}) == 1


def test_several_outputs_have_a_baseline_column_each(tmp_path):
    path, baseline = tmp_path / "deviations.parquet", np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
    with TableWriter(path, PLAN, ["baseline_no", "baseline_yes"], None, {}) as writer:
        writer.write(np.arange(2), 0, baseline, DEVIATIONS[0][:, :2])
    table = pd.read_parquet(path)
    assert table[["baseline_no", "baseline_yes"]].to_numpy().tolist() == baseline.tolist()


@pytest.mark.parametrize("ids", [[50, 40, 30, 20, 10], ["e5", "d4", "c3", "b2", "ä"], [2**60 + n for n in range(5)]])
def test_each_row_bears_its_own_id(tmp_path, ids):
    static = pd.DataFrame({"ID": ids, "dose": range(5)})
    table = pq.read_table(written(tmp_path / "t.parquet", dataset_from(static, row_id="ID").row_ids))
    assert table.column_names[:3] == ["row", "row_id", "repeat"]
    assert table["row_id"].to_pylist() == [ids[row] for row in table["row"].to_pylist()]


@pytest.mark.parametrize(
    "ids",
    [pd.date_range("2020-01-01", periods=5), [1, "b2", 3.5, "4", "five"], [True, False, True, False, True]],
    ids=["dates", "numbers and text", "booleans"],
)
def test_rows_may_be_named_by_whatever_a_column_holds(tmp_path, ids):
    static = pd.DataFrame({"ID": ids, "dose": range(5)})
    table = pq.read_table(written(tmp_path / "t.parquet", dataset_from(static, row_id="ID").row_ids)).to_pandas()
    named = table.drop_duplicates("row").set_index("row")["row_id"].sort_index()
    read = pd.to_datetime(named) if isinstance(ids, pd.DatetimeIndex) else named
    assert list(map(str, read)) == list(map(str, ids))


def test_the_schema_tells_of_the_audit_in_json(tmp_path):
    schema = pq.read_schema(written(tmp_path / "deviations.parquet"))
    assert (
        table_metadata(schema)
        == json.loads(schema.metadata[METADATA_KEY])
        == {
            **METADATA,
            "perturbations": [
                {"perturbation": "dose", "column": "dose", "feature": "dose", "way": "shuffle", "value": None},
                {"perturbation": "SEX", "column": "SEX", "feature": "SEX", "way": "shuffle", "value": None},
                {"perturbation": "SEX=2", "column": "SEX=2", "feature": "SEX", "way": "set", "value": 2},
            ],
        }
    )


def test_features_called_as_the_tables_own_columns_get_a_column_of_their_own(tmp_path):
    path, plan = tmp_path / "deviations.parquet", shuffles("row", "repeat", "baseline", "row_id", "dose")
    deviations = np.arange(10, dtype=np.float32).reshape(5, 2)
    with TableWriter(path, plan, ["baseline"], np.array([8, 9]), {}) as writer:
        writer.write(np.arange(2), 0, np.array([[0.5], [0.6]]), deviations)
    table = pd.read_parquet(path)
    own = ["row_", "repeat_", "baseline_", "row_id_", "dose"]
    assert table.columns.tolist() == ["row", "row_id", "repeat", "baseline", *own]
    assert table["row"].tolist() == [0, 1]
    assert table["row_id"].tolist() == [8, 9]
    assert table["repeat"].tolist() == [0, 0]
    assert table["baseline"].tolist() == [0.5, 0.6]
    assert table[own].to_numpy().T.tolist() == deviations.tolist()
    described = table_metadata(pq.read_schema(path))["perturbations"]
    assert [(done["feature"], done["column"]) for done in described] == [
        ("row", "row_"), ("repeat", "repeat_"), ("baseline", "baseline_"), ("row_id", "row_id_"), ("dose", "dose")
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("row", "row_", "row__"), ("row__", "row_", "row"), ("row_", "row", "baseline_a")])
def test_no_two_columns_have_one_name(names):
    columns = column_names(shuffles(*names), ["baseline_a"])
    assert len({*columns, "row", "row_id", "repeat", "baseline_a"}) == len(names) + 4


def test_there_is_no_file_under_the_tables_name_before_it_is_complete(tmp_path):
    path = tmp_path / "deviations.parquet"
    with TableWriter(path, PLAN, ["baseline"], None, METADATA, repeats=range(2)) as writer:
        write_all(writer)
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["deviations.parquet"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_audit_that_fails_leaves_no_file(tmp_path, interruption):
    def fail(writer):
        write_all(writer)
        raise interruption

    with (
        pytest.raises(interruption),
        TableWriter(tmp_path / "deviations.parquet", PLAN, ["baseline"], None, METADATA, repeats=range(2)) as writer,
    ):
        fail(writer)
    assert list(tmp_path.iterdir()) == []


def test_an_audit_that_fails_keeps_the_table_of_the_one_before(tmp_path):
    path = written(tmp_path / "deviations.parquet")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="the model"), TableWriter(path, PLAN[:1], ["baseline"], None, {}):
        raise ValueError("the model")
    assert [file.name for file in tmp_path.iterdir()] == ["deviations.parquet"]
    assert path.read_bytes() == before


def test_a_table_without_rows_has_its_columns(tmp_path):
    path = tmp_path / "deviations.parquet"
    with TableWriter(path, PLAN, ["baseline"], None, {}):
        pass
    assert pd.read_parquet(path).columns.tolist() == ["row", "repeat", "baseline", "dose", "SEX", "SEX=2"]


def test_a_table_is_written_inside_with_only(tmp_path):
    writer = TableWriter(tmp_path / "deviations.parquet", PLAN, ["baseline"], None, {})
    with pytest.raises(RuntimeError, match="inside 'with'"):
        write_all(writer)
