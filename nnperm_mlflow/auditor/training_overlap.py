"""How many of the audited rows a model was fitted to, as far as the data that its run names can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import DataError, name_list
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.inputs.specs import Fetch
from nnperm_mlflow.inputs.tables import Table, read_table
from nnperm_mlflow.registry.training_data import TrainingData
from nnperm_mlflow.verdict.training_rows import MOST_OF_TRAINING, TrainingOverlap


def training_overlap(dataset: Dataset, sources: Iterable[TrainingData], fetch: Fetch) -> TrainingOverlap:
    """Return the share of rows that are among those of the training.

    Rows are the same where they hold the same in all columns that both tables have, but for the rows' names, labels and
    clusters: numbers to the precision of float32, all else as text.

    Parameters
    ----------
    dataset : Dataset
        The audited rows.
    sources : iterable of TrainingData
        What the model's run names.
    fetch : callable
        Turns a location into a local file.

    Returns
    -------
    TrainingOverlap
        Without a share, and with the reason, where no training data can be read, or the columns that both have do not
        tell rows apart.
    """
    sources = list(sources)
    if not sources:
        return TrainingOverlap(
            reason="the model's run names no training data (mlflow.log_input(..., context='training'))"
        )
    roles = {dataset.row_id, dataset.label, dataset.cluster}
    found, read, unread = np.zeros(dataset.n_rows, dtype=bool), [], []
    for source in sources:
        try:
            table = _read(source, fetch)
            shared = [name for name in dataset.columns if name in table and name not in roles]
            known = _digests(dataset.columns, table, shared)
        except DataError as error:
            unread.append(f"{source}: {error}")
            continue
        if _alike(known[0]) > MOST_OF_TRAINING:
            unread.append(f"{source}: {_named(shared)} do not tell the audited rows apart")
            continue
        found |= np.isin(*known)
        read.append(str(source))
    if unread:  # rows may be in the data that could not be read
        return TrainingOverlap(reason="; ".join(unread).rstrip("."))
    return TrainingOverlap(float(found.mean()), name_list(read))


def _read(source: TrainingData, fetch: Fetch) -> Table:
    if source.location is None:
        raise DataError("it is named without a place where its rows could be read")
    return read_table(source.location, fetch)


def _digests(audited: Mapping[str, np.ndarray], training: Table, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return a digest of each row of both tables, over columns that both have; shapes (n_rows,), uint64."""
    if not names:
        raise DataError("it has no column in common with the audited data")
    columns: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = {}, {}
    for name in names:
        pair = np.asarray(audited[name]), np.asarray(training[name])
        are_numbers = all(values.dtype.kind in "biuf" for values in pair)
        for side, values in zip(columns, pair, strict=True):
            side[name] = values.astype(np.float32) + np.float32(0) if are_numbers else values.astype(str).astype(object)
    first, second = (pd.util.hash_pandas_object(pd.DataFrame(side), index=False).to_numpy() for side in columns)
    return first, second


def _alike(digests: np.ndarray) -> float:
    """Return the share of rows that are as another one."""
    _, place, counts = np.unique(digests, return_inverse=True, return_counts=True)
    return float((counts[place] > 1).mean())


def _named(names: list[str]) -> str:
    return f"the columns that both have ({name_list(names)})"
