"""Models saved into a directory and loaded from it, for the tests of loading."""

import shutil
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_predictor
from nnperm_mlflow.models.model_uri import ModelReference

N_ROWS = 7


def load(path, trust_model=False, asks_for=None):
    """Load the model in a directory as an audit does."""
    reference = ModelReference(str(path), str(path))
    return load_predictor(download_model(reference, path).asking_for(asks_for), reference, trust_model)


def save(model, path, flavour="tensorflow", **more):
    getattr(mlflow, flavour).save_model(model, str(path), pip_requirements=["keras"], **more)
    return path


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(N_ROWS, *shape)).astype("float32")


def predicted(predictor, inputs):
    return predictor.begin([inputs])[0].baseline


def change_mlmodel(path, change):
    mlmodel = yaml.safe_load((path / "MLmodel").read_text())
    change(mlmodel)
    (path / "MLmodel").write_text(yaml.safe_dump(mlmodel))


class Trap:
    """An object that makes a file when it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def dense(width=1, **more):
    return keras.layers.Dense(width, kernel_initializer="normal", bias_initializer="normal", **more)


def single():
    x = keras.Input((3,), name="num_input")
    given = numbers(3)
    return keras.Model(x, dense()(keras.layers.Dropout(0.9)(x))), given, {"num_input": given}


def clients():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "city": rng.choice(["Ulm", "Bonn", "Köln"], 60),
            "age": rng.normal(40, 10, 60),
            "income": rng.normal(size=60),
        }
    )
    return table, (table["age"] + 10 * (table["city"] == "Ulm") + 5 * table["income"] > 42).astype(int)


def by_column(table):
    return {name: table[name].to_numpy(dtype=object if name == "city" else None) for name in table}


def save_pipeline(model, path, table, sample, **more):
    """Save a model of columns: as skops does it, unless another format is asked for."""
    if "serialization_format" not in more:
        more = {"serialization_format": "skops", "skops_trusted_types": ["numpy.dtype"], **more}
    signature = None if sample is None else infer_signature(table, sample)
    mlflow.sklearn.save_model(model, str(path), signature=signature, pip_requirements=["scikit-learn"], **more)
    return path


def encoded(final):
    imputed = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(make_column_transformer((OneHotEncoder(), ["city"]), (imputed, ["age", "income"])), final)


def stored_as(folder, file):
    """Return a model directory whose network is a file, called as MLflow calls it."""
    (folder / "data").mkdir(parents=True)
    shutil.copyfile(file, folder / "data" / f"model{file.suffix}")
    (folder / "MLmodel").write_text("flavors: {tensorflow: {data: data}}\n")
    return folder
