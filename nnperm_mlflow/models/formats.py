"""What the file of a flavour holds, and so why it is not read without trust: code, pickles, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SKLEARN_KEYS = {"env", "loader_module", "model_path", "predict_fn", "python_version"}
"""What MLflow says of a scikit-learn model behind pyfunc; other keys name other files, code or settings to load."""

_NATIVE_KEYS = {"data", "env", "loader_module", "python_version"}
"""The same of a model that a library of trees has stored itself."""

_CODE = "pickles or code, which would run"
_NATIVE = (
    "a file of {maker}, which holds neither pickles nor code; but {reader}, a native library, would read it, and "
    "trusts what a file says of memory and indices"
)

_SKOPS = (
    "a skops file with types that are not known to be safe (trees are not: predictions follow their indices unchecked)"
)

_READ_NATIVELY = {
    ("mlflow.xgboost", ".ubj"): ("XGBoost", "XGBoost"),
    ("mlflow.xgboost", ".json"): ("XGBoost", "XGBoost"),
    ("mlflow.xgboost", ".xgb"): ("XGBoost", "XGBoost"),
    ("mlflow.lightgbm", ".lgb"): ("LightGBM", "LightGBM"),
    ("mlflow.catboost", ".cb"): ("CatBoost", "CatBoost"),
}
"""For a loader of MLflow and the ending of a file: what wrote it, and what reads it."""

_TREE_CLASSES = {
    "xgboost": {
        "xgboost.core.Booster": "Booster",
        **{
            f"xgboost.sklearn.{name}": name
            for name in ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")
        },
    },
    "lightgbm": {"lightgbm.basic.Booster": "Booster"},
    "catboost": {name: name for name in ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")},
}
"""For a flavour of trees: which classes its library reads by itself, as MLflow writes them, and how they are called."""

_NAMED_BY = {
    "xgboost": ("model_class", "xgboost.core.Booster"),
    "lightgbm": ("model_class", "lightgbm.basic.Booster"),
    "catboost": ("model_type", None),
}
"""For a flavour of trees: the key that names the class, and which it is where the key lacks."""

_CATBOOST_FORMATS = ("cbm", "json")
_FILE_KEYS = ("data", "model_binary", "model_path", "model_data")


@dataclass(frozen=True)
class TreeFile:
    """A file that a library of trees has written itself.

    Attributes
    ----------
    path : Path
    flavour : {"xgboost", "lightgbm", "catboost"}
    kind : str
        Class of that library which reads it, one of a list.
    stored_as : str
        Format by its library's name, where the ending does not tell.
    """

    path: Path
    flavour: str
    kind: str
    stored_as: str = ""


def tree_file(path: Path, mlmodel: Mapping[str, Any]) -> TreeFile | None:
    """Return the file by which a library of trees can have a model as MLflow serves it; None where code or a pickle is.

    Parameters
    ----------
    path : Path
        Directory with the MLmodel file.
    mlmodel : mapping
        What that file says.
    """
    flavours = {name: conf for name, conf in mlmodel["flavors"].items() if isinstance(conf, dict)}
    served = {key: value for key, value in flavours.get("python_function", {}).items() if value is not None}
    flavour = str(served.get("loader_module")).rpartition(".")[2]
    own = flavours.get(flavour, {})
    named = str(own.get("data"))
    if flavour not in _TREE_CLASSES:
        return None
    key, otherwise = _NAMED_BY[flavour]
    kind = _TREE_CLASSES[flavour].get(str(own.get(key, otherwise)))
    if kind is None or not _is_native(served, named) or own.get("code") or str(served.get("data")) != named:
        return None
    stored_as = str(own.get("save_format", "")) if flavour == "catboost" else ""
    if flavour == "catboost" and stored_as not in _CATBOOST_FORMATS:
        return None
    return TreeFile(path / named, flavour, kind, stored_as)


def _is_native(served: Mapping[str, Any], stored: str) -> bool:
    return set(served) <= _NATIVE_KEYS and (str(served["loader_module"]), Path(stored).suffix) in _READ_NATIVELY


def what_is_read(path: Path, mlmodel: Mapping[str, Any]) -> str:
    """Return what a pyfunc model is loaded from, as a reason not to.

    Parameters
    ----------
    path : Path
        Directory with the MLmodel file.
    mlmodel : mapping
        What that file says.

    Returns
    -------
    str
        Goes on after "its flavour is loaded by '...' from".
    """
    flavours = {name: conf for name, conf in mlmodel["flavors"].items() if isinstance(conf, dict)}
    loader = str(flavours["python_function"].get("loader_module"))
    own = flavours.get(loader.rpartition(".")[2], {})
    if any(conf.get("code") for conf in flavours.values()):
        return _CODE
    stored = next(
        (str(conf[key]) for conf in (own, flavours["python_function"]) for key in _FILE_KEYS if key in conf), ""
    )
    known_keys = {"mlflow.sklearn": SKLEARN_KEYS, "mlflow.lightgbm": _NATIVE_KEYS}.get(loader)
    if known_keys is not None and stored.endswith(".skops"):
        told = {key for key, value in flavours["python_function"].items() if value is not None}
        return _SKOPS if told <= known_keys else _CODE
    known = _READ_NATIVELY.get((loader, Path(stored).suffix))
    if known is None or tree_file(path, mlmodel) is None:
        return _CODE
    maker, reader = known
    return _NATIVE.format(maker=maker, reader=reader)
