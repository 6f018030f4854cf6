"""A model whose own code runs in another process, as a predictor: rows, changes and predictions pass, and nothing else.

The whole predictor stands on the other side, so that branches are reused and changes are stacked as they would be here,
and the numbers are the same to the last bit.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models.isolation._facts import Facts
from nnperm_mlflow.models.isolation.process import Answer, ModelProcess
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference

logger = logging.getLogger(__name__)

Check = Callable[["IsolatedPredictor", Arrays], None]

_NO_FACTS = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class IsolatedBlock:
    """Some rows on which a model has been called in its process.

    Parameters
    ----------
    process : ModelProcess
    number : int
        By which they are known there.
    baseline : ndarray of shape (n_rows, n_outputs)
    """

    def __init__(self, process: ModelProcess, number: int, baseline: np.ndarray) -> None:
        self.baseline = baseline
        self._process = process
        self._number = number
        weakref.finalize(self, process.forget, number)

    def predict(self, changes: Iterable[Change]) -> Generator[np.ndarray, None, None]:
        """Yield, for each change, predictions of shape (n_rows, n_outputs) with other inputs as they were."""
        for predicted in self._process.predict(self._number, changes):
            if predicted.shape != self.baseline.shape:
                raise _wrong(f"predictions of shape {predicted.shape} for those of shape {self.baseline.shape}")
            yield predicted


class IsolatedPredictor:
    """A model in a process of its own.

    Parameters
    ----------
    process : ModelProcess
        That has loaded it.
    facts : Facts
    runs_code : bool
        Whether code that came with the model may run there.
    backend : str, optional
        What Keras runs on there, where that is not TensorFlow and the model is a network of Keras.
    check : callable, optional
        Is called with this and some rows before it is fitted to them, and raises what stands against that.
    """

    def __init__(
        self,
        process: ModelProcess,
        facts: Facts,
        runs_code: bool,
        *,
        backend: str | None = None,
        check: Check | None = None,
    ) -> None:
        self.runs_code = runs_code
        self.backend = backend
        self._process = process
        self._facts = facts
        self._check = check

    @property
    def inputs(self) -> Sequence[InputSpec]:
        """What the model takes."""
        return self._facts.inputs

    @property
    def outputs(self) -> OutputSpec:
        """What it predicts."""
        return self._facts.outputs

    @property
    def calls(self) -> int:
        """Calls of the model, or of a part of it, so far."""
        return self._process.calls

    @property
    def shares(self) -> Mapping[str, float]:
        """For each input the share of the model's work that is done again when it changes."""
        return self._facts.shares

    @property
    def reuses(self) -> bool:
        """Whether any input leaves a part of the model as it was."""
        return self._facts.reuses

    @property
    def row_bytes(self) -> int:
        """Memory that the model takes for a row of a call besides its inputs, about."""
        return self._facts.row_bytes

    @property
    def kept_bytes(self) -> int:
        """Memory that is kept of a row that was begun, about."""
        return self._facts.kept_bytes

    @property
    def largest_difference(self) -> float:
        """By how much a prediction was seen to differ from the model's own."""
        return self._facts.largest_difference

    def begin(self, parts: Sequence[Arrays]) -> list[IsolatedBlock]:
        """Predict parts of rows as they are; what can be used again is kept in the other process."""
        told, baselines = self._process.ask("begin", parts=[dict(part) for part in parts])
        numbers = told.get("blocks")
        if not isinstance(numbers, list) or not len(numbers) == len(baselines) == len(parts):
            raise _wrong(f"{len(baselines)} baselines for {len(parts)} parts of the rows")
        for part, baseline in zip(parts, baselines, strict=True):
            n_rows = len(next(iter(part.values())))
            if baseline.ndim != 2 or len(baseline) != n_rows:
                raise _wrong(f"baselines of shape {baseline.shape} for {n_rows} rows")
        return [IsolatedBlock(self._process, *each) for each in zip(map(int, numbers), baselines, strict=True)]

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the model predicts rows in which something is missing by finite numbers."""
        return self._process.ask("takes", rows=dict(rows))[0].get("takes") is True

    def fitted(self, probe: Arrays, exact: bool = True) -> IsolatedPredictor:
        """Have the fastest predictor found that gives the same numbers, and go on with that."""
        if self._check is not None:
            self._check(self, probe)
        answer = self._process.ask("fit", probe=dict(probe), exact=exact)
        return IsolatedPredictor(self._process, _facts(answer), self.runs_code, backend=self.backend)


def load_isolated(
    process: ModelProcess,
    files: ModelFiles,
    reference: ModelReference,
    *,
    trust_model: bool = True,
    check: Check | None = None,
) -> IsolatedPredictor:
    """Load a model in a process of its own, by its own code only where it is trusted and cannot be had without.

    Parameters
    ----------
    process : ModelProcess
        That nothing was loaded in.
    files : ModelFiles
        On this machine.
    reference : ModelReference
        For messages.
    trust_model : bool
        Allow code that came with the model to run there.
    check : callable, optional
        See `IsolatedPredictor`.

    Returns
    -------
    IsolatedPredictor

    Raises
    ------
    ModelError
        As `models.loaders.load_predictor` does.
    """
    level = logging.getLogger(__name__).getEffectiveLevel()
    own = replace(files, path=files.path.absolute())
    shown = ModelReference(reference.uri, reference.uri)
    answer = process.ask("load", files=own, reference=shown, level=level, trust_model=trust_model)
    runs_code, backend = answer[0].get("runs_code") is not False, answer[0].get("backend")
    backend = None if backend is None else printable(str(backend))
    return IsolatedPredictor(process, _facts(answer), runs_code, backend=backend, check=check)


def _facts(answer: Answer) -> Facts:
    try:
        return Facts.from_json(answer[0]["facts"])
    except _NO_FACTS as error:
        raise _wrong("no facts about the model") from error


def _wrong(what: str) -> ModelError:
    return ModelError(f"the process in which the model's own code runs gave {what}: its code has interfered with it.")
