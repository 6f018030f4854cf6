"""How many of the audited rows a model was fitted to, as an audit records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_OF_TRAINING = 0.01
"""Share of the audited rows that may be among those that the model was fitted to."""

_SHARE, _SOURCE, _REASON = "training_share", "training_source", "training_unknown"


@dataclass(frozen=True)
class TrainingOverlap:
    """How many of the audited rows a model was fitted to.

    Attributes
    ----------
    share : float or None
        Of the rows that are among those of the training; None where it cannot be told.
    source : str
        Where the rows of the training are.
    reason : str
        Why it cannot be told.
    """

    share: float | None = None
    source: str = ""
    reason: str = ""

    def as_params(self) -> dict[str, object]:
        """Return what is recorded of it."""
        if self.share is None:
            return {_REASON: self.reason}
        return {_SHARE: self.share, _SOURCE: self.source}

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> TrainingOverlap | None:
        """Return what was recorded; None where nobody looked."""
        if _SHARE in params:
            return cls(float(params[_SHARE]), params.get(_SOURCE, ""))
        return cls(reason=params[_REASON]) if _REASON in params else None
