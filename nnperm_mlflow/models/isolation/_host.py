"""The model's side: loads a model, and answers what the audit asks of it."""

from __future__ import annotations

import logging
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from io import RawIOBase
from typing import Any

import numpy as np

from nnperm_mlflow.basics.errors import AuditError
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.inputs.specs import Arrays
from nnperm_mlflow.models.isolation._facts import Facts
from nnperm_mlflow.models.isolation._frames import send_answer
from nnperm_mlflow.models.loaders import load_as_needed, load_without_code
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.predictor import Block, Predictor

OWN_LOGGER = "nnperm_mlflow"
_OF_PREDICTIONS = ("go on", "stop")
_TALKING = ("tensorflow", "absl")  # of themselves, below an error


class Speaker(logging.Handler):
    """Sends answers, and what is logged meanwhile, one after the other from whatever thread.

    Parameters
    ----------
    stream : RawIOBase
        To the audit.
    """

    def __init__(self, stream: RawIOBase) -> None:
        super().__init__()
        self._stream = stream
        self._turn = threading.Lock()

    def say(self, told: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
        """Send an answer."""
        with self._turn:
            send_answer(self._stream, told, arrays)

    def emit(self, record: logging.LogRecord) -> None:
        """Send what is logged."""
        self.say({"is": "log", "logger": record.name, "level": record.levelno, "text": record.getMessage()})


class Host:
    """A model, and the rows that were begun.

    Parameters
    ----------
    waiting : SimpleQueue
        Messages of the audit.
    speaker : Speaker
    """

    def __init__(self, waiting: queue.SimpleQueue[Any], speaker: Speaker) -> None:
        self._waiting = waiting
        self._speaker = speaker
        self._predictor: Predictor
        self._blocks: dict[int, Block] = {}
        self._n_begun = 0

    def serve(self) -> None:
        """Answer one request after the other."""
        verbs: dict[str, Callable[..., None]] = {
            "load": self._load,
            "fit": self._fit,
            "takes": self._takes,
            "begin": self._begin,
            "predict": self._predict,
        }
        while True:
            request = self._waiting.get()
            if request["do"] in _OF_PREDICTIONS:
                continue  # it was on its way when the prediction ended
            for number in request.pop("forget", ()):
                self._blocks.pop(number, None)
            try:
                verbs[request.pop("do")](**request)
            except BaseException as error:  # a model may raise anything, SystemExit included
                self._tell_error(error)

    def _load(self, files: ModelFiles, reference: ModelReference, level: int, trust_model: bool) -> None:
        logging.getLogger(OWN_LOGGER).setLevel(level)
        for name in _TALKING:
            logging.getLogger(name).setLevel(logging.ERROR)
        load = load_as_needed if trust_model else load_without_code
        self._predictor, runs_code = load(files, reference)
        backend = getattr(self._predictor, "backend", None)
        self._answer({"runs_code": runs_code, "backend": backend, "facts": Facts.of(self._predictor).to_json()})

    def _fit(self, probe: Arrays, exact: bool) -> None:
        self._predictor = self._predictor.fitted(probe, exact)
        self._answer({"facts": Facts.of(self._predictor).to_json()})

    def _takes(self, rows: Arrays) -> None:
        self._answer({"takes": self._predictor.takes(rows)})

    def _begin(self, parts: Sequence[Arrays]) -> None:
        blocks = self._predictor.begin(parts)
        numbers = range(self._n_begun, self._n_begun + len(blocks))
        self._n_begun = numbers.stop
        self._blocks.update(zip(numbers, blocks, strict=True))
        self._answer({"blocks": list(numbers)}, [block.baseline for block in blocks])

    def _predict(self, block: int) -> None:
        with closing(self._blocks[block].predict(self._changes())) as predictions:
            try:
                for predicted in predictions:
                    self._speaker.say({"is": "predicted"}, [predicted])
            except _StoppedError:
                pass
        self._answer({})

    def _changes(self) -> Iterator[Change]:
        """Yield changes; the audit sends some ahead, and is asked for more where these do not do."""
        while True:
            if self._waiting.empty():
                self._speaker.say({"is": "wanting"})
            message = self._waiting.get()
            if message["do"] == "stop":
                raise _StoppedError
            if message["change"] is None:
                return
            yield message["change"]

    def _answer(self, told: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
        self._speaker.say({"is": "answer", "calls": self._predictor.calls, **told}, arrays)

    def _tell_error(self, error: BaseException) -> None:
        own = isinstance(error, AuditError)
        self._speaker.say(
            {
                "is": "error",
                "kind": type(error).__name__,
                "own": own,
                "text": str(error) if own else "",
                "trace": "".join(traceback.format_exception(error)),
            }
        )


class _StoppedError(Exception):
    """The audit wants no more predictions of a block."""
