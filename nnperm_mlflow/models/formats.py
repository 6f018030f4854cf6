"""What the file of a flavour holds, and so why it is not read without trust: code, pickles, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SKLEARN_KEYS = {"env", "loader_module", "model_path", "predict_fn", "python_version"}
"""What MLflow says of a scikit-learn model behind pyfunc; other keys name other files, code or settings to load."""

_CODE = "pickles or code, which would run"
_NATIVE = (
    "a file of {maker}, which holds neither pickles nor code; but {reader}, a native library, would read it, and "
    "trusts what a file says of memory and indices"
)

_SKOPS = (
    "a skops file with types that are not known to be safe (trees are not: predictions follow their indices unchecked)"
)

_READ_NATIVELY = {
    ("mlflow.onnx", ".onnx"): ("ONNX", "ONNX Runtime"),
    ("mlflow.xgboost", ".ubj"): ("XGBoost", "XGBoost"),
    ("mlflow.xgboost", ".json"): ("XGBoost", "XGBoost"),
    ("mlflow.xgboost", ".xgb"): ("XGBoost", "XGBoost"),
    ("mlflow.lightgbm", ".lgb"): ("LightGBM", "LightGBM"),
    ("mlflow.catboost", ".cb"): ("CatBoost", "CatBoost"),
}
"""For a loader of MLflow and the ending of a file: what wrote it, and what reads it."""

_CLASS_PACKAGES = {"mlflow.xgboost": "xgboost.", "mlflow.lightgbm": "lightgbm."}
"""Where the class of a model comes from that its flavour names; MLflow imports whatever stands there."""

_FILE_KEYS = ("data", "model_binary", "model_path", "model_data")


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
    if loader == "mlflow.sklearn" and stored.endswith(".skops"):
        told = {key for key, value in flavours["python_function"].items() if value is not None}
        return _SKOPS if told <= SKLEARN_KEYS else _CODE
    known = _READ_NATIVELY.get((loader, Path(stored).suffix))
    if known is None or not str(own.get("model_class", "")).startswith(_CLASS_PACKAGES.get(loader, "")):
        return _CODE
    maker, reader = known
    return _NATIVE.format(maker=maker, reader=reader)
