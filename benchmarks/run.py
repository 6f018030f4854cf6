"""Compares contenders on one shape, in turn, each in a process of its own.

    python benchmarks/run.py article --rows 20000 --pairs 3

Ours runs first and last in turn; what is reported are medians over the pairs, of seconds and of ratios within a pair.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from shapes import SHAPES, make_network

HERE = Path(__file__).parent


def main() -> None:
    """Measure what the command line asks for, and print a row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--against", nargs="+", default=["article", "floor"], choices=["article", "sklearn", "floor"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.keras"
        make_network(SHAPES[asked.shape]).save(model)
        for other in asked.against:
            print(compare(asked, other, model, Path(folder)), flush=True)


def compare(asked: argparse.Namespace, other: str, model: Path, folder: Path) -> str:
    """Run ours and another contender pair by pair; return a row of the table."""
    pairs, same = [], None
    for number in range(asked.pairs):
        order = ["ours", other] if number % 2 else [other, "ours"]
        pairs.append({name: measure(name, asked, model, folder) for name in order})
        if other == "article":
            found = [np.load(folder / f"{name}.npy") for name in ("ours", other)]
            same = int((found[0] == found[1]).sum()), found[0].size
    ratios = [pair[other]["seconds"] / pair["ours"]["seconds"] for pair in pairs]
    ours, theirs = ([pair[name]["seconds"] for pair in pairs] for name in ("ours", other))
    memory = [median(pair[name]["peak_mib"] for pair in pairs) for name in ("ours", other)]
    cells = [
        asked.shape,
        f"{asked.rows:,}",
        asked.repeats,
        other,
        f"{median(ours):.2f}",
        f"{median(theirs):.2f}",
        f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        f"{memory[0]:,.0f} / {memory[1]:,.0f}",
        "" if same is None else f"{same[0]:,} of {same[1]:,}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def measure(name: str, asked: argparse.Namespace, model: Path, folder: Path) -> dict[str, float]:
    """Run one contender once."""
    output = folder / f"{name}.npy"
    command = [sys.executable, str(HERE / "contenders.py"), name, asked.shape, asked.rows, asked.repeats, model, output]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
