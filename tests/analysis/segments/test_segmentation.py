"""Which row lies in which segment, and what cannot part rows."""

import numpy as np
import pytest

from nnperm_mlflow.analysis.segments.segmentation import check_segments, part_rows
from nnperm_mlflow.basics.errors import ConfigError, DataError
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.config.audit_config import AuditConfig, parse_config

COLUMNS = {
    "SEX": np.array([2.0, 1.0, 2.0, np.nan]),
    "BAND": np.array(["old", None, "young", "old"], dtype=object),
    "AGE": np.array([30.0, 29.9, 60.0, np.nan]),
    "ID": np.arange(4) % 4,
}


def segments_of(asked):
    (found,) = part_rows(asked, COLUMNS)
    return [found.names[number] for number in found.numbers]


def test_values_are_segments_and_what_is_missing_is_one_of_its_own():
    assert segments_of({"SEX": None}) == ["SEX=2", "SEX=1", "SEX=2", "SEX=missing"]
    assert segments_of({"BAND": None}) == ["BAND=old", "BAND=missing", "BAND=young", "BAND=old"]


def test_a_bin_holds_its_lower_edge_and_not_its_upper_one():
    assert segments_of({"AGE": [30, 45, 60]}) == ["AGE 30-45", "AGE <30", "AGE >=60", "AGE=missing"]


def refused(asked, columns=COLUMNS):
    problems = Problems()
    check_segments(asked, columns, problems)
    problems.settle()


@pytest.mark.parametrize(
    ("asked", "columns", "error", "says"),
    [
        ({"SEXX": None}, COLUMNS, DataError, "names the column 'SEXX'.*Did you mean 'SEX'"),
        ({"SEX": None}, {}, DataError, "these rows have none.*Give a table of columns"),
        ({"BAND": [1.0]}, COLUMNS, ConfigError, "'BAND' is no number, and has no bins"),
        ({"N": None}, {"N": np.arange(51)}, ConfigError, "'N' holds 51 values, and a column may have 50.*edges"),
    ],
)
def test_what_cannot_part_the_rows_is_refused(asked, columns, error, says):
    with pytest.raises(error, match=says):
        refused(asked, columns)
    refused({"N": None}, {"N": np.arange(50)})


@pytest.mark.parametrize(
    ("segments", "says"),
    [
        (["SEX", "SEX"], "'SEX' is named twice"),
        (["AGE", {"AGE": [30.0]}], "'AGE' is named twice"),
        ([{"AGE": [45, 30]}], "the edges of 'AGE' must rise"),
        ([{"AGE": []}], "at least 1"),
    ],
)
def test_a_configuration_says_what_is_wrong_with_its_segments(segments, says):
    with pytest.raises(ConfigError, match=says):
        parse_config({"analysis": {"segments": segments}})


def test_segments_are_in_digest_and_file_only_where_there_are_some():
    none, some = AuditConfig(), parse_config({"analysis": {"segments": ["SEX", {"AGE": [30, 45]}]}})
    assert "segments" not in none.to_yaml()
    assert none.digest() == parse_config({"analysis": {"segments": []}}).digest() != some.digest()
    assert none.disturbance() == some.disturbance()
