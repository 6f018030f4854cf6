"""Files of XGBoost, LightGBM and CatBoost: the numbers that MLflow serves, and nothing but their own libraries."""

import builtins

import catboost
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost

from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError
from nnperm_mlflow.inputs.slots import Change
from tests.support.stored import by_column, change_mlmodel, load, predicted
from tests.support.trees import N_ROWS, clients, fitted, numbers, saved, xgboost_booster


def test_the_numbers_are_those_that_mlflow_serves(logged, monkeypatch):
    """To the last bit, for the rows as they are and with a column turned round; and without MLflow's own loading."""
    path, table, _ = logged
    turned = table.assign(age=table["age"].to_numpy()[::-1])
    served = mlflow.pyfunc.load_model(str(path))
    expected = [np.asarray(served.predict(rows)).reshape(N_ROWS, -1) for rows in (table, turned)]
    assert not np.array_equal(*expected)
    monkeypatch.setattr(mlflow.pyfunc, "load_model", None)
    block = load(path, trust_model=True).begin([by_column(table)])[0]
    np.testing.assert_array_equal(block.baseline, expected[0])
    (found,) = block.predict([Change.of({"age": turned["age"].to_numpy()})])
    np.testing.assert_array_equal(found, expected[1])


def test_they_are_refused_without_trust_for_what_they_are(logged):
    path, _, _ = logged
    with pytest.raises(
        UntrustedModelError, match=r"a file of \w+, which holds neither pickles nor code; but \w+, a na"
    ):
        load(path)


def test_a_class_of_no_list_is_not_imported_without_trust(tmp_path, monkeypatch):
    """What MLmodel names is looked up in a list, never imported; with trust it is the model's own code that runs."""
    table, _ = clients()
    path = saved("xgboost", xgboost_booster(), tmp_path / "model", numbers(table))
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["xgboost"].update(model_class="ours_alone.Booster"))
    wanted, plain = [], builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: wanted.append(name) or plain(name, *rest))
    with pytest.raises(UntrustedModelError, match="from pickles or code"):
        load(path)
    assert "ours_alone" not in wanted
    (tmp_path / "ours_alone.py").write_text("import xgboost\nclass Booster(xgboost.Booster):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = predicted(load(path, trust_model=True), by_column(numbers(table)))
    np.testing.assert_array_equal(found[:, 0], xgboost_booster().predict(xgboost.DMatrix(numbers(table))))


@pytest.mark.parametrize("key", ["code", "config", "unheard_of"])
def test_a_model_that_names_more_to_load_is_none_of_its_library_alone(tmp_path, key):
    table, _ = clients()
    path = saved("xgboost", xgboost_booster(), tmp_path / "model", numbers(table))
    (path / "inner").mkdir()
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["python_function"].update({key: "inner"}))
    with pytest.raises(UntrustedModelError, match="from pickles or code"):
        load(path)


def test_json_of_xgboost_is_read_as_its_binary_form_is(tmp_path):
    table, _ = clients()
    model = fitted(xgboost.XGBRegressor, "reg:squarederror")
    path = saved("xgboost", model, tmp_path / "model", numbers(table), model_format="json")
    assert (path / "model.json").is_file()
    np.testing.assert_array_equal(
        predicted(load(path, trust_model=True), by_column(numbers(table)))[:, 0], model.predict(numbers(table))
    )


def test_an_array_is_taken_where_the_signature_says_so(tmp_path):
    table, score = clients()
    rows = numbers(table).to_numpy()
    model = xgboost.XGBRegressor(n_estimators=4).fit(rows, score)
    path = saved("xgboost", model, tmp_path / "model", rows)
    found = predicted(load(path, trust_model=True), {"num_input": rows})
    np.testing.assert_array_equal(found[:, 0], model.predict(rows))


# Categories


def with_categories(table):
    """Codes that are not in the order of the alphabet, and numbers that are categories."""
    return table.assign(
        city=pd.Categorical(table["city"], categories=["Ulm", "Kiel", "Bonn"]),
        kids=pd.Categorical(table["kids"], categories=[3, 1, 0, 2]),
    )


def xgboost_of_categories(table, score):
    model = xgboost.XGBRegressor(n_estimators=6, max_cat_to_onehot=1, enable_categorical=True)
    return "xgboost", model.fit(with_categories(table), score), with_categories


def lightgbm_of_categories(table, score):
    rows = lightgbm.Dataset(with_categories(table), score)
    settings = {"min_data_in_leaf": 2, "min_data_per_group": 2, "cat_smooth": 1, "verbose": -1}
    return "lightgbm", lightgbm.train(settings, rows, 6), with_categories


def catboost_of_categories(table, score):
    model = catboost.CatBoostRegressor(
        iterations=6, verbose=0, allow_writing_files=False, cat_features=["city", "kids"]
    )
    return "catboost", model.fit(table, score), lambda rows: rows


@pytest.mark.parametrize("make", [xgboost_of_categories, lightgbm_of_categories, catboost_of_categories])
def test_text_and_codes_become_the_categories_of_the_training(tmp_path, make):
    """Also where the rows hold fewer than there were, so that pandas would number them otherwise."""
    table, score = clients()
    flavour, model, as_trained = make(table, score)
    predictor = load(saved(flavour, model, tmp_path / "model", table), trust_model=True)
    some = table[(table["city"] != "Ulm") & (table["kids"] != 3)]
    for rows in (table, some):
        expected = model.predict(as_trained(rows))
        np.testing.assert_array_equal(predicted(predictor, by_column(rows))[:, 0], expected)
    moved = model.predict(as_trained(table.assign(city="Bonn"))) != model.predict(as_trained(table))
    assert moved.any()


@pytest.mark.parametrize("make", [xgboost_of_categories, lightgbm_of_categories])
def test_the_categories_of_the_training_are_what_the_input_is_known_to_hold(tmp_path, make):
    table, score = clients()
    flavour, model, _ = make(table, score)
    predictor = load(saved(flavour, model, tmp_path / "model", table), trust_model=True)
    known = {spec.name: [domain.known for domain in spec.domains] for spec in predictor.inputs}
    assert known == {"age": [], "city": [{"Ulm", "Bonn", "Kiel"}], "kids": [{0, 1, 2, 3}]}


def test_numbers_are_none_of_the_categories_that_are_text(tmp_path):
    """Which an audit tells before the model is called: not one value would be known."""
    table, score = clients()
    coded = table.assign(city=table["city"].map({"Ulm": 0, "Bonn": 1, "Kiel": 2}))
    _, model, _ = lightgbm_of_categories(table, score)
    path = saved("lightgbm", model, tmp_path / "model", coded)
    (city,) = (spec for spec in load(path, trust_model=True).inputs if spec.name == "city")
    assert [domain.known for domain in city.domains] == [frozenset()]


def with_sizes(table):
    """An ordered category of numbers, an unordered one, and whole numbers in between that could be their codes."""
    source = np.random.default_rng(2)
    return table.assign(
        size=pd.Categorical(source.integers(1, 5, N_ROWS), ordered=True),
        kids=table["kids"],
        kind=pd.Categorical(source.integers(1, 5, N_ROWS) * 10),
    )


def lightgbm_by_sizes(rows, score, asked):
    settings = {"min_data_in_leaf": 2, "min_data_per_group": 2, "cat_smooth": 1, "verbose": -1}
    score = score + rows.get("size", rows["kids"]).astype(int) + rows["kids"].isin([0, 3])
    return lightgbm.train(settings, lightgbm.Dataset(rows, score, categorical_feature=asked), 6)


@pytest.mark.parametrize(
    ("columns", "asked"), [(["age", "size", "kids"], ["kids"]), (["age", "kids", "kind"], ["kids"])]
)
def test_categories_of_which_the_columns_are_not_certain_are_refused(tmp_path, columns, asked):
    """As many as were asked for, but of another column: ordered ones, and those that were left out of the list."""
    table, score = clients()
    rows = with_sizes(table)[columns]
    model = lightgbm_by_sizes(rows, score, asked)
    path = saved("lightgbm", model, tmp_path / "model", rows.astype("int64"))
    with pytest.raises(ModelError, match="neither model.lgb nor the signature says for certain which columns they are"):
        load(path, trust_model=True)


def test_a_column_of_text_is_certain_to_be_a_category_whatever_else_was_asked_for(tmp_path):
    table, score = clients()
    rows = with_sizes(table)[["age", "size", "kids"]]
    named = rows.assign(size=rows["size"].cat.rename_categories(str))
    model = lightgbm_by_sizes(named, score, ["kids"])
    plain = named.assign(size=named["size"].astype(object))
    predictor = load(saved("lightgbm", model, tmp_path / "model", plain), trust_model=True)
    np.testing.assert_array_equal(predicted(predictor, by_column(plain))[:, 0], model.predict(named))
    assert (model.predict(named) != model.predict(named.assign(size=named["size"].array[::-1]))).any()


def test_numbers_that_are_no_codes_leave_one_column_for_an_ordered_category(tmp_path):
    """The kids are codes of five categories, more than the four sizes; the ages are larger."""
    table, score = clients()
    rows = with_sizes(table)[["age", "size", "kids"]].assign(kids=np.arange(N_ROWS) % 5)
    model = lightgbm_by_sizes(rows, score, ["kids"])
    plain = rows.astype("int64")
    predictor = load(saved("lightgbm", model, tmp_path / "model", plain), trust_model=True)
    np.testing.assert_array_equal(predicted(predictor, by_column(plain))[:, 0], model.predict(rows))


def test_columns_of_truths_are_no_categories_of_numbers(tmp_path):
    table, score = clients()
    rows = with_sizes(table)[["age", "kind"]].assign(is_new=np.arange(N_ROWS) % 3 == 0, kids=table["kids"] + 10)
    model = lightgbm_by_sizes(rows, score, "auto")
    plain = rows.assign(kind=rows["kind"].astype("int64"))
    predictor = load(saved("lightgbm", model, tmp_path / "model", plain), trust_model=True)
    np.testing.assert_array_equal(predicted(predictor, by_column(plain))[:, 0], model.predict(rows))


# What does not fit


@pytest.mark.parametrize("flavour", ["xgboost", "lightgbm", "catboost"])
def test_columns_in_another_order_than_in_training_are_refused(tmp_path, flavour):
    """LightGBM would take them by their places without a word."""
    table, score = clients()
    fit = {"xgboost": xgboost.XGBRegressor, "catboost": catboost.CatBoostRegressor}
    rows = numbers(table)
    if flavour == "lightgbm":
        model = lightgbm.train({"verbose": -1}, lightgbm.Dataset(rows, score), 2)
    else:
        objective = "RMSE" if flavour == "catboost" else "reg:squarederror"
        model = fitted(fit[flavour], objective)
    path = saved(flavour, model, tmp_path / "model", rows[["kids", "age"]])
    with pytest.raises(ModelError, match="was fitted to the columns 'age', 'kids',.*signature has 'kids', 'age'"):
        load(path, trust_model=True)


def test_another_number_of_features_than_in_training_is_refused(tmp_path):
    table, score = clients()
    rows = numbers(table)
    model = lightgbm.train({"verbose": -1}, lightgbm.Dataset(rows.to_numpy(), score), 2)
    path = saved("lightgbm", model, tmp_path / "model", rows[["age"]])
    with pytest.raises(ModelError, match="has 2 features, as model.lgb says, and its signature has 1"):
        load(path, trust_model=True)


def test_names_with_spaces_are_those_that_lightgbm_writes_without(tmp_path):
    table, score = clients()
    rows = numbers(table).rename(columns={"age": "age in years"})
    model = lightgbm.train({"verbose": -1, "min_data_in_leaf": 5}, lightgbm.Dataset(rows, score), 2)
    path = saved("lightgbm", model, tmp_path / "model", rows)
    found = predicted(load(path, trust_model=True), by_column(rows))
    np.testing.assert_array_equal(found[:, 0], model.predict(rows))


def test_a_file_that_is_none_of_its_library_is_told(tmp_path):
    table, _ = clients()
    path = saved("xgboost", xgboost_booster(), tmp_path / "model", numbers(table))
    (path / "model.ubj").write_text("nothing")
    with pytest.raises(ModelError, match=r"cannot be read from model.ubj \(XGBoostError\). Is xgboost here as new"):
        load(path, trust_model=True)
