"""Of which features it is told how the prediction goes along their values, and as what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.config.data_config import Names


class ProfileConfig(Strict):
    """How the prediction goes along the values of some features, as `{kind: ale, features: [LIMIT_BAL]}`.

    Attributes
    ----------
    kind : {"pdp", "ale"}
        Partial dependence, which a mere list of features means as well, or accumulated local effects.
    features : list of str
        With "ale" also series and windows; left out all numbers and windows that are audited.
    """

    kind: Literal["pdp", "ale"]
    features: Names = Field(default_factory=list)

    @model_validator(mode="after")
    def _named_where_it_must_be(self) -> ProfileConfig:
        if self.kind == "pdp" and not self.features:
            raise ValueError("'kind: pdp' needs 'features': of which the mean prediction is to be told")
        return self


Profile = Names | ProfileConfig


def dependence_of(profile: list[str] | ProfileConfig) -> list[str]:
    """Return the features of which partial dependence is asked for."""
    if isinstance(profile, ProfileConfig):
        return profile.features if profile.kind == "pdp" else []
    return profile


def accumulated_of(profile: list[str] | ProfileConfig) -> list[str] | None:
    """Return the features whose accumulated local effects are told; an empty list means all, None means none."""
    return profile.features if isinstance(profile, ProfileConfig) and profile.kind == "ale" else None
