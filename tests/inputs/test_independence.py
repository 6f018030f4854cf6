"""A reader is warned where rows may not stand for themselves, and only there."""

import logging

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.independence import point_out_dependence, share_of_copies

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"client": np.arange(200) // 2, "row": np.arange(200), "age": RNG.normal(size=200)})

PEOPLE = pd.DataFrame(RNG.normal(size=(200, 3)), columns=["age", "wage", "debt"])


def told(dataset, caplog):
    with caplog.at_level(logging.WARNING):
        point_out_dependence(dataset)
    return caplog.text


def test_row_ids_that_repeat_are_told(caplog):
    assert "'client' repeats in 100 of 200 rows. If rows belong together" in told(
        dataset_from(TABLE, row_id="client"), caplog
    )


@pytest.mark.parametrize("roles", [{"row_id": "row"}, {}, {"row_id": "client", "cluster": "client"}])
def test_nothing_is_told_of_rows_that_differ_or_whose_clusters_are_known(roles, caplog):
    assert told(dataset_from(TABLE, **roles), caplog) == ""


@pytest.mark.parametrize(("copies", "is_told"), [(25, True), (15, False)])
def test_a_tenth_of_copies_is_told(copies, is_told, caplog):
    table = pd.concat([PEOPLE, PEOPLE[:copies]], ignore_index=True).assign(row=lambda t: t.index)
    dataset = dataset_from(table, row_id="row")
    assert share_of_copies(dataset) == copies / (200 + copies)
    assert ("11 % of the rows are copies of others" in told(dataset, caplog)) == is_told


def test_few_different_values_repeat_by_chance():
    table = pd.DataFrame({"sex": RNG.integers(2, size=200), "school": RNG.integers(4, size=200)})
    assert share_of_copies(dataset_from(table)) == 0


def test_rows_with_histories_of_their_own_are_no_copies():
    table, history = pd.DataFrame({"sex": np.zeros(100)}), RNG.normal(size=(100, 3, 2))
    series = lambda array: {"h": Series(("a", "b"), array, channel_axis=2)}  # noqa: E731
    assert share_of_copies(dataset_from(table, series(history))) == 0
    history[60:] = history[:40]
    assert share_of_copies(dataset_from(table, series(history))) == 0.4
