"""By how much a score falls when a feature is disturbed: an importance, which needs labels; a deviation needs none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice, repeat

import numpy as np

from nnperm_mlflow.analysis.scores.scorers import Scores
from nnperm_mlflow.basics.errors import ConfigError

_GROUPS = 20  # of rows that are left out in turn
_REPEATS = 5  # most repeats in which they are
_ROWS = 20_000  # which these repeats share among themselves; a variance found on fewer rows is scaled


@dataclass(frozen=True)
class Drop:
    """By how much disturbing a feature lowers one score.

    Attributes
    ----------
    baseline : float
        Score of the undisturbed predictions.
    mean : float
        Baseline less perturbed score, averaged over the repeats. Negative where the score has risen: cut off at 0,
        features without any effect would seem to have one.
    error : float
        Standard error of `mean`, where rows are a sample and shuffles random; a little too small for 100 rows, and NaN
        where it cannot be found.
    worse : int
        Repeats whose permutation scores at least as well as the baseline.
    repeats : int
    """

    baseline: float
    mean: float
    error: float
    worse: int
    repeats: int


NO_DROP = Drop(math.nan, math.nan, math.nan, 0, 0)
"""Of a score that is not defined for the perturbed predictions, as where no row has one."""


def score_drops(
    scores: Scores,
    baseline: np.ndarray,
    repeats: Iterable[np.ndarray],
    donors: Iterable[np.ndarray] | None = None,
    untouched: Iterable[np.ndarray] | None = None,
) -> dict[str, Drop]:
    """Compare the scores of baseline and perturbed predictions of the same rows.

    Parameters
    ----------
    scores : Scores
    baseline : ndarray of shape (n_rows, n_outputs)
        Not modified.
    repeats : iterable of ndarray of shape (n_rows, n_outputs)
        Perturbed predictions, one array for each repeat. A repeat leaves out, on both sides, rows that are not finite
        on one.
    donors : iterable of ndarray of shape (n_rows,), int, optional
        For each repeat and row the position of the row whose value it received. Without them the error takes rows to
        be disturbed independently of each other, which shuffled ones are not.
    untouched : iterable of ndarray of shape (n_rows,), bool, optional
        For each repeat the rows that keep their value in the permutation that is tested, though they received another
        one for the drop.

    Returns
    -------
    dict of str to Drop
        For each scorer.

    Raises
    ------
    ConfigError
        If a scorer cannot work with these predictions.
    """
    pairs = ((each, None) for each in repeats) if donors is None else zip(repeats, donors, strict=True)
    first = list(islice(pairs, _REPEATS))
    whole, n_whole, drops, tested = scores.of(baseline), np.count_nonzero(_finite(baseline)), [], []
    keeping = repeat(None) if untouched is None else iter(untouched)
    for (perturbed, _), kept in zip(chain(first, pairs), keeping, strict=False):
        rows = np.flatnonzero(_finite(baseline, perturbed))
        before = whole if len(rows) == n_whole else {name: scores.score(name, baseline, rows) for name in whole}
        drops.append(_drops(scores, before, perturbed, rows))
        permuted = perturbed if kept is None else np.where(kept[:, None], baseline, perturbed)
        tested.append(drops[-1] if kept is None else _drops(scores, before, permuted, rows))
    found, two = {}, _TwoPredictions.of_repeats(baseline, first)
    for name, each, test in zip(whole, np.transpose(drops), np.transpose(tested), strict=True):
        error = _standard_error(scores, name, *two, each)
        found[name] = Drop(whole[name], float(each.mean()), error, int(np.count_nonzero(test <= 0)), len(each))
    return found


def _drops(scores: Scores, before: Mapping[str, float], perturbed: np.ndarray, rows: np.ndarray) -> list[float]:
    return [score - scores.score(name, perturbed, rows) for name, score in before.items()]


def p_value(drop: Drop) -> float:
    """Return how likely chance alone is to lower a score in so many repeats: (1 + k) / (1 + R), which is never 0.

    References
    ----------
    Phipson and Smyth, "Permutation P-values Should Never Be Zero", 2010.

    Examples
    --------
    >>> p_value(Drop(baseline=0.8, mean=0.1, error=0.02, worse=0, repeats=19))
    0.05
    """
    return (1 + drop.worse) / (1 + drop.repeats)


def _finite(*predictions: np.ndarray) -> np.ndarray:
    return np.logical_and.reduce([np.isfinite(each).all(axis=1) for each in predictions])


def _standard_error(
    scores: Scores, name: str, singles: Sequence[_TwoPredictions], both: _TwoPredictions | None, drops: np.ndarray
) -> float:
    """Return the standard error of the mean of drops, shape (n_repeats,), from the first repeats.

    By the law of total variance the mean of R drops has the variance of a single one less (1 - 1/R) of the variance
    between shuffles of the same rows. This is known from all repeats, and from leaving out rows of two of them, in
    groups that receive the same rows' values in both: weighted by their degrees of freedom.
    """
    n_repeats = len(drops)
    single = np.mean([each.variance(scores, name) for each in singles])
    if both is None:
        return math.sqrt(single)
    of_rows = both.variance(scores, name) / 2
    between = np.average([of_rows, np.var(drops, ddof=1)], weights=[_GROUPS - 1, n_repeats - 1])
    return float(np.sqrt(np.maximum(single - (1 - 1 / n_repeats) * between, between / n_repeats)))


@dataclass(frozen=True)
class _TwoPredictions:
    """Two predictions of the same rows, whose scores are compared.

    Attributes
    ----------
    before, after : ndarray of shape (n_rows, n_outputs)
    rows : ndarray of shape (n_used,), int
        Some of the rows that are finite in both, such that each one's donor comes next, as far as the cycles go.
    n_finite : int
        How many there are.
    """

    before: np.ndarray
    after: np.ndarray
    rows: np.ndarray
    n_finite: int

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray, donors: np.ndarray | None, most: int) -> _TwoPredictions:
        """Choose rows, at most so many."""
        finite = _finite(before, after)
        return cls(before, after, _along_cycles(donors, finite, most), int(np.count_nonzero(finite)))

    @classmethod
    def of_repeats(
        cls, baseline: np.ndarray, first: Sequence[tuple[np.ndarray, np.ndarray | None]]
    ) -> tuple[list[_TwoPredictions], _TwoPredictions | None]:
        """Compare the baseline with each of the first repeats, and these with each other where there are two."""
        most = _ROWS // len(first)
        singles = [cls.of(baseline, perturbed, donors, most) for perturbed, donors in first]
        if len(first) == 1:
            return singles, None
        (one, donors), (other, others) = first[:2]
        both = None if donors is None or others is None else np.argsort(others)[donors]
        return singles, cls.of(one, other, both, most)

    def variance(self, scores: Scores, name: str) -> float:
        """Return the variance of the difference in score, found by leaving out groups of rows in turn.

        A shuffled row counts twice, as one that receives a value and as one that gives it. In a stretch of a cycle
        nearly all rows do both among themselves, so that the drop without them is that of the other rows. Groups that
        ignore the donors would miss how the two hang together, and with it up to two thirds of the variance.

        References
        ----------
        Kott, "The Delete-a-Group Jackknife", Journal of Official Statistics, 2001.
        """
        n_groups = min(_GROUPS, len(self.rows))
        groups = np.array_split(np.arange(len(self.rows)), n_groups)
        drops = self._by_influences(scores, name, groups)
        if drops is None:
            try:
                rests = (np.delete(self.rows, group) for group in groups)
                drops = np.array([scores.drop(name, self.before, self.after, rest) for rest in rests])
            except ConfigError:
                scores.tell_without_error(name)
                return math.nan
        return (n_groups - 1) * float(np.var(drops)) * len(self.rows) / self.n_finite

    def _by_influences(self, scores: Scores, name: str, groups: Sequence[np.ndarray]) -> np.ndarray | None:
        """Return by how much the drop changes without each group, by what each row adds to it.

        Of a mean of losses that is what scoring the other rows gives, and of the other scores nearly so, since a group
        is a small part of the rows. None where that is not known in closed form, or where a group holds all rows of a
        class.
        """
        influences = [scores.influence(name, each, self.rows) for each in (self.before, self.after)]
        one, other = influences
        if one is None or other is None:
            return None
        starts, sizes = [group[0] for group in groups], np.array([len(group) for group in groups])
        if (np.add.reduceat(one.decisive, starts, dtype=np.int64) == np.count_nonzero(one.decisive)).any():
            return None
        return -np.add.reduceat(one.values - other.values, starts) / (len(self.rows) - sizes)


def _along_cycles(donors: np.ndarray | None, finite: np.ndarray, most: int) -> np.ndarray:
    """Return some finite rows such that each one's donor comes next, as far as a shuffle's cycles go."""
    starts = _keyed_order(len(finite))
    if donors is None:
        return starts[finite[starts]][:most]
    donor_of, usable, unseen = donors.tolist(), finite.tolist(), [True] * len(finite)
    rows: list[int] = []
    for start in starts:
        row = int(start)
        while unseen[row] and len(rows) < most:
            unseen[row] = False
            if usable[row]:
                rows.append(row)
            row = donor_of[row]
        if len(rows) == most:
            break
    return np.array(rows)


@lru_cache(maxsize=1)
def _keyed_order(n_rows: int) -> np.ndarray:
    """Return all rows in an order that is random and always the same."""
    return np.argsort(np.random.Philox(key=0).random_raw(n_rows), kind="stable")
