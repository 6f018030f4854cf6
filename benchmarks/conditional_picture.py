"""Draws docs/images/conditional_donors.png: the same rows under a plain and under a conditional shuffle.

python -m benchmarks.conditional_picture docs/images/conditional_donors.png
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, cycle_positions, donor_positions
from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader
from nnperm_mlflow.analysis.perturbation.subgroups.learning import SubgroupLearner
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import InputSpec

_ROWS = 1_500
_REAL, _PLAIN, _CONDITIONAL = "#b8c4cc", "#c2553f", "#3f7d5e"


def main(path: str) -> None:
    """Draw it."""
    rng = np.random.default_rng(0)
    before = rng.normal(size=_ROWS)
    now = 0.9 * before + np.sqrt(1 - 0.9**2) * rng.normal(size=_ROWS)
    table = pd.DataFrame({"bill in August": before, "bill in September": now})
    specs = [InputSpec("numbers", (2,), np.dtype("float64"))]
    inputs = bind_inputs(specs, dataset_from(table, {}), {"numbers": [*table]})
    feature, rows = inputs.features["bill in September"], np.arange(_ROWS)
    subgroups = SubgroupLearner(inputs, 0, None).learn(feature, inputs.features)
    block = ShuffleBlock(0, rows)
    strata = subgroups.of(ColumnReader(inputs.sources, rows), rows)
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _draw(left, table, donor_positions(block, 0, "now", 0), _PLAIN, "plain: donors from all rows")
    _draw(
        right, table, cycle_positions(block, 0, "now", 0, strata), _CONDITIONAL, "conditional: donors alike in August"
    )
    left.set_ylabel("bill in September (standard deviations)")
    figure.savefig(path, dpi=110)


def _draw(axes: Axes, table: pd.DataFrame, donors: np.ndarray, colour: str, title: str) -> None:
    before, now = table["bill in August"], table["bill in September"]
    axes.scatter(before, now, s=5, color=_REAL, label="rows as they are", linewidths=0)
    axes.scatter(before, now.to_numpy()[donors], s=5, color=colour, label="September shuffled", linewidths=0, alpha=0.6)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("bill in August (standard deviations)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False, markerscale=2.5)


if __name__ == "__main__":
    main(sys.argv[1])
