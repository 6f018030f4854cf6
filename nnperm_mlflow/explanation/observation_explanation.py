"""Reasons for one observation of an audit: model and data read again, checked, and asked feature by feature."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from mlflow import MlflowClient

from nnperm_mlflow.analysis.perturbation.sample import Sample, count_batches
from nnperm_mlflow.analysis.reasons.observation_reasons import features_to_explain, find_reasons, parts_to_explain
from nnperm_mlflow.analysis.reasons.reference_rows import MOST_DONORS, predict_rows, spaced
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.auditor.memory import AnyRows, Names, Rows, rows_given
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.auditor.preparation import prepare
from nnperm_mlflow.basics.errors import ConfigError, DataError, EvidenceError
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.explanation.explanation_result import Explanation
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.inputs.row_condition import rows_where
from nnperm_mlflow.models.model_uri import pin_model
from nnperm_mlflow.promotion.data_places import refuse_elsewhere
from nnperm_mlflow.promotion.rereading import confirm_files
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.error_explanation import explained
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.report.feature_labels import FeatureLabels

logger = logging.getLogger(__name__)

_NOT_NEEDED: dict[str, object] = {
    "repeats": 1, "precision": None, "max_repeats": None, "rows": None, "max_rows": None, "scores": [],
    "order_by": None, "p_values": False, "segments": [], "profile": [], "interactions": None, "donors": None,
    "set": {}, "rare_below": 0.0, "order": False, "block_rows": "auto",
}  # fmt: skip
"""Settings of an audit that change nothing of what its features are, and how the model is asked."""

_PARTS: dict[Literal["window", "group"], dict[str, object]] = {"window": {"windows": None}, "group": {"groups": {}}}
"""Settings by which an audit has parts of features, or several together, and what there are none by."""


def explain(
    run_id: str,
    row_id: object = None,
    *,
    row: int | None = None,
    among: str | None = None,
    data: AnyRows | Rows | None = None,
    labels: object = None,
    channels: Names | None = None,
    windows: bool = False,
    groups: bool = False,
    trust_model: bool = False,
    isolate: bool = True,
    allow_data: Sequence[str] = (),
) -> Explanation:
    """Tell what the prediction of one observation rests on, beside those of others.

    Parameters
    ----------
    run_id : str
        The run that holds an audit: its model, data and settings are taken, and must still be those that it audited.
    row_id : object, optional
        What the observation is called in the data (`data: row_id`).
    row : int, optional
        Its position there instead, from 0, as the deviation table has it under `row`.
    among : str, optional
        The reference group: a condition on columns of the static table, as `default = 0 and AGE >= 30`. By default the
        rows that were audited.
    data, labels, channels
        As for `audit`: the rows in memory, where the audit's were in no files.
    windows, groups : bool
        Also tell of the audit's windows of series, and of its groups of features, each with the values of one other
        observation: what they count they share with the features that they are of.
    trust_model, isolate : bool
        As for `audit`.
    allow_data : sequence of str
        Paths, or how URIs begin, from which data may be read that the run names; by default files of this machine.

    Returns
    -------
    Explanation
        Features by the mean over the reference group of f(x) - f(x'), x' being the observation with another one's value
        of the feature. Of more than 2,000 others 2,000 stand for all, the same for every feature; nothing is drawn at
        random. It is written nowhere but where `Explanation.write` is told to.

    Raises
    ------
    EvidenceError
        If the run holds no audit, or model or data are no longer those that it audited.
    ConfigError
        If neither or both of `row_id` and `row` are given, the condition cannot be read, the audit follows several
        outputs, or has no windows, or groups, that are asked for.
    DataError
        If there is no such row, more than one of that name, or too few others.
    """
    if (row_id is None) == (row is None):
        raise ConfigError("name one observation: by its id (row_id, --row-id), or by its position (row, --row).")
    with connected() as (client, scratch), explained():
        rows = rows_given(data, labels, channels)
        record = read_audit(client, run_id, scratch / "run")
        if rows is None:
            _refuse_places(record, (allow_data,) if isinstance(allow_data, str) else tuple(allow_data))
        kinds = [kind for kind, is_asked in zip(_PARTS, (windows, groups), strict=True) if is_asked]
        asked = _asked(record.config, kinds)
        plan = _bound_again(client, record, asked, scratch, rows, trust_model=trust_model, isolate=isolate)
        with closing(plan):
            return _explained(plan, record, _position(plan.dataset, row_id, row), among, kinds)


def _refuse_places(record: AuditRecord, allowed: Sequence[str]) -> None:
    """Refuse to read data that are in no files, or where nobody allowed it."""
    data = record.config.data
    if data.static is None and not any(spec.file for spec in data.temporal.values()):
        raise EvidenceError(
            f"{record} audited rows that were in memory, and that cannot be read again: give them (in Python: "
            "explain(..., data=...))."
        )
    refuse_elsewhere(data, allowed, str(record))


def _bound_again(
    client: MlflowClient,
    record: AuditRecord,
    asked: AuditConfig,
    scratch: Path,
    rows: Dataset | Rows | None,
    *,
    trust_model: bool,
    isolate: bool,
) -> Plan:
    """Bring model and data of an audit together again; the model's files are compared before it is loaded."""
    reference = pin_model(client, record.model)
    confirm_files(record, reference, scratch / "before")
    again = scratch / "again"
    again.mkdir()
    plan = prepare(
        client,
        asked,
        reference.uri,
        data=rows,
        trust_model=trust_model,
        isolate=isolate,
        scratch=again,
    )
    for name, what in (("model_digest", "the model's files"), ("data_digest", "the data")):
        if plan.record[name] != record.param(name):
            plan.close()
            raise EvidenceError(
                f"{what} are not those that {record} audited. Audit the version again, and explain by that run."
            )
    return plan


def _asked(used: AuditConfig, kinds: Sequence[Literal["window", "group"]]) -> AuditConfig:
    """Return what an audit did, without what does not matter here."""
    kept = {*kinds, "window"} if "group" in kinds else {*kinds}  # of which groups may be made
    others = {key: value for kind, none in _PARTS.items() if kind not in kept for key, value in none.items()}
    analysis = used.analysis.model_copy(update={**_NOT_NEEDED, **others})
    return used.with_policy(Policy()).model_copy(update={"analysis": analysis})


def _position(dataset: Dataset, row_id: object, row: int | None) -> int:
    """Return where an observation stands in the data; messages do not tell what it is called."""
    if row is not None:
        if not 0 <= row < dataset.n_rows:
            raise DataError(f"there is no row {row}: the data have {dataset.n_rows:,}, counted from 0.")
        return row
    if dataset.row_ids is None:
        raise DataError("the audit has no row ids ('data: row_id'): name the observation by its position (--row).")
    wanted = str(row_id)
    (found,) = np.nonzero(np.array([str(each) == wanted for each in dataset.row_ids]))
    if len(found) != 1:
        n_rows = (
            f"{len(found):,} of the {dataset.n_rows:,} rows are"
            if len(found)
            else f"none of the {dataset.n_rows:,} rows is"
        )
        raise DataError(f"{n_rows} called so in '{dataset.row_id}'. Name the observation by its position (--row).")
    return int(found[0])


@dataclass(frozen=True)
class _Group:
    """Those that an observation is compared with: all, and the donors that stand for them."""

    rows: np.ndarray
    donors: np.ndarray
    others: float
    words: str


def _explained(
    plan: Plan, record: AuditRecord, row: int, among: str | None, kinds: Sequence[Literal["window", "group"]]
) -> Explanation:
    features, parts = features_to_explain(plan.job), parts_to_explain(plan.job, kinds)
    group = _reference(plan, record, among)
    logger.info(
        "%s: one row explained by %d features, beside %s rows", plan.job.model, len(features), f"{len(group.donors):,}"
    )
    reasons = find_reasons(plan.job, row, group.donors, group.others, parts)
    ids = plan.dataset.row_ids
    return Explanation(
        model=record.model,
        run_id=record.run_id,
        row=row,
        row_id=None if ids is None else str(ids[row]),
        prediction=reasons.prediction,
        others=reasons.others,
        unit=record.unit,
        reference=group.words,
        features=reasons.features,
        labels=FeatureLabels.of(record.config.labels, record.config.data.temporal, record.config.analysis.windows),
        parts=reasons.parts,
    )


def _reference(plan: Plan, record: AuditRecord, among: str | None) -> _Group:
    rows = _audited_rows(plan, record)
    if among is not None:
        rows = rows[rows_where(among, plan.dataset.columns)[rows]]
    if len(rows) < FEWEST_ROWS:
        raise DataError(
            f"{len(rows)} of the audit's rows are in the reference group, and below {FEWEST_ROWS} nothing can be said "
            "of others. Take a wider condition (--among)."
        )
    predictions = predict_rows(plan.job, rows)
    donors = spaced(rows, predictions)
    words = f"the {len(rows):,} rows of the audit{'' if among is None else f' in which {among}'}"
    if len(rows) > MOST_DONORS:
        words += f" ({len(donors):,} of them stand for all)"
    return _Group(rows, donors, float(np.nanmean(predictions)), words)


def _audited_rows(plan: Plan, record: AuditRecord) -> np.ndarray:
    """Return the positions of the rows that were audited: all, or those of the sample."""
    if record.sampled_rows is None:
        return np.arange(plan.dataset.n_rows)
    deal = replace(plan.job, in_batches=True, _deals={}).deal
    return Sample.of(deal.first(count_batches(deal.sizes, record.sampled_rows))).rows
