"""How many rows a call gets: by a clock that is told, and without a trace in the numbers."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models import table_predictor
from nnperm_mlflow.models._call_sizes import rows_per_call
from nnperm_mlflow.models.table_predictor import TablePredictor

PROBE = {"a": np.arange(64.0)}


class Timed:
    """A model that takes as long as it says, by a clock of its own."""

    def __init__(self, fixed, of_a_row, slow_above=np.inf):
        self.now, self.fixed, self.of_a_row, self.slow_above = 0.0, fixed, of_a_row, slow_above
        self.sizes = []

    def __call__(self, rows):
        n_rows = len(rows["a"])
        self.sizes.append(n_rows)
        self.now += self.fixed + self.of_a_row * n_rows

    def clock(self):
        return self.now


@pytest.mark.parametrize(
    ("fixed", "of_a_row", "expected"),
    [
        (1e-3, 1e-5, 8_192),  # 5,000 rows and more: a fiftieth of the time
        (1e-4, 1e-5, 1_024),  # 500 would do
        (1e-3, 1e-6, 65_536),
        (1e-3, 0, 65_536),
        (0, 1e-3, 1_024),
    ],
)
def test_a_call_gets_so_many_rows_that_its_own_cost_is_small(fixed, of_a_row, expected):
    model = Timed(fixed, of_a_row)
    assert rows_per_call(model, PROBE, 65_536, model.clock) == expected
    assert set(model.sizes) == {64, 1_024}  # what it takes to find out is little


def test_it_gets_no_more_than_is_allowed():
    model = Timed(1e-3, 1e-6)
    assert rows_per_call(model, PROBE, 4_096, model.clock) == 4_096


def test_where_many_rows_cannot_be_predicted_nothing_is_known():
    def failing(rows):
        if len(rows["a"]) > 64:
            raise PredictionError("too many")

    assert rows_per_call(failing, PROBE, 4_096) == 4_096


class Recording:
    """Doubles a column, and remembers how many rows each call got."""

    def __init__(self):
        self.sizes = []

    def predict(self, table):
        self.sizes.append(len(table))
        return pd.DataFrame({"twice": table["a"] * 2 + table["b"]})


def changed_by(size, monkeypatch):
    """Predictions for eight changes of 500 rows where calls get so many rows, and how many each got."""
    monkeypatch.setattr(table_predictor, "rows_per_call", lambda call, probe, most: size)
    model = Recording()
    specs = [InputSpec(name, (), np.dtype("float64"), is_column=True) for name in "ab"]
    rows = {name: np.random.default_rng(seed).normal(size=500) for seed, name in enumerate("ab")}
    predictor = TablePredictor(model, specs).fitted({name: values[:64] for name, values in rows.items()})
    block = predictor.begin([rows])[0]
    model.sizes.clear()
    predicted = list(block.predict([Change.of({"a": rows["a"] + step}) for step in range(8)]))
    return np.concatenate(predicted), model.sizes


def test_no_number_rests_on_how_many_rows_a_call_gets(monkeypatch):
    one, of_one = changed_by(500, monkeypatch)
    several, of_several = changed_by(2_000, monkeypatch)
    assert set(of_one) == {500}
    assert max(of_several) == 2_000
    np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize(("flavours", "most"), [((), 16_384), (("python_function", "transformers"), 4_096)])
def test_networks_get_fewer_rows_at_most(monkeypatch, flavours, most):
    told = []
    monkeypatch.setattr(table_predictor, "rows_per_call", lambda call, probe, most: told.append(most) or most)
    TablePredictor(
        Recording(), [InputSpec(name, (), np.dtype("float64"), is_column=True) for name in "ab"], flavours
    ).fitted({"a": np.arange(64.0), "b": np.arange(64.0)})
    assert told == [most]


@pytest.mark.parametrize("walks_trees", [False, True])
def test_only_of_trees_no_call_is_made_to_try_out_that_many_rows_change_no_bit(monkeypatch, walks_trees):
    """Of other models one call more, with the rows as they are, before eight changes go through in two."""
    monkeypatch.setattr(table_predictor, "rows_per_call", lambda call, probe, most: 2_000)
    model, specs = Recording(), [InputSpec(name, (), np.dtype("float64"), is_column=True) for name in "ab"]
    rows = {name: np.random.default_rng(seed).normal(size=500) for seed, name in enumerate("ab")}
    predictor = TablePredictor(model, specs, walks_trees=walks_trees).fitted(rows)
    block = predictor.begin([rows])[0]
    model.sizes.clear()
    list(block.predict([Change.of({"a": rows["a"] + step}) for step in range(8)]))
    assert model.sizes == [2_000] * (2 if walks_trees else 3)


class Neighbourly:
    """A model of which a row's bits depend on how many rows there are."""

    def predict(self, table):
        return table["a"] * (1 + 1e-12 * len(table))


def test_what_does_not_repeat_its_bits_is_tried_out_whatever_it_is(monkeypatch):
    monkeypatch.setattr(table_predictor, "rows_per_call", lambda call, probe, most: 2_000)
    rows = {"a": np.linspace(1, 2, 500)}
    specs = [InputSpec("a", (), np.dtype("float64"), is_column=True)]
    block = TablePredictor(Neighbourly(), specs, walks_trees=True).fitted(rows).begin([rows])[0]
    for predicted in block.predict([Change((), ())] * 4):
        np.testing.assert_array_equal(predicted, block.baseline)


class RoundingEnds:
    """A model that goes through so many rows at once, and rounds what is left over at the end of a call otherwise."""

    def __init__(self, at_once):
        self.at_once, self.sizes = at_once, []

    def predict(self, table):
        self.sizes.append(len(table))
        third = table["a"].to_numpy() / 3
        end = len(third) - len(third) % self.at_once
        return np.concatenate([third[:end], np.nextafter(third[end:], np.inf)])


@pytest.mark.parametrize(("at_once", "calls"), [(1, [30, 30]), (6, [10, 10, 10])])
def test_changes_share_a_call_only_where_its_ends_are_rounded_as_its_middle_is(at_once, calls):
    model, rows = RoundingEnds(at_once), {"a": np.arange(1.0, 11.0)}
    block = (
        TablePredictor(model, [InputSpec("a", (), np.dtype("float64"), is_column=True)]).fitted(PROBE).begin([rows])[0]
    )
    same = Change.of({"a": rows["a"]})
    model.sizes.clear()
    found = list(block.predict([same] * 3))
    assert model.sizes == calls  # where a call is shared, it is tried out first
    assert all(np.array_equal(each, block.baseline) for each in found)
