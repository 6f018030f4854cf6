"""Small models of XGBoost, LightGBM and CatBoost, and the rows that they are fitted to."""

import catboost
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import infer_signature

N_ROWS = 60


def clients():
    """Rows whose outcome follows from all three columns; of three kinds where that is asked for."""
    source = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": source.normal(50, 10, N_ROWS).round(),
            "city": source.choice(["Ulm", "Bonn", "Kiel"], N_ROWS),
            "kids": source.integers(0, 4, N_ROWS),
        }
    )
    score = (table["age"] - 50) / 10 + 1.5 * (table["city"] == "Ulm") - 0.5 * table["kids"]
    return table, score


def numbers(table):
    return table[["age", "kids"]].astype("float64")


def saved(flavour, model, path, table, **more):
    signature = infer_signature(table, np.zeros(len(table)))
    getattr(mlflow, flavour).save_model(model, str(path), signature=signature, pip_requirements=[flavour], **more)
    return path


def xgboost_booster(objective="binary:logistic", **more):
    table, score = clients()
    rows = xgboost.DMatrix(numbers(table), label=_labels(score, objective))
    return xgboost.train({"objective": objective, "max_depth": 3, **more}, rows, 4)


def lightgbm_booster(objective="binary", **more):
    table, score = clients()
    rows = lightgbm.Dataset(numbers(table), _labels(score, objective))
    return lightgbm.train({"objective": objective, "min_data_in_leaf": 5, "verbose": -1, **more}, rows, 4)


def fitted(kind, objective, **more):
    table, score = clients()
    if kind.__module__.startswith("catboost"):
        model = kind(iterations=4, verbose=0, allow_writing_files=False, loss_function=objective, **more)
    else:
        model = kind(n_estimators=4, objective=objective, **more)
    return model.fit(numbers(table), _labels(score, objective))


def catboost_of_no_kind():
    table, score = clients()
    model = catboost.CatBoost({"iterations": 4, "loss_function": "Logloss", "verbose": 0, "allow_writing_files": False})
    return model.fit(numbers(table), _labels(score, "Logloss"))


def _labels(score, objective):
    if "multi" in objective.lower():
        return np.digitize(score, [-0.5, 0.7])
    return (score > 0).astype(int) if "inary" in objective or "Logloss" in objective else score


MODELS = {
    "xgboost: Booster, probability": ("xgboost", xgboost_booster),
    "xgboost: Booster, margins": ("xgboost", lambda: xgboost_booster("binary:logitraw")),
    "xgboost: Booster, probabilities": ("xgboost", lambda: xgboost_booster("multi:softprob", num_class=3)),
    "xgboost: Booster, amounts": ("xgboost", lambda: xgboost_booster("reg:squarederror")),
    "xgboost: classifier": ("xgboost", lambda: fitted(xgboost.XGBClassifier, "binary:logistic")),
    "xgboost: classifier of three": ("xgboost", lambda: fitted(xgboost.XGBClassifier, "multi:softprob")),
    "xgboost: classifier by softmax": ("xgboost", lambda: fitted(xgboost.XGBClassifier, "multi:softmax")),
    "xgboost: forest": ("xgboost", lambda: fitted(xgboost.XGBRFClassifier, "binary:logistic")),
    "xgboost: regressor": ("xgboost", lambda: fitted(xgboost.XGBRegressor, "reg:squarederror")),
    "lightgbm: Booster, probability": ("lightgbm", lightgbm_booster),
    "lightgbm: Booster, probabilities": ("lightgbm", lambda: lightgbm_booster("multiclass", num_class=3)),
    "lightgbm: Booster, amounts": ("lightgbm", lambda: lightgbm_booster("regression")),
    "catboost: of no kind": ("catboost", catboost_of_no_kind),
    "catboost: classifier": ("catboost", lambda: fitted(catboost.CatBoostClassifier, "Logloss")),
    "catboost: classifier of three": ("catboost", lambda: fitted(catboost.CatBoostClassifier, "MultiClass")),
    "catboost: regressor": ("catboost", lambda: fitted(catboost.CatBoostRegressor, "RMSE")),
}
