"""The picture of segments: what is drawn where, and what is said of what is left out."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.report.segment_panels import segments_figure


def table(columns, features):
    rows = []
    for column, sizes in columns.items():
        for number, n_rows in enumerate(sizes):
            for place, feature in enumerate(features):
                mean = 0.1 * (number + 1) / (place + 1)
                ends = (mean - 0.01, mean + 0.02) if n_rows >= 30 else (np.nan, np.nan)
                values = (column, f"{column}={number}", feature, n_rows, mean, *ends)
                rows.append(values)
    return pd.DataFrame(rows, columns=["column", "segment", "perturbation", "rows", "mean", "mean_low", "mean_high"])


def dots(axes):
    return {line.get_label(): line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o"}


def test_each_segment_has_a_dot_for_each_leading_feature_from_top_to_bottom():
    told = table({"SEX": [500, 12]}, ["bmi", "age"])
    (axes,) = segments_figure(told, ["age", "bmi"], "models:/m/1 on 512 rows", "days").axes
    assert dots(axes) == {
        "SEX=0 (500 rows)": pytest.approx([0.05, 0.1]),
        "SEX=1 (12 rows, too few)": pytest.approx([0.1, 0.2]),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["age", "bmi"]
    assert axes.yaxis_inverted()
    bars = [path.vertices[:, 0].tolist() for path in axes.collections[0].get_paths()]
    assert bars == [pytest.approx([0.04, 0.07]), pytest.approx([0.09, 0.12])]
    assert axes.get_title(loc="left") == "SEX"
    assert axes.get_xlim()[0] == 0


def test_what_is_left_out_is_said_in_words():
    features = [f"x{number}" for number in range(12)]
    told = table({name: [100 + number for number in range(10)] for name in "ABCDE"}, features)
    figure = segments_figure(told, features, "models:/m/1 on 999 rows", "days")
    assert len(figure.axes) == 4
    for axes in figure.axes:
        assert len(dots(axes)) == 8
        assert len(axes.get_yticklabels()) == 10
        assert axes.get_title(loc="left").endswith(" (the 8 largest of 10 segments)")
        assert axes.get_xlim() == figure.axes[0].get_xlim()
    words = [text.get_text() for text in figure.texts]
    assert words[0].endswith("(4 of 5 columns)")
    assert words[1] == "models:/m/1 on 999 rows; the leading 10 of 12 perturbations"
    assert figure.get_supxlabel() == "mean deviation (days)"
