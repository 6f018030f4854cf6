"""The table of all kinds of logged model in docs/models.md: each is logged and audited, beside its own library."""

import logging
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.basics.errors import AuditError
from tests.support.logged_kinds import (
    TABLE,
    TWO,
    Kind,
    answering,
    as_mlflow_writes,
    python_model,
    python_model_from_code,
    sklearn,
    trees,
)
from tests.support.network_kinds import of_keras, of_keras_2, of_onnx, of_tensorflow, of_torch

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
MARKS = "<!-- kinds of models, written by tests/whole/test_kinds_of_models.py -->\n", "<!-- end of kinds -->"
WRITES = os.environ.get("NNPERM_WRITE_KINDS") == "1"
PICKLE = {"serialization_format": "cloudpickle"}
KERAS, TORCH, ONNX = ("keras",), ("torch",), ("onnx", "onnxruntime", "torch", "skl2onnx")

KINDS = [
    Kind("Keras, functional", "`mlflow.tensorflow`", of_keras("functional"), TWO, packages=KERAS),
    Kind("Keras, functional", "`mlflow.keras`", of_keras("functional", "keras"), TWO, packages=KERAS),
    Kind("Keras, sequential", "`mlflow.tensorflow`", of_keras("sequential"), columns=("a", "b"), packages=KERAS),
    Kind("Keras, with a Lambda layer", "`mlflow.tensorflow`", of_keras("lambda"), TWO, packages=KERAS),
    Kind("Keras, a class of its own", "`mlflow.tensorflow`", of_keras("subclass"), columns=("a", "b"), packages=KERAS),
    Kind("Keras, HDF5", '`keras_model_kwargs={"save_format": "h5"}`',
         of_keras("functional", keras_model_kwargs={"save_format": "h5"}), TWO, packages=KERAS),
    Kind("Keras 2", "by MLflow 1 and 2", of_keras_2, columns=("a", "b"), packages=("keras", "tf_keras")),
    Kind("TensorFlow module", "`mlflow.tensorflow`", of_tensorflow, columns=("a", "b"), packages=KERAS),
    Kind("PyTorch, one tensor", "`pt2` (default)", of_torch("One", "pt2"), columns=("a", "b"), packages=TORCH),
    Kind("PyTorch, several tensors", "`pt2` (default)", of_torch("Several", "pt2"), TWO, packages=TORCH),
    Kind("PyTorch, one tensor", '`serialization_format="pickle"`', of_torch("One", "pickle"), columns=("a", "b"),
         packages=TORCH),
    Kind("PyTorch, several tensors", '`serialization_format="pickle"`', of_torch("Several", "pickle"), TWO,
         packages=TORCH),
    Kind("PyTorch, a dict", '`serialization_format="pickle"`', of_torch("Dictionary", "pickle"), TWO, packages=TORCH),
    Kind("PyTorch, a tuple", '`serialization_format="pickle"`', of_torch("Pair", "pickle"), TWO, packages=TORCH),
    Kind("ONNX of PyTorch", "`mlflow.onnx`", of_onnx("torch"), TWO, packages=ONNX),
    Kind("ONNX of PyTorch", "without a signature", of_onnx("torch", is_signed=False), TWO, packages=ONNX),
    Kind("ONNX of scikit-learn's classifier", "`mlflow.onnx`", of_onnx("sklearn"), columns=("a", "b"), packages=ONNX),
    Kind("scikit-learn, regressor", "`skops` (default)", sklearn("regressor")),
    Kind("scikit-learn, classifier", "`skops` (default)", sklearn("classifier")),
    Kind("scikit-learn, pipeline", "`skops` (default)", sklearn("pipeline")),
    Kind("scikit-learn, forest", "`skops`, types named", sklearn(
        "forest", skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"])),
    Kind("scikit-learn, regressor", '`serialization_format="cloudpickle"`', sklearn("regressor", **PICKLE)),
    Kind("scikit-learn, classifier", '`serialization_format="cloudpickle"`', sklearn("classifier", **PICKLE)),
    Kind("scikit-learn, forest", '`serialization_format="cloudpickle"`', sklearn("forest", **PICKLE)),
    Kind("XGBoost, Booster", "`mlflow.xgboost`", trees("xgboost", "Booster"), packages=("xgboost",)),
    Kind("XGBoost, classifier", "`mlflow.xgboost`", trees("xgboost", "XGBClassifier"), packages=("xgboost",)),
    Kind("XGBoost, regressor", '`model_format="json"`', trees("xgboost", "XGBRegressor", model_format="json"),
         packages=("xgboost",)),
    Kind("LightGBM, Booster", "`mlflow.lightgbm`", trees("lightgbm", "Booster"), packages=("lightgbm",)),
    Kind("LightGBM, classifier", "`skops` (default)", trees("lightgbm", "LGBMClassifier"), packages=("lightgbm",)),
    Kind("LightGBM, regressor", "`skops` (default)", trees("lightgbm", "LGBMRegressor"), packages=("lightgbm",)),
    Kind("CatBoost, classifier", "`mlflow.catboost`", trees("catboost", "CatBoostClassifier"), packages=("catboost",)),
    Kind("CatBoost, regressor", "`mlflow.catboost`", trees("catboost", "CatBoostRegressor"), packages=("catboost",)),
    Kind("`PythonModel`, a class", "`mlflow.pyfunc`", python_model),
    Kind("`PythonModel`, from code", "`mlflow.pyfunc`", python_model_from_code),
    Kind("a model that answers in text, as of LangChain", "`mlflow.pyfunc`", answering),
    *(
        Kind(name, f"`mlflow.{flavour}`", as_mlflow_writes(flavour, stored), missing=package)
        for name, flavour, stored, package in [
            ("statsmodels", "statsmodels", "model.statsmodels", "statsmodels"),
            ("Prophet", "prophet", "model.pr", "prophet"),
            ("Spark", "spark", "sparkml", "pyspark"),
            ("H2O", "h2o", "model.h2o", "h2o"),
            ("Transformers", "transformers", None, "transformers"),
        ]
    ),
]  # fmt: skip

WHY = {
    r"from pickles or code|holds a pickle": "pickles or code",
    r"a file of ([\w-]+), which holds": r"a file of \1: a native reader",
    r"its pt2 archive": "more than a graph and weights",
    r"a skops file with types": "skops: types that are not known to be safe",
    r"needs the package '(\w+)[\w.]*'": r"needs `\1`, not installed here",
    r"has none of the flavours": "MLflow serves it by no flavour",
    r"the model failed \((\w+)\)": r"the call fails (\1)",
    r"are no numbers but labels": "text is no number",
    r"without a signature": "no signature",
    r"Lambda": "a Lambda layer",
    r"beside the network lies": "code or pickles beside it",
}
"""How the table says why a model is refused, by what its error says."""


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("mlflow").setLevel(logging.ERROR)


def test_the_table_of_all_kinds_is_what_is_seen(tmp_path, tracked, monkeypatch):
    """Each is audited without trust, and with it where that is refused; deviations are those of its own library."""
    for package in {package for kind in KINDS for package in kind.packages}:
        pytest.importorskip(package)
    lines = ["| model | logged by | without `--trust-model` | with it | predicts | reused |", "|" + " --- |" * 6]
    for number, kind in enumerate(KINDS):
        with monkeypatch.context() as patched:
            if kind.missing:
                patched.setitem(sys.modules, kind.missing, None)
            lines.append(line_of(kind, tmp_path / str(number)))
    table = "\n".join(lines) + "\n"
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    found, _, after = rest.partition(MARKS[1])
    if WRITES:
        PAGE.write_text(f"{before}{MARKS[0]}{table}{MARKS[1]}{after}")
    else:
        assert found == table, "write it again with NNPERM_WRITE_KINDS=1"


def line_of(kind, folder):
    folder.mkdir()
    own = kind.make(folder / "model")
    outcomes, result = [], None
    for trust_model in (False, True):
        if result is not None:
            outcomes.append("not needed")
            break
        try:
            result = audit(
                kind.config,
                model_uri=str(folder / "model"),
                data=TABLE[list(kind.columns)],
                trust_model=trust_model,
                isolate=False,
            )
        except AuditError as error:
            outcomes.append(f"refused: {why(error)}")
        else:
            outcomes.append("audited")
    if result is None:
        return cells(kind.name, kind.logged, *outcomes, "", "")
    assert_own(result, own)
    reused = "branches" if result.metrics["nnperm/reuse"] else "nothing"
    return cells(kind.name, kind.logged, *outcomes, predicts(kind, folder / "model", result), reused)


def cells(*texts):
    return f"| {' | '.join(texts)} |"


def why(error):
    for pattern, words in WHY.items():
        if match := re.search(pattern, str(error)):
            return match.expand(words)
    raise AssertionError(f"the table has no words for: {error}")


def predicts(kind, path, result):
    """Say what is followed, and whether a classifier can be asked for its probabilities."""
    if result.order_by != "flipped_share":
        return "probabilities" if result.unit == "probability" else "numbers"
    asked = {**kind.config, "analysis": {"predict": "predict_proba"}}
    found = audit(asked, model_uri=str(path), data=TABLE[list(kind.columns)], trust_model=True, isolate=False)
    assert found.unit == "probability"
    return "labels; probabilities by `predict`"


def assert_own(result, own):
    """Check the baseline, and the deviations of each column, against a loop over the model's own library."""
    baseline = own(TABLE).astype(np.float64)
    np.testing.assert_allclose(result.table["baseline"], baseline, rtol=0, atol=1e-5)
    moved = 0
    for name in set(TABLE) & set(result.table):
        donors = donor_positions(ShuffleBlock(0, np.arange(len(TABLE))), 0, name, 0)
        shuffled = own(TABLE.assign(**{name: TABLE[name].to_numpy()[donors]}))
        np.testing.assert_allclose(result.table[name], np.abs(shuffled - baseline), rtol=0, atol=1e-5)
        moved += int(np.abs(shuffled - baseline).max() > 1e-3)
    assert moved
