"""What an audit on a cluster cannot do: refused before the cluster has been given anything, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.config.audit_config import AuditConfig

_PARQUET_ALONE = (".csv", ".tsv", ".csv.gz", ".npy", ".npz")


def refuse_what_no_cluster_does(config: AuditConfig, *, trust_model: bool = False) -> None:
    """Refuse what a cluster cannot do.

    Parameters
    ----------
    config : AuditConfig
    trust_model : bool
        Whether code that came with the model may run.

    Raises
    ------
    ConfigError
        With a line for each thing that is asked for, and what to do instead.
    """
    problems = Problems()
    for told in (*_of_analysis(config), *_of_data(config), *_of_policy(config)):
        problems.add(ConfigError(told))
    if trust_model:
        problems.add(
            ConfigError(
                "a model's own code is not sent to the workers of a cluster (--trust-model): log the network in a "
                "format that is read without it, or audit it on one machine (analysis: {rows: 100000} takes a sample)."
            )
        )
    problems.settle()


def _of_analysis(config: AuditConfig) -> Iterator[str]:
    analysis = config.analysis
    sample = "audit a sample on one machine (analysis: {rows: 100000})"
    if analysis.scores or analysis.p_values:
        yield f"analysis: scores take the predictions of all rows at once, which no machine there holds: {sample}."
    if analysis.segments:
        yield f"analysis: segments need the deviations of all rows at once: {sample}, or give the rows of one segment."
    if analysis.profile:
        yield f"analysis: profile asks for quantiles of the inputs of all rows: {sample}."
    if analysis.interactions is not None:
        yield f"analysis: interactions share a donor, of which the pairs are ranked on one machine: {sample}."
    if analysis.donors is not None:
        yield f"analysis: donors are told apart by trees that are grown from rows on one machine: {sample}."
    if analysis.out_of_data:
        yield f"analysis: out_of_data lets a learner tell disturbed rows from all rows, on one machine: {sample}."
    if analysis.within:
        yield f"analysis: within deals strata, for which all rows are sorted on one machine: {sample}."
    if analysis.repeats == "auto":
        yield "analysis: repeats: auto would begin a job for each pass: say how many repeats (more rows narrow them)."
    if analysis.rows is not None:
        yield (
            "analysis: rows takes a sample, which one machine audits sooner than a cluster begins: leave out the "
            "engine (--engine), or the key."
        )
    if analysis.random:
        yield "analysis: random: a model that predicts at random gives other numbers wherever a task is tried again."


def _of_data(config: AuditConfig) -> Iterator[str]:
    data = config.data
    if data.cluster is not None:
        yield (
            "data: cluster deals whole clusters of rows, for which all rows are sorted on one machine: audit a sample "
            "there (analysis: {rows: 100000})."
        )
    if data.text:
        yield "data: text is about csv files: write the table as Parquet, where such columns are text already."
    if data.static is not None and data.static.lower().endswith(_PARQUET_ALONE):
        yield f"data: static: a cluster reads Parquet, which '{data.static.rpartition('/')[2]}' is not: write it so."
    for name, spec in data.temporal.items():
        if spec.file is not None:
            yield (
                f"data: temporal: {name}: a file of its own cannot be dealt with the rows: write the arrays into a "
                f"column of the table, and name it ({name}: {{column: ..., channels: [...], channel_axis: 2}})."
            )


def _of_policy(config: AuditConfig) -> Iterator[str]:
    policy = config.policy
    if policy.applies and policy.trial is not None:
        yield (
            "the trial of the policy fixes its seed by the digest of whole columns, which a cluster does not tell: "
            "make the audit of a trial on one machine."
        )
    if policy.requires is not None and policy.requires.not_training:
        yield (
            "requires: not_training compares the rows with those of the training, on one machine: leave it out of the "
            "policy of this audit, or audit a sample there."
        )
    if any(getattr(check, "against", None) is not None for check in policy.checks):
        yield (
            "checks 'against' another version compare row by row, and the table of an audit on a cluster is in parts: "
            "leave them out, or audit samples of both versions on one machine."
        )


def needs_table(location: str | Path | None) -> str:
    """Return where the deviation table of a cluster goes, or say that this must be said."""
    if location is None or not str(location):
        raise ConfigError(
            "an audit on a cluster writes its deviation table there: say where (--table s3a://lake/audits/credit-3; in "
            "Python table=...), at a place that all of its machines reach."
        )
    return str(location)
