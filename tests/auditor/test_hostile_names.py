"""Features with names from strangers, through a whole audit: each keeps its own numbers, and none becomes a path."""

import csv
import json

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.models import infer_signature

from nnperm_mlflow import audit
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.cli.findings_text import describe
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.checks import LimitCheck
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.summary_file import read_summary, write_table
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.promotion.alias_promotion import promote

HOSTILE = [
    "../../etc/passwd", "..", ".", "a/b", "a//b", "it's", 'say "so"', "two\nlines", "tab\there", "🦊", "x" * 300,
    "dose", "Dose", "DOSE",
    "<script>alert(1)</script>", "$(touch pwned)", "`id`; rm -rf", "=2", "a=b=c", "row", "median/age",
    "100 %", "[mg]", "NA", "nan", " leading", "{brace}", "C:\\windows", "ß", "SS",
    "carriage\rreturn", "\x1b[31mred\x07", "\x9b2J",
]  # fmt: skip
N_ROWS = 60


CHECK = "\x1b]0;title\x07\nverdict: pass"


@pytest.fixture(scope="module")
def audited(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return audit_hostile(1, tmp_path_factory.mktemp("hostile") / "output")


def audit_hostile(version, output):
    mlflow.set_experiment("tests")
    keras.utils.set_random_seed(0)
    given = keras.Input((len(HOSTILE),), name="num_input")
    network = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(given))
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(N_ROWS, len(HOSTILE))), columns=HOSTILE)
    numbers = table.to_numpy("float32")
    with mlflow.start_run():
        mlflow.tensorflow.log_model(
            network, name="hostile", pip_requirements=["keras"], registered_model_name="hostile",
            signature=infer_signature({"num_input": numbers}, network.predict(numbers, verbose=0)),
        )  # fmt: skip
    config = {
        "inputs": {"num_input": HOSTILE},
        "analysis": {"groups": {"../both": HOSTILE[:2], "two\nlines too": HOSTILE[3:5]}, "set": {"🦊": [0.5]}},
        "checks": [
            {"name": "../../check", "feature": "../../etc/passwd", "max": 1.0},
            {"name": CHECK, "feature": HOSTILE[-2], "max": 1.0},
        ],
    }
    return audit(config, model_uri=f"models:/hostile/{version}", data=dataset_from(table), output=output)


def test_each_name_has_metrics_and_a_column_of_its_own_and_is_written_down(audited, tracked):
    run = tracked.get_run(audited.run_id)
    names = json.loads(mlflow.artifacts.load_text(f"runs:/{audited.run_id}/names.json"))
    assert set(names) == set(audited.summary["perturbation"]) >= {*HOSTILE, "../both", "two\nlines too", "🦊=0.5"}
    keys = [told["metric"] for told in names.values()]
    assert len({key.casefold() for key in keys}) == len(keys)
    medians = audited.summary.set_index("perturbation")["median"]
    for name, told in names.items():
        assert run.data.metrics[f"median/{told['metric']}"] == pytest.approx(medians[name], rel=1e-12)
        column = audited.table[told["column"]]
        assert float(column.median()) == pytest.approx(medians[name], rel=1e-6)


def test_no_name_becomes_a_path(audited, tracked):
    assert {file.name for file in audited.directory.iterdir()} == {
        "associations.csv", "boxplot.png", "config.yaml", "deviations.parquet", "medians.json", "names.json",
        "summary.csv", "groups.csv", "audit.md", "report.html", "verdict.json", "verdicts",
    }  # fmt: skip
    assert [file.name for file in audited.directory.parent.iterdir()] == ["output"]
    files = {file.path for file in tracked.list_artifacts(audited.run_id)}
    assert files == {file.name for file in audited.directory.iterdir()}


def test_what_is_read_back_has_the_same_names(audited, tracked):
    policy = Policy(checks=[LimitCheck(feature=name, max=1.0) for name in HOSTILE])
    outcomes = check(run_id=audited.run_id, policy=policy).verdict.outcomes
    assert [outcome.finding.of.partition("=0.5")[0] for outcome in outcomes] == HOSTILE
    check(run_id=audited.run_id)
    assert promote("models:/hostile/1", "champion", reads_data=False).verdict == "pass"


def test_a_summary_is_read_as_it_was_written(audited):
    read = read_summary(audited.directory / "summary.csv")
    told = [name for name in audited.summary if name != "value"]  # which is read as text, whatever it is
    pd.testing.assert_frame_equal(read[told], audited.summary[told], check_dtype=False, check_exact=True)
    assert set(HOSTILE) <= set(read["perturbation"])


def test_texts_are_quoted_only_where_one_of_them_holds_a_carriage_return(tmp_path):
    """Tables without one have always been written as pandas does it, and their digests stand in runs."""
    table = pd.DataFrame({"perturbation": ["plain", 'say "so"', "two\nlines"], "median": [0.1, np.nan, 2.0]})
    write_table(table, tmp_path / "plain.csv")
    table.to_csv(tmp_path / "pandas.csv", index=False)
    assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "pandas.csv").read_bytes()
    texts = ["a\rb", "\r", "end\r", "a\r\nb", "a\nb", 'q"\r', "", "NA", "1.50", "True"]
    table = pd.DataFrame({"cell\rname": texts, "number": [0.1 * row / 3 for row in range(len(texts))]})
    write_table(table, tmp_path / "returns.csv")
    with (tmp_path / "returns.csv").open(newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    assert (head, [text for text, _ in rows]) == (list(table), texts)
    assert [float(number) for _, number in rows] == table["number"].tolist()


def lines_of(text):
    """Return the lines of what a command printed; each is one that a terminal shows as it stands."""
    lines = text.removesuffix("\n").split("\n")
    assert all(line.isprintable() for line in lines), text
    return lines


def test_a_name_neither_steers_the_terminal_nor_makes_a_line_of_its_own(audited, store, monkeypatch):
    said = {}
    for arguments in (("history", "models:/hostile"), ("check", "--run", audited.run_id)):
        result = CliRunner().invoke(main, [*arguments, "--tracking-uri", store])
        assert result.exit_code == 0, result.output
        said[arguments[0]] = lines_of(result.output)
    assert [line for line in said["check"] if line.startswith("verdict")] == ["verdict: pass: 2 of 2 checks are kept"]
    assert sum(r"\x1b]0;title\x07\nverdict: pass" in line for line in said["check"]) == 1
    assert any(r"of \x1b[31mred\x07 is" in line for line in said["check"])
    monkeypatch.setattr("nnperm_mlflow.cli.findings_text._SHOWN_ROWS", 100)
    assert_one_row_each(lines_of(describe(audited, store)), audited)


def assert_one_row_each(lines, audited):
    """Assert that tables have a row for each perturbation, all of one width, and that a name is in its place."""
    begins = ("perturbation ", "set for everybody ")
    heads = [number for number, line in enumerate(lines) if line.lstrip().startswith(begins)]
    tables = [lines[head : lines.index("", head)] for head in heads]
    assert sum(len(rows) - 1 for rows in tables) == len(audited.summary)
    assert all(len(row) == len(rows[0]) for rows in tables for row in rows)
    assert sum(row.split()[0] == r"\x1b[31mred\x07" for rows in tables for row in rows) == 1


@pytest.mark.slow
def test_a_name_does_not_in_a_comparison_or_a_refusal_either(audited, store, tmp_path, monkeypatch):
    other = audit_hostile(2, tmp_path)
    monkeypatch.setattr("nnperm_mlflow.cli.compare_command._SHOWN_ROWS", 100)
    compared = CliRunner().invoke(main, ["compare", "models:/hostile/1", "models:/hostile/2", "--tracking-uri", store])
    assert compared.exit_code == 0, compared.output
    assert_one_row_each(lines_of(compared.stdout), audited)
    policy = {"checks": [{"name": CHECK, "feature": HOSTILE[-2], "statistic": "mean", "min": 2.0}]}
    (tmp_path / "policy.yaml").write_text(json.dumps(policy))
    more = ["--policy", str(tmp_path / "policy.yaml"), "--tracking-uri", store]
    assert CliRunner().invoke(main, ["check", "--run", other.run_id, *more]).exit_code == 1
    refused = CliRunner().invoke(main, ["promote", "models:/hostile/2", "--alias", "champion", "--no-data", *more])
    assert refused.exit_code == 1, refused.output
    (said,) = [line for line in lines_of(refused.stderr) if line.startswith("refused")]
    assert r"\x1b]0;title\x07\nverdict: pass" in said
