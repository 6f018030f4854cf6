"""Names with what people call them: of features, of windows by their steps, and of nothing else."""

import pandas as pd
import pytest

from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.report.feature_labels import FeatureLabels

LABELS = {
    "PAY": "payment status", "SEX": {"label": "sex", "description": "As registered."},
    "PAY steps": ["Apr", "May", "Jun"], "PAY_AMT": "amount paid", "both": "two together",
}  # fmt: skip


def labels_of(labels=LABELS, temporal=None, windows=None):
    config = parse_config({"labels": labels, "data": {"temporal": temporal or {}}, "analysis": {"windows": windows}})
    return FeatureLabels.of(config.labels, config.data.temporal, config.analysis.windows)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PAY", "PAY (payment status)"),
        ("SEX", "SEX (sex)"),
        ("AGE", "AGE"),
        ("PAY steps 1 to 2", "PAY steps 1 to 2 (payment status, Apr to May)"),
        ("PAY step 3", "PAY step 3 (payment status, Jun)"),
        ("PAY late", "PAY late (payment status, May to Jun)"),
        ("PAY steps 2 to 9", "PAY steps 2 to 9 (payment status)"),
        ("PAY_AMT steps 1 to 2", "PAY_AMT steps 1 to 2 (amount paid)"),
        ("PAYBACK", "PAYBACK"),
    ],
)
def test_a_name_stays_and_what_it_is_called_stands_behind_it(name, told):
    assert labels_of(windows={"late": [2, 3]}).called(name) == told


def test_in_a_summary_labels_are_those_of_the_feature_whatever_was_done_with_it():
    features = ["PAY", "PAY", "SEX", "AGE"]
    summary = pd.DataFrame({"perturbation": ["PAY", "PAY conditional", "SEX=2", "AGE"], "feature": features})
    told = labels_of().in_summary(summary)["perturbation"].tolist()
    assert told == ["PAY (payment status)", "PAY conditional (payment status)", "SEX=2 (sex)", "AGE"]
    assert summary["perturbation"].tolist()[0] == "PAY"


def test_steps_of_temporal_data_are_those_of_each_channel_but_for_one_that_says_its_own():
    temporal = {"history": {"file": "h.npy", "channels": ["PAY", "BILL"]}}
    told = labels_of({"history steps": [2019, 2020], "PAY steps": ["first", "last"]}, temporal)
    assert (told.span("PAY", 1, 2), told.span("BILL", 1, 2)) == ("first to last", "2019 to 2020")


def windows_of(*channels):
    rows = [(channel, f"steps {first} to {first + 1}", first, first + 1) for channel in channels for first in (1, 2)]
    return pd.DataFrame(rows, columns=["channel", "window", "first", "last"])


def test_a_window_is_called_by_its_steps_where_all_channels_call_them_alike():
    alike = labels_of({"PAY steps": ["Apr", "May", "Jun"], "BILL steps": ["Apr", "May", "June"]})
    told = alike.in_windows(windows_of("PAY", "BILL"))["window"].tolist()
    assert told == ["Apr to May", "steps 2 to 3"] * 2


def test_a_window_with_a_name_of_its_own_keeps_it():
    windows = windows_of("PAY").assign(window=["early", "late"])
    told = labels_of(windows={"early": [1, 2], "late": [2, 3]}).in_windows(windows)
    assert told["window"].tolist() == ["early (Apr to May)", "late (May to Jun)"]
    assert told["channel"].tolist() == ["PAY (payment status)"] * 2
