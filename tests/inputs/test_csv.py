"""csv files as other programs write them: other separators, decimal commas, and what is said where none is plain."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.basics.errors import ConfigError, DataError
from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.inputs.dataset import dataset_from, load_dataset

TABLE = pd.DataFrame(
    {
        "fixed acidity": [7.4, np.nan, -0.25, 1e-7], "quality": [5, 6, 5, 7], "dry": [True, False, True, True],
        "maker": ["Müller, Söhne", "x;y", "a|b", None], "year": ["1999", "about 1998", "2001, late", "2002"],
    }
)  # fmt: skip
KEY = r"""data: \{csv: \{sep: ";", decimal: ","\}\}"""


def load(path, as_written=(), **data):
    return load_dataset(parse_config({"data": {"static": str(path), **data}}).data, Path, as_written)


def written(folder, text, name="t.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    "way",
    [
        {"sep": ";"}, {"sep": "\t"}, {"sep": "|"}, {"sep": ";", "decimal": ","}, {"sep": "\t", "decimal": ","},
        {"sep": ";", "quoting": 1}, {"sep": ";", "decimal": ",", "encoding": "utf-8-sig"},
        {"sep": ";", "lineterminator": "\r"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_table_is_the_same_data_whatever_parts_its_cells(tmp_path, name, way):
    TABLE.to_csv(tmp_path / name, index=False, **way)
    read = load(tmp_path / name)
    assert list(read.columns) == list(TABLE)
    assert read.digest() == dataset_from(TABLE).digest()


def test_a_tsv_file_has_tabs_whatever_its_names_hold(tmp_path):
    TABLE.rename(columns={"quality": "quality, 0 to 10"}).to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    assert load(tmp_path / "t.tsv").columns["quality, 0 to 10"].tolist() == [5, 6, 5, 7]


def test_commas_in_the_header_alone_part_no_cells(tmp_path):
    columns = load(written(tmp_path, "size, m2;rooms\n70;3\n55;2\n")).columns
    assert {name: values.tolist() for name, values in columns.items()} == {"size, m2": [70, 55], "rooms": [3, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n2\n",
        "a;b\n1\n2\n",
        "a,b;c\n1,2;3\n4,5;6\n",
        '"a;b"\n"1;2"\n',
        "note\nthis; that\nother; again\n",
        "a;b,c\n1;2,3\n",
        "a;b\n1;2;3\n4\n",
    ],
)
def test_a_file_of_commas_is_read_as_ever(tmp_path, text):
    path = written(tmp_path, text)
    assert load(path).digest() == dataset_from(pd.read_csv(path)).digest()


def test_codes_and_row_ids_are_as_they_are_written(tmp_path):
    path = written(tmp_path, "id;code;age\n007;01,50;1,5\n008;1,5;2,25\n")
    data = load(path, ["code"], row_id="id")
    assert data.row_ids.tolist() == ["007", "008"]
    assert data.columns["code"].tolist() == [1.5, 1.5]
    assert data.written["code"].tolist() == ["01,50", "1,5"]
    assert load(path, text=["code"]).columns["code"].tolist() == ["01,50", "1,5"]


def test_decimal_commas_are_those_of_columns_that_hold_nothing_else(tmp_path):
    path = written(tmp_path, "age;size;place\n1,5;1,5;\n;2;Ulm, Bonn\n-2,5e3;x;3,5\n")
    columns = load(path).columns
    np.testing.assert_array_equal(columns["age"], [1.5, np.nan, -2500])
    assert columns["size"].tolist() == ["1,5", "2", "x"]
    assert columns["place"][1:].tolist() == ["Ulm, Bonn", "3,5"]


def test_points_beside_commas_are_for_the_configuration_to_tell_apart(tmp_path):
    path = written(tmp_path, "age;size\n1.5;38,5\n2.0;40,0\n")
    with pytest.raises(DataError, match=f"decimal points in 'age' and what may be decimal commas in 'size'.*{KEY}"):
        load(path)
    assert load(path, csv={"decimal": "."}).columns["size"].tolist() == ["38,5", "40,0"]
    assert load(path, text=["size"]).columns["size"].tolist() == ["38,5", "40,0"]
    assert load(path, csv={"decimal": ","}).columns["size"].tolist() == [38.5, 40.0]
    assert load(path, csv={"decimal": ","}).columns["age"].tolist() == ["1.5", "2.0"]


def test_whole_numbers_with_a_point_are_no_decimals_that_speak_against_commas(tmp_path):
    columns = load(written(tmp_path, "age;size\n1.0;38,5\n2.0;40,0\n")).columns
    assert [columns[name].tolist() for name in columns] == [[1.0, 2.0], [38.5, 40.0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,5 b\n1,5 2\n", {"sep": " ", "decimal": ","}),
        ("a,5;b\n1,5;2\n", {"sep": ";"}),
        ('"a,5",b\n"1,5",2\n', {"sep": ",", "decimal": ","}),
        ("a,5~b\n1,5~2\n", {"sep": "~", "decimal": ","}),
    ],
)
def test_what_the_configuration_says_goes_before_what_the_file_shows(tmp_path, text, said):
    columns = load(written(tmp_path, text), csv=said).columns
    assert {name: values.tolist() for name, values in columns.items()} == {"a,5": [1.5], "b": [2]}


@pytest.mark.parametrize("text", ["a\n1,5\n2,5\n", "a\n1\n2\n3,5\n", "a;b,c\n1,5;2,5\n2,5;3,5\n4,5;6,5,7\n"])
def test_a_file_that_is_not_plain_is_refused_with_the_key(tmp_path, text):
    with pytest.raises(DataError, match=KEY):
        load(written(tmp_path, text))


def test_two_separators_that_part_alike_are_named(tmp_path):
    with pytest.raises(DataError, match=rf"may be ';', 'tab'\. Say which.*{KEY}"):
        load(written(tmp_path, "a;b\tc\n1;2\t3\n"))


@pytest.mark.parametrize(
    "said", [{"sep": ";;"}, {"sep": "a"}, {"sep": '"'}, {"sep": ""}, {"sep": "§"}, {"decimal": ";"}, {"tab": 1}]
)
def test_no_other_way_to_write_can_be_said(said):
    with pytest.raises(ConfigError, match="csv"):
        parse_config({"data": {"csv": said}})


def test_digits_are_read_as_pandas_reads_them_with_points(tmp_path):
    """To the last bit, whichever of the two stands before the decimals."""
    numbers = np.random.default_rng(0).normal(size=300) * 10.0 ** np.arange(-150, 150)
    for decimal, sep in ((".", ","), (",", ";")):
        pd.DataFrame({"a": numbers, "b": 1}).to_csv(tmp_path / f"{sep}.csv", index=False, sep=sep, decimal=decimal)
    points, commas = (load(tmp_path / f"{sep}.csv").columns["a"] for sep in ",;")
    np.testing.assert_array_equal(commas, points)
    assert commas[0] == pytest.approx(float(Decimal(repr(float(numbers[0])))), rel=1e-15)
