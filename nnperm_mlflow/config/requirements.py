"""What an audit must rest on before a policy says anything of it."""

from __future__ import annotations

from typing import Literal

from nnperm_mlflow.basics.documents import AtLeast, Digest, Strict


class Requirements(Strict):
    """What an audit must rest on; what is not said is not asked for.

    Attributes
    ----------
    rows, repeats : int
        At least so many rows that no perturbation left out, shuffles of each feature.
    positives : int
        At least so many rows whose label is the second of two classes.
    clusters : int
        At least so many clusters of rows (`data: cluster`).
    data : str
        The sha256 of the data, or how it begins.
    features : "all"
        That no feature of the model was left out, and each changed its value in some row.
    not_training : True
        That the audited rows are shown not to be those that the model was fitted to.
    model_code : "none"
        That no code that came with the model ran when it was loaded and called.
    """

    rows: AtLeast | None = None
    repeats: AtLeast | None = None
    positives: AtLeast | None = None
    clusters: AtLeast | None = None
    data: Digest | None = None
    features: Literal["all"] | None = None
    not_training: Literal[True] | None = None
    model_code: Literal["none"] | None = None
