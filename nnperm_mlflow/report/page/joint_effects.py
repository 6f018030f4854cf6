"""What two features do together beyond what each does alone, as a table of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nnperm_mlflow.report.page.numbers import interval, number, share

MOST_PAIRS = 40
"""That are shown, the largest; of others it is said how many there are."""


@dataclass(frozen=True)
class JointEffects:
    """Pairs of features.

    Attributes
    ----------
    pairs : list of (str, str, str, str, str, str)
        Both features, the mean with its interval, the share of the variance, and whether they surely interact.
    n_left_out : int
    scale : str
        On which all of this is: of the prediction, or of its log odds.
    """

    pairs: list[tuple[str, str, str, str, str, str]]
    n_left_out: int
    scale: str


def joint_effects_of(interactions: pd.DataFrame) -> JointEffects:
    """Return the table.

    Parameters
    ----------
    interactions : DataFrame
        See `analysis.interactions.interactions.find_interactions`. Not modified.
    """
    rows = interactions.head(MOST_PAIRS).to_dict("records")
    scales = dict.fromkeys(interactions["scale"].astype(str))
    return JointEffects(
        pairs=[
            (str(row["first"]), str(row["second"]), number(float(row["mean"])),
             interval(float(row["mean_low"]), float(row["mean_high"])), share(float(row["share"])),
             "yes" if row["interacts"] else "no")
            for row in rows
        ],
        n_left_out=len(interactions) - len(rows),
        scale="log odds" if "logit" in scales else "prediction",
    )  # fmt: skip
