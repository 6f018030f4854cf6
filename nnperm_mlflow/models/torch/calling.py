"""How a module takes its inputs (one tensor, in an order, by name, in a dict, in a tuple), and its graph from that."""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models.torch.archive import read_archive
from nnperm_mlflow.models.torch.program import Program, read_program
from nnperm_mlflow.models.torch.tensors import guarded

logger = logging.getLogger(__name__)

_EXPORTED_ROWS = 8  # of an example; their number is left open
_FEWEST_ROWS = 2  # a length of one is taken for one that never varies

Way = Callable[[torch.nn.Module, Sequence[torch.Tensor]], Any]
"""Calls a module with tensors in the signature's order."""


class Calling(torch.nn.Module):
    """A module that takes tensors in an order and gives tensors in a tuple, whatever the one inside does.

    Parameters
    ----------
    module : torch.nn.Module
    way : callable
    """

    def __init__(self, module: torch.nn.Module, way: Way) -> None:
        super().__init__()
        self.module = module
        self._way = way

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs in order, those of a dict in its own; numbers of all rows together (a loss) are none."""
        return tuple(it for it in _tensors_in(self._way(self.module, tensors)) if it.ndim)


def _tensors_in(given: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401 - whatever a module returns
    """Yield the tensors of nested tuples, lists and dicts."""
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, (tuple, list)):
        for part in given:
            yield from _tensors_in(part)
    elif given is not None:
        if not isinstance(given, torch.Tensor):
            raise TypeError(f"a network gives tensors, and this one a {type(given).__name__}")
        yield given


def find_way(module: torch.nn.Module, names: Sequence[str], tensors: Sequence[torch.Tensor], told_as: str) -> Way:
    """Return the first way of calling a module in which it predicts for some rows.

    Parameters
    ----------
    module : torch.nn.Module
    names : sequence of str
        Of its inputs, as the signature has them.
    tensors : sequence of Tensor of shape (n_rows, ...)
        A few rows of each.
    told_as : str
        What messages call the model.

    Returns
    -------
    callable

    Raises
    ------
    ModelError
        If it cannot be called in any way that is known.
    """
    errors = []
    for told, way in _ways(module, names, len(tensors)):
        try:
            guarded(Calling(module, way), *tensors)
        except Exception as error:  # code of a trusted model may raise anything, and its words may hold data
            errors.append(f"{told}: {type(error.__cause__ or error).__name__}")
            continue
        logger.debug("the network is called %s", told)
        return way
    raise ModelError(
        f"{told_as} cannot be called with its inputs {name_list(names)}: {'; '.join(errors)}. Its forward takes "
        f"{name_list(_parameters(module)) or 'nothing by name'}. Log it with a signature of the tensors that it takes, "
        "in their order or by their names."
    )


def _ways(module: torch.nn.Module, names: Sequence[str], n_tensors: int) -> Iterator[tuple[str, Way]]:
    """Yield ways of calling a module, in words and as functions, those that its parameters speak for first."""
    parameters = _parameters(module)
    by_name = n_tensors == len(names) and set(names) <= set(parameters)
    if by_name and n_tensors > 1:
        yield "by name", lambda it, tensors: it(**dict(zip(names, tensors, strict=True)))
    if n_tensors == 1 or len(parameters) != 1:
        yield "with tensors in their order", lambda it, tensors: it(*tensors)
    if n_tensors == len(names):
        yield "with a dict", lambda it, tensors: it(dict(zip(names, tensors, strict=True)))
    yield "with a tuple", lambda it, tensors: it(tuple(tensors))
    yield "with a list", lambda it, tensors: it(list(tensors))
    if by_name and n_tensors == 1:
        yield "by name", lambda it, tensors: it(**dict(zip(names, tensors, strict=True)))


def _parameters(module: torch.nn.Module) -> list[str]:
    """Return the names of what a module's `forward` takes without saying what it would take otherwise."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY)
    return [it.name for it in parameters if it.kind in named]


def exported_program(calling: Calling, tensors: Sequence[torch.Tensor]) -> Program | None:
    """Return the program of a module for any number of rows, or None for one that cannot be written as a graph."""
    example = tuple(it[:_EXPORTED_ROWS].clone() for it in tensors)
    if len(example[0]) < _FEWEST_ROWS:
        return None
    file = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            rows = ({0: torch.export.Dim.AUTO} for _ in example)
            exported = torch.export.export(calling, example, dynamic_shapes=(tuple(rows),))
            torch.export.save(exported, file)
        return read_program(read_archive(file))
    except Exception as error:  # what a module's own code makes of being traced can be anything
        logger.debug("the network cannot be exported: %s", type(error).__name__)  # its message may hold values
        return None
