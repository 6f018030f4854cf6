"""The directory asked for holds what the run holds, and the command ends with where that is."""

import dataclasses
import re
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from nnperm_mlflow import Policy, audit
from nnperm_mlflow.cli.findings_text import describe
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.checks import LimitCheck

KEPT = Policy(checks=[LimitCheck(feature="age", max=1.0)])


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_of_run(run_id, tmp_path):
    return files_in(tmp_path / mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(tmp_path / "run")))


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def judged(house, store, output):
    mlflow.set_tracking_uri(store)
    return audit(house.config, model_uri="models:/house/1", policy=KEPT, output=output)


def test_all_that_the_run_holds_is_in_the_output_byte_for_byte(judged, output, tracked, tmp_path):
    found = files_in(output)
    assert found == files_of_run(judged.run_id, tmp_path)
    assert {"audit.md", "verdict.json", "boxplot.png", "deviations.parquet"} <= found.keys()
    assert [name for name in found if name.startswith("verdicts/")]


def test_the_verdict_of_an_earlier_audit_does_not_stand_beside_another_one(judged, output, house, tracked, tmp_path):
    shutil.copytree(output, tmp_path / "output")
    audit(house.config, model_uri="models:/house/1", output=tmp_path / "output")
    assert "verdict.json" not in files_in(tmp_path / "output")
    assert "there is no verdict" in (tmp_path / "output" / "audit.md").read_text()


def run_audit(house, store, *arguments):
    command = ["audit", "models:/house/1", "--config", str(house.config), "--tracking-uri", store, *arguments]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_the_command_ends_with_where_picture_and_tables_lie(house, store, tmp_path):
    *_, run, page, picture, tables = run_audit(house, store, "--output", str(tmp_path / "output"))
    assert re.match(r"run [0-9a-f]{32}, experiment \d+: .*ui", run)
    assert page == f"page: {tmp_path / 'output' / 'report.html'}"
    assert picture == f"picture: {tmp_path / 'output' / 'boxplot.png'}"
    named = [tmp_path / "output" / name for name in ("summary.csv", "deviations.parquet")]
    assert tables == f"tables: {named[0]}, {named[1]}, beside all other files of the run"
    assert all(path.is_file() for path in named)


def test_without_a_directory_the_command_names_the_run_and_the_option(house, store):
    *_, picture, tables = run_audit(house, store)
    assert picture == "picture: boxplot.png in the run"
    assert tables == "tables: summary.csv, deviations.parquet in the run (with --output DIR there, too)"


def test_a_long_name_leaves_the_numbers_in_the_same_line(judged):
    """Its two ends tell it from others; the tables have it whole."""
    summary = judged.summary.assign(perturbation=[f"{number}{'x' * 300}" for number in range(len(judged.summary))])
    told = describe(dataclasses.replace(judged, summary=summary), None)
    tables = [[line for line in part.splitlines() if "x…x" in line] for part in told.split("\n\n")]
    named = [row.split()[0][0] for rows in tables for row in rows]
    assert named == [str(number) for number in range(len(summary))]
    for rows in filter(None, tables):
        assert {len(row) for row in rows} == {len(rows[0])}
        assert len(rows[0]) < 180


def test_nothing_is_shown_as_no_less_than_nothing(judged):
    """A drop that is not there comes out a little above or below 0."""
    told = describe(dataclasses.replace(judged, summary=judged.summary.assign(roc_auc_drop=-1e-6)), None)
    assert " 0.0000" in told
    assert "-0.0000" not in told


@pytest.mark.parametrize(
    ("n_rows", "shown", "rest"), [(15, 15, None), (16, 16, None), (17, 15, "2"), (1500, 15, "1485")]
)
def test_no_table_is_cut_for_one_row_more(n_rows, shown, rest, judged):
    some = judged.summary.loc[np.zeros(n_rows, dtype=int)].assign(perturbation=[f"f{row}" for row in range(n_rows)])
    told = describe(dataclasses.replace(judged, summary=pd.DataFrame(some)), None).splitlines()
    assert [line.split()[0] for line in told if re.match(r" *f\d+ ", line)] == [f"f{row}" for row in range(shown)]
    assert [line for line in told if "more in" in line] == ([f"... and {rest} more in summary.csv"] if rest else [])
