"""PyTorch networks as predictors: called as a whole until they are fitted, then by branches where rows allow it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.branches.branch_predictor import fit_branches
from nnperm_mlflow.models.branches.columns import ColumnPredictor, Pieces
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.torch.calling import Calling, Way, exported_program, find_way
from nnperm_mlflow.models.torch.framework import TorchFramework
from nnperm_mlflow.models.torch.network import Network
from nnperm_mlflow.models.torch.outputs import outputs_of
from nnperm_mlflow.models.torch.program import Program
from nnperm_mlflow.models.torch.tensors import guarded, join_pieces, numpy_type, pieces_of, to_columns, to_tensor
from nnperm_mlflow.models.torch.unfolding import unfold

logger = logging.getLogger(__name__)

_NO_STACKING = 0  # rows of a call into which several changes go: more rows round some of them otherwise
_UNFOLDING_ROWS = 3  # by which lengths and costs are measured
_FEWEST_ROWS = 2  # by which it is found out how a module is called


class NetworkPredictor(WholeModelPredictor):
    """An exported program, called as a whole until it is fitted.

    Parameters
    ----------
    program : Program
    inputs : sequence of InputSpec
        In the program's order, by whatever names.
    """

    def __init__(self, program: Program, inputs: Sequence[InputSpec]) -> None:
        super().__init__(inputs, outputs_of(program), _NO_STACKING)
        self._program = program
        self._network = Network(program)

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        tensors = [
            guarded(to_tensor, inputs[spec.name], self._program.types[name])
            for spec, name in zip(self.inputs, self._program.inputs, strict=True)
        ]
        return to_columns(self._network(tensors), len(tensors[0]))

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Run the network by branches where some rows show that it can be, and as a whole otherwise."""
        branches = _fit_program(self._program, self.inputs, self.outputs, probe=probe, original=self.call, exact=exact)
        if branches is None:
            logger.info("the network cannot be run by branches: each perturbation is a call of the whole")
        return branches or super().fitted(probe, exact)


class ModulePredictor(WholeModelPredictor):
    """A module, called as a whole until it is fitted.

    Parameters
    ----------
    module : torch.nn.Module
        In the mode in which it shall predict.
    inputs : sequence of InputSpec
        As the signature names them.
    told_as : str
        What messages call the model.
    """

    def __init__(self, module: torch.nn.Module, inputs: Sequence[InputSpec], told_as: str) -> None:
        super().__init__(inputs, OutputSpec(), 0)
        self._module = module
        self._told_as = told_as
        self._way: Way | None = None

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        tensors = self._tensors(inputs)
        called = Calling(self._module, self._known_way(tensors))
        found = [guarded(called, *(it[rows].clone() for it in tensors)) for rows in pieces_of(len(tensors[0]))]
        return to_columns([join_pieces(list(parts)) for parts in zip(*found, strict=True)], len(tensors[0]))

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Run the module by branches of its exported graph where that gives its own numbers, else call it as it is."""
        tensors = self._tensors(probe)
        program = exported_program(Calling(self._module, self._known_way(tensors)), tensors)
        if program is not None:
            outputs = outputs_of(program)
            branches = _fit_program(program, self.inputs, outputs, probe=probe, original=self.call, exact=exact)
            if branches is not None:
                return branches
        logger.info("the network cannot be run by branches: each perturbation is a call of the whole")
        return super().fitted(probe, exact)

    def _known_way(self, tensors: Sequence[torch.Tensor]) -> Way:
        """Return how the module is called, found out by the first rows."""
        if self._way is None:
            names = [spec.name for spec in self.inputs]
            self._way = find_way(self._module, names, [it[:_FEWEST_ROWS] for it in tensors], self._told_as)
        return self._way

    def _tensors(self, inputs: Arrays) -> list[torch.Tensor]:
        types = [torch.from_numpy(np.empty(0, dtype=spec.dtype)).dtype for spec in self.inputs]
        return [to_tensor(inputs[spec.name], kind) for spec, kind in zip(self.inputs, types, strict=True)]


def _fit_program(
    program: Program,
    inputs: Sequence[InputSpec],
    outputs: OutputSpec,
    *,
    probe: Arrays,
    original: Callable[[Arrays], np.ndarray],
    exact: bool,
) -> Predictor | None:
    """Return a program that is run by branches, or None where that does not give a network's own numbers.

    Parameters
    ----------
    program : Program
    inputs : sequence of InputSpec
        In the program's order, by whatever names.
    outputs : OutputSpec
    probe : mapping of str to ndarray of shape (n_rows, ...)
    original : callable
        Predicts as the network itself does.
    exact : bool

    Returns
    -------
    Predictor or None
    """
    if any(numpy_type(program.types[name]) != spec.dtype for name, spec in zip(program.inputs, inputs, strict=True)):
        return None
    rows = [
        to_tensor(probe[spec.name][:_UNFOLDING_ROWS], program.types[name])
        for name, spec in zip(program.inputs, inputs, strict=True)
    ]
    try:
        unfolded = guarded(unfold, program, rows)
        if unfolded is None:
            return None
        named = {spec.name: unfolded.pieces[name] for name, spec in zip(program.inputs, inputs, strict=True)
                 if name in unfolded.pieces}  # fmt: skip
        branches = fit_branches(
            TorchFramework(unfolded.graph, unfolded.free),
            [piece for spec in inputs for piece in _cut_spec(spec, named, probe)],
            outputs,
            probe=_cut_rows(probe, named),
            original=lambda pieces: original(_put_together(pieces, inputs, named)),
            exact=exact,
        )
    except PredictionError as error:
        logger.debug("running by branches failed: %s", type(error.__cause__).__name__)  # its message may hold values
        return None
    return branches if branches is None or not named else ColumnPredictor(inputs, named, branches)


def _cut_spec(spec: InputSpec, pieces: Pieces, probe: Arrays) -> Iterator[InputSpec]:
    """Yield what the pieces of an input are, or the input, of the lengths that its rows have."""
    shape = probe[spec.name].shape[1:]
    if spec.name not in pieces:
        yield replace(spec, shape=shape)
        return
    for piece in pieces[spec.name]:
        yield InputSpec(piece.name, (piece.stop - piece.start, *shape[1:]), spec.dtype)


def _cut_rows(rows: Arrays, pieces: Pieces) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, array in rows.items():
        found.update({piece.name: piece.of(array) for piece in pieces[name]} if name in pieces else {name: array})
    return found


def _put_together(rows: Arrays, inputs: Sequence[InputSpec], pieces: Pieces) -> dict[str, np.ndarray]:
    """Return the inputs themselves from their pieces."""
    return {
        spec.name: np.concatenate([rows[piece.name] for piece in pieces[spec.name]], axis=1)
        if spec.name in pieces
        else rows[spec.name]
        for spec in inputs
    }
