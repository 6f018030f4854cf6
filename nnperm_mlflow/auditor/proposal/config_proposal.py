"""A configuration proposed for a version and its data: loaded, paired, tried out, with what is open told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnperm_mlflow.auditor.proposal.draft import Assumption, Draft, Question, Trial
from nnperm_mlflow.auditor.proposal.pairing import pair
from nnperm_mlflow.auditor.proposal.result import Proposal
from nnperm_mlflow.auditor.proposal.trial import alternatives, try_out
from nnperm_mlflow.basics.errors import AuditError, ConfigError, NoSuchFunctionError
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.inputs.arrays import read_array
from nnperm_mlflow.inputs.binding import bind_inputs, text_columns
from nnperm_mlflow.inputs.bound_inputs import probe_rows
from nnperm_mlflow.inputs.dataset import Dataset, Series, dataset_from, load_dataset
from nnperm_mlflow.inputs.slots import Kind
from nnperm_mlflow.models.class_probabilities import PREDICT_PROBA, serves_labels
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import ModelAccess
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_signature import columns_by_signature
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.connection import connected

logger = logging.getLogger(__name__)


def propose(
    model_uri: str, data: str | None = None, histories: Sequence[str] = (), *, trust_model: bool = False
) -> Proposal:
    """Find out how a version can be audited on some data: which of these each input receives.

    `write_config` makes a configuration of it, that is audited as it stands where nothing is open.

    Parameters
    ----------
    model_uri : str
        `models:/name/3`, `models:/name@alias`, `models:/m-...`, `runs:/...` or a local path.
    data : str, optional
        The static table: a csv or parquet file, a URL, or a run's artifact (`runs:/...`).
    histories : sequence of str
        Arrays with temporal data, in .npy or .npz files.
    trust_model : bool
        Allow code that came with the model to run.

    Returns
    -------
    Proposal

    Raises
    ------
    AuditError
        If model or data cannot be read.
    """
    if data is None and not histories:
        raise ConfigError("no data are named: give a table (--data clients.csv), arrays (--history h.npy), or both.")
    with ExitStack() as held:
        client, scratch = held.enter_context(connected())
        access = held.enter_context(closing(ModelAccess(trust_model)))
        reference = pin_model(client, model_uri)
        (scratch / "model").mkdir()
        model, predictor = _load(access, download_model(reference, scratch / "model"), reference)
        fetch = Fetcher(scratch / "data")
        table = _read(data, fetch, predictor)
        files = _named(histories, [*table.columns, *table.temporal])
        arrays = {name: read_array(name, location, fetch) for name, location in files.items()}
        signed = columns_by_signature(model.mlmodel, predictor.inputs, table.columns)
        draft = pair(predictor.inputs, table, arrays, signed, _count_outputs(predictor))
        draft.files.update(files)
        dataset = _together(table, draft, data or histories[0])
        trial = _try_out(predictor, dataset, draft)
        _decide_orders(draft, trial)
        output, kinds = _look_at_predictions(predictor, dataset, draft)
    rows = dataset.n_rows
    return Proposal(reference, tuple(predictor.inputs), data, rows, draft, trial, output, kinds, model.asks_for)


def _load(access: ModelAccess, model: ModelFiles, reference: ModelReference) -> tuple[ModelFiles, Predictor]:
    """Load a model; one that MLflow serves by labels is asked for probabilities, where it has them."""
    if serves_labels(model.mlmodel["flavors"]):
        asking = model.asking_for(PREDICT_PROBA)
        try:
            return asking, access.load(asking, reference)
        except NoSuchFunctionError:
            logger.debug("%s has no probabilities", reference)
    return model, access.load(model, reference)


def _read(static: str | None, fetch: Fetcher, predictor: Predictor) -> Dataset:
    if static is None:
        return Dataset({}, {}, 0)
    return load_dataset(DataConfig(static=static), fetch, text_columns(predictor.inputs, {}))


def _named(histories: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Return the locations of arrays by a name for each, as the files are called."""
    named: dict[str, str] = {}
    for location in histories:
        name = Path(location).name.partition(".")[0] or "history"
        while name in named or name in taken:
            name += "_"
        named[name] = location
    return named


def _count_outputs(predictor: Predictor) -> int | None:
    """Return how many outputs a model says it has; None where only a call tells."""
    columns = [column for head in predictor.outputs.heads for column in head.columns]
    return len(set(columns)) or len(predictor.outputs.names) or None


def _together(table: Dataset, draft: Draft, source: str) -> Dataset:
    """Return table and temporal data as one; they must have the same rows."""
    series = dict(draft.temporal)
    made = dataset_from(table.columns, series, draft.row_id, draft.label, source)
    draft.temporal.update(made.temporal)
    return replace(made, written=table.written, split=table.split)


def _try_out(predictor: Predictor, dataset: Dataset, draft: Draft) -> Trial | None:
    """Try out what is assumed where all inputs have data and the outcome is known."""
    if draft.label is None or draft.waiting(predictor.inputs):
        return None
    labels = dataset.columns[draft.label]
    if draft.assumptions:
        logger.info("trying out what is assumed, by the outcome '%s'", draft.label)
    try:
        trial = try_out(predictor, dataset, draft.reading, labels, draft.assumptions)
    except AuditError:  # it is told by the look at predictions
        return None
    if trial is not None:
        draft.inputs.update(trial.reading.inputs)
        draft.temporal.update(trial.reading.temporal)
    return trial


def _decide_orders(draft: Draft, trial: Trial | None) -> None:
    """Leave the order of steps open that neither names nor the outcome tell."""
    told = {finding.assumption for finding in trial.findings if finding.is_told} if trial else set()
    for assumption in draft.assumptions:
        if assumption.kind == "steps" and not assumption.told_by and assumption not in told:
            (turned,) = alternatives(draft.reading, assumption)
            both = draft.temporal[assumption.of], turned.temporal[assumption.of]
            draft.undecided[assumption.of] = both
            draft.questions.append(_which_first(assumption, both))


def _which_first(assumption: Assumption, both: tuple[Series, Series]) -> Question:
    firsts = [series.columns[series.channels[0]][0] for series in both]
    return Question(
        f"in which order the network takes the steps of '{assumption.of}': {firsts[0]} first, or {firsts[1]} first. "
        "Numbers alone do not tell, and no outcome does. Remove the # before one of the two blocks in the file"
    )


def _look_at_predictions(
    predictor: Predictor, dataset: Dataset, draft: Draft
) -> tuple[tuple[int | str | None, str], dict[str, Kind]]:
    """Predict some rows: what the model refuses is open, and of several outputs one has to be followed."""
    if draft.waiting(predictor.inputs):
        return (None, ""), {}
    try:
        inputs = bind_inputs(predictor.inputs, replace(dataset, temporal=draft.temporal), draft.inputs)
        some = predictor.begin([inputs.read(probe_rows(dataset.n_rows))])[0].baseline
    except AuditError as error:
        draft.questions.append(Question(f"what to do about data that the model does not take: {error}"))
        return (None, ""), {}
    return _output(some, predictor.outputs.names, draft), {name: one.kind for name, one in inputs.features.items()}


def _output(some: np.ndarray, names: Sequence[str], draft: Draft) -> tuple[int | str | None, str]:
    """Return which of several outputs to follow, and why; of what are no probabilities a person has to choose."""
    n_outputs = some.shape[1]
    called = f" ({', '.join(names)})" if names else ""
    if n_outputs == 1:
        return None, ""
    if np.nanmin(some) >= 0 and np.allclose(np.nansum(some, axis=1), 1, atol=1e-3):
        if n_outputs == 2:
            return 1, f"the second of two probabilities{called}"
        return "total_variation", f"how far all {n_outputs} probabilities{called} move; or one, 0 to {n_outputs - 1}"
    what = f"which of the model's {n_outputs} outputs{called} to follow, by its position, or how far all of them move"
    draft.questions.append(Question(what, (("analysis", "output: 0"), ("analysis", "output: l2"))))
    return None, ""
