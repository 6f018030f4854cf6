"""Measures ours alone over a factor of ten in rows, features and repeats: seconds, and how they grow.

python benchmarks/growth.py article --rows 4000 12000 40000
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from measuring import Stage, measure
from shapes import SHAPES, feature_names, save_model

HEAD = ("what grows", "size", "size / smallest", "s", "s / smallest's", "s per unit / smallest's", "s per unit added")


def main() -> None:
    """Measure what the command line asks for, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="article", choices=SHAPES)
    parser.add_argument("--rows", type=int, nargs="+", default=[4_000, 12_000, 40_000])
    parser.add_argument("--features", type=int, nargs="*", default=[12, 40, 120], help="evenly from all")
    parser.add_argument("--repeats", type=int, nargs="*", default=[1, 3, 10])
    parser.add_argument("--times", type=int, default=3, help="of each measurement, for the median")
    asked = parser.parse_args()
    known = len(feature_names(SHAPES[asked.shape]))
    if max(asked.features, default=0) > known:
        parser.error(f"{asked.shape} has {known} features, not {max(asked.features)}: say how many under --features")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(asked.shape, asked.rows[0], 1, save_model(SHAPES[asked.shape], Path(folder)))
        for what, sizes in (("n_rows", asked.rows), ("n_features", asked.features), ("repeats", asked.repeats)):
            for line in grow(what, sizes, stage, asked.times):
                print(line, flush=True)


def grow(what: str, sizes: Sequence[int], stage: Stage, times: int) -> list[str]:
    """Measure ours for each size of one thing, with the rest as in `stage`; return rows of the table.

    The sizes are gone through `times` times, so that a slow minute of the machine meets all of them. What an audit
    takes at any size (tracing, above all) makes the seconds per unit fall; the seconds per unit added, from one size
    to the next, are free of it and stay the same where time grows linearly.
    """
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(times):
        for size in sizes:
            seconds[size].append(measure("ours", replace(stage, **{what: size})).seconds)
    took = [median(seconds[size]) for size in sizes]
    rows = []
    for number, (size, now) in enumerate(zip(sizes, took, strict=True)):
        grown, times_longer = size / sizes[0], now / took[0]
        added = f"{(now - took[number - 1]) / (size - sizes[number - 1]):.3g}" if number else ""
        cells = [f"{grown:.3g}", f"{now:.2f}", f"{times_longer:.2f}", f"{times_longer / grown:.2f}", added]
        rows.append(f"| {' | '.join([what, f'{size:,}', *cells])} |")
    return rows


if __name__ == "__main__":
    main()
