"""Models of Python's, in a module that imports little, as a process that loads such a model imports its module."""

import mlflow
import numpy as np


class Sum(mlflow.pyfunc.PythonModel):
    """Adds up all columns."""

    def predict(self, context, model_input):
        return model_input.sum(axis=1)


class Centred(mlflow.pyfunc.PythonModel):
    """Takes the mean of all rows beside a row from it."""

    def predict(self, context, model_input, params=None):
        return model_input["dose"] - np.nanmean(model_input["dose"]) + 0 * model_input["age"]


class Dice(mlflow.pyfunc.PythonModel):
    """Throws dice when it predicts."""

    def predict(self, context, model_input, params=None):
        return model_input["a"] + np.random.default_rng().normal(size=len(model_input))


class Talkative(mlflow.pyfunc.PythonModel):
    """Fails with the data in its words."""

    def predict(self, context, model_input):
        raise KeyError(f"cannot predict {model_input.to_dict()}")


class Harmless(mlflow.pyfunc.PythonModel):
    """Doubles a column; carries a trap, if any."""

    def __init__(self, trap=None):
        self.trap = trap

    def predict(self, context, model_input, params=None):
        return model_input["age"] * 2
