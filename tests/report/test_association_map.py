"""The clustered map of associations, read back: which cells, which numbers, who stands beside whom."""

import io
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nnperm_mlflow.report.association_map import MOST_FEATURES, associations_figure
from nnperm_mlflow.report.clustered_associations import cluster_associations
from tests.report.test_boxplot import global_style

PAIRS = pd.DataFrame(
    [("BILL", "LIMIT", 0.95), ("AGE", "MARRIAGE", -0.9), ("BILL", "PAY", 0.8), ("LIMIT", "PAY", 0.75)],
    columns=["first", "second", "value"],
)
HOSTILE = ["$x^2$", "a\nb", "x" * 300, "日本", "<script>"]


def pairs_of(n_features, per_cluster=5):
    """Make up clusters of features that go together, none of whose members are listed beside each other."""
    rng = np.random.default_rng(n_features)
    n_clusters = n_features // per_cluster
    pairs = [
        (f"feature {one}", f"feature {other}", rng.uniform(0.7, 1))
        for other in range(n_features) for one in range(other % n_clusters, other, n_clusters)
    ]  # fmt: skip
    return pd.DataFrame(pairs, columns=["first", "second", "value"]).sort_values("value", ascending=False)


def heat_of(figure):
    _, heat, _ = figure.axes
    return heat


def names_in(figure):
    return [label.get_text() for label in heat_of(figure).get_yticklabels()]


def png_of(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def test_features_that_go_together_stand_beside_each_other_whether_both_rise_or_one_falls():
    names = names_in(associations_figure(PAIRS, "credit 3 on 6,000 rows"))
    assert sorted(names) == ["AGE", "BILL", "LIMIT", "MARRIAGE", "PAY"]
    places = {name: names.index(name) for name in names}
    assert abs(places["BILL"] - places["LIMIT"]) == 1
    assert abs(places["AGE"] - places["MARRIAGE"]) == 1
    assert {places["BILL"], places["LIMIT"], places["PAY"]} in ({0, 1, 2}, {2, 3, 4})


def test_each_pair_has_its_association_and_what_was_not_pointed_out_is_blank():
    figure = associations_figure(PAIRS, "credit 3")
    axes, names = heat_of(figure), names_in(figure)
    written = {
        (names[int(text.get_position()[1])], names[int(text.get_position()[0])]): text.get_text() for text in axes.texts
    }
    assert written == {
        pair: f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for first, second, value in PAIRS.itertuples(index=False)
        for pair in ((first, second), (second, first))
    }  # fmt: skip
    (mesh,) = axes.collections
    cells = np.ma.getmaskarray(mesh.get_array()).reshape(len(names), len(names))
    assert cells[names.index("AGE"), names.index("PAY")]
    assert not cells[names.index("BILL"), names.index("PAY")]
    assert mesh.get_clim() == (-1, 1)


@pytest.mark.parametrize(("pairs", "low"), [(PAIRS, -1), (PAIRS[PAIRS["value"] > 0], 0)])
def test_the_bar_tells_of_falling_ones_where_there_are_such(pairs, low):
    _, _, bar = associations_figure(pairs, "credit 3").axes
    assert bar.get_ylim() == (low, 1)
    assert bar.get_ylabel() == "association"


def test_the_tree_joins_features_where_their_association_is_and_ends_at_their_rows():
    tree, _, _ = associations_figure(PAIRS, "credit 3").axes
    assert sorted(round(line.get_xdata()[1], 6) for line in tree.lines) == [0.05, 0.1, 0.225, 1.0]
    leaves = [y for line in tree.lines for x, y in zip(*line.get_data(), strict=True) if x == 0]
    assert sorted(leaves) == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert tree.get_ylim() == heat_of(tree.figure).get_ylim() == (5, 0)


def test_clusters_of_many_features_are_found_whatever_the_order_of_the_pairs():
    pairs = pairs_of(30)
    for told in (pairs, pairs.sample(frac=1, random_state=1)):
        clusters = [int(name.removeprefix("feature ")) % 6 for name in cluster_associations(told, 40).cells]
        assert sum(one != behind for one, behind in pairwise(clusters)) == 5


def test_of_very_many_features_those_of_the_strongest_pairs_are_shown_and_all_are_counted():
    figure = associations_figure(pairs_of(150), "credit 3")
    assert len(names_in(figure)) == MOST_FEATURES
    assert "the 30 of the strongest pairs, of 150" in figure.texts[0].get_text()
    assert set(pairs_of(150)[["first", "second"]].head(10).to_numpy().ravel()) <= set(names_in(figure))
    assert not heat_of(figure).texts
    labels = heat_of(figure).get_yticklabels()
    inches = heat_of(figure).get_window_extent().height / figure.dpi / MOST_FEATURES
    assert inches * 72 >= 1.5 * labels[0].get_fontsize()  # a row is higher than its letters
    assert max(figure.get_size_inches()) < 15


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_of_a_stranger_is_text_and_every_label_lies_within_the_picture(name):
    figure = associations_figure(pd.DataFrame({"first": [name], "second": ["AGE"], "value": [0.9]}), f"{name} on rows")
    renderer = FigureCanvasAgg(figure).get_renderer()
    labels = [*heat_of(figure).get_yticklabels(), *heat_of(figure).get_xticklabels()]
    assert not any(label.get_parse_math() for label in [*labels, figure.texts[1]])
    boxes = [text.get_window_extent(renderer) for text in [*labels, *figure.texts]]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)


def test_the_same_pairs_give_the_same_bytes_and_are_not_changed():
    before = PAIRS.copy()
    assert png_of(associations_figure(PAIRS, "credit 3")) == png_of(associations_figure(PAIRS, "credit 3"))
    pd.testing.assert_frame_equal(PAIRS, before)


def test_it_is_the_callers_alone_and_changes_no_global_style():
    before = global_style()
    associations_figure(PAIRS, "credit 3")
    assert plt.get_fignums() == []
    assert global_style() == before


def test_the_module_loads_seaborn_only_where_it_draws():
    """Audits in which nothing goes together do not wait for it, and pyplot stays out of them."""
    code = (
        "import sys, nnperm_mlflow.report.association_map, nnperm_mlflow.report.page.audit_page;"
        "sys.exit('seaborn' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
