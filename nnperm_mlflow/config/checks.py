"""The kinds of checks that a policy may have, each a strict, frozen value; their keys are a contract."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.config.number_ranges import Range, beyond, drop_range, score_range, statistic_range

if TYPE_CHECKING:
    from typing_extensions import Self

SHARE: Literal["share"] = "share"
"""Names a statistic that is no column of the summary: a feature's part of the sum of the features' means."""

ALIASES = {"median_changed": "changed_median"}
"""Other names of columns of the summary."""

Way = Literal["shuffle", "conditional", "set", "order"]
ShuffleWay = Literal["shuffle", "conditional"]
"""Ways that have places: with donors from all rows, and from rows that are alike in what the feature goes with."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


def _as_float(given: object) -> object:
    return float(given) if isinstance(given, int) and not isinstance(given, bool) else given


Number = Annotated[Finite, BeforeValidator(_as_float)]


Statistic = Annotated[str, AfterValidator(lambda statistic: ALIASES.get(statistic, statistic))]
"""A column of the summary, or the share."""


class _Check(Strict):
    """What all checks have: a name of one's own, and what an undecided one counts as, where not as the policy says."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    undecided: Literal["fail", "pass"] | None = None

    @property
    def title(self) -> str:
        """The name, or what the check asks for."""
        return self.name or self.statement

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        raise NotImplementedError

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit, whatever an audit finds, as a clause; None where one can."""
        return None


Features = str | Annotated[list[str], Field(min_length=1)]
"""Names of features or perturbations (`SEX`, `SEX=2`), or patterns (`SEX*`)."""


class _Limited(_Check):
    """What checks with one limit on a number have."""

    max: Number | None = None
    min: Number | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.max is None) == (self.min is None):
            raise ValueError("give either 'max' or 'min', or a check for each")
        return self

    @property
    def limit(self) -> float:
        """The limit."""
        return float(self.max if self.max is not None else self.min or 0.0)

    @property
    def limit_in_words(self) -> str:
        """The limit, and from which side it holds."""
        return f"{'at most' if self.max is not None else 'at least'} {self.limit:g}"

    def _beyond(self, called: str, limits: Range) -> str | None:
        return beyond(f"'{called}'", limits, at_most=self.max, at_least=self.min)


class _OfFeatures(_Check):
    """What checks on some features, or on any, have."""

    feature: Features | None = None
    any: bool = False
    way: Way | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.feature is None) != self.any:
            raise ValueError("give either 'feature' or 'any: true'")
        return self

    @property
    def features_in_words(self) -> str:
        """The features that are meant."""
        return _named(self.feature) or "any feature"


class LimitCheck(_Limited, _OfFeatures):
    """A limit on a column of the summary, or on the share, that every perturbation of the features must keep."""

    statistic: Statistic = "median"

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        return f"{self.statistic} of {self.features_in_words} is {self.limit_in_words}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return self._beyond(self.statistic, statistic_range(self.statistic))


class RankCheck(_Check):
    """A limit on the place of features among all, 1 being the one that moves predictions most."""

    feature: Features
    statistic: Statistic = "median"
    way: ShuffleWay | None = None
    rank_at_most: Annotated[int, Field(ge=1)] | None = None
    rank_at_least: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> RankCheck:
        if (self.rank_at_most is None) == (self.rank_at_least is None):
            raise ValueError("give either 'rank_at_most' or 'rank_at_least', or a check for each")
        return self

    @property
    def limit(self) -> int:
        """The limit."""
        return int(self.rank_at_most or self.rank_at_least or 0)

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        bound = "at most" if self.rank_at_most is not None else "at least"
        return f"{_among(self.way)}rank of {_named(self.feature)} by {self.statistic} is {bound} {self.limit}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return "every place is at least 1" if self.rank_at_least == 1 else None


class UnusedCheck(_Check):
    """A limit on how many features have no measurable effect."""

    unused_at_most: Annotated[int, Field(ge=0)]

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        return f"at most {self.unused_at_most} features have no measurable effect"


class AgainstCheck(_Check):
    """Limits on how far a version may differ from another that was audited on the same data with the same donors.

    What only one of the two has is an error, unless `allow_missing` says that versions may have other features.
    """

    against: Annotated[str, Field(min_length=1)]
    statistic: Literal["median", "mean"] = "median"
    way: ShuffleWay | None = None
    min_rank_correlation: Annotated[Number, Field(ge=-1, le=1)] | None = None
    max_shift: Annotated[Number, Field(ge=0)] | None = None
    allow_missing: bool = False

    @model_validator(mode="after")
    def _some_limit(self) -> AgainstCheck:
        if self.min_rank_correlation is None and self.max_shift is None:
            raise ValueError("give 'min_rank_correlation', 'max_shift' or both")
        return self

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        asked = []
        if self.min_rank_correlation is not None:
            asked.append(f"the rank correlation of the {self.statistic}s is at least {self.min_rank_correlation:g}")
        if self.max_shift is not None:
            asked.append(f"no feature's {self.statistic} has shifted by more than {self.max_shift:g}")
        return f"against {self.against}, {_among(self.way)}{' and '.join(asked)}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return "a rank correlation lies between -1 and 1" if self.min_rank_correlation == -1 else None


class ScoreCheck(_Limited):
    """A limit on what a scorer says of the model as it is."""

    score: Annotated[str, Field(min_length=1)]

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        return f"{self.score} of the model is {self.limit_in_words}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return self._beyond(self.score, score_range(self.score))


class ScoreAgainstCheck(_Check):
    """A limit on how far what a scorer says of the model lies below what it says of another version, on the same rows.

    What is lower is worse for each of scikit-learn's scorers.
    """

    score: Annotated[str, Field(min_length=1)]
    against: Annotated[str, Field(min_length=1)]
    max_drop: Annotated[Number, Field(ge=0)]

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        return f"against {self.against}, {self.score} of the model is lower by at most {self.max_drop:g}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return beyond(f"a drop of {self.score}", drop_range(self.score), at_most=self.max_drop)


class _OfSegments(_Check):
    """What checks on segments have: which segments are meant.

    Attributes
    ----------
    segment : str
        "any", a column, or one segment of it (`SEX=2`, `AGE 30-45`).
    """

    segment: Annotated[str, Field(min_length=1)]


class SegmentCheck(_Limited, _OfFeatures, _OfSegments):
    """A limit on a statistic that every perturbation of the features must keep in every segment that is meant."""

    statistic: Literal["mean", "shift", "flipped_share"] = "mean"

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        return f"{self.statistic} of {self.features_in_words} in segment {self.segment} is {self.limit_in_words}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return self._beyond(self.statistic, statistic_range(self.statistic))


class SegmentDifferenceCheck(_OfFeatures, _OfSegments):
    """A limit on how far the means of two segments of a column may lie apart."""

    max_difference: Annotated[Number, Field(ge=0)]

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        apart = f"differ by at most {self.max_difference:g}"
        return f"means of {self.features_in_words} in two segments of {self.segment} {apart}"


class SegmentScoreCheck(_Limited, _OfSegments):
    """A limit on what a scorer says of the model as it is in every segment that is meant."""

    score: Annotated[str, Field(min_length=1)]

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        return f"{self.score} of the model in segment {self.segment} is {self.limit_in_words}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return self._beyond(self.score, score_range(self.score))


class SegmentScoreDifferenceCheck(_OfSegments):
    """A limit on how far what a scorer says of the model may lie apart in two segments of a column."""

    score: Annotated[str, Field(min_length=1)]
    max_difference: Annotated[Number, Field(ge=0)]

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        apart = f"differs by at most {self.max_difference:g}"
        return f"{self.score} of the model {apart} in two segments of {self.segment}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return beyond(f"a difference of {self.score}", drop_range(self.score), at_most=self.max_difference)


class PairCheck(_Limited):
    """A limit on what two features do together beyond what each does alone.

    Attributes
    ----------
    pair : "any" or list of (str, str)
        Two features, or each pair that the audit followed.
    statistic : {"mean", "share"}
        The mean size of the second difference, or its mean square over 4 as a share of the variance.
    """

    pair: Literal["any"] | Annotated[list[str], Field(min_length=2, max_length=2)]
    statistic: Literal["mean", "share"] = "mean"

    @model_validator(mode="after")
    def _two_features(self) -> Self:
        if self.pair != "any" and self.pair[0] == self.pair[1]:
            raise ValueError(f"'{self.pair[0]}' is paired with itself: name two features")
        return self

    @property
    def statement(self) -> str:
        """What the check asks for, in words."""
        who = "any two features that are followed" if self.pair == "any" else " and ".join(self.pair)
        return f"{self.statistic} of what {who} do together is {self.limit_in_words}"

    @property
    def why_vacuous(self) -> str | None:
        """Why no model can miss the limit."""
        return self._beyond(self.statistic, (0.0, math.inf))


def names_of(feature: Features | None) -> tuple[str, ...]:
    """Return names and patterns as a tuple, empty where none are given."""
    if feature is None:
        return ()
    return (feature,) if isinstance(feature, str) else tuple(feature)


def _among(way: ShuffleWay | None) -> str:
    """Return what stands before a statement on one way; nothing where it goes without saying."""
    return "" if way is None else f"of {way} donors, " if way == "conditional" else "of plain shuffles, "


def _named(feature: Features | None) -> str:
    return " or ".join(names_of(feature))


def kind_of(check: object) -> str:
    """Tell by its keys which kind of check is meant."""
    if isinstance(check, _Check):
        return type(check).__name__
    keys = set(check) if isinstance(check, Mapping) else set()
    if "segment" in keys:
        of_what = "SegmentScore" if "score" in keys else "Segment"
        return f"{of_what}DifferenceCheck" if "max_difference" in keys else f"{of_what}Check"
    if "score" in keys:
        return "ScoreAgainstCheck" if keys & {"against", "max_drop"} else "ScoreCheck"
    if "against" in keys:
        return "AgainstCheck"
    for key, kind in (("unused_at_most", "UnusedCheck"), ("pair", "PairCheck")):
        if key in keys:
            return kind
    return "RankCheck" if keys & {"rank_at_most", "rank_at_least"} else "LimitCheck"


def needs_statistic(check: _Check) -> bool:
    """Tell whether a check is on a statistic, so that it means one where it names none."""
    return "statistic" in type(check).model_fields


Check = Annotated[
    Annotated[LimitCheck, Tag("LimitCheck")]
    | Annotated[RankCheck, Tag("RankCheck")]
    | Annotated[UnusedCheck, Tag("UnusedCheck")]
    | Annotated[AgainstCheck, Tag("AgainstCheck")]
    | Annotated[ScoreCheck, Tag("ScoreCheck")]
    | Annotated[ScoreAgainstCheck, Tag("ScoreAgainstCheck")]
    | Annotated[SegmentCheck, Tag("SegmentCheck")]
    | Annotated[SegmentDifferenceCheck, Tag("SegmentDifferenceCheck")]
    | Annotated[SegmentScoreCheck, Tag("SegmentScoreCheck")]
    | Annotated[SegmentScoreDifferenceCheck, Tag("SegmentScoreDifferenceCheck")]
    | Annotated[PairCheck, Tag("PairCheck")],
    Discriminator(kind_of),
]


WITH_STATISTIC = ("LimitCheck", "RankCheck", "AgainstCheck")
"""Kinds of checks that look at a statistic of deviations."""


def refuse_vacuous(checks: Sequence[Check]) -> None:
    """Refuse checks that no model can miss.

    Raises
    ------
    ValueError
        With all of them, and why.
    """
    found = [f"'{check.title}' cannot fail, since {check.why_vacuous}" for check in checks if check.why_vacuous]
    if found:
        raise ValueError(f"{'; '.join(found)}. Choose another limit, or take the check out")


def distinct(checks: list[Check]) -> list[Check]:
    """Return the checks, or refuse two that have one name."""
    twice = sorted(title for title, count in Counter(check.title for check in checks).items() if count > 1)
    if twice:
        raise ValueError(f"{name_list(twice)} is the name of two checks")
    return checks
