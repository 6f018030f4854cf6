"""What it costs to exchange values inside batches of rows: bias and spread, beside one shuffle of all rows."""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from nnperm_mlflow.analysis.perturbation.deal import Deal
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.inputs.slots import Feature, Slot

N_ROWS = 16_384
BATCHES = (64, 256, 1024, 2048, 4096)
MODELS = {
    "x": lambda x, _: x,
    "logistic(2 x + z)": lambda x, z: 1 / (1 + np.exp(-2 * x - z)),
    "x + z > 1.5": lambda x, z: (x + z > 1.5).astype(float),
}
STATISTICS = {"mean": np.mean, "median": np.median, "q95": lambda values: np.quantile(values, 0.95)}
FEATURE = Feature("x", (Slot("num_input", (0,)),), "number")


def given(column: np.ndarray, seed: int, batch: int, *, cycles: bool) -> np.ndarray:
    """Return the value that each row receives inside batches of so many rows."""
    deal, found = Deal(len(column), seed, block_rows=batch), np.empty_like(column)
    for block in deal.blocks():
        donors = deal.donors(block, FEATURE, 0) if cycles else donor_positions(block, seed, "x", 0)
        found[block.rows] = column[block.rows][donors]
    return found


def main() -> None:
    """Print bias and spread, each with its Monte Carlo error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=1000)
    n_sets = parser.parse_args().data_sets
    rng, found = np.random.default_rng(1), defaultdict(list)
    for seed in range(n_sets):
        x, z = rng.normal(size=N_ROWS), rng.normal(size=N_ROWS)
        whole = x[donor_positions(ShuffleBlock(0, np.arange(N_ROWS)), seed, "x", 0)]
        ways = {("whole", 0): whole}
        for batch in BATCHES:
            ways |= {(way, batch): given(x, seed, batch, cycles=way == "cycles") for way in ("permutation", "cycles")}
        for name, model in MODELS.items():
            before = model(x, z)
            for way, column in ways.items():
                deviations = np.abs(model(column, z) - before)
                for statistic, of in STATISTICS.items():
                    found[name, statistic, way].append(of(deviations))
    for (name, statistic, way), values in found.items():
        whole = np.array(found[name, statistic, ("whole", 0)])
        if way[0] == "whole" or whole.std() == 0:
            continue
        off = np.array(values) - whole
        bias, error = off.mean() / whole.mean(), off.std() / np.sqrt(n_sets) / whole.mean()
        spread = np.std(values) / whole.std()
        print(
            f"{name:18} {statistic:6} {way[0]:11} {way[1]:5}: bias {bias:+.3%} ({error:.3%}), "
            f"spread {spread:.3f} ({1 / np.sqrt(n_sets):.3f})"
        )


if __name__ == "__main__":
    main()
