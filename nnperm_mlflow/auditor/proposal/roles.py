"""What a column may be that no input takes: the name of each row, or the observed outcome."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_IDS = {
    "id", "ids", "key", "uuid", "guid", "index", "idx", "nr", "number", "unnamed", "record", "row", "client",
    "customer", "account", "user", "student", "person", "patient", "case", "applicant",
}  # fmt: skip
_LABELS = {
    "label", "labels", "target", "targets", "outcome", "outcomes", "response", "class", "default", "defaulted", "churn",
    "churned", "fraud", "fraudulent", "survived", "passed", "failed", "approved", "exited", "attrition", "converted",
    "clicked", "died", "readmitted",
}  # fmt: skip


def is_row_id(name: str, values: np.ndarray) -> bool:
    """Tell whether a column seems to name the rows: each has its own, and it is a name, a count, or called so.

    Parameters
    ----------
    name : str
    values : ndarray of shape (n_rows,)
    """
    if values.dtype.kind not in "iuO" or len(values) < 2 or pd.isna(values).any():
        return False
    if len(pd.unique(values)) < len(values):
        return False
    return values.dtype.kind == "O" or bool((np.diff(values) == 1).all()) or not _IDS.isdisjoint(_words_of(name))


def sounds_like_label(name: str) -> bool:
    """Tell whether a column is called as outcomes are.

    >>> [sounds_like_label(name) for name in ("default.payment.next.month", "LoanDefault", "y", "Pclass", "age")]
    [True, True, True, False, False]
    """
    return name.lower() == "y" or not _LABELS.isdisjoint(_words_of(name))


def _words_of(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}
