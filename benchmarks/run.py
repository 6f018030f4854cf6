"""Compares contenders with ours, in turn, each in a process of its own.

    python benchmarks/run.py article --rows 20000 --against article sklearn floor
    python benchmarks/run.py --all

Ours runs first and last in turn; what is reported are medians over the pairs, of seconds and of ratios within a pair.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from measuring import ContenderError, Measurement, Stage, measure
from scipy.stats import spearmanr
from shapes import SHAPES, save_model

PACKAGES = ("sklearn", "eli5", "alibi", "captum")
CONTENDERS = ("article", *PACKAGES, "floor")
TABLE = (
    ("article", 1_000, 1, "ours", CONTENDERS),
    ("article", 20_000, 1, "ours", CONTENDERS),
    ("article", 20_000, 1, "shortcut", ("article",)),
    ("article", 20_000, 5, "ours", ("article", "floor")),
    ("article", 60_000, 1, "ours", ("article", "floor")),
    ("dense", 20_000, 1, "ours", CONTENDERS),
    ("lstm", 20_000, 1, "ours", CONTENDERS),
    ("transformer", 20_000, 1, "ours", CONTENDERS),
    ("uci", 10_000, 1, "ours", CONTENDERS),
    ("forest", 20_000, 1, "ours", ("article", *PACKAGES)),
)
"""What `--all` measures: a shape, its rows and repeats, which of ours, and who runs against it."""

HEAD = (
    "shape", "rows", "repeats", "ours", "against", "ours, s", "theirs, s", "ratio theirs / ours", "peak MiB ours",
    "peak MiB theirs", "agreement",
)  # fmt: skip


def main() -> None:
    """Measure what the command line asks for, and print a Markdown table."""
    asked = read_arguments()
    own = "shortcut" if asked.shortcut else "ours"
    lines = TABLE if asked.all else [(asked.shape, asked.rows, asked.repeats, own, asked.against)]
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    failed = False
    for shape, n_rows, repeats, ours, against in lines:
        with tempfile.TemporaryDirectory() as folder:
            model = save_model(SHAPES[shape], Path(folder))
            stage = Stage(shape, n_rows, repeats, model, dict(asked.python))
            for other in against:
                try:
                    print(compare(ours, other, stage, asked.pairs), flush=True)
                except ContenderError as error:
                    failed = True
                    print(error, file=sys.stderr, flush=True)
    sys.exit(int(failed))


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", choices=SHAPES)
    parser.add_argument("--all", action="store_true", help="the whole table of the README")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--shortcut", action="store_true", help="ours with `exact: false`")
    parser.add_argument("--against", nargs="+", default=["article", "floor"], choices=CONTENDERS)
    parser.add_argument(
        "--python",
        nargs="+",
        default=[],
        type=_named,
        metavar="NAME=PATH",
        help="interpreters for contenders whose package is installed elsewhere, as alibi=/venvs/alibi/bin/python",
    )
    asked = parser.parse_args()
    if asked.all == (asked.shape is not None):
        parser.error("name a shape, or say --all")
    return asked


def _named(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if name not in ("ours", "shortcut", *CONTENDERS) or not path:
        raise argparse.ArgumentTypeError(f"expected NAME=PATH with one of {', '.join(CONTENDERS)}, not '{text}'")
    return name, path


def compare(own: str, other: str, stage: Stage, n_pairs: int) -> str:
    """Run ours and another contender pair by pair; return a row of the table."""
    pairs = []
    for number in range(n_pairs):
        order = [own, other] if number % 2 else [other, own]
        measured = {name: measure(name, stage) for name in order}
        pairs.append((measured[own], measured[other]))
    ratios = [theirs.seconds / ours.seconds for ours, theirs in pairs]
    seconds, peaks = [], []
    for runs in zip(*pairs, strict=True):
        seconds.append(f"{median(run.seconds for run in runs):.2f}")
        peaks.append(sorted(runs, key=lambda run: run.peak_mib)[len(runs) // 2].memory)
    ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    line = [stage.shape, f"{stage.n_rows:,}", stage.repeats, own, other]
    cells = [*line, *seconds, ratio, *peaks, agreement(*pairs[-1])]
    return f"| {' | '.join(map(str, cells))} |"


def agreement(ours: Measurement, theirs: Measurement) -> str:
    """Say how many deviations are the same to the last bit, or else how alike the features' ranks are."""
    if theirs.found is None:
        return ""
    if theirs.found.ndim == 2:
        same = ours.found == theirs.found.astype(ours.found.dtype)
        largest = np.abs(ours.found - theirs.found).max()
        return f"{int(same.sum()):,} of {same.size:,} identical" + (
            f", off by {largest:.1e} at most" if largest else ""
        )
    importances = ours.found.mean(axis=0)
    top = len(set(np.argsort(importances)[-5:]) & set(np.argsort(theirs.found)[-5:]))
    return f"rank correlation {spearmanr(importances, theirs.found).statistic:.3f}, {top} of 5 on top"


if __name__ == "__main__":
    main()
