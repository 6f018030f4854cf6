"""As many rows as the question needs: a sample of the data, taken at once or in growing looks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from nnperm_mlflow.analysis.perturbation.looks import looks_of
from nnperm_mlflow.analysis.perturbation.sample import Sample, count_batches
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.analysis.segments.segmentation import part_rows
from nnperm_mlflow.auditor.identification import counts_of
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.basics.errors import ConfigError, name_list
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.checks import PairCheck
from nnperm_mlflow.config.segments_config import edges_of

logger = logging.getLogger(__name__)


def refuse_endless(config: AuditConfig) -> None:
    """Refuse to look for the rows that are enough where nothing says what they are to be enough for.

    Parameters
    ----------
    config : AuditConfig
        With the policy that is applied.

    Raises
    ------
    ConfigError
        If neither a precision nor a check is asked for, a check compares with another version (how sure that is
        rests on the rows of the other audit, too), or is on pairs of features, which are told of at the end.
    """
    if not config.analysis.stops_by_verdict:
        return
    if not config.policy.applies:
        raise ConfigError(
            "analysis: 'rows: auto' needs to know what the rows shall be enough for: say how wide an interval may be "
            "(precision), or what must be decided (checks, or a policy that is not 'off')."
        )
    if against := config.policy.baselines:
        raise ConfigError(
            "analysis: 'rows: auto' goes on until each check is decided, and a check compares with "
            f"{name_list(against)}, which more rows of this version alone do not decide: say how wide an interval may "
            "be (precision), or how many rows."
        )
    if any(isinstance(check, PairCheck) for check in config.policy.checks):
        raise ConfigError(
            "analysis: 'rows: auto' goes on until each check is decided, and pairs of features are told of once the "
            "rows are there: say how wide an interval may be (precision), or how many rows."
        )


def drawn(plan: Plan) -> Plan:
    """Return the plan on the sample that is asked for; as it is where all rows are, or their number is to be found."""
    asked = plan.used.analysis.rows
    if asked is None or asked == "auto":
        return plan
    found = on_batches(plan, count_batches(plan.job.deal.sizes, asked))
    if found.dataset.n_rows < asked:
        logger.warning("%s rows are asked for, and there are %s: all are audited", f"{asked:,}", f"{plan.rows:,}")
    elif found.dataset.n_rows > asked:
        logger.info("a sample is whole batches: %s, not %s", found.dataset.in_words, f"{asked:,}")
    return found


def on_batches(plan: Plan, n_batches: int) -> Plan:
    """Return the plan on the first batches of its rows.

    Parameters
    ----------
    plan : Plan
        On all rows, in batches.
    n_batches : int

    Returns
    -------
    Plan
        What is disturbed, and how the model is called, is what was found out from all rows.
    """
    sample = Sample.of(plan.job.deal.first(n_batches))
    dataset = plan.dataset.take(sample.rows, plan.job.seed)
    within, segments = plan.used.analysis.within, plan.used.analysis.segments
    strata = Strata({name: dataset.columns[name] for name in within}) if within else None
    return replace(
        plan,
        dataset=dataset,
        job=plan.job.on_sample(sample, strata, dataset.clusters),
        record={**plan.record, **counts_of(dataset), "sampled_rows": dataset.n_rows},
        scores=None if plan.scores is None else plan.scores.take(sample.rows),
        segmentations=part_rows(edges_of(segments), dataset.columns),
    )


def looks(plan: Plan) -> Iterator[Plan]:
    """Yield the plan as it is, or where the number of rows is to be found out, on growing samples."""
    if plan.used.analysis.rows != "auto":
        yield plan
        return
    for number in range(1, count_looks(plan) + 1):
        yield look_at(plan, number)


def look_at(plan: Plan, number: int) -> Plan:
    """Return the plan on the sample of one look, counted from 1, where the number of rows is to be found out.

    Where checks decide when to stop, its record tells which look it is and of how many: at a share of the level.
    """
    numbers = _looks_of(plan)
    found = on_batches(plan, numbers[number - 1])
    if not plan.used.analysis.stops_by_verdict:
        return found
    return replace(found, record={**found.record, "look": number, "looks": len(numbers)})


def count_looks(plan: Plan) -> int:
    """Return how many looks there may be, where the number of rows is to be found out: fixed before a row is seen."""
    return len(_looks_of(plan))


def rows_of_looks(plan: Plan) -> list[int]:
    """Return how many rows each of these looks has."""
    return [sum(plan.job.deal.sizes[:n_batches]) for n_batches in _looks_of(plan)]


def _looks_of(plan: Plan) -> list[int]:
    return looks_of(plan.job.deal.sizes, plan.used.analysis.max_rows)
