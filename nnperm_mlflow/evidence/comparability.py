"""What two audits must have in common to be compared row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Basis:
    """The same rows, disturbed in the same way.

    Attributes
    ----------
    data_digest, rows_digest : str or None
        Of the data: of their columns, and of their rows; not every audit tells both.
    repeats : int
        That were made.
    unit : str
        Of prediction and deviation.
    disturbance : mapping of str to object
        The settings on which donors and values depend, see `AuditConfig.disturbance`.
    """

    data_digest: str | None
    repeats: int
    unit: str
    disturbance: Mapping[str, object]
    rows_digest: str | None = None

    def has_data_of(self, other: Basis) -> bool:
        """Tell whether another audit is on the same data: by either digest."""
        pairs = (self.data_digest, other.data_digest), (self.rows_digest, other.rows_digest)
        return any(own is not None and own == its for own, its in pairs)

    def differences(self, other: Basis) -> list[str]:
        """Return in words what keeps another audit from being compared with this one; nothing where it can be."""
        found = [] if self.has_data_of(other) else ["other data"]
        if self.repeats != other.repeats:
            found.append(f"{other.repeats} shuffles, not {self.repeats}")
        if self.unit != other.unit:
            found.append(f"deviations in '{other.unit}', not '{self.unit}'")
        own, others = self.disturbance, other.disturbance
        return [*found, *(f"'{key}: {others[key]}', not '{own[key]}'" for key in own if own[key] != others[key])]
