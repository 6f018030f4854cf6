"""How many rows a row's donor could be, and which rows are alike: what conditional shuffles rest on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.kinds import Conditional
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.statistics.summary_columns import DONORS
from nnperm_mlflow.analysis.uncertainty.audited_rows import known_blocks

SUBGROUP_COLUMNS = ("feature", "subgroup", "half", "rows", "where")


def with_subgroups(found: Findings, job: Job) -> Findings:
    """Add to the summary how many donors a row had to choose from, and tell the subgroups in words.

    Parameters
    ----------
    found : Findings
    job : Job

    Returns
    -------
    Findings
        As they are without conditional shuffles. The column `DONORS` is, of these, the median over rows of how many
        other rows could give a row their value, in its shuffle block; NaN of all else. `subgroups` has a row for each
        subgroup with the columns `SUBGROUP_COLUMNS`. Both are of the rows on which variances are found.
    """
    conditionals = [done for done in job.perturbations if isinstance(done, Conditional)]
    if not conditionals:
        return found
    donors, told, blocks = dict[str, float](), list[pd.DataFrame](), known_blocks(job).blocks
    for done in conditionals:
        others, rows = list[np.ndarray](), np.zeros(done.subgroups.n_subgroups, dtype=np.int64)
        for block in blocks:
            rows += np.bincount(_numbers(job.subgroups(block, done)), minlength=len(rows))
            _, inverse, sizes = np.unique(_numbers(job.strata_of(block, done)), return_inverse=True, return_counts=True)
            others.append(sizes[inverse] - 1)
        donors[done.name] = float(np.median(np.concatenate(others)))
        words = [(done.feature.name, number, half + 1, where) for number, half, where in done.subgroups.in_words()]
        table = pd.DataFrame(words, columns=["feature", "subgroup", "half", "where"])
        told.append(table.assign(rows=rows)[list(SUBGROUP_COLUMNS)])
    summary = found.summary.assign(**{DONORS: [donors.get(name, math.nan) for name in found.summary["perturbation"]]})
    return replace(found, summary=summary, subgroups=pd.concat(told, ignore_index=True))


def _numbers(numbers: np.ndarray | None) -> np.ndarray:
    return np.empty(0, dtype=np.int64) if numbers is None else numbers
