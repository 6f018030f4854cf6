"""The picture of a history: its lines, its names and the numbers in it, read back from what is drawn."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from nnperm_mlflow.report._picture_text import inches_of, three_digits
from nnperm_mlflow.report.timeline import draw_history, history_figure
from tests.report.test_boxplot import global_style
from tests.report.test_heatmap import HOSTILE, LONG, assert_every_text_can_be_read, is_literal

SUBTITLE, UNIT = "models:/risk, the newest audit of each version", "probability of default"
GREY = "#c9ced3"


def medians_of(n_versions, names, bases=None, first=1, **columns):
    """Make up medians that all differ from each other."""
    generator = np.random.default_rng(n_versions + 100 * len(names))
    rows = []
    for place in range(n_versions):
        basis = bases[place] if bases else 0
        for name in names:
            low, median, high = np.sort(generator.random(3))
            rows.append(
                {
                    "version": str(first + place),
                    "perturbation": name,
                    "kind": "number",
                    "way": "shuffle",
                    "median": median,
                    "median_low": low,
                    "median_high": high,
                    "unit": UNIT,
                    "verdict": ("pass", "fail", "")[place % 3],
                    "basis": basis,
                    "differs": "data" if basis else "",
                }
            )
    return pd.DataFrame(rows).assign(**columns)


def named(count):
    return [f"feature {number}" for number in range(count)]


def frame_of(medians, **columns):
    """Write medians as a mapping from perturbation to a list over versions, None where a version lacks it."""
    n_versions = len(next(iter(medians.values())))
    frame = medians_of(n_versions, list(medians))
    values = [medians[row.perturbation][int(row.version) - 1] for row in frame.itertuples()]
    frame = frame.assign(median=values, median_low=values, median_high=values, **columns)
    return frame[frame["median"].notna()]


def drawn(medians, subtitle=SUBTITLE, statistic="median"):
    """Draw on a canvas without a window; return the axes, as laid out."""
    figure = history_figure(medians, subtitle, statistic)
    FigureCanvasAgg(figure).draw()
    return figure.axes[0]


def labels_of(axes):
    """Return the names at the right, from the top."""
    right = axes.bbox.x1
    labels = [text for text in axes.texts if text.get_window_extent().x0 > right]
    return sorted(labels, key=lambda text: -text.get_window_extent().y0)


def names_from_the_top(axes):
    return [label.get_text().split("  ")[0] for label in labels_of(axes)]


def label_with(axes, name):
    (label,) = [label for label in labels_of(axes) if label.get_text().startswith(f"{name}  ")]
    return label


def lines_of(axes, colour, marker):
    return [line for line in axes.lines if same_color(line.get_color(), colour) and line.get_marker() == marker]


def points_of(axes, colour, hollow=None):
    """Return median by position of the version, of points that are hollow or not."""
    points = {}
    for line in lines_of(axes, colour, "o"):
        is_hollow = same_color(line.get_markerfacecolor(), "white")
        if hollow is None or is_hollow == hollow:
            points |= {round(x): y for x, y in zip(*line.get_data(), strict=True) if np.isfinite(y)}
    return points


def joined(axes, colour):
    """Return the pairs of versions, by position, that a line joins."""
    edge = axes.get_xlim()[1]
    lines = [line.get_xydata() for line in lines_of(axes, colour, "None")]
    within = [line for line in lines if len(line) == 2 and line[:, 0].max() < edge and np.isfinite(line).all()]
    return sorted((round(line[0, 0]), round(line[1, 0])) for line in within)


def bars_of(axes, colour):
    """Return the ends of the bars by position of the version."""
    (bars,) = [bars for bars in axes.collections if same_color(bars.get_color()[0], colour)]
    return {round(bar[0, 0]): tuple(bar[:, 1]) for bar in bars.get_segments()}


def row_below(axes, word):
    """Return the texts of a row below the axes, from the left, without its heading."""
    (heading,) = [text for text in axes.texts if text.get_text() == word]
    height = heading.get_window_extent()
    row = [text for text in axes.texts if height.y0 < middle(text)[1] < height.y1 and text is not heading]
    return sorted(row, key=lambda text: middle(text)[0])


def middle(text):
    return text.get_window_extent().get_points().mean(axis=0)


def caption_of(axes):
    return " ".join(text.get_text() for text in axes.texts)


@pytest.mark.parametrize(("n_versions", "n_names"), [(1, 1), (3, 4), (12, 8)])
def test_each_line_shows_the_numbers_of_the_name_in_its_colour(n_versions, n_names):
    medians = medians_of(n_versions, named(n_names))
    axes = drawn(medians)
    labels = labels_of(axes)
    assert len(labels) == n_names
    for label in labels:
        name, number = label.get_text().split("  ")
        rows = medians[medians["perturbation"] == name].reset_index(drop=True)
        colour = label.get_color()
        assert points_of(axes, colour) == rows["median"].to_dict()
        assert bars_of(axes, colour) == dict(enumerate(zip(rows["median_low"], rows["median_high"], strict=True)))
        assert joined(axes, colour) == list(pairwise(range(n_versions)))
        assert number == three_digits(rows["median"].iloc[-1])


def test_the_eight_that_ever_moved_predictions_most_have_names_and_the_others_are_grey():
    """One that mattered in an older version alone is among them."""
    medians = {name: [0.1 + place / 100, 0.1 + place / 100] for place, name in enumerate(named(12))}
    medians |= {"once": [0.9, 0.0]}
    axes = drawn(frame_of(medians))
    assert set(names_from_the_top(axes)) == {"once", *list(medians)[5:12]}
    grey = [y for line in lines_of(axes, GREY, "o") for y in line.get_ydata()]
    assert sorted(grey) == sorted(
        value for name, values in medians.items() if name not in names_from_the_top(axes) for value in values
    )
    assert "Grey: 5 more, which never moved predictions as far." in caption_of(axes)
    assert "Grey" not in caption_of(drawn(frame_of({"only": [0.1]})))


def test_of_very_many_features_60_are_drawn_and_the_others_counted():
    """A picture of 1,500 grey lines shows none of them, and takes minutes to draw."""
    medians = medians_of(3, named(1500))
    axes = drawn(medians)
    largest = medians.groupby("perturbation")["median"].max().sort_values(ascending=False)
    grey = {tuple(line.get_ydata()) for line in lines_of(axes, GREY, "o") if len(line.get_ydata())}
    drawn_grey = medians[medians["perturbation"].isin(largest.index[8:60])].groupby("perturbation")["median"]
    assert grey == {tuple(values) for _, values in drawn_grey}
    assert "1,440 others, whose medians were never larger than these, are not drawn." in caption_of(axes)


def test_of_features_that_are_tied_the_one_that_matters_now_has_a_name():
    medians = {f"a{number}": [0.5, 0.5] for number in range(7)} | {"b then": [0.3, 0.1], "c now": [0.1, 0.3]}
    assert set(names_from_the_top(drawn(frame_of(medians)))) == {*list(medians)[:7], "c now"}


def test_what_leads_is_shown_and_set_values_are_not():
    """A value that few rows hold moves predictions most, and is no part of the order; flags move them only by means."""
    frame = frame_of({"PAY": [0.0, 0.0], "AMT": [0.2, 0.1], "EDUCATION=6": [0.9, 0.9]})
    frame["way"] = np.where(frame["perturbation"] == "EDUCATION=6", "set", "shuffle")
    means = frame["perturbation"].map({"PAY": 0.3, "AMT": 0.2, "EDUCATION=6": 0.9})
    frame = frame.assign(mean=means, mean_low=means, mean_high=means)
    by_mean, by_median = drawn(frame, statistic="mean"), drawn(frame)
    assert names_from_the_top(by_mean) == ["PAY", "AMT"]
    assert names_from_the_top(by_median) == ["AMT", "PAY"]
    assert by_mean.get_ylabel() == f"mean deviation ({UNIT})"
    assert "Points are means of the deviation" in caption_of(by_mean)
    assert "Set values are not drawn." in caption_of(by_mean)
    assert "Set values" not in caption_of(drawn(frame[frame["way"] != "set"]))


def test_names_stand_in_the_order_of_the_newest_medians_and_far_from_each_other_at_their_height():
    medians = {
        "close": [0.2, 0.501],
        "closer": [0.9, 0.5],
        "alone": [0.3, 0.9],
        "low": [0.8, 0.0],
        "lowest": [0.7, 0.0],
    }
    axes = drawn(frame_of(medians))
    assert names_from_the_top(axes) == ["alone", "close", "closer", "low", "lowest"]
    heights = {label.get_text().split("  ")[0]: middle(label)[1] for label in labels_of(axes)}
    at = {value: axes.transData.transform((0, value))[1] for value in (0.0, 0.9, 0.5005)}
    assert heights["alone"] == pytest.approx(at[0.9], abs=2)
    assert (heights["close"] + heights["closer"]) / 2 == pytest.approx(at[0.5005], abs=2)
    assert heights["lowest"] == pytest.approx(at[0.0], abs=2)


def test_lines_join_only_neighbours_that_can_be_compared_and_others_are_hollow():
    medians = medians_of(7, ["age"], bases=[2, 2, 0, 1, 0, 0, 0])
    axes = drawn(medians)
    colour = label_with(axes, "age").get_color()
    assert joined(axes, colour) == [(0, 1), (4, 5), (5, 6)]
    assert set(points_of(axes, colour, hollow=True)) == {0, 1, 3}
    assert set(points_of(axes, colour, hollow=False)) == {2, 4, 5, 6}
    assert "Hollow: audited with other data than version 7." in caption_of(axes)
    assert "Hollow" not in caption_of(drawn(medians_of(3, ["age"])))


def test_the_caption_says_in_what_the_hollow_ones_differ():
    medians = medians_of(3, ["age"], bases=[1, 2, 0])
    medians["differs"] = ["data, seed", "seed", ""]
    assert "audited with other data or seed than version 3" in caption_of(drawn(medians))


def test_a_feature_that_versions_lack_has_no_points_there_and_says_until_when_it_was():
    axes = drawn(frame_of({"gone": [0.9, 0.8, None], "new": [None, None, 0.5], "between": [0.2, None, 0.3]}))
    colours = {name: label_with(axes, name).get_color() for name in ("gone", "new", "between")}
    assert {name: set(points_of(axes, colour)) for name, colour in colours.items()} == {
        "gone": {0, 1},
        "new": {2},
        "between": {0, 2},
    }
    assert joined(axes, colours["gone"]) == [(0, 1)]
    assert joined(axes, colours["between"]) == []
    assert label_with(axes, "gone").get_text() == "gone  (until version 2)"


def test_each_version_stands_under_its_points_with_its_verdict():
    axes = drawn(medians_of(5, named(3), first=8))
    versions, verdicts = row_below(axes, "version"), row_below(axes, "verdict")
    assert [text.get_text() for text in versions] == ["8", "9", "10", "11", "12"]
    assert [text.get_text() for text in verdicts] == ["✓ pass", "✗ fail", "none", "✓ pass", "✗ fail"]
    for place, (version, verdict) in enumerate(zip(versions, verdicts, strict=True)):
        across = axes.transData.transform((place, 0))[0]
        assert middle(version)[0] == pytest.approx(across, abs=1.5)
        assert middle(verdict)[0] == pytest.approx(across, abs=1.5)


def test_of_very_many_versions_the_newest_are_drawn_with_signs_for_verdicts():
    axes = drawn(medians_of(61, ["age"]))
    versions = [text.get_text() for text in row_below(axes, "version")]
    assert versions == [str(number) for number in range(22, 62)]
    assert [text.get_text() for text in row_below(axes, "verdict")][:3] == ["✓", "✗", "-"]
    assert "The newest 40 of 61 audited versions." in caption_of(axes)
    assert axes.get_figure().get_figwidth() < 20


def test_windows_are_left_out_since_their_features_are_there():
    medians = frame_of({"PAY": [0.5, 0.4], "PAY steps 1 to 2": [0.9, 0.9]})
    medians["kind"] = medians["perturbation"].map({"PAY": "series", "PAY steps 1 to 2": "window"})
    assert names_from_the_top(drawn(medians)) == ["PAY"]
    medians["kind"] = np.nan  # as a summary that knows no kinds
    assert len(names_from_the_top(drawn(medians))) == 2


def test_numbers_of_another_unit_are_not_drawn_on_this_scale():
    medians = frame_of({"age": [70.0, 0.2, 0.3]})
    medians.loc[medians["version"] == "1", "unit"] = "kroner"
    axes = drawn(medians)
    assert points_of(axes, label_with(axes, "age").get_color()) == {1: 0.2, 2: 0.3}
    assert [text.get_text() for text in row_below(axes, "version")] == ["1", "2", "3"]
    assert "Not drawn, since the unit is another one: version 1." in caption_of(axes)
    assert axes.get_ylabel() == f"median deviation ({UNIT})"


@pytest.mark.parametrize("scale", [1e-9, 0.31, 7e12])
def test_the_axis_begins_at_0_and_holds_every_point_and_bar(scale):
    medians = medians_of(3, named(11))
    medians[["median", "median_low", "median_high"]] *= scale
    axes = drawn(medians)
    low, high = axes.get_ylim()
    assert low == 0
    tops = [end for label in labels_of(axes) for _, end in bars_of(axes, label.get_color()).values()]
    largest = max(medians["median"].max(), *tops)
    assert largest < high < 1.2 * largest
    assert_every_text_can_be_read(axes.get_figure())


def test_features_of_one_version_stand_beside_each_other():
    axes = drawn(frame_of({name: [0.5, 0.5] for name in named(8)}))
    for version in (0, 1):
        places = [
            line.get_xdata()[version] for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())
        ]
        across = np.sort([axes.transData.transform((place, 0))[0] for place in places])
        assert len(across) == 8
        assert np.diff(across).min() > 0.04 * axes.get_figure().dpi
        assert np.abs(np.array(places) - version).max() < 0.4


@pytest.mark.parametrize("medians", [{"a": [0.0, 0.0], "b": [0.0, 0.0]}, {"a": [0.0], "b": [None]}])
def test_medians_of_0_are_drawn_on_the_axis(medians):
    axes = drawn(frame_of(medians))
    assert points_of(axes, label_with(axes, "a").get_color()) == dict(enumerate(medians["a"]))
    assert axes.get_ylim()[1] > 0.5


def test_what_is_not_known_is_not_drawn():
    medians = medians_of(2, ["age", "void"])
    medians.loc[medians["perturbation"] == "void", ["median", "median_low", "median_high"]] = np.nan
    medians.loc[0, ["median_low", "median_high"]] = np.nan
    axes = drawn(medians)
    assert names_from_the_top(axes) == ["age"]
    assert_every_text_can_be_read(axes.get_figure())


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("n_versions", [1, 2, 3, 12, 21, 60])
@pytest.mark.parametrize("names", [named(3), named(40), HOSTILE, [LONG.format(number) for number in range(9)]])
def test_every_text_can_be_read(n_versions, names):
    medians = medians_of(n_versions, names, bases=[1, *[0] * (n_versions - 1)] if n_versions > 1 else None)
    assert_every_text_can_be_read(drawn(medians, subtitle="W" * 300).get_figure())


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_drawn_letter_by_letter_on_one_line(name):
    axes = drawn(medians_of(2, [name, "age"], unit=name), subtitle=f"models:/{name}")
    subtitle = [text for text in axes.texts if text.get_text().startswith("models:/")]
    for text in (*labels_of(axes), axes.yaxis.label, *subtitle):
        assert is_literal(text)
    assert len(subtitle) == 1
    assert inches_of(labels_of(axes)[0].get_text(), 10, "bold") < 4.5


def test_drawing_changes_neither_the_table_nor_global_style():
    medians = medians_of(4, named(10), bases=[1, 0, 0, 0])
    before, style = medians.copy(deep=True), global_style()
    drawn(medians)
    pd.testing.assert_frame_equal(medians, before)
    assert global_style() == style


def test_it_draws_on_the_axes_it_is_given_and_returns_them():
    left, right = Figure(figsize=(12, 5)).subplots(1, 2)
    assert draw_history(right, medians_of(3, named(2)), SUBTITLE, "median") is right
    assert not left.lines
    assert lines_of(right, "#0072b2", "o")


def test_drawing_leaves_no_figure_with_pyplot():
    drawn(medians_of(2, named(2)))
    assert pyplot.get_fignums() == []
