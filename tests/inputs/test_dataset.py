"""The data of an audit: tables and arrays read from files, what identifies them, and where files come from."""

import gzip
import hashlib
import pickle
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError, ShapeError
from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.inputs import _csv_files, arrays
from nnperm_mlflow.inputs.dataset import Series, dataset_from, load_dataset
from nnperm_mlflow.registry.artifacts import Fetcher

TABLE = pd.DataFrame(
    {
        "ID": ["a", "b", "c", "d"],
        "age": [20, 30, 40, 50],
        "income": [1.5, 0.1, -3.25, 1e-7],
        "member": [True, False, False, True],
        "city": ["Köln", "Ulm", "Bonn", "Ulm"],
        "default": [0, 1, 0, 1],
    }
)


def load(fetch=Path, **data):
    return load_dataset(parse_config({"data": data}).data, fetch)


def load_history(path, channels, **spec):
    return load(temporal={"history": {"file": str(path), "channels": channels, **spec}}).temporal["history"]


def saved(folder, array, name="history.npy"):
    np.save(folder / name, array)
    return folder / name


# Tables


def test_csv_and_parquet_of_one_table_are_the_same_data(tmp_path):
    table = TABLE.assign(remark=["x", None, "y", None], debt=[1.0, np.nan, 2.0, np.nan])
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.csv.gz", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    narrow = table.astype({"age": "int8", "default": "uint8", "city": "category", "member": "boolean"})
    narrow.to_parquet(tmp_path / "narrow.parquet")
    digests = {load(static=str(file)).digest() for file in tmp_path.iterdir()}
    assert digests == {dataset_from(table).digest()}


@pytest.mark.parametrize(
    "changed",
    [
        TABLE.assign(income=[1.5, 0.1, -3.25, 1.0000000000000002e-7]),
        TABLE.assign(age=[20, 30, 41, 50]),
        TABLE.assign(city=["Köln", "Ulm", "Bonn", "ulm"]),
        TABLE.assign(member=[True, False, True, True]),
        TABLE.rename(columns={"age": "ages"}),
        TABLE.rename(columns={"age": "default", "default": "age"}),
        TABLE.iloc[[1, 0, 2, 3]],
        TABLE.iloc[:3],
        TABLE.drop(columns="age"),
        TABLE.assign(age=["20", "30", "40", "50"]),
    ],
    ids=["float", "integer", "text", "boolean", "name", "two names", "row order", "row count", "column", "type"],
)
def test_the_digest_changes_with(changed):
    assert dataset_from(changed).digest() != dataset_from(TABLE).digest()


def test_the_digest_does_not_change_with_the_order_of_columns():
    assert dataset_from(TABLE[TABLE.columns[::-1]]).digest() == dataset_from(TABLE).digest()


def test_texts_that_read_the_same_when_joined_have_different_digests():
    one, other = (dataset_from(pd.DataFrame({"a": texts})) for texts in (["ab", "c"], ["a", "bc"]))
    assert one.digest() != other.digest()


def test_the_digest_of_an_array_covers_every_value_its_channels_and_their_axis():
    array = np.arange(24.0).reshape(2, 3, 4)
    changed = array.copy()
    changed[-1, -1, -1] += 1
    names = ("p", "q", "r")
    digests = [
        dataset_from(None, {"history": series}).digest()
        for series in (
            Series(names, array, channel_axis=1),
            Series(names, changed, channel_axis=1),
            Series(("q", "p", "r"), array, channel_axis=1),
            Series(names, array.reshape(2, 4, 3), channel_axis=2),
        )
    ]
    assert len(set(digests)) == 4


def test_the_digest_of_an_array_is_that_of_its_values_and_not_of_its_layout(tmp_path):
    array = np.arange(24, dtype="float32").reshape(2, 3, 4)
    files = [saved(tmp_path, array, "c.npy"), saved(tmp_path, np.asfortranarray(array), "fortran.npy")]
    files.append(saved(tmp_path, array.astype("float64"), "wide.npy"))
    files.append(saved(tmp_path, array.astype(">f4"), "swapped.npy"))
    digests = set()
    for file in files:
        series = load_history(file, ["p", "q", "r"])
        digests.add(dataset_from(None, {"history": series}).digest())
    assert len(digests) == 1


def test_columns_keep_numbers_booleans_and_text_as_they_are(tmp_path):
    TABLE.to_parquet(tmp_path / "t.parquet")
    columns = load(static=str(tmp_path / "t.parquet")).columns
    assert [columns[name].dtype.kind for name in TABLE.columns] == ["O", "i", "f", "b", "O", "i"]
    assert columns["city"].tolist() == TABLE["city"].tolist()


def test_whole_numbers_beyond_float64_stay_exact():
    table = pd.DataFrame({"a": pd.array([2**53 + 1, 3], dtype="Int64")})
    assert dataset_from(table).columns["a"].tolist() == [2**53 + 1, 3]


def test_a_missing_number_among_whole_ones_is_nan():
    values = dataset_from(pd.DataFrame({"a": pd.array([1, None], dtype="Int64")})).columns["a"]
    np.testing.assert_array_equal(values, [1.0, np.nan])


def test_row_ids_and_label_are_the_columns_said():
    dataset = dataset_from(TABLE, row_id="ID", label="default")
    assert dataset.row_ids.tolist() == ["a", "b", "c", "d"]
    assert dataset.label == "default"
    assert dataset.n_rows == 4


def test_clusters_are_numbered_in_the_order_in_which_they_appear():
    table = TABLE.assign(client=["z", "b", "z", "a"])
    dataset = dataset_from(table, cluster="client")
    assert dataset.clusters.tolist() == [0, 1, 0, 2]
    assert dataset.cluster == "client"
    assert dataset_from(table).clusters is None


def test_clusters_of_a_file_are_those_of_its_column(tmp_path):
    (tmp_path / "t.csv").write_text("age,client\n1,8\n2,7\n3,8\n")
    assert load(static=str(tmp_path / "t.csv"), cluster="client").clusters.tolist() == [0, 1, 0]


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_row_of_which_is_not_known_where_it_belongs_is_refused(missing):
    table = TABLE.assign(client=[1, missing, 1, missing])
    with pytest.raises(DataError, match="'client', which is missing in 2 of 4 rows. Fill it in"):
        dataset_from(table, cluster="client")


@pytest.mark.parametrize("role", ["row_id", "label", "cluster"])
def test_a_missing_row_id_or_label_is_refused_and_the_nearest_column_named(role):
    with pytest.raises(DataError, match=f"data: {role} names the column 'defaul',.* Did you mean 'default'\\?"):
        dataset_from(TABLE, **{role: "defaul"})


def test_a_missing_column_of_a_history_is_refused_and_the_nearest_one_named():
    history = Series(("PAY",), columns={"PAY": ("age", "incom")})
    with pytest.raises(DataError, match=r"data: temporal: history names the column 'incom'.* Did you mean 'income'\?"):
        dataset_from(TABLE, {"history": history})


def test_temporal_data_called_as_a_column_are_refused():
    with pytest.raises(ConfigError, match="'age' is both a column"):
        dataset_from(TABLE, {"age": Series(("PAY",), np.zeros((4, 2, 1)), channel_axis=2)})


def test_a_column_name_given_twice_is_refused_in_a_data_frame():
    with pytest.raises(DataError, match="names 'age' twice"):
        dataset_from(pd.DataFrame(np.zeros((2, 3)), columns=["age", "sex", "age"]))


def test_names_that_are_the_same_as_text_are_refused():
    with pytest.raises(DataError, match="names '1' twice"):
        dataset_from(pd.DataFrame(np.zeros((2, 2)), columns=[1, "1"]))


def test_a_column_name_given_twice_is_refused_in_a_csv_file(tmp_path):
    (tmp_path / "t.csv").write_text("age,sex,age\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="'age'"):
        load(static=str(tmp_path / "t.csv"))


@pytest.mark.parametrize("ending", ["", ","])
def test_a_comma_at_the_end_of_csv_lines_shifts_no_column(tmp_path, ending):
    (tmp_path / "table.csv").write_text(f"ID,a,b\n1,10,100{ending}\n2,20,200{ending}\n")
    table = load(static=str(tmp_path / "table.csv")).columns
    assert {name: list(table[name]) for name in table} == {"ID": [1, 2], "a": [10, 20], "b": [100, 200]}


CODES = ["01067", "1.10", "1e5", "TRUE", "+49", "NA", "null", "9007199254740993", ""]


def test_text_of_a_csv_file_is_text_as_it_is_written(tmp_path):
    """All but one of these would be read as numbers, as booleans or as missing, each column by itself."""
    frame = pd.DataFrame({f"c{place}": [code, code] for place, code in enumerate(CODES)})
    frame.to_csv(tmp_path / "table.csv", index=False)
    columns = load(static=str(tmp_path / "table.csv"), text=[*frame]).columns
    assert [columns[f"c{place}"][0] for place in range(len(CODES) - 1)] == CODES[:-1]
    assert np.isnan(columns[f"c{len(CODES) - 1}"][0])
    assert load(static=str(tmp_path / "table.csv")).columns["c0"][0] == 1067
    with pytest.raises(ConfigError, match="data: text names 'c00', which is no column .* Did you mean 'c0'"):
        load(static=str(tmp_path / "table.csv"), text=["c00"])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["7", "8", "10"], [7, 8, 10]),
        (["007", "008", "7"], ["007", "008", "7"]),
        (["1e5", "2e3", "1.0"], ["1e5", "2e3", "1.0"]),
        (["9007199254740993", "", "5"], ["9007199254740993", None, "5"]),
        (["NA", "null", "None"], ["NA", "null", "None"]),
        (["a", "", "b"], ["a", None, "b"]),
    ],
)
def test_row_ids_of_a_csv_file_are_as_they_are_written(tmp_path, written, expected):
    (tmp_path / "table.csv").write_text("\n".join(["id,x", *(f"{name},1" for name in written)]))
    found = load(static=str(tmp_path / "table.csv"), row_id="id").row_ids
    assert [None if pd.isna(name) else name for name in found] == expected


def test_csv_lines_with_more_cells_than_the_header_are_refused(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n1,10,100\n2,20,200\n")
    with pytest.raises(DataError, match=r"have more cells than its header names columns \(2\). Name each column"):
        load(static=str(tmp_path / "table.csv"))


def test_a_csv_column_that_is_called_like_a_numbered_copy_is_a_column(tmp_path):
    (tmp_path / "t.csv").write_text("age,age.1\n1,2\n")
    assert list(load(static=str(tmp_path / "t.csv")).columns) == ["age", "age.1"]


def test_a_column_name_given_twice_is_refused_in_a_parquet_file(tmp_path):
    table = pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["age", "age"])
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="age"):
        load(static=str(tmp_path / "t.parquet"))


def test_rows_that_disagree_are_refused_with_all_counts():
    history = Series(("PAY",), np.zeros((3, 2, 1)), channel_axis=2)
    with pytest.raises(DataError, match="temporal data 'history' has 3, the static table has 4"):
        dataset_from(TABLE, {"history": history})


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("age,income\n")
    with pytest.raises(DataError, match=r"t\.csv holds no rows"):
        load(static=str(tmp_path / "t.csv"))


def test_no_data_at_all_are_refused():
    with pytest.raises(DataError, match="there are no data"):
        load()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b""),
        ("t.csv", b'a,b\n1,"2\n'),
        ("t.csv", b"a,b\n1,2\n1,2,3\n"),
        ("t.csv", "größe\n1\n".encode("latin-1")),
        ("t.parquet", b""),
        ("t.parquet", b"age,income\n1,2\n"),
        ("t.csv.gz", b"no gzip"),
    ],
)
def test_a_damaged_table_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}' cannot be read as"):
        load(static=str(tmp_path / name))


def test_columns_called_like_nothing_are_columns_of_their_own(tmp_path):
    (tmp_path / "t.csv").write_text("NA,null,nan\n1,2,3\n")
    assert list(load(static=str(tmp_path / "t.csv")).columns) == ["NA", "null", "nan"]


def test_a_packed_table_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path, monkeypatch):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"age\n" + b"1\n" * 500_000))
    assert load(static=str(tmp_path / "t.csv.gz")).n_rows == 500_000
    monkeypatch.setattr(_csv_files, "_FREE_BYTES", 1 << 19)
    with pytest.raises(DataError, match=r"t\.csv\.gz' unpacks to more than 200 times its size"):
        load(static=str(tmp_path / "t.csv.gz"))


def test_short_lines_below_a_wide_header_are_not_filled_up_without_end(tmp_path, monkeypatch):
    """20 KB of text would be a table of 4 million cells."""
    header = ",".join(f"c{number}" for number in range(2000))
    (tmp_path / "t.csv").write_text(f"{header}\n" + "1\n" * 2000)
    assert load(static=str(tmp_path / "t.csv")).n_rows == 2000
    monkeypatch.setattr(_csv_files, "_FREE_BYTES", 1 << 20)
    with pytest.raises(DataError, match="has 2,000 columns and 2,001 lines, which are too short for them"):
        load(static=str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text(f"{header}\n" + f"{'1,' * 1999}1\n" * 100)
    assert load(static=str(tmp_path / "t.csv")).n_rows == 100


def test_a_header_of_a_million_columns_is_refused_before_anything_is_made_of_it(tmp_path):
    (tmp_path / "t.csv").write_text("," * 1_000_000)
    with pytest.raises(DataError, match="has more than 100,000 columns"):
        load(static=str(tmp_path / "t.csv"))


def test_a_table_of_another_format_is_refused(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"a static table is a \.csv or \.parquet file, but .* ends in '\.xlsx'"):
        load(static=str(tmp_path / "t.xlsx"))


# Temporal arrays


def test_an_npy_file_stays_memory_mapped_and_is_not_written_to(tmp_path):
    path = saved(tmp_path, np.arange(24.0).reshape(2, 3, 4))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    array = load_history(path, ["p", "q", "r"]).array
    assert isinstance(array, np.memmap)
    assert Path(array.filename) == path
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 7
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_an_npz_file_with_one_array_gives_it_whatever_it_is_called(tmp_path):
    array = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / "h.npz", something=array)
    np.testing.assert_array_equal(load_history(tmp_path / "h.npz", ["p", "q", "r"]).array, array)


def test_an_npz_file_with_several_arrays_gives_the_one_of_that_name(tmp_path):
    array = np.arange(24.0).reshape(2, 3, 4)
    np.savez_compressed(tmp_path / "h.npz", other=array + 1, history=array)
    np.testing.assert_array_equal(load_history(tmp_path / "h.npz", ["p", "q", "r"]).array, array)


def test_an_npz_file_without_the_name_is_refused_with_those_it_has(tmp_path):
    np.savez(tmp_path / "h.npz", train=np.zeros((2, 3, 4)), test=np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match="holds the arrays 'train', 'test', none of which is called 'history'"):
        load_history(tmp_path / "h.npz", ["p", "q", "r"])


def test_a_channel_axis_is_found_where_one_fits(tmp_path):
    path = saved(tmp_path, np.zeros((2, 3, 4)))
    assert load_history(path, ["p", "q", "r"]).channel_axis == 1
    assert load_history(path, ["p", "q", "r", "s"]).channel_axis == 2


def test_a_channel_axis_that_is_said_wrong_is_refused(tmp_path):
    path = saved(tmp_path, np.zeros((2, 3, 4)))
    with pytest.raises(
        ShapeError, match=r"has 4 entries along channel_axis 2, but 3 channels are named: 'p', 'q', 'r'"
    ):
        load_history(path, ["p", "q", "r"], channel_axis=2)


def test_a_channel_axis_is_not_guessed_where_both_fit(tmp_path):
    path = saved(tmp_path, np.zeros((2, 3, 3)))
    with pytest.raises(ShapeError, match=r"both fit\). Set channel_axis to 1 or 2"):
        load_history(path, ["p", "q", "r"])
    assert load_history(path, ["p", "q", "r"], channel_axis=1).channel_axis == 1
    assert load_history(path, ["p", "q", "r"], channel_axis=2).channel_axis == 2


def test_a_number_of_channels_that_fits_no_axis_is_refused(tmp_path):
    path = saved(tmp_path, np.zeros((2, 3, 4)))
    with pytest.raises(ShapeError, match="neither fits"):
        load_history(path, ["p", "q"])


def test_one_channel_may_come_without_an_axis_of_its_own(tmp_path):
    assert load_history(saved(tmp_path, np.zeros((2, 5))), ["p"]).channel_axis is None


@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (2, 3, 4, 5)])
def test_an_array_of_other_than_three_axes_is_refused(tmp_path, shape):
    path = saved(tmp_path, np.zeros(shape))
    with pytest.raises(ShapeError, match="must have three axes"):
        load_history(path, ["p", "q", "r"])


def test_channels_of_columns_need_the_same_number_of_steps(tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    history = {"columns": {"PAY": ["age", "income"], "BILL": ["age"]}}
    with pytest.raises(ConfigError, match="'PAY' has 2, 'BILL' has 1"):
        load(static=str(tmp_path / "t.csv"), temporal={"history": history})


class _Trap:
    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def test_arrays_of_objects_are_refused_and_nothing_in_them_runs(tmp_path):
    proof = tmp_path / "ran"
    array = np.empty((1, 1, 1), dtype=object)
    array[0, 0, 0] = _Trap(proof)
    np.save(tmp_path / "h.npy", array)
    np.savez(tmp_path / "h.npz", history=array)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(_Trap(proof)))
    for name in ("h.npy", "h.npz", "pickle.npy"):
        with pytest.raises(DataError, match=rf"{name}' is no \.npy or \.npz file of plain numbers"):
            load_history(tmp_path / name, ["p"])
    assert not proof.exists()
    np.load(tmp_path / "h.npy", allow_pickle=True)
    assert proof.exists(), "the trap is none"


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04 no zip", b"text"])
def test_a_damaged_array_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "h.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"h\.npy' is no \.npy or \.npz file"):
        load_history(tmp_path / "h.npy", ["p"])


def test_an_array_cut_off_in_the_middle_is_refused(tmp_path):
    path = saved(tmp_path, np.zeros((20, 3, 4)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"history\.npy' is no"):
        load_history(path, ["p", "q", "r"])


def header(shape, descr="<f8"):
    """Return the beginning of an .npy file, with a header that may lie."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def packed(path, content, method=zipfile.ZIP_DEFLATED, name="history.npy"):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "shape", [(10**12, 3, 4), (2**61, 8, 1), (2**62, 3, 2**62), (-1, 3, 4), (10**30, 3, 4), (True, 3, 4), "4"]
)
def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path, shape):
    (tmp_path / "h.npy").write_bytes(header(shape) + bytes(80))
    packed(tmp_path / "h.npz", header(shape) + bytes(80))
    for name in ("h.npy", "h.npz"):
        with pytest.raises(DataError, match=rf"{name}' is no \.npy or \.npz file of plain numbers"):
            load_history(tmp_path / name, ["p", "q", "r"])


def test_the_memory_that_an_archive_only_promises_is_not_asked_for(tmp_path, monkeypatch):
    """numpy would make room for the whole array before it reads the first number."""
    asked = []
    monkeypatch.setattr(np.lib.format, "read_array", lambda *given, **options: asked.append(given))
    packed(tmp_path / "h.npz", header((10**9, 3, 4)) + bytes(80))
    with pytest.raises(DataError):
        load_history(tmp_path / "h.npz", ["p", "q", "r"])
    assert asked == []


@pytest.mark.parametrize("shape", [(10**12, 0, 3), (10**12, 3, 0), (4, 0, 3)])
def test_rows_that_hold_nothing_are_refused_however_many_they_are(tmp_path, shape):
    (tmp_path / "h.npy").write_bytes(header(shape))
    with pytest.raises(ShapeError, match="hold nothing in each row"):
        load_history(tmp_path / "h.npy", ["p", "q", "r"])


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "h.npz", history=np.zeros((10_000, 3, 4)))
    assert load_history(tmp_path / "h.npz", ["p", "q", "r"]).array.shape == (10_000, 3, 4)
    monkeypatch.setattr(arrays, "_FREE_BYTES", 1 << 19)
    with pytest.raises(DataError, match="unpacks to 960,128 bytes, more than 200 times its size. Save .*numpy.save"):
        load_history(tmp_path / "h.npz", ["p", "q", "r"])
    monkeypatch.undo()
    assert arrays._FREE_BYTES >= 1 << 28


def test_an_archive_that_numpy_does_not_write_is_refused(tmp_path):
    content = header((1, 1)) + bytes(8)
    assert load_history(packed(tmp_path / "h.npz", content), ["p"]).array.shape == (1, 1)
    packed(tmp_path / "h.npz", content, zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="is no .npy or .npz file"):
        load_history(tmp_path / "h.npz", ["p"])


@pytest.mark.parametrize(
    "text", ["{'descr': (", "[" * 500, "{[]: 1}", "9" * 5000, "{'descr': '<f8', 'shape': (1,)}", "'"]
)
def test_a_header_that_is_no_header_is_refused(tmp_path, text):
    content = text.encode()
    (tmp_path / "h.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content)
    with pytest.raises(DataError, match="is no .npy or .npz file"):
        load_history(tmp_path / "h.npy", ["p"])


# Where files come from


class _House(BaseHTTPRequestHandler):
    """Serves /t.csv to everyone, /locked.csv to me:secret, /short.csv in part, /wrong.* damaged; counts requests."""

    def do_GET(self):
        self.server.asked.append(self.path)
        path, csv = self.path.split("?")[0], TABLE.to_csv(index=False).encode()
        welcome = path != "/locked.csv" or self.headers["Authorization"] == "Basic bWU6c2VjcmV0"
        body = (
            csv
            if welcome and path in ("/t.csv", "/locked.csv", "/short.csv")
            else b"PAR1 \xff"
            if path != "/wrong.empty.csv"
            else b"default\n"
        )
        known = path in ("/t.csv", "/short.csv", "/locked.csv") or path.startswith("/wrong.")
        self.send_response(200 if welcome and known else 401 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if path == "/short.csv" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def house():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _House)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def address(house, path, user=""):
    return f"http://{user}127.0.0.1:{house.server_port}{path}"


@pytest.fixture
def fetch(tmp_path):
    return Fetcher(tmp_path / "fetched")


def same_as_table(dataset):
    return dataset.digest() == dataset_from(TABLE).digest()


def test_a_path_and_a_file_url_are_read_where_they_lie(tmp_path, fetch):
    path = tmp_path / "a b.csv"
    TABLE.to_csv(path, index=False)
    assert fetch(str(path)) == path
    assert "%20" in path.as_uri()
    assert fetch(path.as_uri()) == path
    assert not (tmp_path / "fetched").exists()


def test_a_table_is_read_from_a_url(house, fetch):
    assert same_as_table(load(fetch, static=address(house, "/t.csv")))
    assert same_as_table(load(fetch, static=address(house, "/t.csv?version=3")))


def test_user_and_password_in_a_url_are_used(house, fetch):
    assert same_as_table(load(fetch, static=address(house, "/locked.csv", "me:secret@")))
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch(address(house, "/locked.csv"))


def test_a_location_is_fetched_once(house, fetch):
    assert fetch(address(house, "/t.csv")) == fetch(address(house, "/t.csv"))
    assert house.asked == ["/t.csv"]


def test_two_locations_of_one_file_name_do_not_overwrite_each_other(house, fetch):
    one, other = fetch(address(house, "/t.csv")), fetch(address(house, "/wrong.parquet/../t.csv?b"))
    assert one != other


def test_an_artifact_of_a_run_is_read(tmp_path, tracked, fetch):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    np.save(tmp_path / "h.npy", np.zeros((4, 2, 3)))
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(tmp_path / "t.csv"), "data")
        mlflow.log_artifact(str(tmp_path / "h.npy"))
    root = f"runs:/{run.info.run_id}"
    history = {"file": f"{root}/h.npy", "channels": ["p", "q"]}
    dataset = load(fetch, static=f"{root}/data/t.csv", temporal={"history": history})
    assert dataset.columns["city"].tolist() == TABLE["city"].tolist()
    assert isinstance(dataset.temporal["history"].array, np.memmap)
    assert dataset.source == f"{root}/data/t.csv"


def test_a_missing_file_is_named(tmp_path, fetch):
    path = tmp_path / "missing.csv"
    for location in (str(path), path.as_uri(), str(tmp_path)):
        with pytest.raises(DataError, match="there is no file"):
            fetch(location)


def test_what_a_server_does_not_have_is_refused(house, fetch):
    with pytest.raises(DataError, match=r"/missing\.csv' cannot be fetched \(HTTPError\)"):
        fetch(address(house, "/missing.csv"))


def test_half_a_file_from_a_server_is_no_file(house, fetch):
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch(address(house, "/short.csv"))


def test_a_server_that_is_not_there_is_named(house, fetch):
    url = address(house, "/t.csv")
    house.shutdown()
    house.server_close()
    with pytest.raises(DataError, match=r"127\.0\.0\.1:\d+/t\.csv' cannot be fetched \(ConnectionError\)"):
        fetch(url)


def test_a_failed_fetch_can_be_tried_again(house, fetch):
    for _ in range(2):
        with pytest.raises(DataError, match="cannot be fetched"):
            fetch(address(house, "/missing.csv"))


@pytest.mark.parametrize("what", ["artifact", "run"])
def test_a_missing_artifact_or_run_is_named(tracked, fetch, what):
    with mlflow.start_run() as run:
        pass
    location = f"runs:/{run.info.run_id if what == 'artifact' else '0' * 32}/t.csv"
    with pytest.raises(DataError, match=f"'{location}' cannot be fetched"):
        fetch(location)


def test_a_location_of_an_unknown_kind_is_refused(fetch):
    with pytest.raises(DataError, match=r"'gopher://house/t\.csv' cannot be fetched"):
        fetch("gopher://house/t.csv")


@pytest.mark.parametrize(
    "path", ["/missing.csv", "/wrong.parquet", "/wrong.csv", "/wrong.empty.csv", "/wrong.xlsx", "/wrong.npy"]
)
def test_credentials_in_a_url_never_appear_in_messages(house, fetch, path):
    url = address(house, f"{path}?token=hush", "me:secret@")
    temporal = {"history": {"file": url, "channels": ["p", "q"]}}
    with pytest.raises(AuditError, match=r"127\.0\.0\.1") as caught:
        load(fetch, **({"temporal": temporal} if path.endswith(".npy") else {"static": url, "label": "default"}))
    assert "secret" not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("values", [np.array([["Jane Doe"]]), np.ones((1, 1), complex), np.ones((1, 1), "m8[s]")])
def test_an_array_of_something_else_than_numbers_is_refused_without_showing_it(values):
    with pytest.raises(DataError, match="expected numbers") as refused:
        dataset_from(None, {"history": Series(("a",), values)})
    assert "Jane" not in str(refused.value)


def test_temporal_data_in_memory_are_checked_as_those_from_files_are():
    array = np.zeros((5, 3, 2))
    found = dataset_from(None, {"history": Series(("a", "b"), array)})
    assert found.temporal["history"].channel_axis == 2
    with pytest.raises(ShapeError, match="which axis is the channels' cannot be told"):
        dataset_from(None, {"history": Series(("a", "b", "c", "d"), array)})
    with pytest.raises(ConfigError, match="each needs a name of its own"):
        dataset_from(None, {"history": Series(("a", "a"), array)})


def test_a_file_that_may_not_be_read_is_told_as_that(tmp_path, fetch, monkeypatch):
    (tmp_path / "table.csv").write_text("a\n1\n")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(DataError, match=r"you may not read the file '.*table\.csv'. Ask its owner"):
        fetch(str(tmp_path / "table.csv"))


def test_a_package_that_a_store_needs_is_named(fetch, monkeypatch):
    def fail(**_):
        raise ModuleNotFoundError("No module named 'google'", name="google")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    with pytest.raises(DataError, match="'gs://bucket/a.csv' cannot be fetched: the module 'google' is missing"):
        fetch("gs://bucket/a.csv?token=TOKEN")
