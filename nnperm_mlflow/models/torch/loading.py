"""PyTorch networks as `mlflow.pytorch` logs them: by the graph of a pt2 archive, or trusted and called as they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np

from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError, name_list
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_signature import specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.torch.archive import ForeignPartError, read_archive
from nnperm_mlflow.models.torch.dependence import trained_parts
from nnperm_mlflow.models.torch.evaluated_text import check_evaluated_text
from nnperm_mlflow.models.torch.predictor import ModulePredictor, NetworkPredictor
from nnperm_mlflow.models.torch.program import Program, read_program
from nnperm_mlflow.models.torch.tensors import numpy_type

logger = logging.getLogger(__name__)

_ARCHIVE, _PICKLE = "model.pt2", "model.pth"
_WHY_ONE = (
    "torch.export fixes a length of one: log it again with an input_example of two or more rows (and a signature whose "
    "first axis is -1)."
)
_WHY_SEVERAL = (
    "Either its signature says so (its first axis has to be -1), or its own code makes a number of how many rows there "
    "are, which torch.export then fixes: log such a network with serialization_format='pickle'."
)


def load_pytorch(files: ModelFiles, reference: ModelReference, trust_model: bool) -> Predictor:
    """Load a network of the flavour pytorch.

    Parameters
    ----------
    files : ModelFiles
    reference : ModelReference
        For messages.
    trust_model : bool
        Where the graph of a pt2 archive does not do, load it as `mlflow.pytorch` does, pickles included.

    Returns
    -------
    Predictor
        With the inputs by the names that the signature gives them, else by those of the network's `forward`.

    Raises
    ------
    UntrustedModelError
        If it is a pickle, or an archive that holds more than a graph and weights, and is not trusted.
    ModelError
        If it takes a fixed number of rows, or cannot be loaded.
    """
    try:
        program = _served_program(_served_folder(files, reference), files, reference)
    except UntrustedModelError:
        if not trust_model:
            raise
        return _trusted(files, reference)
    _tell_of_training(program, reference)
    return NetworkPredictor(program, _specs(program, files, reference))


def _served_folder(files: ModelFiles, reference: ModelReference) -> Path:
    """Return where the network lies.

    Raises
    ------
    ModelError
        If the flavours pytorch and python_function name two places, of which MLflow serves the one or the other.
    """
    flavours = files.mlmodel["flavors"]
    named = {str(flavours["pytorch"].get("model_data"))}
    if isinstance(flavours.get("python_function"), dict):
        named.add(str(flavours["python_function"].get("data")))
    if len(named) > 1:
        raise ModelError(
            f"the MLmodel file of {reference} names two places for one network ({name_list(sorted(named))}): which of "
            "them is served depends on who loads it. Log the network again, in a directory of its own."
        )
    return files.path / named.pop()


def _own_code(files: ModelFiles) -> list[str]:
    """Return the folders that MLflow puts before all others from which modules are imported."""
    confs = [conf for conf in files.mlmodel["flavors"].values() if isinstance(conf, dict)]
    return sorted({conf["code"] for conf in confs if isinstance(conf.get("code"), str)})


def _served_program(folder: Path, files: ModelFiles, reference: ModelReference) -> Program:
    """Return the program that MLflow serves, if it is one and nothing runs with it."""
    if code := _own_code(files):
        raise refuse_untrusted(
            reference, f"beside the network lies {name_list(code)}, which would run where MLflow serves it"
        )
    if (folder / _PICKLE).exists() or not (folder / _ARCHIVE).is_file():
        raise refuse_untrusted(
            reference,
            f"its flavour pytorch holds a pickle ({_PICKLE}), and code in it would run. Logged with "
            "serialization_format='pt2' and an example of two or more rows, it is a graph that needs no trust",
        )
    try:
        archive = read_archive(folder / _ARCHIVE)
        check_evaluated_text(archive.program)
        return read_program(archive)
    except ForeignPartError as error:
        raise refuse_untrusted(reference, f"its pt2 archive {error}") from error


def _specs(program: Program, files: ModelFiles, reference: ModelReference) -> list[InputSpec]:
    """Return the inputs in the program's order: names from the signature, lengths and types from the program.

    Raises
    ------
    ModelError
        If it takes so and so many rows and no others.
    """
    names = _names(program.inputs, files, reference)
    specs = []
    for own, name in zip(program.inputs, names, strict=True):
        rows, *lengths = program.shapes[own] or (0,)
        if isinstance(rows, int):
            raise ModelError(
                f"the network of {reference} takes exactly {rows} row(s) as '{name}': so many had the example that it "
                f"was logged with. {_WHY_ONE if rows == 1 else _WHY_SEVERAL}"
            )
        shape = tuple(length if isinstance(length, int) else None for length in lengths)
        specs.append(InputSpec(name, shape, numpy_type(program.types[own])))
    return specs


def _names(own: Sequence[str], files: ModelFiles, reference: ModelReference) -> list[str]:
    """Return what a signature calls the inputs: by their own names where it has these, by place otherwise."""
    if not files.mlmodel.get("signature"):
        return [*own]
    specs = specs_from_signature(files.mlmodel, reference)
    names = [spec.name for spec in specs]
    if len(set(names)) != len(own) or any(spec.is_column for spec in specs):
        return [*own]
    return [*own] if set(names) == set(own) else names


def _tell_of_training(program: Program, reference: ModelReference) -> None:
    parts = trained_parts(program)
    if parts:
        logger.warning(
            "%s was logged in training mode (%s): it predicts by chance, or by the rows beside, and so does every "
            "service that loads it. Log it again after model.eval().",
            reference,
            name_list(parts),
        )


def _trusted(files: ModelFiles, reference: ModelReference) -> Predictor:
    """Load a network as MLflow does, and find out by the signature and the first rows how it is called."""
    specs = _signed_specs(files, reference)
    try:
        module = mlflow.pytorch.load_model(str(files.path), map_location="cpu", weights_only=False)
    except ImportError:
        raise
    except Exception as error:  # code of a trusted model may raise anything
        raise ModelError(
            f"{reference} cannot be loaded with its own code either ({type(error).__name__}). mlflow.pytorch stores no "
            "classes with a pickle: log it with code_paths=[...], or with serialization_format='pt2', which needs none."
        ) from error
    return ModulePredictor(module, specs, str(reference))


def _signed_specs(files: ModelFiles, reference: ModelReference) -> list[InputSpec]:
    """Return the tensors that a signature names; of columns MLflow makes one, of float32 numbers in their order.

    Raises
    ------
    ModelError
        If it names none, or cells hold arrays.
    """
    specs = specs_from_signature(files.mlmodel, reference)
    columns = [spec.name for spec in specs if spec.is_column]
    if not columns:
        return specs
    if any(spec.shape for spec in specs):
        raise ModelError(
            f"the signature of {reference} has arrays in the cells of a table, of which mlflow.pytorch makes no "
            "tensor. Log it with a signature of the tensors that it takes: infer_signature({'name': array, ...}, ...)."
        )
    return [InputSpec("num_input", (len(columns),), np.dtype(np.float32))]
