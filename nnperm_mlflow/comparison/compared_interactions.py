"""What pairs of features do together in two versions, side by side."""

from __future__ import annotations

import logging

import pandas as pd

from nnperm_mlflow.evidence.audit_record import AuditRecord

logger = logging.getLogger(__name__)

_PAIR = ["first", "second"]
_NUMBERS = [f"{name}{end}" for name in ("mean", "share") for end in ("", "_low", "_high")]


def interactions_side_by_side(a: AuditRecord, b: AuditRecord) -> pd.DataFrame | None:
    """Return what pairs of features do together in two audits.

    Parameters
    ----------
    a, b : AuditRecord

    Returns
    -------
    DataFrame or None
        A row for each pair that either audit followed, those first that do most together in either, with `mean_a`,
        `share_a`, `mean_b` and `share_b`, each with its own interval (`mean_a_low`, ...), NaN where an audit did not
        follow the pair. None where only one audit was asked for interactions, or the two were on different scales.
    """
    of_a, of_b = a.interactions, b.interactions
    if of_a is None or of_b is None:
        return None
    if len({*of_a["scale"], *of_b["scale"]}) > 1:
        logger.warning("interactions are not compared: one audit told of predictions, the other of their logits")
        return None
    both = _by_pair(of_a).add_suffix("_a").join(_by_pair(of_b).add_suffix("_b"), how="outer")
    most = both[["mean_a", "mean_b"]].max(axis=1)
    ordered = both.loc[most.sort_values(ascending=False, kind="stable").index]
    return ordered[[f"{name}_{side}" for side in ("a", "b") for name in _NUMBERS]].rename(columns=_called).reset_index()


def _by_pair(table: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of pairs by their two names, whichever of these was named first."""
    names = table[_PAIR].astype(str)
    return table[_NUMBERS].set_index(pd.MultiIndex.from_arrays([names.min(axis=1), names.max(axis=1)], names=_PAIR))


def _called(column: str) -> str:
    """Return what a column is called, the side behind the statistic: `mean_low_a` is `mean_a_low`."""
    statistic, *end, side = column.split("_")
    return "_".join([statistic, side, *end])
