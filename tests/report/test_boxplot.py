"""The boxplot: its labels, its order and the numbers in it, read back from what is drawn."""

import subprocess
import sys
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from nnperm_mlflow.report.boxplot import boxplot_figure, draw_boxplot

NUMBERS = ["q05", "q25", "median", "mean", "q75", "q95", "max"]
SUBTITLE, UNIT = "models:/risk/4 on 500 rows of test.csv", "probability of default"


def summary_of(n_perturbations, name="feature {}", ways=("shuffle", "shuffle", "order")):
    """Make up a summary of deviations whose statistics all differ from each other; not ordered."""
    generator = np.random.default_rng(n_perturbations)
    rows = []
    for number in range(n_perturbations):
        q05, q25, median, q75, q95, largest = np.sort(generator.random(6))
        rows.append(
            {
                "perturbation": name.format(number),
                "way": ways[number % len(ways)],
                "median": median,
                "mean": (median + q75) / 2,
                "q05": q05,
                "q25": q25,
                "q75": q75,
                "q95": q95,
                "max": largest,
            }
        )
    return pd.DataFrame(rows)


def drawn(summary, subtitle=SUBTITLE, unit=UNIT, order_by="mean"):
    """Draw on a canvas without a window; return the axes, as laid out."""
    figure = boxplot_figure(summary, subtitle, unit, order_by)
    FigureCanvasAgg(figure).draw()
    return figure.axes[0]


def labels_from_the_top(axes):
    height = {label.get_text(): label.get_window_extent().y0 for label in axes.get_yticklabels()}
    return sorted(height, key=height.get, reverse=True)


def texts_of(axes):
    """Return all texts that are drawn, those of the legend included; ticks beyond the axis are not drawn."""
    left, right = axes.get_xlim()
    beyond = [tick for tick in axes.xaxis.get_major_ticks() if not left <= tick.get_loc() <= right]
    hidden = {label for tick in beyond for label in (tick.label1, tick.label2)}
    texts = set(axes.get_figure().findobj(Text)) - hidden
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def text_with(axes, words):
    (text,) = [text for text in texts_of(axes) if words in text.get_text()]
    return text


def numbers_at(axes, position):
    """Return the numbers of one box, as its artists show them."""

    def is_here(heights):
        return np.all(np.abs(np.asarray(heights) - position) < 0.45)

    lines = [line for line in axes.lines if is_here(line.get_ydata())]
    (box,) = [patch.get_path().vertices for patch in axes.patches if is_here(patch.get_path().vertices[:, 1])]
    whiskers = np.concatenate([line.get_xdata() for line in lines if set(line.get_ydata()) == {position}])
    (median,) = {float(x) for line in lines if line.get_linewidth() == 2 for x in line.get_xdata()}
    (mean,) = [line.get_xdata()[0] for line in lines if line.get_marker() == "D"]
    (largest,) = [line.get_xdata()[0] for line in lines if line.get_marker() == "o"]
    without_largest = whiskers[whiskers != largest]
    return {
        "q05": without_largest.min(),
        "q25": box[:, 0].min(),
        "median": median,
        "mean": mean,
        "q75": box[:, 0].max(),
        "q95": without_largest.max(),
        "max": largest,
    }


def legend_texts(axes):
    return [text.get_text() for text in axes.get_figure().legends[0].get_texts()]


def global_style():
    """Return all global settings but the backend, which matplotlib finds out when it is first needed."""
    return {name: value for name, value in mpl.rcParams.copy().items() if name != "backend"}


def literal_width(axes, text):
    """Return how wide a text is where no letter means anything."""
    figure = axes.get_figure()
    literal = figure.text(0, 0, text.get_text(), fontproperties=text.get_fontproperties(), parse_math=False)
    width = literal.get_window_extent().width
    literal.remove()
    return width


def marks(axes):
    """Return the heights of the lines that run across the whole axis."""
    return [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]


def test_labels_are_ordered_by_what_leads_and_ties_by_mean():
    summary = summary_of(5).assign(
        perturbation=["low", "tied, lower mean", "high", "tied, higher mean", "tied, lowest mean"],
        median=[0.1, 0.5, 0.9, 0.5, 0.5],
        mean=[0.99, 0.6, 0.1, 0.7, 0.5],
    )
    expected = ["high", "tied, higher mean", "tied, lower mean", "tied, lowest mean", "low"]
    assert labels_from_the_top(drawn(summary, order_by="median")) == expected
    assert labels_from_the_top(drawn(summary)) == ["low", *expected[1:4], "high"]
    assert text_with(drawn(summary), SUBTITLE).get_text() == f"{SUBTITLE}, by mean deviation"
    drops = summary.assign(roc_auc_drop=[0.1, 0.2, 0.3, 0.4, 0.5])
    assert labels_from_the_top(drawn(drops, order_by="roc_auc_drop")) == list(summary["perturbation"])[::-1]


@pytest.mark.parametrize("n_perturbations", [1, 9, 40])
def test_each_box_shows_the_numbers_of_the_label_beside_it(n_perturbations):
    summary = summary_of(n_perturbations).set_index("perturbation")
    axes = drawn(summary.reset_index())
    labels = axes.get_yticklabels()
    assert len(labels) == n_perturbations
    for position, label in enumerate(labels):
        extent, height = label.get_window_extent(), axes.transData.transform((0, position))[1]
        assert extent.y0 < height < extent.y1
        assert numbers_at(axes, position) == summary.loc[label.get_text(), NUMBERS].to_dict()


def test_all_numbers_lie_within_the_axis():
    for scale in (1e-9, 0.31, 1, 7e12):
        summary = summary_of(6)
        summary[NUMBERS] *= scale
        left, right = drawn(summary, unit="days").get_xlim()
        assert left == 0
        assert summary["max"].max() <= right < 3 * summary["max"].max()


@pytest.mark.parametrize(
    ("largest", "unit", "end"),
    [
        (0.21, UNIT, 0.5),
        (0.5, UNIT, 0.5),
        (0.51, UNIT, 1),
        (1, UNIT, 1),
        (0.003, UNIT, 0.01),
        (0, UNIT, 0.01),
        (0.003, "days", 0.005),
        (38, "days", 50),
    ],
)
def test_versions_that_are_alike_share_an_axis_and_the_picture_says_which(largest, unit, end):
    """It ends at a round number; below a hundredth all probabilities share one, so that small effects look small."""
    summary = summary_of(6)
    summary[NUMBERS] *= largest / summary["max"].max()
    axes = drawn(summary, unit=unit)
    assert axes.get_xlim() == pytest.approx((0, 1.02 * end))
    assert text_with(axes, "axis: 0 to").get_text() == f"axis: 0 to {end}"


def test_a_model_that_nothing_moves_can_be_drawn():
    summary = summary_of(2)
    summary[NUMBERS] = 0.0
    assert drawn(summary).get_xlim()[1] > 0


def test_each_way_has_a_colour_that_the_legend_explains():
    summary = summary_of(6).assign(way=["shuffle", "set", "order"] * 2).set_index("perturbation")
    axes = drawn(summary.reset_index())
    handles = axes.get_figure().legends[0].legend_handles
    colour_of = {text: handle.get_facecolor() for text, handle in zip(legend_texts(axes), handles, strict=True)
                 if hasattr(handle, "get_facecolor")}  # fmt: skip
    meaning = {
        "shuffle": "shuffled",
        "set": "all rows set to the value (rows that held it)",
        "order": "steps reordered",
    }
    assert set(colour_of) == set(meaning.values())
    assert len(set(colour_of.values())) == 3
    for label, box in zip(axes.get_yticklabels(), axes.patches, strict=True):
        assert box.get_facecolor() == colour_of[meaning[summary.loc[label.get_text(), "way"]]]


def with_set_values(n_moved, held):
    """Make up a summary in which set values, of which so many rows held them, move predictions most."""
    moved, set_to = summary_of(n_moved).assign(held=np.nan), summary_of(len(held), "s={}", ["set"]).assign(held=held)
    set_to[NUMBERS] += 1
    return pd.concat([set_to, moved], ignore_index=True)


def test_set_values_stand_below_a_heading_with_the_rows_that_held_them():
    """However far they move predictions, they are no part of the order of what is shuffled."""
    summary = with_set_values(3, [1234.0, 14.0])
    axes = drawn(summary)
    labels = labels_from_the_top(axes)
    moved = summary[summary["way"] != "set"].sort_values("mean", ascending=False)["perturbation"]
    assert labels[:3] == list(moved)
    assert set(labels[3:]) == {"s=0 (1,234)", "s=1 (14)"}
    heading = text_with(axes, "IF EVERYBODY HAD ONE VALUE").get_window_extent()
    heights = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert max(extent.y1 for extent in heights[3:]) < heading.y1 < min(extent.y1 for extent in heights[:3])
    assert marks(axes) == [2.5], "a line above the heading"
    assert_can_be_read(axes)


def test_a_value_that_hardly_any_row_held_is_pale():
    axes = drawn(with_set_values(2, [100.0, 99.0, 5000.0]))
    colour_of = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.patches, strict=True))
    pale, plain = colour_of["s=1 (99)"].get_facecolor(), colour_of["s=0 (100)"].get_facecolor()
    assert sum(pale[:3]) > sum(plain[:3])
    assert colour_of["s=2 (5,000)"].get_facecolor() == plain
    assert "held by fewer than 100 rows" in legend_texts(axes)
    assert "held by fewer than 100 rows" not in legend_texts(drawn(with_set_values(2, [100.0])))


@pytest.mark.parametrize(
    ("n_moved", "n_set", "n_moved_shown", "n_set_shown"),
    [(45, 15, 45, 15), (100, 100, 40, 20), (100, 3, 57, 3), (10, 100, 10, 50)],
)
def test_both_parts_have_room_and_each_counts_what_it_leaves_out(n_moved, n_set, n_moved_shown, n_set_shown):
    axes = drawn(with_set_values(n_moved, [1000.0] * n_set))
    labels = labels_from_the_top(axes)
    assert len([label for label in labels if label.startswith("s=")]) == n_set_shown
    assert len(labels) == n_moved_shown + n_set_shown
    left = [number for number in (n_moved - n_moved_shown, n_set - n_set_shown) if number]
    lines = [text.get_text() for text in texts_of(axes) if "more, none with a larger mean" in text.get_text()]
    assert sorted(int(line.split()[1]) for line in lines) == sorted(left)
    assert_can_be_read(axes)


def test_what_was_not_tested_has_no_box():
    """A box at 0 would look as if the model did not use the feature."""
    summary = summary_of(3).assign(changed_share=[0.9, 0.0, 1.0])
    summary.loc[1, NUMBERS] = 0.0
    axes = drawn(summary)
    assert labels_from_the_top(axes)[-1] == "feature 1"
    assert len(axes.patches) == 2
    assert not [line for line in axes.lines if np.all(np.abs(np.asarray(line.get_ydata()) - 2) < 0.45)]
    words, label = text_with(axes, "not tested: no row's value changed"), axes.get_yticklabels()[2]
    assert words.get_window_extent().y0 < label.get_window_extent().y1
    assert words.get_window_extent().y1 > label.get_window_extent().y0
    assert_can_be_read(axes)


def test_where_nothing_was_tested_there_is_no_box_at_all():
    summary = summary_of(2).assign(changed_share=0.0)
    summary[NUMBERS] = 0.0
    axes = drawn(summary)
    assert not axes.patches
    assert len([text for text in texts_of(axes) if text.get_text().startswith("not tested")]) == 2


def test_a_stranger_s_name_is_one_line_and_leaves_the_boxes_room():
    summary = summary_of(2).assign(perturbation=["two\nlines", "x" * 300])
    figure = boxplot_figure(summary, SUBTITLE, UNIT)
    FigureCanvasAgg(figure).draw()
    labels = labels_from_the_top(figure.axes[0])
    assert "two\\nlines" in labels
    assert max(map(len, labels)) == 120
    assert figure.axes[0].get_position().width > 0.3


def test_the_legend_explains_every_mark():
    assert legend_texts(drawn(summary_of(2)))[-3:] == ["mean", "largest", "whiskers: 5 % to 95 %"]


def test_the_axes_name_the_quantity_and_its_unit():
    axes = drawn(summary_of(3))
    assert UNIT in axes.get_xlabel()
    assert axes.get_xlabel().startswith("Difference between original and perturbed prediction")
    assert axes.get_ylabel() == "Perturbed feature"
    assert "Impact of a random shuffle in a column on the prediction" in axes.get_title(loc="left")
    assert text_with(axes, SUBTITLE)


@pytest.mark.parametrize(("n_perturbations", "is_marked"), [(1, False), (20, False), (21, True), (150, True)])
def test_the_top_20_are_marked_off_where_there_are_more(n_perturbations, is_marked):
    """The mark runs between the 20th box from the top and the 21st."""
    axes = drawn(summary_of(n_perturbations))
    assert marks(axes) == ([19.5] if is_marked else [])
    labels = [text for text in texts_of(axes) if text.get_text() == "TOP 20 FEATURES"]
    assert len(labels) == is_marked
    for label in labels:
        assert label.get_window_extent().y0 > axes.transData.transform((0, 19.5))[1]
        assert label.get_window_extent().x0 > axes.bbox.x1, "it lies on a box"


@pytest.mark.parametrize(("n_perturbations", "left"), [(60, None), (61, "1"), (1500, "1,440")])
def test_the_60_that_move_predictions_most_are_shown_and_the_others_are_counted(n_perturbations, left):
    """By what leads, ties by mean; the line that counts them stands below the last box."""
    summary = summary_of(n_perturbations, "f{}").assign(median=np.arange(n_perturbations) // 2 / n_perturbations)
    axes = drawn(summary, order_by="median")
    ordered = summary.sort_values(["median", "mean"], ascending=False)["perturbation"]
    assert labels_from_the_top(axes) == list(ordered[:60])
    assert len(axes.patches) == 60 + 1, "a box for each, and the ground of the top 20"
    lines = [text for text in texts_of(axes) if "more, none with a larger median" in text.get_text()]
    assert [line.get_text().split()[1] for line in lines] == ([] if left is None else [left])
    for line in lines:
        assert line.get_window_extent().y1 < axes.transData.transform((0, 59.31))[1]
    assert_can_be_read(axes)


def test_the_axis_ends_where_what_is_shown_ends():
    """A feature far down that moves a single row by much leaves the others their room."""
    summary = summary_of(61)
    summary[NUMBERS] *= 0.1
    summary.loc[summary["mean"].idxmin(), "max"] = 0.9
    assert drawn(summary).get_xlim()[1] == pytest.approx(0.102)


def test_the_picture_grows_with_no_more_than_60():
    sizes = [boxplot_figure(summary_of(n), SUBTITLE, UNIT).get_size_inches() for n in (61, 3000)]
    assert (sizes[0] == sizes[1]).all()


@pytest.mark.parametrize("n_perturbations", [1, 8, 150])
@pytest.mark.parametrize("name", ["x{}", "a long name of a feature, as spreadsheets have them, number {}=0.5"])
def test_every_text_can_be_read(n_perturbations, name):
    summary = summary_of(n_perturbations, name)
    axes = drawn(summary)
    assert set(labels_from_the_top(axes)) == set(summary.nlargest(60, "mean")["perturbation"])
    assert_can_be_read(axes)


def test_the_lines_around_the_boxes_can_be_read_where_they_are_long():
    for n_perturbations, order_by in ((8, "mean"), (30, "flipped_share")):
        summary = summary_of(n_perturbations).assign(flipped_share=0.5)
        assert_can_be_read(drawn(summary, f"models:/{'risk_' * 40}/4 on 500 rows", UNIT * 4, order_by))


def assert_can_be_read(axes):
    """Assert that no text lies on another one, and none is cut off by the picture's edge."""
    extents = {text: text.get_window_extent() for text in texts_of(axes)}
    picture = axes.get_figure().bbox
    for text, extent in extents.items():
        assert picture.x0 <= extent.x0, text
        assert extent.x1 <= picture.x1, text
        assert picture.y0 <= extent.y0, text
        assert extent.y1 <= picture.y1, text
    for (text, one), (other_text, other) in combinations(extents.items(), 2):
        assert not one.overlaps(other), (text, other_text)


@pytest.mark.parametrize("name", ["a$b$c", "$\\nonsense$", "price_$", "a_b^c", "\\alpha", "_hidden", "{x}", "ä"])
def test_names_are_drawn_letter_by_letter(name):
    """A dollar sign begins no formula: it is a letter of a name, of a file, of a unit."""
    summary = summary_of(2).assign(perturbation=[name, "other"])
    axes = drawn(summary, subtitle=f"models:/{name}/1", unit=name)
    texts = [
        text_with(axes, "models:/"),
        axes.xaxis.label,
        *[label for label in axes.get_yticklabels() if label.get_text() == name],
    ]
    assert len(texts) == 3
    for text in texts:
        assert text.get_window_extent().width == pytest.approx(literal_width(axes, text))


def test_drawing_changes_neither_the_summary_nor_global_style():
    summary = summary_of(25)
    before, style = summary.copy(deep=True), global_style()
    drawn(summary)
    pd.testing.assert_frame_equal(summary, before)
    assert global_style() == style


def test_it_draws_on_the_axes_it_is_given_and_returns_them():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw_boxplot(right, summary_of(3), SUBTITLE, UNIT) is right
    assert len(right.patches) == 3
    assert not left.patches


def test_drawing_leaves_no_figure_with_pyplot():
    """Which keeps every figure of its own alive, and shows it on the next `show`."""
    drawn(summary_of(3))
    assert pyplot.get_fignums() == []


@pytest.mark.slow
def test_the_module_does_not_load_pyplot():
    """Which would choose a backend for the whole process of whoever imports it."""
    code = "import sys, nnperm_mlflow.report.boxplot; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_disturbed_rows_so_that_they_cannot_occur_is_marked_and_the_mark_explained():
    summary = summary_of(3).assign(out_of_data=[0.95, 0.6, np.nan])
    axes = drawn(summary)
    assert {text for text in labels_from_the_top(axes) if text.endswith(" *")} == {"feature 0 *"}
    words = "* disturbed rows are unlike the data"
    assert text_with(axes, words)
    assert words not in {text.get_text() for text in texts_of(drawn(summary_of(3)))}


def test_conditional_shuffles_stand_in_a_part_of_their_own_below_the_plain_ones():
    summary = summary_of(6, ways=("shuffle", "conditional"))
    axes = drawn(summary)
    plain, alike = (
        summary[summary["way"] == way].sort_values("mean", ascending=False)["perturbation"].tolist()
        for way in ("shuffle", "conditional")
    )
    assert labels_from_the_top(axes) == [*plain, *alike]
    assert text_with(axes, "AMONG ROWS THAT ARE ALIKE IN WHAT THE FEATURE GOES WITH")
    assert text_with(axes, "shuffled among alike rows")
