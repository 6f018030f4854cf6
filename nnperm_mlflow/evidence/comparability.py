"""What two audits must have in common to be compared row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nnperm_mlflow.config.audit_config import AuditConfig


@dataclass(frozen=True)
class Basis:
    """The same rows, disturbed in the same way.

    Attributes
    ----------
    data_digest : str
    repeats : int
        That were made.
    unit : str
        Of prediction and deviation.
    disturbance : mapping of str to object
        The settings on which donors and values depend, see `AuditConfig.disturbance`.
    """

    data_digest: str
    repeats: int
    unit: str
    disturbance: Mapping[str, object]

    @classmethod
    def of(cls, data_digest: str, repeats: int, unit: str, config: AuditConfig, donors: str | None = None) -> Basis:
        """Return the basis of an audit that was, or would be, made so.

        Parameters
        ----------
        data_digest : str
        repeats : int
        unit : str
        config : AuditConfig
        donors : str, optional
            How donors were drawn within strata, if not as they are now.
        """
        return cls(data_digest, repeats, unit, {**config.disturbance(), "donors": donors or config.analysis.donors})

    def differences(self, other: Basis) -> list[str]:
        """Return in words what keeps another audit from being compared with this one; nothing where it can be."""
        found = [] if self.data_digest == other.data_digest else ["other data"]
        if self.repeats != other.repeats:
            found.append(f"{other.repeats} shuffles, not {self.repeats}")
        if self.unit != other.unit:
            found.append(f"deviations in '{other.unit}', not '{self.unit}'")
        own, others = self.disturbance, other.disturbance
        return [*found, *(f"'{key}: {others[key]}', not '{own[key]}'" for key in own if own[key] != others[key])]
