"""A loader for XGBoost, LightGBM and CatBoost: their own files by their own readers, the rest through pyfunc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.class_probabilities import advice_for, as_asked
from nnperm_mlflow.models.formats import TreeFile, tree_file, what_is_read
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_signature import output_names, specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.pyfunc import load_pyfunc
from nnperm_mlflow.models.table_predictor import TablePredictor
from nnperm_mlflow.models.trees.categories import Categorizing, categories_by_column, with_domains
from nnperm_mlflow.models.trees.readers import TreeModel, read_trees


def load_trees(files: ModelFiles, reference: ModelReference, trust_model: bool) -> Predictor:
    """Load a model of trees: from its library's own file by a class of a list, otherwise through pyfunc.

    Parameters
    ----------
    files : ModelFiles
    reference : ModelReference
        For messages.
    trust_model : bool
        Allow a native reader that does not check what a file says of memory and indices; or code and pickles, where
        the model has these.

    Returns
    -------
    Predictor

    Raises
    ------
    UntrustedModelError
        If the model is not trusted.
    NoSuchFunctionError
        If it is asked for probabilities, and is no classifier.
    ModelError
        If it has no signature, its columns are not the file's features, it is not certain which of them are
        categories, or the file cannot be read.
    """
    file = tree_file(files.path, files.mlmodel)
    if file is None:
        return load_pyfunc(files, reference, trust_model)
    specs = specs_from_signature(files.mlmodel, reference)
    if not trust_model:
        raise refuse_untrusted(reference, f"it lies in {what_is_read(files.path, files.mlmodel)}")
    model = _read(file, reference)
    _refuse_other_features(model, specs, file, reference)
    categories = _certain_categories(model, specs, file, reference)
    specs = with_domains(specs, categories, f"the file of {file.flavour}")
    called = as_asked(model.estimator, model, files, reference)
    served, advice = Categorizing(called.predict, categories), advice_for(model.estimator)
    return TablePredictor(
        served, specs, files.mlmodel["flavors"], output_names(files.mlmodel), advice=advice, walks_trees=True
    )


def _read(file: TreeFile, reference: ModelReference) -> TreeModel:
    try:
        return read_trees(file)
    except ImportError:
        raise
    except Exception as error:  # each library has its own, and some raise what Python does
        raise ModelError(
            f"{reference} cannot be read from {file.path.name} ({type(error).__name__}). Is {file.flavour} here as new "
            "as the one that it was logged with (its requirements.txt)?"
        ) from error


def _refuse_other_features(
    model: TreeModel, specs: Sequence[InputSpec], file: TreeFile, reference: ModelReference
) -> None:
    """Refuse a signature by which features would come under other names, in another order or number, than in training.

    Raises
    ------
    ModelError
    """
    takes_columns = specs[0].is_column
    columns = [spec.name for spec in specs]
    if takes_columns and model.names and not _are_same(columns, model.names, file.flavour):
        raise ModelError(
            f"{reference} was fitted to the columns {name_list(model.names)}, as {file.path.name} says, and its "
            f"signature has {name_list(columns)}. MLflow passes columns in the order of its signature, and the library "
            "takes them by their places. Log it again with infer_signature(X, ...) of the table that it was fitted to."
        )
    told = len(columns) if takes_columns else specs[0].n_cells
    if told != model.n_features and not (not takes_columns and None in specs[0].shape):
        raise ModelError(
            f"{reference} has {model.n_features} features, as {file.path.name} says, and its signature has {told}. Log "
            "it again with infer_signature(X, ...) of what it was fitted to."
        )


def _certain_categories(
    model: TreeModel, specs: Sequence[InputSpec], file: TreeFile, reference: ModelReference
) -> dict[str, Sequence[Any]]:
    """Return the categories of each column that has some, or refuse a model of which these columns are not certain.

    Raises
    ------
    ModelError
    """
    categories = categories_by_column(model, specs)
    if categories is None:
        raise ModelError(
            f"{reference} was fitted to categories of pandas, and neither {file.path.name} nor the signature says for "
            "certain which columns they are. Log it again fitted to categories of text, with infer_signature(X, ...) "
            "of that table, or fitted to their codes and no categories of pandas."
        )
    return categories


def _are_same(columns: Sequence[str], names: Sequence[str], flavour: str) -> bool:
    if flavour == "lightgbm":  # writes its names without spaces
        return [column.replace(" ", "_") for column in columns] == list(names)
    return list(columns) == list(names)
