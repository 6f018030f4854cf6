"""At which `out_of_data` most disturbed rows cannot occur, on data of which it is known which rows can.

Two Gaussian columns with a correlation, and others that go with nothing. Once one of the two is shuffled, a row cannot
occur, as good as, where the two lie farther apart than in 997 of 1,000 rows.

    python -m benchmarks.out_of_data
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from nnperm_mlflow.analysis.out_of_data.cross_fitting import separability
from nnperm_mlflow.analysis.out_of_data.disturbed_rows import MOST_UNITS

CORRELATIONS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)

_FARTHEST = 2.97  # standard deviations, in which 997 of 1,000 rows lie


def measured(correlation: float, n_others: int, seed: int) -> tuple[float, float]:
    """Return the area under the ROC curve, and the share of disturbed rows that cannot occur."""
    rng = np.random.default_rng([seed, n_others])
    common, own = rng.normal(size=(2, 2 * MOST_UNITS))
    left = math.sqrt(1 - correlation**2)
    others = rng.normal(size=(2 * MOST_UNITS, n_others))
    rows = np.column_stack([common, correlation * common + left * own, others])
    before, given = rows[:MOST_UNITS], rows[MOST_UNITS:]
    after = before.copy()
    after[:, 1] = given[:, 1]
    apart = np.abs(after[:, 1] - correlation * after[:, 0])
    found = separability(before.astype(np.float32), after.astype(np.float32))
    return found.value, float(np.mean(apart > _FARTHEST * left))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--others", type=int, nargs="+", default=[0, 8])
    asked = parser.parse_args()
    heads = [f"`out_of_data` beside {n_others} others" for n_others in asked.others]
    print(f"| correlation | disturbed rows that cannot occur | {' | '.join(heads)} |\n|{' --- |' * (2 + len(heads))}")
    for correlation in CORRELATIONS:
        found = [[measured(correlation, n_others, seed) for seed in range(asked.seeds)] for n_others in asked.others]
        areas, shares = np.mean(found, axis=1)[:, 0], np.mean(found, axis=(0, 1))[1]
        print(f"| {correlation:g} | {shares:.0%} | {' | '.join(f'{area:.2f}' for area in areas)} |", flush=True)


if __name__ == "__main__":
    main()
