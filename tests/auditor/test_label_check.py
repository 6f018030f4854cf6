"""Labels of what there is not are refused, all of them in one error, before anything is predicted."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.auditor.label_check import check_labels
from nnperm_mlflow.basics.errors import ConfigError, UnknownFeatureError
from nnperm_mlflow.config.audit_config import parse_config
from tests.support.plain import bound

GROUPS = {"both": ["age", "income"]}


def checked(labels):
    table = pd.DataFrame({"age": [1.0, 2.0], "income": [3.0, 4.0], "town": ["a", "b"]})
    _, inputs = bound(table, np.zeros((2, 3, 2)), ["age", "income"], channels=["PAY", "BILL"])
    temporal = {"history": {"file": "h.npy", "channels": ["PAY", "BILL"]}}
    config = parse_config(
        {"labels": labels, "data": {"temporal": temporal}, "analysis": {"groups": GROUPS, "windows": 3}}
    )
    check_labels(config, inputs, plan_perturbations(inputs, "the model", config.analysis), list(table))


def test_features_windows_groups_columns_and_steps_can_be_called_something():
    checked(
        {"age": "a", "PAY step 1": "b", "both": "c", "town": "d", "PAY steps": [1, 2, 3], "history steps": [1, 2, 3]}
    )


def test_all_unknown_names_stand_in_one_error_with_what_may_have_been_meant():
    with pytest.raises(UnknownFeatureError) as told:
        checked({"agee": "a", "PAYS": "b", "BIL steps": ["x"]})
    assert str(told.value).startswith(
        "labels: nothing that is audited is called 'agee', 'PAYS', 'BIL steps'. Did you mean 'age'? "
        "Did you mean 'PAY'? Did you mean 'BILL'? Features, windows, groups and columns are 'age', 'income', 'PAY', "
    )
    assert str(told.value).endswith("; series are 'history', 'PAY', 'BILL'.")


def test_another_number_of_steps_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="'PAY steps' has 2 labels, and 'PAY' 3 steps"):
        checked({"PAY steps": ["Apr", "May"]})
