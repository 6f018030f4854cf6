"""The dumbbell chart: its order, its numbers, what is emphasised, and that every text has its place."""

import math
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from nnperm_mlflow.report.dumbbell import TOP, TOP_OF_ONE, choose_rows, dumbbell_figure

NAMES, HOW, UNIT = (
    ("credit 3", "credit 4"),
    "the same 4,000 rows with the same donors (seed 0, 1 shuffle)",
    "probability",
)
SIDES = ("a", "b")


def row_of(name, a=math.nan, b=math.nan, reach=0.01, only_in=""):
    """A row whose difference has an interval of +- `reach`, and whose means have wider ones of different widths."""
    row = {
        "perturbation": name,
        "way": "shuffle",
        "only_in": only_in,
        "mean_a": a,
        "mean_b": b,
        "mean_difference": b - a,
    }
    row |= {"mean_a_low": a - 0.02, "mean_a_high": a + 0.03, "mean_b_low": b - 0.04, "mean_b_high": b + 0.05}
    return row | {"mean_difference_low": b - a - reach, "mean_difference_high": b - a + reach}


TABLE = pd.DataFrame(
    [
        row_of("steady", 0.3, 0.305),
        row_of("risen", 0.2, 0.25),
        row_of("gone", 0.4, only_in="a"),
        row_of("fallen", 0.5, 0.1),
        row_of("new", b=0.6, only_in="b"),
    ]
)


def with_medians(table):
    """Add medians that go the other way, by their names."""
    names = {f"mean_{side}{end}": f"median_{side}{end}" for side in SIDES for end in ("", "_low", "_high")}
    names |= {f"mean_difference{end}": f"difference{end}" for end in ("", "_low", "_high")}
    return table.join(table[list(names)].rename(columns=names) / 10)


def test_where_medians_lead_they_are_shown():
    table = with_medians(TABLE)
    figure = dumbbell_figure(table, NAMES, HOW, UNIT, "median")
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    assert axes.get_xlabel() == "median deviation (probability)"
    assert [line.get_xdata()[0] for line in points_at(axes, 0)] == pytest.approx([0.05, 0.01])
    assert [line.get_xdata()[0] for line in points_at(drawn(table), 0)] == [0.5, 0.1]


def test_set_values_stand_below_what_was_shuffled_however_much_they_changed():
    table = pd.concat([TABLE, pd.DataFrame([row_of("EDUCATION=6", 0.1, 0.9)]).assign(way="set")], ignore_index=True)
    axes = drawn(table)
    assert labels(axes) == ["fallen", "risen", "steady", "EDUCATION=6", "gone", "new"]
    lines = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert sorted(lines) == [2.5, 3.5]
    sets = many(30, "x={}").assign(way="set")
    shown = choose_rows(pd.concat([sets, many(40)], ignore_index=True), "mean")
    assert (shown["way"] == "set").tolist() == [False] * (TOP - 6) + [True] * 6


def many(n, name="feature {}", scale=1.0):
    generator = np.random.default_rng(n)
    medians = scale * generator.random((n, 2))
    return pd.DataFrame(
        [row_of(name.format(number), a, b, scale * 0.01) for number, (a, b) in enumerate(medians.tolist())]
    )


def drawn(table, names=NAMES, how=HOW, unit=UNIT):
    figure = dumbbell_figure(table, names, how, unit)
    FigureCanvasAgg(figure).draw()
    return figure.axes[0]


def labels(axes):
    """Names of the rows from the top."""
    height = {label.get_text(): label.get_window_extent().y0 for label in axes.get_yticklabels()}
    return sorted(height, key=height.get, reverse=True)


def lines_at(axes, place):
    return [line for line in axes.lines if np.all(np.abs(np.asarray(line.get_ydata()) - place) < 0.45)]


def points_at(axes, place):
    return [line for line in lines_at(axes, place) if line.get_marker() == "o"]


def beside(axes, place):
    """What is written at the right of a row: its difference and the interval, a minus sign as a hyphen."""
    middle = axes.transData.transform((0, place))[1]
    found = [text for text in axes.texts if abs(centre_of(text) - middle) < 5]
    words = [text.get_text() for text in sorted(found, key=lambda text: text.get_window_extent().x0)]
    return [word.replace("\N{MINUS SIGN}", "-") for word in words if word]


def centre_of(text):
    box = text.get_window_extent()
    return (box.y0 + box.y1) / 2


def visible_texts(axes):
    figure = axes.get_figure()
    left, right = axes.get_xlim()
    beyond = [tick for tick in axes.xaxis.get_major_ticks() if not left <= tick.get_loc() <= right]
    hidden = {label for tick in beyond for label in (tick.label1, tick.label2)}
    return [text for text in set(figure.findobj(Text)) - hidden if text.get_visible() and text.get_text().strip()]


def written_below(axes):
    (note,) = [text.get_text() for text in axes.texts if "thin bars" in text.get_text()]
    return note


def test_what_changed_most_is_on_top_whatever_its_direction_and_what_only_one_has_is_below():
    assert labels(drawn(TABLE)) == ["fallen", "risen", "steady", "gone", "new"]


def test_a_line_joins_the_means_of_both_versions():
    axes = drawn(TABLE)
    first, second = points_at(axes, 0)
    assert (first.get_xdata()[0], second.get_xdata()[0]) == (0.5, 0.1)
    assert any(list(line.get_xdata()) == [0.5, 0.1] for line in lines_at(axes, 0))


def test_each_mean_has_its_own_interval_in_its_own_colour():
    axes = drawn(TABLE)
    for point, ends in zip(points_at(axes, 1), ([0.2 - 0.02, 0.2 + 0.03], [0.25 - 0.04, 0.25 + 0.05]), strict=True):
        (bar,) = [line for line in lines_at(axes, 1) if list(line.get_xdata()) == ends]
        assert to_hex(bar.get_color()) == to_hex(point.get_markerfacecolor())


def test_the_legend_names_each_version_in_the_colour_of_its_points():
    axes = drawn(TABLE)
    (legend,) = axes.get_figure().legends
    told = {text.get_text(): to_hex(text.get_color()) for text in legend.get_texts()}
    colours = [to_hex(point.get_markerfacecolor()) for point in points_at(axes, 0)]
    assert told == dict(zip(NAMES, colours, strict=True))
    assert colours[0] != colours[1]


@pytest.mark.parametrize(
    ("low", "high", "is_strong"),
    [
        (0.01, 0.09, True),
        (-0.09, -0.01, True),
        (-0.01, 0.09, False),
        (0, 0.09, False),
        (-0.09, 0, False),
        (0, 0, False),
    ],
)
def test_only_a_difference_whose_interval_leaves_out_0_is_emphasised(low, high, is_strong):
    table = pd.DataFrame([row_of("it", 0.3, 0.35), row_of("strong", 0.1, 0.9), row_of("pale", 0.3, 0.301)])
    table.loc[0, ["mean_difference_low", "mean_difference_high"]] = low, high
    axes = drawn(table)
    by_name = {label.get_text(): label for label in axes.get_yticklabels()}
    like = by_name["strong" if is_strong else "pale"]
    assert by_name["it"].get_fontweight() == like.get_fontweight()
    assert by_name["strong"].get_fontweight() != by_name["pale"].get_fontweight()
    place = {name: number for number, name in enumerate(labels(axes))}
    faces = {name: [point.get_markerfacecolor() for point in points_at(axes, place[name])] for name in place}
    assert faces["it"] == faces["strong" if is_strong else "pale"]
    assert faces["strong"] != faces["pale"]


def test_a_feature_of_only_one_version_is_a_single_hollow_point_with_a_word():
    axes = drawn(TABLE)
    for place, median, side, name in ((3, 0.4, 0, NAMES[0]), (4, 0.6, 1, NAMES[1])):
        (point,) = points_at(axes, place)
        assert point.get_xdata()[0] == median
        assert point.get_markerfacecolor() == "white"
        assert point.get_markeredgecolor() == points_at(axes, 0)[side].get_markeredgecolor()
        assert beside(axes, place) == [f"only in {name}"]


def test_the_difference_and_its_interval_stand_beside_the_row_with_as_many_digits_as_the_interval_bears():
    axes = drawn(TABLE)
    assert beside(axes, 0) == ["-0.400", "-0.410 to -0.390"]
    assert beside(axes, 1) == ["+0.050", "+0.040 to +0.060"]
    assert beside(axes, 2) == ["+0.005", "-0.005 to +0.015"]
    exact = pd.DataFrame([row_of("exact", 0.5, 0.25, reach=0), row_of("equal", 0.25, 0.25, reach=0)])
    assert beside(drawn(exact), 0) == ["-0.25", "-0.25 to -0.25"]
    assert beside(drawn(exact), 1) == ["0", "0 to 0"]
    tiny = pd.DataFrame([row_of("tiny", 1e-8, 5e-8, reach=1e-9)])
    assert beside(drawn(tiny), 0) == ["+4.00e-08", "+3.90e-08 to +4.10e-08"]
    large = pd.DataFrame([row_of("euros", 1000.0, 123456.0, reach=700)])
    assert beside(drawn(large), 0) == ["+122,456", "+121,756 to +123,156"]


def test_what_is_not_defined_is_called_so_and_comes_last():
    table = pd.DataFrame(
        [row_of("none", b=0.5), row_of("unsure", 0.1, 0.2, reach=math.nan), row_of("known", 0.1, 0.11)]
    )
    axes = drawn(table)
    assert labels(axes) == ["unsure", "known", "none"]
    assert beside(axes, 0) == ["+0.1"]
    assert beside(axes, 2) == ["not defined"]


def test_the_most_changed_are_shown_and_the_others_counted():
    table = many(TOP + 40)
    axes = drawn(table)
    largest = table.loc[table["mean_difference"].abs().nlargest(TOP).index, "perturbation"]
    assert labels(axes) == list(largest)
    assert "40 more differ less" in written_below(axes)
    assert "more" not in written_below(drawn(table.head(TOP)))


def test_of_features_that_only_one_version_has_those_that_move_predictions_most_are_shown():
    alone = pd.DataFrame([row_of(f"old {n}", 0.01 * n, only_in="a") for n in range(1, TOP_OF_ONE + 4)])
    table = pd.concat([TABLE, alone], ignore_index=True)
    shown = choose_rows(table, "mean")
    assert list(shown["perturbation"][3:]) == ["gone", *(f"old {n}" for n in range(13, 5, -1)), "new"]
    assert "5 more are in only one version" in written_below(drawn(table))


def test_the_axis_begins_at_0_and_holds_every_interval():
    for table in (TABLE, many(5, scale=1e-6), many(5, scale=1e6)):
        left, right = drawn(table).get_xlim()
        assert left == 0
        assert right >= table[["mean_a_high", "mean_b_high"]].max(axis=None)
    still = pd.DataFrame([row_of("still", 0, 0, reach=0)])
    still[[f"mean_{side}_{end}" for side in SIDES for end in ("low", "high")]] = 0.0
    assert drawn(still).get_xlim() == (0, 1)


def test_title_subtitle_and_axis_say_what_was_compared_on_what_and_in_which_unit():
    axes = drawn(TABLE)
    assert [text.get_text() for text in axes.get_figure().texts] == [f"What changed between {' and '.join(NAMES)}", HOW]
    assert axes.get_xlabel() == "mean deviation (probability)"


STRANGE = [
    (TABLE, NAMES, HOW, UNIT),
    (TABLE.head(2), NAMES, HOW, UNIT),
    (TABLE[TABLE["only_in"] != ""], NAMES, HOW, UNIT),
    (many(1), NAMES, HOW, UNIT),
    (many(60), NAMES, HOW, UNIT),
    (many(8, scale=1e-7), NAMES, HOW, UNIT),
    (many(8, scale=1e7), NAMES, HOW, "New Taiwan dollars of the year in which the loan was given, in thousands"),
    (
        many(8, "amount of the bill statement in September, in New Taiwan $ and {}, \\alpha^2_{{x}} $"),
        (
            "credit-default-production-network-of-the-northern-subsidiaries 3",
            "models:/m-0123456789abcdef0123456789abcdef",
        ),
        "not paired, with the wider intervals of independent audits (other data; 'seed: 4', not '3'; " * 3,
        "$x$",
    ),
    (TABLE, ("no\nline", "$1$ of $2"), "a\nb", "u"),
]


@pytest.mark.parametrize(("table", "names", "how", "unit"), STRANGE)
def test_every_text_lies_within_the_picture_and_on_no_other(table, names, how, unit):
    axes = drawn(table, names, how, unit)
    figure = axes.get_figure()
    texts = visible_texts(axes)
    boxes = {text: text.get_window_extent() for text in texts}
    for text, box in boxes.items():
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0, text
        assert box.y1 <= figure.bbox.y1, text
        assert not (text.get_parse_math() and "$" in text.get_text()), text
    for one, other in combinations(texts, 2):
        assert not boxes[one].padded(-1).overlaps(boxes[other].padded(-1)), (one, other)


def test_the_table_and_the_global_style_are_left_as_they_are():
    before, style = TABLE.copy(), dict(mpl.rcParams)
    drawn(TABLE)
    pd.testing.assert_frame_equal(TABLE, before)
    assert {**mpl.rcParams, "backend": ""} == {**style, "backend": ""}
    assert pyplot.get_fignums() == []
