"""Two versions compared: what disturbing each feature does to the predictions of one, and to those of the other."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from mlflow import MlflowClient

from nnperm_mlflow.analysis.difference.comparison_result import Comparison
from nnperm_mlflow.analysis.difference.table_comparison import comparable_statistic, compare_tables
from nnperm_mlflow.analysis.scores.own_score import score_differences
from nnperm_mlflow.analysis.statistics.order import in_words
from nnperm_mlflow.auditor.audit_procedure import AnyConfig, audit
from nnperm_mlflow.auditor.preparation import as_config
from nnperm_mlflow.auditor.result import Folder
from nnperm_mlflow.basics.audit_files import (
    COMPARISON_CARD,
    COMPARISON_FILE,
    COMPARISON_INTERACTIONS,
    COMPARISON_PICTURE,
    COMPARISON_REPORT,
    COMPARISON_TABLE,
)
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.text import as_text, rows_in_words, rows_to_show
from nnperm_mlflow.comparison.compared_interactions import interactions_side_by_side
from nnperm_mlflow.comparison.compared_records import labels_of, reported_pair
from nnperm_mlflow.comparison.pairs import Archive, Pair, differences, find_pair
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.summary_file import write_table
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.registry.comparisons import ComparisonEvidence, log_comparison, shown_table
from nnperm_mlflow.registry.connection import connected, run_address
from nnperm_mlflow.registry.error_explanation import explained
from nnperm_mlflow.registry.run_session import RunSession
from nnperm_mlflow.report.compared_numbers import numbers_of
from nnperm_mlflow.report.comparison_card import comparison_card, in_brackets
from nnperm_mlflow.report.dumbbell import dumbbell_figure
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.page.compared_audits import ComparedAudits
from nnperm_mlflow.report.page.comparison_page import comparison_page
from nnperm_mlflow.verdict.verdict import stamp

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_DPI = 110
_SHOWN_ROWS = 10  # of the differences, in a notebook
_SIDES = ("a", "b")
_ENDS = ["median_low", "median_high", "mean_low", "mean_high"]
_DIGESTS = {"files of the model": "model_digest", "data": "data_digest", "deviations.parquet": "table_digest"}


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison of two versions found.

    Attributes
    ----------
    models : (ModelReference, ModelReference)
        The pinned versions, `a` and `b`.
    audits : (str, str)
        The runs that hold their audits.
    comparison : Comparison
        Differences, what only one version has, the rank correlation, the largest shift.
    table : DataFrame
        All that side by side, see `side_by_side`.
    own_scores : mapping of str to (float, float, float)
        For each score of the models themselves that both audits tell, that of the second less that of the first, and
        its interval.
    how : str
        On what they were compared.
    unit : str
        Unit of prediction and deviation.
    run_id, experiment_id : str
        The run that holds everything.
    address : str or None
        The run's page; None where the tracking store is no server.
    folder : Folder
        Where the files lie.
    interactions : DataFrame or None
        What pairs of features do together in both, where both audits were asked for it; see
        `compared_interactions.interactions_side_by_side`.
    labels : FeatureLabels
        What features are called in pictures.
    """

    models: tuple[ModelReference, ModelReference]
    audits: tuple[str, str]
    comparison: Comparison
    table: pd.DataFrame
    own_scores: Mapping[str, tuple[float, float, float]]
    how: str
    unit: str
    run_id: str
    experiment_id: str
    address: str | None
    folder: Folder
    interactions: pd.DataFrame | None = None
    labels: FeatureLabels = field(default_factory=FeatureLabels)

    @property
    def names(self) -> tuple[str, str]:
        """What the versions are called: `credit 3`."""
        return _name(self.models[0]), _name(self.models[1])

    @property
    def directory(self) -> Path:
        """Where the files lie; a temporary directory lives as long as the result."""
        return self.folder.path

    @property
    def figure(self) -> Figure:
        """The dumbbell chart, drawn anew."""
        table = self.labels.in_summary(self.table)
        return dumbbell_figure(table, self.names, self.how, self.unit, self.comparison.statistic)

    def __repr__(self) -> str:
        first, second = self.names
        shift, correlation = self.comparison.largest_shift.value, self.comparison.rank_correlation.value
        numbers = f"largest shift {shift:.4g}, rank correlation {correlation:.4g}"
        return in_a_line("ComparisonResult", f"{second} against {first}", numbers, f"run {self.run_id}")

    def _repr_html_(self) -> str:
        first, second = self.names
        differences = self.comparison.differences
        statistic = self.comparison.statistic
        shown = self.labels.in_summary(self.table).head(rows_to_show(len(differences), _SHOWN_ROWS))
        rows = [
            (row.perturbation, f"{row.a:.4f}", f"{row.b:.4f}", f"{row.difference:.4f}",
             f"{row.difference_low:.4f} to {row.difference_high:.4f}")
            for row in numbers_of(shown, statistic).itertuples()
        ]  # fmt: skip
        more = len(self.table) - len(shown)
        return as_html(
            f"{second} against {first}, {in_words(statistic)} of the prediction ({self.unit})",
            header=("perturbation", first, second, "difference", "95 % interval"),
            rows=rows,
            notes=[*([f"... and {more} more in .table"] if more else []), self.how, f"run {self.run_id}"],
            link=self.address,
            picture=self.directory / COMPARISON_PICTURE,
        )


def compare(
    a: str,
    b: str,
    *,
    config: AnyConfig = None,
    paired: bool = True,
    experiment: str | None = None,
    output: str | Path | None = None,
    trust_model: bool = False,
    run_id: str | None = None,
) -> ComparisonResult:
    """Tell by how much the deviations of each feature differ between two versions, and log it as a run.

    Parameters
    ----------
    a, b : str
        URIs of the two, in whatever form `pin_model` takes; differences are those of `b` less `a`.
    config : AuditConfig, mapping, str or Path, optional
        How a version is audited now that has no audit to compare; without it that is refused.
    paired : bool
        Whether only audits on the same rows with the same donors are compared, row by row. If not, the newest of each
        are, whatever they were made on; the intervals are then those of independent audits, and wider.
    experiment : str, optional
        Name of the experiment for the run; by default that of `b`.
    output : str or Path, optional
        Directory for a copy of the files.
    trust_model : bool
        Allow code that came with a model to run, where it is audited now.
    run_id : str, optional
        A run to continue, instead of a new one.

    Returns
    -------
    ComparisonResult

    Raises
    ------
    EvidenceError
        If there are no audits that can be compared, or their files have been changed.
    AuditError
        For whatever else hinders it.
    """
    with connected(run_id) as (client, scratch), RunSession(client, run_id) as session, explained():
        settings = None if config is None else as_config(config)
        folder = Folder.at(output)
        models = _pin_both(client, a, b)

        def audit_now(uri: str, used: AuditConfig) -> str:
            logger.info("%s has no audit to compare: it is audited now", uri)
            return audit(used, model_uri=uri, trust_model=trust_model, experiment=experiment).run_id

        archive = Archive(client, scratch)
        pair = find_pair(archive, (models[0].uri, models[1].uri), paired=paired, config=settings, audit_now=audit_now)
        comparison = _compare(pair, paired)
        table = side_by_side(comparison, *(_on_shared_rows(record, comparison) for record in pair))
        session.start(models[1], experiment, run_name=f"comparison of {_both(models)}")
        result = ComparisonResult(
            models=models,
            audits=(pair[0].run_id, pair[1].run_id),
            comparison=comparison,
            table=table,
            own_scores=_own_score_differences(pair, paired),
            how=_how(pair, comparison),
            unit=pair[1].unit,
            run_id=session.run_id,
            experiment_id=session.experiment_id,
            address=run_address(session.experiment_id, session.run_id),
            folder=folder,
            interactions=interactions_side_by_side(*pair),
            labels=labels_of(pair),
        )
        log_comparison(client, session.run_id, _evidence(result, pair))
    return result


def _pin_both(client: MlflowClient, a: str, b: str) -> tuple[ModelReference, ModelReference]:
    first, second = pin_model(client, a), pin_model(client, b)
    if first.uri == second.uri:
        raise ConfigError(f"{a} and {b} are both {first.uri}: name two versions, as models:/credit/3 models:/credit/4.")
    return first, second


def _compare(pair: Pair, paired: bool) -> Comparison:
    first, second = pair
    logger.info("the audits in %s and %s are compared", first, second)
    return compare_tables(
        first.table,
        second.table,
        first.summary,
        second.summary,
        paired=paired,
        statistic=comparable_statistic(second.order_by),
        order_by=second.order_by,
    )


def _own_score_differences(pair: Pair, paired: bool) -> dict[str, tuple[float, float, float]]:
    """Compare the scores of the models themselves, which have a difference where both are of the same outcomes."""
    first, second = pair
    if not (first.own_scores and second.own_scores) or first.config.data.label != second.config.data.label:
        return {}
    return score_differences(first.own_scores, second.own_scores, paired=paired and first.rows == second.rows)


def _on_shared_rows(record: AuditRecord, comparison: Comparison) -> pd.DataFrame:
    """Return the summary of an audit, without the intervals of more rows than were compared."""
    if comparison.shared_rows in (None, record.rows):
        return record.summary
    return record.summary.assign(**dict.fromkeys(_ENDS, math.nan))


def side_by_side(comparison: Comparison, summary_a: pd.DataFrame, summary_b: pd.DataFrame) -> pd.DataFrame:
    """Return the differences with the intervals of both versions, and below them what only one version has.

    Parameters
    ----------
    comparison : Comparison
    summary_a, summary_b : DataFrame
        See `analysis.statistics.summary.summarize`.

    Returns
    -------
    DataFrame
        The columns of `comparison.differences`, behind each median and mean its interval (`median_a_low`,
        `median_a_high`), and `only_in`: "a" or "b" where only one version has the perturbation, of which all that needs
        both is NaN; else "".
    """
    common = comparison.differences
    tables = [common.assign(only_in="")]
    for side, summary, names in zip(
        _SIDES, (summary_a, summary_b), (comparison.only_a, comparison.only_b), strict=True
    ):
        alone = summary[summary["perturbation"].isin(names)]
        told = alone.rename(columns={"median": f"median_{side}", "mean": f"mean_{side}"})
        tables.append(told.reindex(columns=common.columns).assign(only_in=side))
    table = pd.concat([one for one in tables if len(one)], ignore_index=True)
    for side, summary in zip(_SIDES, (summary_a, summary_b), strict=True):
        of_name = summary.set_index("perturbation").reindex(columns=_ENDS)
        for column in _ENDS:
            statistic, _, end = column.partition("_")
            place = table.columns.get_loc(f"{statistic}_{side}") + (1 if end == "low" else 2)
            table.insert(place, f"{statistic}_{side}_{end}", table["perturbation"].map(of_name[column]))
    return table.astype({"rank_a": "Int64", "rank_b": "Int64"})


def _how(pair: Pair, comparison: Comparison) -> str:
    """Return in words on what two audits were compared."""
    first, second = pair
    if comparison.shared_rows is None:
        found = "; ".join(differences(first, second)) or "as asked"
        return f"not paired, with the wider intervals of independent audits ({found})"
    repeats, sampled_from = second.repeats, None if second.sampled_rows is None else second.data_rows
    rows = rows_in_words(comparison.shared_rows, sampled_from, second.seed)
    shuffles = "1 shuffle" if repeats == 1 else f"{repeats} shuffles"
    return f"the same {rows}{_of_file(second)} with the same donors (seed {second.param('seed')}, {shuffles})"


def _of_file(record: AuditRecord) -> str:
    return f" of {record.dataset['name']}" if record.dataset else ""


def _evidence(result: ComparisonResult, pair: Pair) -> ComparisonEvidence:
    """Write the files and gather what goes into the run."""
    names = (COMPARISON_FILE, COMPARISON_PICTURE, COMPARISON_CARD, COMPARISON_REPORT)
    files = {name: result.directory / name for name in names}
    write_table(result.table, files[COMPARISON_FILE])
    if result.interactions is not None:
        files[COMPARISON_INTERACTIONS] = result.directory / COMPARISON_INTERACTIONS
        write_table(result.interactions, files[COMPARISON_INTERACTIONS])
    result.figure.savefig(files[COMPARISON_PICTURE], dpi=_DPI)
    files[COMPARISON_CARD].write_text(_card(result, pair), encoding="utf-8")
    files[COMPARISON_REPORT].write_text(_page(result, pair), encoding="utf-8", newline="\n")
    comparison = result.comparison
    shown = shown_table(result.table, comparison.statistic)
    shown.to_json(result.directory / COMPARISON_TABLE, orient="split", index=False)
    return ComparisonEvidence(
        references=result.models,
        audits=pair,
        paired=comparison.paired,
        table=result.table,
        statistic=comparison.statistic,
        aggregates={
            "rank_correlation": comparison.rank_correlation.value,
            "largest_shift": comparison.largest_shift.value,
            "common": len(comparison.differences),
            "only_a": len(comparison.only_a),
            "only_b": len(comparison.only_b),
            **{f"{name}_difference": difference for name, (difference, _, _) in result.own_scores.items()},
        },
        files=list(files.values()),
    )


def _card(result: ComparisonResult, pair: Pair) -> str:
    first, second = pair
    digests = [(f"sha256 of {what}", first.param(key), second.param(key)) for what, key in _DIGESTS.items()]
    statistic = result.comparison.statistic
    correlation, shift = (
        in_brackets(number.value, number.low, number.high)
        for number in (result.comparison.rank_correlation, result.comparison.largest_shift)
    )
    run = f"[{result.run_id}]({result.address})" if result.address else f"`{result.run_id}`"
    return comparison_card(
        result.labels.in_summary(result.table),
        result.names,
        unit=result.unit,
        statistic=statistic,
        head=f"{stamp(datetime.now(timezone.utc))}, run {run}: {as_text(result.how)}.",
        facts=[("model", first.model, second.model), ("run of the audit", first.run_id, second.run_id), *digests],
        overall=[
            (f"rank correlation of the {statistic}s", correlation),
            (f"largest difference of {statistic}s", shift),
            *[
                (f"{name} of the models themselves, difference", in_brackets(*difference))
                for name, difference in result.own_scores.items()
            ],
        ],
        interactions=None
        if result.interactions is None
        else result.labels.in_table(result.interactions, "first", "second"),
    )


def _page(result: ComparisonResult, pair: Pair) -> str:
    return comparison_page(
        ComparedAudits(
            names=result.names,
            audits=reported_pair(pair),
            comparison=result.comparison,
            table=result.table,
            own_scores=result.own_scores,
            how=result.how,
            run_id=result.run_id,
            labels=result.labels,
        )
    )


def _name(reference: ModelReference) -> str:
    return f"{reference.name} {reference.version}" if reference.name else reference.uri


def _both(models: tuple[ModelReference, ModelReference]) -> str:
    """Return both names; the second is the version alone where they are of one model."""
    first, second = models
    of_one = first.name is not None and first.name == second.name
    return f"{_name(first)} and {second.version if of_one else _name(second)}"[:200]
