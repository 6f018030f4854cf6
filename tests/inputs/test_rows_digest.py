"""A digest of rows that adds up: whoever reads which of them, it comes out the same, and another row shows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.rows_digest import RowsDigest, rows_digest

N_ROWS = 50
RNG = np.random.default_rng(3)
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(size=N_ROWS),
        "code": RNG.integers(0, 9, N_ROWS),
        "city": RNG.choice(["Wien", "Graz", None, "a\x1eb"], N_ROWS),
        "born": pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 99, N_ROWS), "D"),
    }
)
HISTORY = RNG.normal(size=(N_ROWS, 3, 2)).astype("float32")


def data(rows=slice(None), table=TABLE, history=HISTORY, channels=("PAY", "BILL")):
    return dataset_from(table.iloc[rows], {"past": Series(channels, history[rows], channel_axis=2)})


WHOLE = rows_digest(data())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=N_ROWS, max_size=N_ROWS))
def test_parts_in_any_order_add_up_to_the_whole(owners):
    total = RowsDigest()
    for owner in range(7):
        rows = np.flatnonzero(np.array(owners) == owner)
        part = RowsDigest()
        if len(rows):
            part.add(data(rows), rows)
        total.take_in(part)
    assert total.hexdigest() == WHOLE


def test_columns_in_another_order_and_wider_numbers_are_the_same_rows():
    wide = TABLE[["city", "born", "code", "age"]].astype({"code": "int8"})
    assert rows_digest(data(table=wide, history=HISTORY.astype("float64"))) == WHOLE


def exchanged(how):
    table, history, channels = TABLE.copy(), HISTORY.copy(), ("PAY", "BILL")
    if how == "two rows exchanged":
        order = [1, 0, *range(2, N_ROWS)]
        table, history = TABLE.iloc[order], HISTORY[order]
    elif how == "a number of one row given to another":
        table.loc[[0, 1], "age"] = TABLE.loc[[1, 0], "age"].to_numpy()
    elif how == "the last bit of a step":
        history[4, 1, 1] = np.nextafter(HISTORY[4, 1, 1], np.float32(9))
    elif how == "a text":
        table.loc[0, "city"] = "Linz"
    elif how == "a column renamed":
        table = TABLE.rename(columns={"age": "Age"})
    elif how == "a channel renamed":
        channels = ("PAY", "DUE")
    elif how == "numbers as text":
        table["code"] = TABLE["code"].astype(str)
    return rows_digest(data(table=table, history=history, channels=channels)), WHOLE


@pytest.mark.parametrize(
    "how",
    [
        "two rows exchanged",
        "a number of one row given to another",
        "the last bit of a step",
        "a text",
        "a column renamed",
        "a channel renamed",
        "numbers as text",
    ],
)
def test_what_is_other_shows(how):
    one, other = exchanged(how)
    assert one != other


def test_texts_do_not_run_into_each_other():
    one, other = (
        dataset_from({"a": np.array([a], object), "b": np.array([b], object)}) for a, b in (("xy", "z"), ("x", "yz"))
    )
    assert rows_digest(one) != rows_digest(other)


def test_a_row_less_shows_and_a_row_twice():
    """A row that is added 65,536 times vanishes from the lanes, and not from the count."""
    assert rows_digest(data(slice(0, N_ROWS - 1))) != WHOLE
    digest = RowsDigest()
    digest.add(data(), np.arange(N_ROWS))
    digest.n_rows += 1 << 16
    assert digest.hexdigest() != WHOLE


def test_it_is_what_it_was():
    """A digest on record stands for its rows for ever."""
    table = pd.DataFrame({"x": [0.5, -1.0], "y": ["a", "b"]})
    assert rows_digest(dataset_from(table)) == "17845cf47b19ee4496aa8d291c32ca052faeb860cc40cd9f3f9b465c1dc21963"
