"""Which data go where nobody has said so, and what is told, all at once, where that cannot be known."""

import logging
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.slots import read_slot
from nnperm_mlflow.inputs.specs import InputSpec

N_ROWS = 4
EVERY_ROW = np.arange(N_ROWS)
CODES = [f"c{number}" for number in range(3)]
NUMBERS = ["age", "income"]
TABLE = pd.DataFrame(
    {
        **{name: [number, 1, 2, 3] for number, name in enumerate(CODES)},
        **{name: np.arange(N_ROWS) + number + 0.5 for number, name in enumerate(NUMBERS)},
        "city": ["Ulm", "Bonn", "Ulm", "Köln"],
        "id": ["a", "b", "c", "d"],
        "label": [0, 1, 0, 1],
    }
)
HISTORY = np.arange(N_ROWS * 2 * 5.0).reshape(N_ROWS, 2, 5)
SERIES = {"history": Series(("PAY", "BILL"), HISTORY, channel_axis=1)}
STEPS = {"balance": Series(("balance",), HISTORY[:, :1], channel_axis=1)}


def spec(name, *shape, dtype="float32", column=False):
    return InputSpec(name, shape, np.dtype(dtype), column)


def bind(*specs, table=TABLE, temporal=None, said=None):
    roles = {"row_id": "id", "label": "label"} if table is TABLE else {}
    return bind_inputs(specs, dataset_from(table, temporal, **roles), said or {})


def refused(*specs, **more):
    with pytest.raises(AuditError) as caught:
        bind(*specs, **more)
    return str(caught.value)


# What the outcome, the row ids and the clusters are reaches no input by itself

ROLES = {"label": "the outcome", "row_id": "what tells rows apart", "cluster": "which rows belong together"}


@pytest.mark.parametrize(("role", "what"), ROLES.items())
@pytest.mark.parametrize(("suffix", "column"), [("", False), ("_input", False), ("", True)])
def test_a_column_with_a_role_reaches_an_input_only_where_that_is_said(role, what, suffix, column):
    """A network with an input called as the outcome would else predict it from itself, whatever `inputs:` lists."""
    data = dataset_from(TABLE, **{role: "c0"})
    shape = () if column else (1,)
    specs = [spec("num_input", 2), spec(f"c0{suffix}", *shape, dtype="int64", column=column)]
    asked = {"num_input": NUMBERS}
    with pytest.raises(ConfigError) as caught:
        bind_inputs(specs, data, asked)
    assert re.fullmatch(
        rf"'c0{suffix}' \(rows.*\) would receive the column 'c0' by its name, which is {what} "
        rf"\('data: {role}'\) and reaches no input by itself. .* say 'inputs: {{c0{suffix}: c0}}'; else .*",
        str(caught.value),
    )
    listed = {**asked, f"c0{suffix}": "c0"}
    assert bind_inputs(specs, data, listed).wanted == listed


def test_an_optional_input_that_is_called_as_the_outcome_does_without_it(caplog):
    data = dataset_from(TABLE, label="c0")
    optional = InputSpec("c0", (1,), np.dtype("int64"), is_optional=True)
    with caplog.at_level(logging.INFO):
        bound = bind_inputs([spec("num_input", 2), optional], data, {"num_input": NUMBERS})
    assert bound.wanted == {"num_input": NUMBERS}
    assert "can do without 'c0', which no data are found for: not audited" in caplog.text


# What goes together by itself


@pytest.mark.parametrize("name", ["lstm_input", "input_layer", "keras_tensor_7", "x"])
@pytest.mark.parametrize("shape", [(5, 2), (None, 2), (2, 5)])
def test_one_input_and_one_series_bind_by_themselves(name, shape, caplog):
    with caplog.at_level(logging.INFO):
        bound = bind(spec(name, *shape), temporal=SERIES)
    expected = HISTORY if shape == (2, 5) else HISTORY.transpose(0, 2, 1)
    np.testing.assert_array_equal(bound.read(EVERY_ROW)[name], expected)
    assert f"'{name}' receives the temporal data 'history': nothing else is left for it" in caplog.text


def test_the_only_series_and_all_numbers_find_their_inputs_beside_what_names_tell():
    specs = [spec("lstm_input", 5, 2), spec("dense_input", 2), spec("city_input", 1, dtype="object")]
    specs.append(spec("codes", 3, dtype="int32"))
    bound = bind(*specs, temporal=SERIES)
    assert bound.wanted == {"lstm_input": "history", "dense_input": NUMBERS, "city_input": "city", "codes": CODES}


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 5), (None, 1)])
def test_one_channel_binds_to_the_only_input_whether_it_has_an_axis_for_it_or_not(shape):
    table = pd.DataFrame({"id": list("abcd")})
    bound = bind(spec("input_layer", *shape), table=table, temporal=STEPS)
    np.testing.assert_array_equal(bound.read(EVERY_ROW)["input_layer"].reshape(N_ROWS, 5), HISTORY[:, 0])


@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 2), (None, 1), (None,)])
def test_all_numbers_are_for_the_only_input_of_numbers_with_or_without_an_axis_more(shape):
    table = TABLE[NUMBERS]
    bound = bind(spec("input_1", *shape), table=table)
    values = bound.read(EVERY_ROW)["input_1"]
    assert values.shape[1:] == tuple(length or 2 for length in shape)
    np.testing.assert_array_equal(values.reshape(N_ROWS, 2), table)
    for name in NUMBERS:
        (slot,) = bound.features[name].slots
        np.testing.assert_array_equal(read_slot(bound.sources, slot, EVERY_ROW), table[name])
        assert np.shares_memory(values[(slice(None), *slot.index)], values)


@pytest.mark.parametrize("target", [NUMBERS, NUMBERS[::-1]])
def test_columns_that_are_named_fill_an_input_with_an_axis_more_in_that_order(target):
    for shape in ((2, 1), (1, 2)):
        values = bind(spec("x", *shape), said={"x": target}).read(EVERY_ROW)["x"]
        np.testing.assert_array_equal(values.reshape(N_ROWS, 2), TABLE[target])


def test_a_matrix_of_codes_takes_the_whole_numbers_and_text_the_text():
    table = TABLE[[*NUMBERS, *CODES, "city"]]
    specs = [
        spec("numbers", 2),
        spec("codes", 3, dtype="int64"),
        spec("num_input", None),
        spec("words", 1, dtype="object"),
    ]
    assert bind(*specs[:2], table=table).wanted == {"numbers": NUMBERS, "codes": CODES}
    assert bind(specs[1], table=table).wanted == {"codes": CODES}
    assert bind(specs[3], table=table).wanted == {"words": ["city"]}
    assert bind(spec("codes", 5, dtype="int64"), table=table.assign(age=1.0, income=2.0)).wanted == {
        "codes": [*NUMBERS, *CODES]
    }


@pytest.mark.parametrize(
    ("specs", "temporal"),
    [
        ([spec("first", 5, 2), spec("second", 5, 2)], SERIES),
        ([spec("lstm_input", 5, 2)], {**SERIES, "other": Series(("x", "y"), HISTORY, channel_axis=1)}),
        ([spec("a_input", 2), spec("b_input", 2)], None),
        ([spec("age", 1), spec("wage", 1)], None),
        ([spec("age", 1), spec("rest", None)], None),
        ([spec("both", None, None)], None),
    ],
    ids=["two inputs", "two histories", "two blocks", "one value", "any width", "any shape"],
)
def test_where_several_could_be_meant_nothing_is_guessed(specs, temporal):
    assert "no data found for" in refused(*specs, temporal=temporal)


def test_what_would_decide_is_told_as_yaml():
    temporal = {**SERIES, "other": Series(("x", "y"), HISTORY, channel_axis=1)}
    message = refused(
        spec("lstm", 5, 2),
        spec("agee", 1),
        spec("x y", 3),
        spec("city_inp", dtype="object", column=True),
        temporal=temporal,
    )
    line = message.partition("as 'inputs: ")[2].partition("'.")[0]
    assert yaml.safe_load(line) == {"lstm": "history or other", "agee": "age", "x y": ["..."], "city_inp": "city"}


def test_a_history_that_is_lacking_is_asked_for():
    message = refused(spec("lstm_input", 5, 2))
    assert "'data: {temporal: {lstm_input: {file: ..., channels: [...]}}}'" in message


def test_a_header_that_was_taken_for_one_name_is_pointed_out():
    message = refused(spec("num_input", 3), table=pd.DataFrame({"age;income;city": ["1;2;Ulm"] * 4}))
    assert 'parted by something else than commas? Say by what: \'data: {csv: {sep: ";"' in message


def test_one_value_is_never_taken_from_a_column_of_another_name_unless_there_is_but_one_of_each():
    table = pd.DataFrame({"income": [1.0, 2.0]})
    assert bind(spec("input_1", 1), table=table).wanted == {"input_1": ["income"]}
    assert "no data found for 'age'" in refused(spec("age", 1), spec("income", 1), table=table.assign(wage=1.0))


# All that is wrong, at once


def test_all_that_is_wrong_is_told_together():
    specs = [spec("num_input", 3), spec("city_input", 2), spec("sex_input", 1), spec("codes", 2), spec("age", 1)]
    said = {
        "num_input": ["agee", "income", "wage"],
        "codes": ["c0", "c0"],
        "sexinput": "c1",
        "city_input": ["city", "age"],
    }
    with pytest.raises(ConfigError) as caught:
        bind(*specs, said=said)
    lines = caught.value.lines
    told = [
        "'sexinput' is no input",
        "no data found for 'sex_input'",
        "'agee', which is no column",
        "'wage', which is no",
    ]
    told += ["column 'city' holds text in 4 of 4 rows", "codes names a column twice"]
    assert lines[0] == "6 things are to be mended:"
    assert len(lines) == 7
    for number, (line, words) in enumerate(zip(lines[1:], told, strict=True), start=1):
        assert line.startswith(f"{number}. ")
        assert words in line
    assert str(caught.value) == "\n".join(lines)


def test_one_thing_that_is_wrong_is_told_as_ever():
    with pytest.raises(DataError) as caught:
        bind(spec("age", 1), said={"age": "agee"})
    assert caught.value.lines == ()
    assert str(caught.value).startswith("inputs: age is to receive 'agee'")


def test_of_very_many_the_first_are_told():
    table = pd.DataFrame({f"a{number}": ["x"] * 3 for number in range(100)})
    with pytest.raises(DataError) as caught:
        bind(spec("num_input", 100), table=table, said={"num_input": list(table)})
    assert caught.value.lines[-1] == "and 80 more"
    assert len(caught.value.lines) == 22


def test_roles_that_are_no_columns_are_told_with_the_rest(tmp_path):
    from nnperm_mlflow.basics.problems import Problems
    from nnperm_mlflow.config.audit_config import parse_config
    from nnperm_mlflow.inputs.dataset import load_dataset

    TABLE.to_parquet(tmp_path / "t.parquet")
    roles = {"label": "lable", "row_id": "idd", "text": ["citty"]}
    config = parse_config({"data": {"static": str(tmp_path / "t.parquet"), **roles}})
    problems = Problems()
    data = load_dataset(config.data, lambda _: tmp_path / "t.parquet", problems=problems)
    with pytest.raises(AuditError) as caught:
        bind_inputs([spec("sex_input", 1)], data, {}, problems)
    for words in ("'citty', which is no column", "'idd', which", "'lable', which", "cannot be filled by itself"):
        assert words in str(caught.value)
    assert caught.value.lines[0].startswith("4 things")
    with pytest.raises(AuditError, match="3 things"):
        load_dataset(config.data, lambda _: tmp_path / "t.parquet")
