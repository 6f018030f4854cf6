"""The heatmap: its labels, its order and the numbers in it, read back from what is drawn."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from nnperm_mlflow.report.heatmap import draw_heatmap, heatmap_figure
from tests.report.test_boxplot import global_style

SUBTITLE, UNIT = "models:/risk/4 on 500 rows of test.csv", "probability of default"
LONG = "a long name, as spreadsheets have them, number {} of many"
HOSTILE = [
    "a$b$c",
    "$\\nonsense$",
    "price_$",
    "a_b^c",
    "\\alpha",
    "_hidden",
    "{x}",
    "ä",
    "日本",
    "W" * 300,
    "two\nlines",
]


def windows_of(n_channels, n_windows, channel="channel {}", window="{} to {}"):
    """Make up deviations that all differ from each other, neither channels nor windows in order."""
    generator = np.random.default_rng(n_channels + 100 * n_windows)
    rows = [
        {
            "channel": channel.format(number),
            "window": window.format(3 * place + 1, 3 * place + 3),
            "first": 3 * place + 1,
            "last": 3 * place + 3,
            "median": generator.random(),
            "mean": generator.random(),
        }
        for number in range(n_channels)
        for place in range(n_windows)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def frame_of(*rows):
    """Write a table of windows as channel, first, last, median and, where it differs, mean."""
    columns = ["channel", "first", "last", "median", "mean"]
    windows = pd.DataFrame([(*row, row[-1])[:5] for row in rows], columns=columns)
    return windows.assign(window=[f"{row.first} to {row.last}" for row in windows.itertuples()])


def drawn(windows, subtitle=SUBTITLE, unit=UNIT, order_by="median"):
    """Draw on a canvas without a window; return the axes, as laid out."""
    figure = heatmap_figure(windows, subtitle, unit, order_by)
    FigureCanvasAgg(figure).draw()
    return figure.axes[0]


def channels_from_the_top(axes):
    height = {label: label.get_window_extent().y0 for label in axes.get_yticklabels()}
    return [label.get_text() for label in sorted(height, key=height.get, reverse=True)]


def windows_from_the_left(axes):
    place = {label: label.get_window_extent().x0 for label in axes.get_xticklabels()}
    return [label.get_text() for label in sorted(place, key=place.get)]


def cells_of(axes):
    """Return the numbers behind the colours: for channels from the top and windows from the left, NaN where hatched."""
    cells = axes.collections[0].get_array().filled(np.nan)
    assert axes.yaxis_inverted()
    assert not axes.xaxis_inverted()
    return pd.DataFrame(cells, channels_from_the_top(axes), windows_from_the_left(axes))


def numbers_in(axes):
    """Return the texts in the cells by (row from the top, column from the left)."""
    to_cell = axes.transData.inverted()
    numbers = [text for text in axes.texts if not isinstance(text, Annotation)]
    centres = {text: to_cell.transform(text.get_window_extent().get_points().mean(axis=0)) for text in numbers}
    return {(int(down), int(across)): text for text, (across, down) in centres.items()}


def subtitle_of(axes):
    (subtitle,) = [text for text in axes.texts if isinstance(text, Annotation)]
    return subtitle


def bar_of(axes):
    (bar,) = axes.child_axes
    return bar


def colour_at(axes, row, column):
    mesh = axes.collections[0]
    return np.asarray(mesh.to_rgba(mesh.get_array()[row, column]))[:3]


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def visible_texts(figure):
    """Return all texts that are drawn; ticks beyond their axis are not drawn."""
    hidden = set()
    for axes in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            ticks = [tick for tick in axis.get_major_ticks() if not low - slack <= tick.get_loc() <= high + slack]
            hidden |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    texts = set(figure.findobj(Text)) - hidden
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def assert_every_text_can_be_read(figure):
    """No text lies on another one, and none is cut off by the picture's edge."""
    extents = {text: text.get_window_extent() for text in visible_texts(figure)}
    for text, extent in extents.items():
        assert min(extent.x0, extent.y0) >= 0, text
        assert extent.x1 <= figure.bbox.x1, text
        assert extent.y1 <= figure.bbox.y1, text
    for (text, one), (other_text, other) in combinations(extents.items(), 2):
        assert not one.overlaps(other), (text, other_text)


def is_literal(text):
    """Say whether a text takes the room that it takes where no letter means anything, on one line."""
    figure = text.get_figure(root=True)
    likeness = figure.text(
        0, 0, text.get_text(), fontproperties=text.get_fontproperties(), rotation=text.get_rotation(), parse_math=False
    )
    sizes = [each.get_window_extent().size for each in (text, likeness)]
    likeness.remove()
    return "\n" not in text.get_text() and np.allclose(*sizes)


def test_the_channel_with_the_largest_deviation_is_on_top_and_ties_go_by_mean():
    """By its largest window: not by its average, its first window, its name or its place in the table."""
    windows = frame_of(
        ("even", 1, 3, 0.5), ("even", 4, 6, 0.5),
        ("tied, lower mean", 1, 3, 0.3, 0.4), ("tied, lower mean", 4, 6, 0.1, 0.1),
        ("late", 1, 3, 0.0), ("late", 4, 6, 0.9),
        ("tied, higher mean", 1, 3, 0.1, 0.2), ("tied, higher mean", 4, 6, 0.3, 0.7),
    )  # fmt: skip
    assert channels_from_the_top(drawn(windows)) == ["late", "even", "tied, higher mean", "tied, lower mean"]


def test_windows_go_by_first_step_then_last_whatever_their_names_and_overlaps():
    windows = frame_of(("a", 10, 12, 1), ("a", 2, 4, 2), ("a", 2, 3, 3), ("a", 3, 11, 4), ("a", 40, 40, 5))
    axes = drawn(windows)
    assert windows_from_the_left(axes) == ["2 to 3", "2 to 4", "3 to 11", "10 to 12", "40 to 40 (40)"]
    assert cells_of(axes).loc["a"].tolist() == [3, 2, 4, 1, 5]


@pytest.mark.parametrize(("n_channels", "n_windows"), [(1, 1), (3, 6), (12, 24), (60, 60)])
def test_each_cell_has_the_median_of_its_channel_and_window(n_channels, n_windows):
    windows = windows_of(n_channels, n_windows)
    axes = drawn(windows)
    cells = cells_of(axes)
    assert cells.shape == (n_channels, n_windows)
    for row in windows.itertuples():
        assert cells.loc[row.channel, row.window] == row.median
    for position, label in enumerate(axes.get_yticklabels()):
        extent, height = label.get_window_extent(), axes.transData.transform((0, position + 0.5))[1]
        assert extent.y0 < height < extent.y1
    for position, label in enumerate(axes.get_xticklabels()):
        extent, place = label.get_window_extent(), axes.transData.transform((position + 0.5, 0))[0]
        assert extent.x0 < place < extent.x1


def test_each_number_stands_in_its_cell():
    axes = drawn(windows_of(5, 7))
    numbers = numbers_in(axes)
    assert len(numbers) == 5 * 7
    for place, cell in np.ndenumerate(cells_of(axes).to_numpy()):
        assert float(numbers[place].get_text()) == pytest.approx(cell, rel=0.005)


def test_numbers_have_three_digits():
    values = {0: "0", 0.5: "0.5", 0.12345: "0.123", 0.00012345: "0.000123", 1.2345e-7: "1.23e-07", 31416: "31400"}
    windows = frame_of(*[("a", place, place, value) for place, value in enumerate(values, start=1)])
    numbers = numbers_in(drawn(windows))
    assert [numbers[0, place].get_text() for place in range(len(values))] == list(values.values())


@pytest.mark.parametrize(("n_windows", "has_numbers"), [(25, True), (26, False)])
def test_many_windows_leave_out_the_numbers(n_windows, has_numbers):
    assert len(numbers_in(drawn(windows_of(2, n_windows)))) == 2 * n_windows * has_numbers


@pytest.mark.parametrize(("n_channels", "note"), [(60, ""), (61, " (the leading 60 of 61 channels)")])
def test_the_60_channels_with_the_largest_deviations_are_shown_and_the_title_counts_all(n_channels, note):
    windows = windows_of(n_channels, 3)
    axes = drawn(windows)
    largest = windows.groupby("channel")["median"].max().sort_values(ascending=False)
    assert channels_from_the_top(axes) == list(largest.index[:60])
    assert axes.get_title(loc="left").endswith(f"median deviation by window{note}")


def test_a_picture_of_very_many_channels_and_windows_is_no_larger_than_one_of_many():
    sizes = [heatmap_figure(windows_of(*many), SUBTITLE, UNIT).get_size_inches() for many in ((70, 90), (700, 400))]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_of_very_many_windows_some_are_named_and_each_name_stands_at_its_own():
    windows = windows_of(2, 200)
    axes = drawn(windows)
    names = windows.sort_values("first")["window"].unique()
    labels = {label.get_text(): label.get_position()[0] for label in axes.get_xticklabels()}
    assert len(labels) == 67
    assert all(names[int(place)] == name for name, place in labels.items())
    assert axes.get_xlim() == (0, 200)
    assert_every_text_can_be_read(axes.get_figure())


def test_numbers_can_be_read_on_every_colour():
    """A contrast of 4.5 is what WCAG 2 asks of small letters."""
    windows = frame_of(*[("a", place, place, place / 24) for place in range(25)])
    axes = drawn(windows)
    for (row, column), text in numbers_in(axes).items():
        dark, light = sorted([luminance(text.get_color()), luminance(colour_at(axes, row, column))])
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_no_deviation_is_nearly_white_and_more_is_ever_darker():
    """So that a print in grey tells the same."""
    axes = drawn(frame_of(*[("a", place, place, place / 24) for place in range(25)]))
    luminances = [luminance(colour_at(axes, 0, column)) for column in range(25)]
    assert luminances[0] > 0.9
    assert (np.diff(luminances) < 0).all()
    assert luminances[-1] < 0.1


@pytest.mark.parametrize("scale", [1e-9, 0.31, 7e12])
def test_colours_begin_at_zero_and_end_at_the_largest_cell_for_all_channels(scale):
    windows = frame_of(("a", 1, 2, 0.6 * scale), ("a", 3, 4, 0.7 * scale), ("b", 1, 2, 0.5 * scale))
    axes = drawn(windows)
    assert axes.collections[0].get_clim() == (0, 0.7 * scale)
    assert bar_of(axes).get_xlim() == (0, 0.7 * scale)


def test_a_window_that_a_channel_lacks_is_hatched_and_is_not_zero():
    windows = frame_of(("a", 1, 2, 0.6), ("a", 3, 4, 0.0), ("b", 1, 2, 0.5), ("b", 5, 6, np.nan))
    axes = drawn(windows)
    expected = pd.DataFrame([[0.6, 0, np.nan], [0.5, np.nan, np.nan]], ["a", "b"], ["1 to 2", "3 to 4", "5 to 6"])
    pd.testing.assert_frame_equal(cells_of(axes), expected)
    assert set(numbers_in(axes)) == {(0, 0), (0, 1), (1, 0)}
    assert axes.patch.get_hatch()
    assert luminance(axes.patch.get_facecolor()) < luminance(colour_at(axes, 0, 1))
    (handle,) = axes.get_legend().legend_handles
    assert handle.get_hatch() == axes.patch.get_hatch()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["not measured"]


def test_without_such_a_window_nothing_is_said_of_it():
    assert drawn(windows_of(2, 3)).get_legend() is None


def test_medians_that_are_all_zero_give_way_to_means_which_title_and_bar_say():
    windows = frame_of(("a", 1, 2, 0, 0.1), ("a", 3, 4, np.nan, np.nan), ("b", 1, 2, 0, 0.2), ("b", 3, 4, 0, 0.3))
    axes = drawn(windows)
    assert channels_from_the_top(axes) == ["b", "a"]
    np.testing.assert_equal(cells_of(axes).to_numpy(), [[0.2, 0.3], [0.1, np.nan]])
    assert "mean deviation" in axes.get_title(loc="left")
    assert "all medians are 0" in axes.get_title(loc="left")
    assert bar_of(axes).get_xlabel() == f"mean deviation ({UNIT})"


def test_one_median_above_zero_keeps_the_medians():
    axes = drawn(frame_of(("a", 1, 2, 0, 0.9), ("b", 1, 2, 1e-6, 0.2)))
    assert cells_of(axes)["1 to 2"].to_dict() == {"b": 1e-6, "a": 0}
    assert "median deviation" in axes.get_title(loc="left")
    assert "mean" not in axes.get_title(loc="left")


@pytest.mark.parametrize(
    ("order_by", "words", "bar"),
    [
        ("mean", "mean deviation", f"mean deviation ({UNIT})"),
        ("flipped_share", "share of decisions flipped", "share of decisions flipped"),
        ("roc_auc_drop", "drop in roc_auc", "drop in roc_auc"),
    ],
)
def test_it_shows_what_leads(order_by, words, bar):
    """Medians fall over time where what leads rises: the last payments decide, of few clients."""
    windows = frame_of(("a", 1, 2, 0.5, 0.1), ("a", 3, 4, 0.4, 0.3), ("b", 1, 2, 0.6, 0.2), ("b", 3, 4, 0.1, 0.2))
    windows = windows.assign(flipped_share=windows["mean"] / 2, roc_auc_drop=windows["mean"] - 0.15)
    axes = drawn(windows, order_by=order_by)
    assert channels_from_the_top(axes) == ["a", "b"]
    expected = windows.set_index(["channel", "window"])[order_by]
    assert cells_of(axes).stack().to_dict() == expected.to_dict()
    assert axes.get_title(loc="left").endswith(f"{words} by window")
    assert bar_of(axes).get_xlabel() == bar


def test_a_model_that_nothing_moves_can_be_drawn_and_is_white():
    axes = drawn(windows_of(2, 3).assign(median=0.0, mean=0.0))
    assert {text.get_text() for text in numbers_in(axes).values()} == {"0"}
    assert min(luminance(colour_at(axes, row, column)) for row in range(2) for column in range(3)) > 0.9


def test_axes_and_bar_name_the_quantities_and_the_unit():
    axes = drawn(windows_of(3, 4))
    assert axes.get_xlabel() == "steps"
    assert axes.get_ylabel() == "channel"
    assert bar_of(axes).get_xlabel() == f"median deviation ({UNIT})"
    assert subtitle_of(axes).get_text() == SUBTITLE


@pytest.mark.parametrize("window", ["{} to {}", LONG])
@pytest.mark.parametrize("n_channels", [1, 40])
def test_the_bar_lies_below_all_labels_and_is_as_large_in_every_picture(n_channels, window):
    axes = drawn(windows_of(n_channels, 3, window=window))
    bar = bar_of(axes).bbox
    labels = [*axes.get_xticklabels(), axes.xaxis.label]
    assert bar.y1 < min(label.get_window_extent().y0 for label in labels)
    assert bar.size / axes.get_figure().dpi == pytest.approx([3.6, 0.14])


@pytest.mark.parametrize(
    ("name", "steps", "label"),
    [
        ("recent", (3, 6), "recent (3 to 6)"),
        ("last 6", (3, 6), "last 6 (3 to 6)"),
        ("week 4", (4, 4), "week 4 (4)"),
        ("3 to 6", (3, 6), "3 to 6"),
        ("steps 3 to 6", (3, 6), "steps 3 to 6"),
        ("step 4", (4, 4), "step 4"),
    ],
)
def test_a_name_of_the_users_own_is_told_with_its_steps(name, steps, label):
    windows = frame_of(("a", *steps, 0.5)).assign(window=name)
    assert windows_from_the_left(drawn(windows)) == [label]


def test_one_name_for_other_steps_is_another_window():
    windows = frame_of(("short", 2, 3, 0.5), ("long", 20, 30, 0.6)).assign(window="recent")
    axes = drawn(windows)
    assert windows_from_the_left(axes) == ["recent (2 to 3)", "recent (20 to 30)"]
    np.testing.assert_equal(cells_of(axes).to_numpy(), [[np.nan, 0.6], [0.5, np.nan]])


@pytest.mark.parametrize(
    ("n_channels", "n_windows", "name"),
    [
        *[(1, 1, "x {}"), (3, 6, "x {}"), (12, 24, "x {}"), (1, 25, "x {}"), (2, 26, "x {}"), (60, 60, "{}")],
        *[(n_channels, n_windows, LONG) for n_channels, n_windows in [(1, 1), (3, 6), (1, 60), (60, 1)]],
    ],
)
def test_every_text_can_be_read(n_channels, n_windows, name):
    windows = windows_of(n_channels, n_windows, name, f"{name} to {{}}")
    windows.iloc[1:2, windows.columns.get_indexer(["median", "mean"])] = np.nan
    axes = drawn(windows)
    assert len(channels_from_the_top(axes)) == n_channels
    assert_every_text_can_be_read(axes.get_figure())


def test_the_picture_has_room_for_the_longest_texts():
    windows = windows_of(2, 3, "W" * 300 + "{}", "W" * 300 + "{} {}").assign(median=0.0).iloc[1:]
    assert_every_text_can_be_read(drawn(windows, "W" * 300, "W" * 300).get_figure())


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_drawn_letter_by_letter_on_one_line(name):
    """A dollar sign begins no formula: it is a letter of a name, of a file, of a unit."""
    windows = windows_of(2, 2)
    windows = windows.assign(channel=name + windows["channel"], window=name + windows["window"])
    axes = drawn(windows, subtitle=f"models:/{name}/1", unit=name)
    texts = [subtitle_of(axes), bar_of(axes).xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
    assert len(texts) == 6
    for text in texts:
        assert name[0] in text.get_text()
        assert is_literal(text)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_what_a_name_says_is_kept():
    """A line break is shown, an emoji is a letter, and of a long name both ends stay, by which names differ."""
    long = "begin " + "n" * 300 + " end"
    windows = frame_of(("two\nlines", 1, 2, 0.9), ("\N{GRINNING FACE}", 1, 2, 0.8), (long, 1, 2, 0.7))
    broken, emoji, shortened = channels_from_the_top(drawn(windows))
    assert (broken, emoji) == ("two\\nlines", "\N{GRINNING FACE}")
    assert shortened.startswith("begin nnn")
    assert shortened.endswith("nnn end")
    assert "…" in shortened
    assert len(shortened) == 40


def test_names_that_are_shortened_to_the_same_stay_apart():
    windows = frame_of(("a" * 50 + "1" + "a" * 50, 1, 2, 0.9), ("a" * 50 + "2" + "a" * 50, 1, 2, 0.8))
    assert cells_of(drawn(windows)).to_numpy().tolist() == [[0.9], [0.8]]


def test_drawing_changes_neither_the_table_nor_global_style():
    windows = windows_of(4, 30)
    before, style = windows.copy(deep=True), global_style()
    drawn(windows)
    pd.testing.assert_frame_equal(windows, before)
    assert global_style() == style


def test_it_draws_on_the_axes_it_is_given_and_returns_them():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw_heatmap(right, windows_of(3, 2), SUBTITLE, UNIT) is right
    assert cells_of(right).shape == (3, 2)
    assert not left.collections
    assert not left.child_axes


def test_drawing_leaves_no_figure_with_pyplot():
    """Which keeps every figure of its own alive, and shows it on the next `show`."""
    drawn(windows_of(3, 2))
    assert pyplot.get_fignums() == []


@pytest.mark.slow
def test_the_module_does_not_load_pyplot():
    """Which would choose a backend for the whole process of whoever imports it."""
    code = "import sys, nnperm_mlflow.report.heatmap; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
