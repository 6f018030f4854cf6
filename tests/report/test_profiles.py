"""The profiles: their labels, their order and the numbers in them, read back from what is drawn."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color

from nnperm_mlflow.report.profile_curves import effects_figure, profiles_figure
from tests.report.test_boxplot import global_style
from tests.report.test_heatmap import HOSTILE, assert_every_text_can_be_read, is_literal

SUBTITLE, UNIT = "models:/risk/4 on 500 rows of test.csv", "probability of default"
BASELINE = 0.2345


def profile_of(feature, kind, values, shares=None):
    """Make up a profile whose numbers all differ from each other."""
    generator = np.random.default_rng(len(values))
    low, mean, high = np.sort(generator.random((3, len(values))), axis=0)
    columns = {"feature": feature, "kind": kind, "value": pd.Series(list(values), dtype=object)}
    shares = np.linspace(0.013, 1, len(values)) if shares is None else shares
    return pd.DataFrame({**columns, "mean": mean, "low": low, "high": high, "share": shares, "baseline": BASELINE})


def number(feature="age", values=(20.0, 35.0, 50.0, 80.0), shares=None):
    return profile_of(feature, "number", values, shares)


def category(feature="region", values=("north", "south", "east"), shares=None):
    return profile_of(feature, "category", values, shares)


def drawn(*profiles, subtitle=SUBTITLE, unit=UNIT):
    """Draw on a canvas without a window; return the figure, as laid out."""
    figure = profiles_figure(pd.concat(profiles, ignore_index=True), subtitle, unit)
    FigureCanvasAgg(figure).draw()
    return figure


def name_of(axes):
    return axes.get_title(loc="left")


def line_of(axes):
    """Return the line, or the points, of the means."""
    (line,) = [line for line in axes.lines if line.get_marker() == "o"]
    return line


def baseline_of(axes):
    (line,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    return line


def deciles_of(axes):
    """Return where the ticks of the rows' tenths stand."""
    (ticks,) = [line for line in axes.lines if line.get_marker() not in ("o", "None")]
    assert set(ticks.get_ydata()) <= {0}
    assert ticks.get_transform().transform((0, 0))[1] == pytest.approx(axes.bbox.y0)
    return list(ticks.get_xdata())


def values_of(axes):
    return [" ".join(label.get_text().split("\n")) for label in axes.get_xticklabels()]


def legend_of(figure):
    (legend,) = figure.legends
    return dict(zip([text.get_text() for text in legend.get_texts()], legend.legend_handles, strict=True))


def test_there_is_a_panel_per_feature_in_the_order_of_the_table():
    figure = drawn(number("weight"), category("region"), number("age"), category("area"))
    assert [name_of(axes) for axes in figure.axes] == ["weight", "region", "age", "area"]


@pytest.mark.parametrize(("n_features", "n_rows", "n_beside"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (5, 2, 3), (12, 4, 3)])
def test_up_to_three_panels_are_beside_each_other_and_go_on_below(n_features, n_rows, n_beside):
    figure = drawn(*[number(f"feature {place}") for place in range(n_features)])
    assert len(figure.axes) == n_features
    lefts = sorted({round(axes.bbox.x0) for axes in figure.axes})
    tops = sorted({round(axes.bbox.y1) for axes in figure.axes}, reverse=True)
    assert (len(tops), len(lefts)) == (n_rows, n_beside)
    for place, axes in enumerate(figure.axes):
        assert round(axes.bbox.y1) == tops[place // 3]
        assert round(axes.bbox.x0) == lefts[place % 3]


@pytest.mark.parametrize(("n_features", "note"), [(60, ""), (61, " (60 of 61 features)")])
def test_at_most_60_panels_are_drawn_and_the_title_counts_all(n_features, note):
    figure = profiles_figure(pd.concat([number(f"f{place}") for place in range(n_features)]), SUBTITLE, UNIT)
    assert [name_of(axes) for axes in figure.axes] == [f"f{place}" for place in range(60)]
    (title,) = [text.get_text() for text in figure.texts if "Partial dependence" in text.get_text()]
    assert title == f"Partial dependence: mean prediction once all rows hold the value{note}"


def test_panels_with_very_many_categories_are_below_each_other():
    figure = drawn(category("shop", range(130)), number(), category("street", range(130)))
    assert len({round(axes.bbox.x0) for axes in figure.axes}) == 1
    assert figure.get_figwidth() < 25


def test_features_share_their_scale_which_holds_every_number():
    small, large = number("small"), number("large")
    large[["low", "mean", "high"]] += 40
    figure = drawn(small, large, category())
    (limits,) = {axes.get_ylim() for axes in figure.axes}
    assert limits[0] < small["low"].min()
    assert limits[1] > large["high"].max()


def test_the_line_of_numbers_goes_from_the_smallest_to_the_largest_through_the_means():
    """Whatever their order in the table, and by what they are worth, not by how they are written."""
    profile = number(values=(9.0, 100, -3.0, 20))
    ordered = profile.sort_values("value")
    line = line_of(*drawn(profile).axes)
    assert list(line.get_xdata()) == [-3, 9, 20, 100]
    assert list(line.get_ydata()) == ordered["mean"].tolist()
    assert line.get_linestyle() == "-"


def test_the_band_of_numbers_is_the_interval():
    profile = number(values=(9.0, 100.0, -3.0, 20.0))
    (axes,) = drawn(profile).axes
    (band,) = axes.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners == {*zip(profile["value"], profile["low"]), *zip(profile["value"], profile["high"])}  # noqa: B905


def test_categories_are_points_with_bars_in_the_order_of_the_table():
    profile = category(values=("south", "north", "east"), shares=[0.2, 0.5, 0.3])
    (axes,) = drawn(profile).axes
    assert values_of(axes) == ["south (20.0 %)", "north (50.0 %)", "east (30.0 %)"]
    points, (bars,) = line_of(axes), axes.collections
    assert points.get_linestyle() == "None"
    assert points.get_xdata().tolist() == axes.get_xticks().tolist() == [0, 1, 2]
    assert points.get_ydata().tolist() == profile["mean"].tolist()
    expected = [[[place, low], [place, high]] for place, low, high in zip([0, 1, 2], profile["low"], profile["high"])]  # noqa: B905
    assert [segment.tolist() for segment in bars.get_segments()] == expected
    assert bars.get_linewidth()[0] > 1


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (1, " (100.0 %)"),
        (0.0123, " (1.2 %)"),
        (0.001, " (0.1 %)"),
        (0.00099, " (<0.1 %)"),
        (0, " (0.0 %)"),
        (np.nan, ""),
    ],
)
def test_a_category_is_told_with_the_share_of_rows_that_hold_it(share, told):
    (axes,) = drawn(category(values=("x",), shares=[share])).axes
    assert values_of(axes) == [f"x{told}"]


def test_numbers_that_stand_for_categories_are_not_put_in_order():
    (axes,) = drawn(category(values=(3, 1, "2"), shares=[0.1, 0.2, 0.3])).axes
    assert values_of(axes) == ["3 (10.0 %)", "1 (20.0 %)", "2 (30.0 %)"]


@pytest.mark.parametrize(
    ("shares", "ticks"),
    [
        ([0.1, 0.2, 0.25, 1.0], [20, 35, 80]),
        ([0.09, 0.95, 0.97, 1.0], [35]),
        ([0.0, 0.05, 0.3, 0.8], [50, 80]),
        ([0.3, np.nan, 0.6, 1.0], [20, 50, 80]),
        ([np.nan] * 4, []),
    ],
)
def test_a_tick_stands_at_the_first_value_that_reaches_a_further_tenth_of_the_rows(shares, ticks):
    """A tenth that is met exactly counts as reached; one that the grid does not reach has no tick."""
    figure = drawn(number(shares=shares))
    assert deciles_of(figure.axes[0]) == ticks
    assert ("ticks: tenths of the rows" in legend_of(figure)) == bool(ticks)


@pytest.mark.parametrize("shares", [np.arange(1, 11) / 10, np.cumsum([0.1] * 10), 0.1 * np.arange(1, 11)])
def test_every_tenth_of_the_rows_is_met_where_shares_are_tenths(shares):
    """However they are rounded: 0.1 * 3 is more than 0.3, and eight times 0.1 add up to less than 0.8."""
    figure = drawn(number(values=range(1, 11), shares=shares))
    assert deciles_of(figure.axes[0]) == list(range(1, 10))


def test_ticks_do_not_widen_the_scale():
    profile = number()
    profile[["low", "mean", "high", "baseline"]] += 1000
    low, _ = drawn(profile).axes[0].get_ylim()
    assert low > 999


def test_each_panel_has_the_baseline_which_is_labelled_once():
    figure = drawn(number(), category(), number("dose"))
    for axes in figure.axes:
        assert set(baseline_of(axes).get_ydata()) == {BASELINE}
    ((label, handle),) = [(text, handle) for text, handle in legend_of(figure).items() if "baseline" in text]
    assert label == "baseline: 0.234, rows as they are"
    assert handle.get_linestyle() == "--"
    assert same_color(handle.get_color(), baseline_of(figure.axes[0]).get_color())


def test_the_legend_explains_every_mark():
    figure = drawn(number(), category())
    legend = legend_of(figure)
    assert list(legend) == [
        "mean prediction", "95 % interval", "baseline: 0.234, rows as they are", "ticks: tenths of the rows"
    ]  # fmt: skip
    for axes in figure.axes:
        assert same_color(line_of(axes).get_color(), legend["mean prediction"].get_color())
        (interval,) = axes.collections
        colour = interval.get_facecolor() if len(interval.get_facecolor()) else interval.get_color()
        assert same_color(colour[0], legend["95 % interval"].get_facecolor())


def test_categories_alone_have_no_tenths_of_rows():
    assert "ticks: tenths of the rows" not in legend_of(drawn(category()))


def with_changes(profile):
    """A profile with what single rows do from its first value on."""
    steps = np.arange(len(profile))
    return profile.assign(change_q05=-0.1 * steps, change_q95=0.2 * steps)


def test_what_single_rows_do_stands_under_each_panel_with_a_scale_of_its_own():
    age, region = with_changes(number("age")), with_changes(category("region"))
    figure = drawn(age, region)
    means, of_regions, changes, of_their_rows = figure.axes
    assert [name_of(axes) for axes in figure.axes] == ["age", "region", "", ""]
    assert means.get_ylim() == of_regions.get_ylim() != changes.get_ylim() == of_their_rows.get_ylim()
    (band,) = changes.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners == {*zip(age["value"], age["change_q05"]), *zip(age["value"], age["change_q95"])}  # noqa: B905
    (bars,) = of_their_rows.collections
    assert [bar[:, 1].tolist() for bar in bars.get_segments()] == region[["change_q05", "change_q95"]].values.tolist()
    (mean,) = [line for line in changes.lines if line.get_linestyle() == "-"]
    assert mean.get_ydata() == pytest.approx(age["mean"] - age["mean"].iloc[0])
    assert [axes.get_ylabel() for axes in figure.axes] == ["mean", "", "change of rows", ""]
    assert "nine in ten rows' change from the first value on (centred ICE)" in legend_of(figure)


def test_values_stand_under_the_changes_and_not_between_them_and_the_means():
    means, of_regions, changes, of_their_rows = drawn(with_changes(number()), with_changes(category())).axes
    for upper, lower in ((means, changes), (of_regions, of_their_rows)):
        assert upper.get_xlim() == lower.get_xlim()
        assert not any(label.get_visible() for label in upper.get_xticklabels())
        assert all(label.get_visible() for label in lower.get_xticklabels())


def test_accumulated_effects_are_drawn_around_no_effect():
    values = [1.0, 2.0, 4.0]
    table = pd.DataFrame(
        {
            "feature": "PAY steps 1 to 3", "kind": "window", "value": values, "effect": [-0.2, 0.0, 0.3],
            "low": [-0.3, -0.1, 0.2], "high": [-0.1, 0.1, 0.4], "share": [0.1, 0.5, 1.0], "rows": [0, 5, 5],
        }
    )  # fmt: skip
    figure = effects_figure(table, SUBTITLE, UNIT)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert line_of(axes).get_xdata().tolist() == values
    assert line_of(axes).get_ydata().tolist() == table["effect"].tolist()
    assert set(baseline_of(axes).get_ydata()) == {0}
    assert list(legend_of(figure)) == [
        "accumulated effect", "95 % interval", "0: no effect", "ticks: tenths of the rows"
    ]  # fmt: skip
    assert figure.get_supxlabel() == "value (of a window or series: the mean of its steps)"
    assert figure.get_supylabel() == f"effect on the prediction ({UNIT})"
    assert_every_text_can_be_read(figure)


def test_an_interval_that_is_not_known_is_not_drawn():
    figure = drawn(number().assign(low=np.nan, high=np.nan), category().assign(low=np.nan, high=np.nan))
    assert [len(line_of(axes).get_ydata()) for axes in figure.axes] == [4, 3]
    assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_the_axes_name_the_quantities_and_the_unit():
    figure = drawn(number(), category())
    assert figure.get_supylabel() == f"mean prediction ({UNIT})"
    assert figure.get_supxlabel() == "value (in brackets: share of rows that hold it)"
    assert drawn(number()).get_supxlabel() == "value"
    texts = [text.get_text() for text in figure.texts]
    assert "Partial dependence: mean prediction once all rows hold the value" in texts
    assert SUBTITLE in texts


@pytest.mark.parametrize("values", [(123456.1, 123456.2, 123456.3), (1e5, 5e5, 1e6), (-3e6, 1e6), (5.0,)])
def test_numbers_on_the_axis_are_written_in_full(values):
    """Not as a difference from some number written elsewhere, nor by powers of ten as long as they are short."""
    (axes,) = drawn(number(values=values)).axes
    assert not axes.xaxis.get_offset_text().get_text()
    ticks = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    for place, label in ticks.items():
        assert float(label.get_text().replace("\N{MINUS SIGN}", "-")) == pytest.approx(place)


@pytest.mark.parametrize(
    "profiles",
    [
        [number()],
        [category()],
        [number("age"), category("sex", ["female", "male"]), number("credit", (1e4, 1e6, 3e6)), category(), number()],
        [number(f"feature {power}", (-(10.0**power), 3 * 10.0**power)) for power in range(-6, 9)],
        [category("region", [f"region number {place}" for place in range(20)]), category("code", range(20)), number()],
        [number(), category("shop", range(130)), number("dose"), number("height"), number("weight")],
        [number("W" * 300), category("W" * 299, ["W" * 300, "w" * 300, "x"]), number("日" * 300, (5.0,))],
    ],
    ids=["number", "category", "mixed", "powers", "many categories", "very many categories", "wide letters"],
)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_every_text_can_be_read(profiles):
    profiles = [profile.assign(feature=f"{place} {profile['feature'][0]}") for place, profile in enumerate(profiles)]
    figure = drawn(*profiles)
    assert len(figure.axes) == len(profiles)
    for profile, axes in zip(profiles, figure.axes, strict=True):
        if profile["kind"][0] == "category":
            assert len(values_of(axes)) == len(profile)
    assert_every_text_can_be_read(figure)


@pytest.mark.parametrize("n_features", [1, 3])
def test_a_long_subtitle_and_a_long_unit_can_be_read(n_features):
    profiles = [number(f"feature {place}") for place in range(n_features)]
    assert_every_text_can_be_read(drawn(*profiles, subtitle="W" * 300, unit="W" * 300))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_drawn_letter_by_letter(name):
    """A dollar sign begins no formula: it is a letter of a feature, a category, a file, a unit."""
    figure = drawn(category(name, [name, name + "2"]), number(name + "2"), subtitle=f"models:/{name}/1", unit=name)
    first, second = figure.axes
    titles = [axes._left_title for axes in (first, second)]
    subtitle = [text for text in figure.texts if text.get_text().startswith("models:/")]
    texts = [*titles, *subtitle, figure._supylabel]
    assert len(texts) == 4
    for text in texts:
        assert name[0] in text.get_text()
        assert is_literal(text)
    for label in first.get_xticklabels():
        assert name[0] in label.get_text()
        label.set_text(label.get_text().replace("\n(", " ("))
        assert is_literal(label)


def test_long_names_keep_both_ends():
    feature, value = "begin " + "n" * 300 + " end", "first " + "n" * 300 + " last"
    (axes,) = drawn(category(feature, [value], [1.0])).axes
    assert name_of(axes).startswith("begin nn")
    assert name_of(axes).endswith("nn end")
    (label,) = values_of(axes)
    assert label.startswith("first nn")
    assert label.endswith("nn last (100.0 %)")
    assert "…" in name_of(axes)
    assert "…" in label


def test_drawing_changes_neither_the_table_nor_global_style():
    profiles = pd.concat([number(values=(3.0, 1.0, 2.0)), category()], ignore_index=True)
    before, style = profiles.copy(deep=True), global_style()
    drawn(profiles)
    pd.testing.assert_frame_equal(profiles, before)
    assert global_style() == style


def test_drawing_leaves_no_figure_with_pyplot():
    """Which keeps every figure of its own alive, and shows it on the next `show`."""
    drawn(number())
    assert pyplot.get_fignums() == []


@pytest.mark.slow
def test_the_module_does_not_load_pyplot():
    """Which would choose a backend for the whole process of whoever imports it."""
    code = "import sys, nnperm_mlflow.report.profile_curves; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
