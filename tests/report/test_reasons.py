"""Reasons in words and as bars: the numbers, their order and who is told together, read back from what is written."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color

from nnperm_mlflow.report.reason_bars import MOST_BARS, reasons_figure
from nnperm_mlflow.report.reason_letter import reason_letter
from tests.report.test_heatmap import HOSTILE, assert_every_text_can_be_read

FEATURES = pd.DataFrame(
    {
        "place": ["1", "2-3", "2-3", "4", "5"],
        "feature": ["PAY", "AGE", "LIMIT_BAL", "SEX", "BILL_AMT"],
        "kind": "number",
        "effect": [0.31, 0.12, 0.11, 0.0, -0.2],
        "low": [0.3, 0.1, 0.09, -0.01, -0.25],
        "high": [0.32, 0.14, 0.13, 0.01, -0.15],
        "size": [0.31, 0.12, 0.11, 0.05, 0.2],
        "turned": [0.631, 0.0, 0.004, 0.0, 0.2],
        "donors": 2_000,
    }
)
REFERENCE = "the 900 rows of the audit in which default = 0"


def letter(features=FEATURES, **said):
    told = {"subject": "observation 8002, models:/risk/4", "reference": REFERENCE, "audit": "run 0a1b", **said}
    return reason_letter(features, prediction=0.62, others=0.2, unit="probability", **told)


def drawn(features=FEATURES, title="Why", subtitle=("observation 8002", "beside others"), unit="probability"):
    figure = reasons_figure(features, title, subtitle, unit)
    FigureCanvasAgg(figure).draw()
    return figure


def unwrapped(text):
    return re.sub(r"\n +(?=[a-z])", " ", text)


def test_the_letter_says_what_was_compared_with_what():
    told = " ".join(letter().split())
    assert "What the prediction rests on: observation 8002, models:/risk/4" in told
    assert f"The prediction is 0.62 (probability). Compared with {REFERENCE}: there it is 0.2 on average." in told
    assert "Model and data are those of run 0a1b, read again" in told


def test_windows_and_groups_stand_behind_the_features_that_they_share_with():
    parts = FEATURES.iloc[[0, 4]].assign(feature=["PAY steps 1 to 2", "bills"], kind=["window", "group"])
    told = unwrapped(letter(parts=parts)).split("\n")
    start = next(number for number, line in enumerate(told) if line.startswith("Of these, parts of a series"))
    assert any(line.startswith("1. PAY steps 1 to 2: 0.31 higher") for line in told[start:])
    assert any(line.startswith("1. bills: 0.2 lower") for line in told[start:])
    assert told[:start] == unwrapped(letter()).split("\n")[:start]


def test_what_raised_and_what_lowered_it_stand_apart_most_first():
    told = unwrapped(letter()).split("\n")
    start, end = told.index("What raised it, most first:"), told.index("What lowered it, most first:")
    raised = told[start + 1 : end]
    assert raised[0] == (
        "1. PAY: 0.31 higher (0.3 to 0.32); with 63 % of the others' values the decision would be another one"
    )
    assert raised[1] == "2. AGE: 0.12 higher (0.1 to 0.14)"
    assert raised[2].startswith("   LIMIT_BAL: 0.11 higher (0.09 to 0.13); with less than 1 % of")
    assert raised[3] == "   (these 2 count for as much as each other, as far as can be told)"
    assert told[end + 1].startswith("1. BILL_AMT: 0.2 lower (0.15 to 0.25); with 20 %")
    assert "Neither raised nor lowered it, as far as can be told: SEX." in told


def test_a_part_without_features_is_left_out_and_of_many_the_first_are_told():
    raising = FEATURES[FEATURES["effect"] > 0]
    assert "What lowered it" not in letter(raising)
    assert "Neither raised" not in letter(raising)
    many = pd.concat([FEATURES.head(1).assign(feature=f"f{n}", place=str(n)) for n in range(30)])
    assert "9. 22 more, each by no more than these" in letter(many)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_letter_of_a_stranger_breaks_a_line(name):
    told = letter(FEATURES.assign(feature=name), subject=name)
    assert all(line.isprintable() for line in told.split("\n"))


def test_there_is_a_bar_for_each_feature_in_the_order_of_the_table():
    (axes,) = drawn().axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["PAY  1", "AGE  2-3", "LIMIT_BAL  2-3", "SEX  4", "BILL_AMT  5"]
    assert [bar.get_width() for bar in axes.patches] == FEATURES["effect"].tolist()
    tops = [bar.get_window_extent().y1 for bar in axes.patches]
    assert tops == sorted(tops, reverse=True)
    (intervals,) = axes.collections
    assert [line[:, 0].tolist() for line in intervals.get_segments()] == FEATURES[["low", "high"]].values.tolist()


def test_what_raises_and_what_lowers_is_told_apart_and_explained():
    figure = drawn()
    (axes,), (legend,) = figure.axes, figure.legends
    colours = {text.get_text(): handle for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)}
    assert list(colours) == [
        "raises the prediction", "lowers it", "95 % interval", "right: others' values that turn the decision"
    ]  # fmt: skip
    assert same_color(axes.patches[0].get_facecolor(), colours["raises the prediction"].get_facecolor())
    assert same_color(axes.patches[4].get_facecolor(), colours["lowers it"].get_facecolor())
    assert [text.get_text() for text in axes.texts] == ["63 %", "<1 %", "20 %"]
    assert axes.get_xlabel() == "moves the prediction by (probability)"
    undecided = drawn(FEATURES.assign(turned=np.nan))
    assert len(undecided.axes[0].texts) == 0
    assert len(undecided.legends[0].get_texts()) == 3


def test_of_very_many_features_those_that_count_are_drawn_and_the_title_says_so():
    many = pd.concat([FEATURES.assign(feature=[f"{name} {n}" for name in FEATURES["feature"]]) for n in range(10)])
    many = many.sort_values("effect", ascending=False, kind="stable").reset_index(drop=True)
    figure = drawn(many)
    assert len(figure.axes[0].patches) == MOST_BARS
    assert any(text.get_text().endswith(f"({MOST_BARS} of 50 features)") for text in figure.texts)
    effects = [bar.get_width() for bar in figure.axes[0].patches]
    assert effects == sorted(effects, reverse=True)


@pytest.mark.parametrize("name", ["n" * 300, "$x^2$ & co", "PAY"])
def test_every_text_can_be_read(name):
    figure = drawn(FEATURES.assign(feature=name), title=name, subtitle=(name, name), unit=name)
    assert_every_text_can_be_read(figure)


def test_the_head_says_what_was_explained_and_with_what_it_was_compared():
    """Neither pushes the other out, however long the condition of the reference group is."""
    texts = [
        text.get_text() for text in drawn(subtitle=("observation 8002, models:/risk/4", f"beside {REFERENCE}")).texts
    ]
    assert {"observation 8002, models:/risk/4", f"beside {REFERENCE}"} <= set(texts)
