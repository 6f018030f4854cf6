"""What pairs of features will take, found out from a few of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import audit_first_block
from nnperm_mlflow.analysis.interactions.h_statistic import h_statistics
from nnperm_mlflow.analysis.interactions.pair_choice import (
    TOP,
    all_pairs,
    check_interactions,
    leading_features,
    pairable,
)
from nnperm_mlflow.analysis.interactions.pair_ranking import RANKING_ROWS, rank_pairs
from nnperm_mlflow.analysis.interactions.pairs import Pair, shared_job
from nnperm_mlflow.config.interactions_config import InteractionsConfig

_RANKED = 15  # features whose pairs are ranked to see what all take


@dataclass(frozen=True)
class PairForecast:
    """What pairs will take.

    Attributes
    ----------
    followed, ranked : int
        Pairs that are followed on all rows, and those that are ranked on a few; 0 where pairs are named.
    seconds : float
        Of all of it.
    """

    followed: int
    ranked: int
    seconds: float

    @property
    def in_words(self) -> str:
        """What they will take, in words.

        >>> PairForecast(20, 4950, 3.21).in_words
        '20 pairs, of 4,950 that are ranked on 128 rows, 3.2 s'
        """
        among = f", of {self.ranked:,} that are ranked on {RANKING_ROWS} rows" if self.ranked else ""
        return f"{self.followed:,} {'pair' if self.followed == 1 else 'pairs'}{among}, {self.seconds:,.1f} s"


def forecast_pairs(job: Job, asked: InteractionsConfig | None, block_rows: int) -> PairForecast | None:
    """Time some pairs, and tell from them what all will take; None where nothing is asked for.

    Parameters
    ----------
    job : Job
    asked : InteractionsConfig or None
    block_rows : int
        Most rows of a block.
    """
    if asked is None:
        return None
    ranked, seconds = 0, 0.0
    followed = check_interactions(asked, job)
    if asked.pairs == "auto":
        features = leading_features(pairable(job), [done.name for done in job.perturbations])
        pairs = all_pairs(job, features, asked.scale)
        some = features[:_RANKED]
        started = time.monotonic()
        n_some = len(rank_pairs(job, some, asked.scale))
        ranked, seconds = len(pairs), (time.monotonic() - started) * len(pairs) / max(1, n_some)
        followed = pairs[:TOP]
    if followed:
        seconds += _following(job, followed, block_rows)
    if asked.h and followed:
        seconds += _h(job, followed, asked)
    return PairForecast(len(followed), ranked, seconds)


def _following(job: Job, pairs: list[Pair], block_rows: int) -> float:
    """Return about how many seconds pairs take on all rows."""
    started = time.monotonic()
    first = audit_first_block(shared_job(job, pairs), block_rows)
    return (time.monotonic() - started) * job.inputs.n_rows / len(first.rows)


def _h(job: Job, pairs: list[Pair], asked: InteractionsConfig) -> float:
    """Return about how many seconds H of pairs takes: a curve for each feature, and one for each pair."""
    started = time.monotonic()
    h_statistics(job, pairs[:1], asked.scale)
    n_curves = len({feature.name for pair in pairs for feature in pair}) + len(pairs)
    return (time.monotonic() - started) * n_curves / 3
