"""What the log says of the numbers of an audit."""

import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.auditor.remarks import _tell_what_conditional_tests_test


def found(told_apart, p_values=True, ways=("shuffle", "conditional")):
    """Findings of AGE, which others tell apart or not, of SEX, which nothing tells apart, and of ZIP, not tested."""
    features = ["AGE", "SEX", "ZIP"]
    summary = pd.DataFrame([{"feature": name, "way": way, "acc_p": 0.02} for name in features for way in ways])
    summary.loc[summary["feature"] == "ZIP", "acc_p"] = np.nan
    sizes = {"AGE": 20 if told_apart else 2, "SEX": 2, "ZIP": 30}
    subgroups = pd.DataFrame({"feature": np.repeat(features, [sizes[name] for name in features])})
    summary = summary if p_values else summary.drop(columns="acc_p")
    return Findings(summary, SimpleNamespace(), 1, own_scores={"acc": SimpleNamespace()}, subgroups=subgroups)


def test_of_which_p_values_others_may_be_a_part_is_said(caplog):
    """Of features that others tell apart, and that were tested; not of those that are exchanged among all rows."""
    with caplog.at_level(logging.WARNING):
        _tell_what_conditional_tests_test(found(told_apart=True))
    assert "It is so of 'AGE'. Look at how far" in caplog.text


@pytest.mark.parametrize("given", [found(told_apart=False), found(told_apart=True, p_values=False)])
def test_where_no_test_is_of_learned_subgroups_nothing_is_said(caplog, given):
    with caplog.at_level(logging.WARNING):
        _tell_what_conditional_tests_test(given)
    assert not caplog.records


def test_without_conditional_shuffles_nothing_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        _tell_what_conditional_tests_test(found(told_apart=True, ways=("shuffle",)))
    assert not caplog.records
