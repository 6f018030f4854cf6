"""`nnperm demo`: the audit finds what is known to be true of the class of students."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow.cli.main import main
from nnperm_mlflow.demo.students import make_students

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new"
    result = CliRunner(env={"MLFLOW_TRACKING_URI": None}).invoke(main, ["demo", "--directory", str(folder)])
    assert result.exit_code == 0, result.output
    return folder, result.stdout


@pytest.fixture(scope="module")
def summary(demo):
    return pd.read_csv(demo[0] / "students-audit" / "summary.csv").set_index("perturbation")


def test_cheating_moves_most_if_everybody_cheats_and_leads_not_though_few_do(summary):
    assert summary["mean"].idxmax() == "cheater=1"
    assert summary.index[0] == "study_time"
    assert summary.index[-1] == "cheater=1"
    assert summary["median"]["cheater"] == 0
    assert summary["changed_share"]["cheater"] < 0.05
    assert summary["changed_median"]["cheater"] > 0.2


def test_hair_colour_lies_far_below_what_counts(summary):
    for counts in ("study_time", "ease_in_maths", "cheater=1"):
        assert summary["mean"][counts] > 10 * summary["mean"]["hair_colour"]


def test_the_words_are_the_numbers_of_this_audit(demo, summary):
    assert f"shuffled, they move it by {summary['mean']['study_time']:.2f}" in demo[1]
    assert f"it moves the chance by {summary['mean']['hair_colour']:.4f}" in demo[1]


def test_store_data_and_files_are_where_it_says(demo):
    folder, output = demo
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    version = mlflow.MlflowClient().get_model_version("students", "1")
    assert version.tags["nnperm.top_feature"] == "study_time"
    assert version.tags["nnperm.run_id"] in output
    *_, picture, tables, again = output.splitlines()
    assert picture == f"picture: {folder / 'students-audit' / 'boxplot.png'}"
    assert str(folder / "students-audit" / "summary.csv") in tables
    assert again.startswith("again: ")
    assert (folder / "students-audit" / "boxplot.png").stat().st_size > 10_000
    assert yaml.safe_load((folder / "students.yaml").read_text())["data"]["static"] == "students.parquet"


def test_the_made_up_class_is_what_it_is_said_to_be():
    table, study = make_students(200_000, seed=1)
    passed = table["passed"]
    assert passed[table["cheater"] == 1].all()
    assert abs(table["cheater"].mean() - 0.01) < 0.001
    honest = table["cheater"] == 0
    by_hair = passed[honest].groupby(table["hair_colour"]).mean()
    assert by_hair.max() - by_hair.min() < 0.01
    hours = study.mean(axis=(1, 2))
    assert np.corrcoef(hours[honest], passed[honest])[0, 1] > 0.3
