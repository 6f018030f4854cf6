"""Rows as they are and disturbed, described by numbers that a learner may tell them apart by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.out_of_data.cross_fitting import UNKNOWN, Separability, separability
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock
from nnperm_mlflow.analysis.perturbation.kinds import Perturbation, SetTo, Shuffle, disturb
from nnperm_mlflow.analysis.perturbation.subgroups.columns import Column, ColumnReader, columns_of, ordinal_of
from nnperm_mlflow.analysis.perturbation.subgroups.small_units import enlarged, scale_of
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.statistics.summary_columns import OUT_OF_DATA
from nnperm_mlflow.analysis.uncertainty.audited_rows import known_blocks
from nnperm_mlflow.inputs.slots import Feature, count_steps, in_all_rows, window_of

MOST_UNITS = 600
"""Rows, each with its twin and its donor, that are looked at."""

_MOST_STEPS = 12  # of a series that are columns of their own, as far from each other as can be


def with_out_of_data(found: Findings, job: Job) -> Findings:
    """Add to the summary how far disturbed rows lie outside of the data.

    Parameters
    ----------
    found : Findings
    job : Job

    Returns
    -------
    Findings
        With the columns `OUT_OF_DATA`, and `_low` and `_high` behind it: of what was shuffled or reordered the area
        under the ROC curve of `cross_fitting.separability`, with its interval. NaN of what was set to one value, which
        tells it from the data by itself, and of fewer than `cross_fitting.FEWEST_UNITS` rows.
    """
    (block, *_), told = known_blocks(job).blocks, dict[str, Separability]()
    columns = _columns(job, block)
    for done in job.perturbations:
        told[done.name] = UNKNOWN if isinstance(done, SetTo) else _of(job, block, done, columns)
    each = [told[name] for name in found.summary["perturbation"]]
    numbers = {"": [one.value for one in each], "_low": [one.low for one in each], "_high": [one.high for one in each]}
    return replace(found, summary=found.summary.assign(**{f"{OUT_OF_DATA}{end}": of for end, of in numbers.items()}))


def _of(job: Job, block: ShuffleBlock, done: Perturbation, columns: list[Column]) -> Separability:
    """Return how well rows of a block are told from themselves under a perturbation."""
    places, donors = _units(job, block, done)
    held = job.inputs.hold(block.rows[np.r_[places, donors]])
    own = slice(0, len(places))
    before = held.read(own)
    drawn: np.ndarray | None = np.arange(len(places), 2 * len(places))
    if not isinstance(done, Shuffle):
        every = slice(0, len(block.rows))
        drawn = job.drawn(block, every, done, 0)
        drawn = None if drawn is None else drawn[places]
    change, _ = disturb(done, held, before, drawn)
    after = {**before, **change.on(before)}
    return separability(*_legible(_described(before, columns), _described(after, columns)))


def _units(job: Job, block: ShuffleBlock, done: Perturbation) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in a block of rows and of their donors, no row twice; where there are no donors, rows twice."""
    donors = job.donors(block, done, 0)
    giving = np.arange(len(block.rows)) if donors is None else donors.astype(np.int64)
    order = np.random.Generator(np.random.Philox(key=[job.seed, block.number])).permutation(len(giving))
    used, chosen = job.alone(block, slice(0, len(giving)), done, donors), list[int]()
    for place in order.tolist():
        donor = int(giving[place])
        if used[place] or used[donor]:
            continue
        used[place] = used[donor] = True
        chosen.append(place)
        if len(chosen) == MOST_UNITS:
            break
    places = np.array(chosen, dtype=np.int64)
    return places, giving[places]


def _columns(job: Job, block: ShuffleBlock) -> list[Column]:
    """Return what describes rows: each feature's columns, and of series some steps."""
    reader = ColumnReader(job.inputs.sources, block.rows[: 4 * MOST_UNITS])
    columns = list[Column]()
    for feature in job.inputs.features.values():
        columns += [*columns_of(feature, reader), *ordinal_of(feature, reader)]
        if feature.kind == "series":
            columns += _steps_of(feature, job)
    return columns


def _steps_of(series: Feature, job: Job) -> list[Column]:
    n_steps = count_steps(job.inputs.sources, series)
    steps = np.unique(np.linspace(1, n_steps, min(n_steps, _MOST_STEPS)).astype(int)).tolist()
    parts = [window_of(series, f"step {step}", step, step) for step in steps]
    return [Column(part.name, part.slots[0], "mean") for part in parts]


def _legible(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with columns in small units made as large as trees need them."""
    scales = [scale_of(column) for column in np.concatenate([before, after]).T]
    first, second = (
        np.stack([enlarged(column, scale) for column, scale in zip(each.T, scales, strict=True)], axis=1)
        for each in (before, after)
    )
    return first, second


def _described(inputs: Mapping[str, np.ndarray], columns: list[Column]) -> np.ndarray:
    """Return the columns of rows, of shape (n_rows, n_columns), float32."""
    return np.stack([each.of(inputs[each.slot.input][in_all_rows(each.slot.index)]) for each in columns], axis=1)
