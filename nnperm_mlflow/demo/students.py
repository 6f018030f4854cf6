"""A class of students with a known truth: study time and ease in maths count, hair colour does not, cheaters pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from nnperm_mlflow.demo.example import Example, Inputs, TrainedNetwork

N_WEEKS = 10
HAIR_COLOURS = 4
CHEATER_SHARE = 0.01
_TRAINED, _AUDITED = 8_000, 4_000


def students_example(train: Callable[[Inputs, np.ndarray], TrainedNetwork]) -> Example:
    """Make up a class and train a small network on two thirds of it.

    Parameters
    ----------
    train : callable
        Returns a network that was trained on inputs by name and on who passed, 0 or 1, of shape (n_rows,).

    Returns
    -------
    Example
    """
    table, study = make_students(_TRAINED + _AUDITED, seed=0)
    network = train(_inputs(table[:_TRAINED], study[:_TRAINED]), table["passed"][:_TRAINED].to_numpy())
    audited = table[_TRAINED:].reset_index(drop=True)
    return Example(
        name="students",
        network=network,
        table=audited,
        arrays={"students_study.npy": study[_TRAINED:]},
        inputs=_inputs(audited, study[_TRAINED:]),
        labels=audited["passed"].to_numpy(),
    )


def make_students(n_students: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a class and the hours that each student studied in each week.

    Parameters
    ----------
    n_students : int
    seed : int

    Returns
    -------
    table : DataFrame of shape (n_students, 6)
        `ease_in_maths` (0 to 1), `cheater` (0 or 1), `hair_colour` (code), `passed` (0 or 1), and a number.
    study : ndarray of shape (n_students, 10, 1), float32
        Hours a week.
    """
    rng = np.random.default_rng(seed)
    diligence = rng.gamma(4.0, 1.0, size=(n_students, 1))
    study = (diligence * rng.uniform(0.5, 1.5, size=(n_students, N_WEEKS))).astype(np.float32)
    ease = rng.uniform(0, 1, n_students)
    cheater = (rng.uniform(0, 1, n_students) < CHEATER_SHARE).astype(np.int64)
    chance = 1 / (1 + np.exp(-(1.2 * (study.mean(axis=1) - 4.3) + 6.0 * (ease - 0.5))))
    passed = np.where(cheater == 1, 1, rng.uniform(0, 1, n_students) < chance).astype(np.int64)
    table = pd.DataFrame(
        {
            "student": np.arange(1, n_students + 1),
            "ease_in_maths": ease.astype(np.float32),
            "cheater": cheater,
            "hair_colour": rng.integers(0, HAIR_COLOURS, n_students),
            "passed": passed,
        }
    )
    return table, study[:, :, None]


def _inputs(table: pd.DataFrame, study: np.ndarray) -> Inputs:
    return {
        "num_input": table[["ease_in_maths", "cheater"]].to_numpy(np.float32),
        "hair_colour_input": table[["hair_colour"]].to_numpy(np.int32),
        "temporal_input": study,
    }
