"""What is found out of all rows by parts is what one process finds; what is refused is refused in the same words."""

import re

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.perturbation.set_values import distinct_values
from nnperm_mlflow.basics.errors import AuditError, DataError
from nnperm_mlflow.inputs import survey as survey_module
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.rows_digest import rows_digest
from nnperm_mlflow.inputs.specs import Domain, InputSpec
from nnperm_mlflow.inputs.survey import Questions, Survey, SurveyedDataset, with_counts

N_ROWS = 600
RNG = np.random.default_rng(8)
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(size=N_ROWS),
        "few": RNG.integers(0, 3, N_ROWS),
        "many": np.arange(N_ROWS),
        "gaps": np.where(np.arange(N_ROWS) % 5 == 3, np.nan, RNG.normal(size=N_ROWS)),
        "city": RNG.choice(["Wien", "Graz", "Linz"], N_ROWS, p=[0.7, 0.28, 0.02]),
        "code": RNG.integers(0, 6, N_ROWS),
        "default": RNG.integers(0, 2, N_ROWS),
    }
)
HISTORY = RNG.normal(size=(N_ROWS, 4, 2)).astype("float32")
SPECS = [
    InputSpec("num_input", (3,), np.dtype("float32")),
    InputSpec("whole_input", (2,), np.dtype("int64")),
    InputSpec("city_input", (1,), np.dtype(object), domains=(Domain("StringLookup 'c'", frozenset({"Wien", "Graz"})),)),
    InputSpec("code_input", (1,), np.dtype("int64"), domains=(Domain("Embedding 'e'", range(4)),)),
    InputSpec("temporal_input", (4, 2), np.dtype("float32")),
]
SAID = {"num_input": ["age", "few", "gaps"], "whole_input": ["few", "many"], "city_input": "city"}
SAID |= {"code_input": "code", "temporal_input": "past"}


def data(rows=slice(None), table=TABLE, history=HISTORY):
    return dataset_from(
        table.iloc[rows], {"past": Series(("PAY", "BILL"), history[rows], channel_axis=2)}, label="default"
    )


def surveyed(table=TABLE, history=HISTORY, order=range(6)):
    """Bind the first rows, and ask in six parts of all, which come in an order."""
    questions, total = Questions.on(SPECS, data(slice(0, 4), table, history), SAID), Survey()
    for part in order:
        rows = np.flatnonzero(np.arange(N_ROWS) * 7 % 6 == part)
        total.take_in(questions.ask(data(rows, table, history), rows))
    return total


def bound_by(total, table=TABLE, history=HISTORY):
    some = SurveyedDataset.of(data(slice(0, 9), table, history), total, "lake")
    return some, with_counts(bind_inputs(SPECS, some, SAID, survey=total), total.counts)


@pytest.mark.parametrize("order", [range(6), [3, 1, 5, 0, 2, 4]])
def test_what_parts_find_is_what_one_process_finds(order, caplog):
    whole = data()
    one = bind_inputs(SPECS, whole, SAID)
    told, _ = caplog.text, caplog.clear()
    some, inputs = bound_by(surveyed(order=order))
    lines = [[line.split("]")[-1] for line in text.splitlines()] for text in (told, caplog.text)]
    assert {line.partition("WARNING")[2] for line in lines[0]} == {line.partition("WARNING")[2] for line in lines[1]}
    assert "Embedding 'e'" in told
    assert inputs.features == one.features
    assert {name: feature.kind for name, feature in inputs.features.items() if name in ("few", "many")} == {
        "few": "category",
        "many": "number",
    }
    assert [(gap.input, gap.what, gap.n_rows, gap.first_rows.tolist()) for gap in inputs.gaps] == [
        (gap.input, gap.what, gap.n_rows, gap.first_rows.tolist()) for gap in one.gaps
    ]
    assert inputs.gaps
    for name in ("age", "few", "city", "code"):
        for most in (2, 200):
            assert distinct_values(inputs.features[name], inputs, most) == distinct_values(
                one.features[name], one, most
            )
    assert some.digest() == rows_digest(whole)
    assert some.label_counts.to_dict() == whole.label_counts.to_dict()
    assert some.n_rows == N_ROWS


def spoiled(how):
    table, history = TABLE.copy(), HISTORY.copy()
    if how == "NaN where codes are":
        table["code"] = table["code"].astype(float)
        table.loc[[401, 17], "code"] = np.nan
    elif how == "infinity":
        table.loc[[88], "age"] = np.inf
    elif how == "text":
        table["age"] = table["age"].astype(str)
    elif how == "nothing at all":
        table["gaps"] = np.nan
    elif how == "a step beyond":
        history = history.astype("float64")
        history[301, 2, 1] = 1e300
    elif how == "words that nobody knows":
        table["city"] = "Bonn"
    return table, history


@pytest.mark.parametrize(
    "how",
    [
        "NaN where codes are",
        "infinity",
        "text",
        "nothing at all",
        "a step beyond",
        "words that nobody knows",
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(how):
    """With the number of rows, and the first of them, though no part knew either."""
    table, history = spoiled(how)
    with pytest.raises(AuditError) as one:
        bind_inputs(SPECS, data(slice(None), table, history), SAID)
    with pytest.raises(AuditError, match=f"^{re.escape(str(one.value))}$"):
        bound_by(surveyed(table, history, [5, 0, 4, 1, 3, 2]), table, history)


def test_a_feature_with_too_many_values_to_count_says_what_to_do(monkeypatch):
    monkeypatch.setattr(survey_module, "MOST_COUNTED", {"number": 2, "category": 2})
    _, inputs = bound_by(surveyed())
    with pytest.raises(DataError, match=r"'city' has too many values to count them all.*rare_below: 0"):
        distinct_values(inputs.features["city"], inputs)
    assert distinct_values(inputs.features["city"], inputs, 2) is None
