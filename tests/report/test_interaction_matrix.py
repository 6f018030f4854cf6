"""The matrix of interactions: its cells, their numbers and their names, read back from what is drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nnperm_mlflow.report.interaction_matrix import MOST_FEATURES, interactions_figure
from tests.report.test_boxplot import global_style
from tests.report.test_heatmap import HOSTILE, assert_every_text_can_be_read, is_literal

PAIRS = pd.DataFrame(
    {
        "first": ["PAY", "AGE", "PAY"],
        "second": ["LIMIT_BAL", "LIMIT_BAL", "SEX"],
        "mean": [0.21, 0.0312, 1e-9],
        "interacts": [True, True, False],
        "scale": "prediction",
    }
)


def drawn(pairs=PAIRS, subtitle="models:/risk/4 on 500 rows", unit="probability"):
    figure = interactions_figure(pairs, subtitle, unit)
    FigureCanvasAgg(figure).draw()
    return figure


def cells_of(axes):
    """Return the numbers by the names of row and column."""
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    return {
        (rows[int(text.get_position()[1])], columns[int(text.get_position()[0])]): text.get_text()
        for text in axes.texts
    }


def test_each_pair_that_was_followed_has_its_number_below_the_diagonal():
    """What is no more than rounding is 0; features come in the order of the largest pairs."""
    axes = drawn().axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["PAY", "LIMIT_BAL", "AGE"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["LIMIT_BAL", "AGE", "SEX"]
    assert cells_of(axes) == {("LIMIT_BAL", "PAY"): "0.21", ("AGE", "LIMIT_BAL"): "0.031", ("SEX", "PAY"): "0"}
    assert axes.yaxis_inverted()


def test_pairs_that_were_not_followed_are_told_apart_from_those_that_do_nothing():
    figure = drawn()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["not followed"]
    assert len([part for part in figure.axes[0].collections if part.get_hatch()]) == 3
    assert drawn(PAIRS.head(1)).legends == []


@pytest.mark.parametrize(
    ("scale", "label"), [("prediction", "mean size (probability)"), ("logit", "mean size (log-odds)")]
)
def test_the_bar_names_the_unit_of_the_scale(scale, label):
    bar = drawn(PAIRS.assign(scale=scale)).axes[1]
    assert bar.get_xlabel() == label


def test_of_very_many_features_the_leading_are_drawn_and_the_title_says_so():
    many = pd.DataFrame({"first": [f"a{n}" for n in range(30)], "second": [f"b{n}" for n in range(30)]})
    many = many.assign(mean=np.linspace(1, 0.1, 30), interacts=True, scale="prediction")
    figure = drawn(many)
    assert len(figure.axes[0].get_xticklabels()) == MOST_FEATURES - 1
    assert any(text.get_text() == "What two features do beyond each alone (12 of 30 pairs)" for text in figure.texts)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_strangers_are_letters(name):
    figure = drawn(PAIRS.replace("PAY", name), subtitle=name, unit=name)
    first = figure.axes[0].get_xticklabels()[0]
    assert name[0] in first.get_text()
    assert is_literal(first)


def test_every_text_can_be_read_and_drawing_changes_nothing():
    before, style = PAIRS.copy(deep=True), global_style()
    assert_every_text_can_be_read(drawn(PAIRS.replace({"PAY": "n" * 100, "AGE": "m" * 100})))
    pd.testing.assert_frame_equal(PAIRS, before)
    assert global_style() == style
