"""What Python prints of a result, and what a notebook shows: a line, and a page, with the numbers of the result."""

from dataclasses import replace

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow import Series, audit, check, compare, dataset_from, history, plan_audit, promote
from tests.support.house import House, register

NAME, SECRET = "shown", 271.25
POLICY = [{"name": "north <leads>", "feature": "north", "rank_at_most": 1}, {"feature": "south", "max": 0.0}]
SETTINGS = {"inputs": {"num_input": ["north", "south"]}, "checks": POLICY, "mode": "dry_run"}


def rows():
    table = {"north": np.linspace(0, 1, 50), "south": np.linspace(0, 1, 50)}
    return dataset_from(pd.DataFrame(table), source="clients.parquet")


@pytest.fixture(scope="module")
def results(store):
    """A result of each kind, by its class, of two versions of a linear network."""
    mlflow.set_tracking_uri(store)
    inputs = keras.Input((2,), name="num_input")
    network = keras.Model({"num_input": inputs}, keras.layers.Dense(1)(inputs))
    network.set_weights([np.array([[2.0], [1.0]]), np.zeros(1)])
    house = House(NAME, network, {"num_input": np.zeros((1, 2), "float32")}, pd.DataFrame(), np.zeros(0), None)
    for _ in range(2):
        register(house)
    uris = [f"models:/{NAME}/{version}" for version in (1, 2)]
    audits = [audit(SETTINGS, model_uri=uri, data=rows()) for uri in uris]
    checked = check(uris[1])
    promotion = promote(uris[1], "champion", reads_data=False)
    found = [
        audits[1], checked, checked.verdict, promotion, history(f"models:/{NAME}"), compare(*uris),
        plan_audit(SETTINGS, model_uri=uris[1], data=rows()), rows(),
    ]  # fmt: skip
    return {type(result).__name__: result for result in found}


LINES = {
    "AuditResult": (
        "models:/shown/2 on 50 rows of clients.parquet; "
        "predictions move most with 'north' (mean deviation {mean:.4g}); ver"
    ),
    "CheckResult": "fail: 1 of 2 checks are not kept, as a dry run: 'median of south is at most 0'; models:/shown/2; ",
    "Verdict": "fail: 1 of 2 checks are not kept, as a dry run: 'median of south is at most 0'; models:/shown/2; ",
    "Promotion": "version 2 of shown is 'champion'; verdict fail; evidence: run ",
    "History": "models:/shown; 2 versions, 6 events; 'champion' is version 2>",
    "ComparisonResult": "shown 2 against shown 1; largest shift 0, rank correlation nan; run ",
    "Forecast": "models:/shown/2 on 50 rows of clients.parquet; model calls ",
    "Dataset": "50 rows of clients.parquet; columns 'north', 'south'>",
}


@pytest.mark.parametrize("kind", LINES)
def test_a_result_is_printed_in_a_line(results, kind):
    line = LINES[kind].format(mean=results["AuditResult"].summary["mean"][0])
    assert repr(results[kind]).startswith(f"<{kind} {line}")
    assert len(repr(results[kind])) <= 200


PAGES = {
    "AuditResult": ["deviation of the prediction", "<td", "north", "shuffle", "{mean:.4f}", "verdict: fail", "<img"],
    "CheckResult": ["NOT KEPT", "north &lt;leads&gt;", "kept"],
    "Verdict": ["NOT KEPT", "north &lt;leads&gt;", "kept"],
    "Promotion": ["champion", "no version", "data read again"],
    "History": ["promotion", "audit", "&#x27;champion&#x27; is version 2"],
    "ComparisonResult": ["shown 1", "shown 2", "north", "0.0000", "the same 50 rows", "<img"],
    "Forecast": ["expected time", "2, with 2 perturbations"],
    "Dataset": ["50 rows of clients.parquet", "&#x27;north&#x27;, &#x27;south&#x27;"],
}


@pytest.mark.parametrize("kind", PAGES)
def test_a_notebook_shows_what_a_result_says(results, kind):
    shown = results[kind]._repr_html_()
    for part in PAGES[kind]:
        assert part.format(mean=results["AuditResult"].summary["mean"][0]) in shown
    assert "<leads>" not in shown


def test_data_show_names_and_no_values():
    table = pd.DataFrame({"age": [SECRET, SECRET], "who": ["Ada", "Bea"], "fell": [0, 1]})
    series = Series(("pulse",), np.full((2, 3, 1), SECRET))
    data = dataset_from(table, {"history": series}, row_id="who", label="fell")
    for shown in (repr(data), data._repr_html_(), repr(series), repr(replace(series, array=None))):
        assert "271" not in shown
        assert "Ada" not in shown
    assert "series 'history' 'pulse'; row id who; label fell" in repr(data)
