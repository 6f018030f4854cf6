"""An audit that was interrupted goes on from its last finished block, and ends with the same bytes."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.decisions import choose_decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.journal import Journal, Page
from nnperm_mlflow.analysis.perturbation import donors as shuffling
from nnperm_mlflow.analysis.perturbation.conditional_list import digest_of, with_conditionals
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.stopping_rule import Precision
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.specs import OutputSpec
from tests.support.plain import PlainPredictor, bound

RNG = np.random.default_rng(0)
N_ROWS, BLOCK_ROWS = 100, 30
N_BLOCKS = 4
N_KILLED = 50
TABLE = pd.DataFrame(RNG.normal(size=(N_ROWS, 3)), columns=["dose", "age", "bmi"])
TABLE["SEX"] = (RNG.uniform(size=N_ROWS) < 0.1).astype(int)


class InterruptedAuditError(Exception):
    """Stands for whatever ends an audit."""


def predict(inputs):
    return np.tanh(inputs["num_input"] @ [1.0, 0.5, 0.0] + 2.0 * inputs["SEX_input"][:, 0])


def audit(tmp_path, journal=None, *, after=None, table=None, precision=None, keeps=False, **analysis):
    """Audit the table, give up after some blocks, and return the table's bytes and how often the model was called."""
    specs, inputs = bound(TABLE if table is None else table, numbers=["dose", "age", "bmi"], codes=["SEX"])
    settings = AnalysisConfig(**analysis)
    predictor = PlainPredictor(specs, predict)
    measure = choose_measure(None, 1, ())
    plan = with_conditionals(plan_perturbations(inputs, "", settings), inputs, settings)
    job = Job(
        predictor, inputs, plan, measure, "", settings.seed, settings.repeats,
        decision=choose_decision(0.5, measure, 1, OutputSpec()), keeps_predictions=keeps,
    )  # fmt: skip
    path = tmp_path / "table.parquet"

    def stop(done, total):
        if after is not None and done >= after * -(-total // N_BLOCKS):
            raise InterruptedAuditError

    found = find(job, BLOCK_ROWS, path, stop, precision=precision, journal=journal)
    return path.read_bytes(), len(predictor.seen), found


def test_what_is_resumed_ends_with_the_same_bytes_and_predicts_only_the_rest(tmp_path):
    whole, calls, found = audit(tmp_path, repeats=2)
    for after in range(N_BLOCKS + 1):
        journal = Journal(tmp_path / f"journal{after}")
        with pytest.raises(InterruptedAuditError):
            audit(tmp_path, journal, after=after, repeats=2)
        assert journal.n_sheets == after
        again, calls_again, found_again = audit(tmp_path, journal, repeats=2)
        assert again == whole
        assert calls_again == calls * (N_BLOCKS - after) // N_BLOCKS
        pd.testing.assert_frame_equal(found_again.summary, found.summary, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize(("donors", "n_killed"), [("plain", N_KILLED), ("conditional", 12)])
def test_whenever_an_audit_is_killed_it_ends_with_the_same_bytes(donors, n_killed):
    """Twice in a row at random calls of functions, from the first block to the summary."""
    command = [sys.executable, "-m", "tests.support.killing", str(n_killed), donors]
    done = subprocess.run(command, check=False, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) == n_killed
    assert all(each["same"] for each in told)
    assert {each["tries"] for each in told} >= {2, 3}
    assert all(each["left"] == ["table.parquet"] for each in told)
    predicted = {each["predicted"] for each in told}  # what had been finished was not done again: all of it, or a part
    assert 0 in predicted
    assert any(0 < each < told[0]["of"] for each in predicted)


def test_a_feature_or_repeat_that_is_added_is_all_that_is_predicted(tmp_path):
    journal = Journal(tmp_path / "journal")
    _, first, _ = audit(tmp_path, journal, exclude=["dose"])
    whole, calls, _ = audit(tmp_path)
    again, added, _ = audit(tmp_path, journal)
    assert again == whole
    assert added == N_BLOCKS * 2  # the baseline and 'dose' in each block
    assert calls == first + N_BLOCKS
    three_times, calls, _ = audit(tmp_path, repeats=3)
    again, added, _ = audit(tmp_path, journal, repeats=3)
    assert again == three_times
    assert added == N_BLOCKS * (1 + 4 * 2)  # set values are the same in all repeats
    assert audit(tmp_path, journal, repeats=3)[1] == 0
    fewer, none, _ = audit(tmp_path, journal, exclude=["age", "SEX"])
    assert (fewer, none) == (audit(tmp_path, exclude=["age", "SEX"])[0], 0)


def going_together():
    """Return rows in which 'dose' and 'bmi' go with 'age'."""
    together = TABLE.copy()
    together["dose"] = together["age"] + 0.2 * together["dose"]
    together["bmi"] = -together["age"] + 0.2 * together["bmi"]
    return together


def test_conditional_shuffles_are_found_again_and_those_of_other_subgroups_are_not_taken_for_them(tmp_path):
    table, journal = going_together(), Journal(tmp_path / "journal")
    whole, calls, _ = audit(tmp_path, table=table, donors="conditional")
    with pytest.raises(InterruptedAuditError):
        audit(tmp_path, journal, after=2, table=table, donors="conditional")
    again, calls_again, _ = audit(tmp_path, journal, table=table, donors="conditional")
    assert again == whole
    assert calls_again == calls // 2
    by_bmi, _, found = audit(tmp_path, table=table, donors={"dose": ["bmi"]})
    assert (found.summary["way"] == "conditional").sum() == 1
    again, calls_again, _ = audit(tmp_path, journal, table=table, donors={"dose": ["bmi"]})
    assert again == by_bmi
    assert calls_again == N_BLOCKS * 2  # the baseline and 'dose conditional' in each block
    digests = set()
    for given in ("age", "bmi"):
        _, inputs = bound(table, numbers=["dose", "age", "bmi"], codes=["SEX"])
        settings = AnalysisConfig(donors={"dose": [given]})
        digests.add(digest_of(with_conditionals(plan_perturbations(inputs, "", settings), inputs, settings)))
    assert len(digests) == 2


def test_repeats_that_are_made_until_it_is_enough_are_found_again(tmp_path):
    journal = Journal(tmp_path / "journal")
    whole, _, found = audit(tmp_path, precision=Precision(1e-9, 6))
    audit(tmp_path, journal, precision=Precision(1e-9, 3))
    again, _, found_again = audit(tmp_path, journal, precision=Precision(1e-9, 6))
    assert (again, found_again.repeats) == (whole, found.repeats)
    assert audit(tmp_path, journal, precision=Precision(1e-9, 6))[1] == 0


def test_another_feature_of_the_same_name_is_not_taken_for_it(tmp_path):
    journal = Journal(tmp_path / "journal")
    audit(tmp_path, journal, groups={"both": ["dose", "age"]})
    whole, _, _ = audit(tmp_path, groups={"both": ["dose", "bmi"]})
    assert audit(tmp_path, journal, groups={"both": ["dose", "bmi"]})[0] == whole
    whole, _, _ = audit(tmp_path, set={"SEX": [0]})
    assert audit(tmp_path, journal, set={"SEX": [0]})[0] == whole


def test_predictions_that_are_wanted_later_are_predicted_again(tmp_path):
    journal = Journal(tmp_path / "journal")
    audit(tmp_path, journal)
    whole, calls, found = audit(tmp_path, keeps=True)
    again, calls_again, found_again = audit(tmp_path, journal, keeps=True)
    assert (again, calls_again) == (whole, calls)
    for number in range(len(found.summary)):
        (kept,), (kept_again,) = found.predictions.of(number), found_again.predictions.of(number)
        assert np.array_equal(kept, kept_again)
    assert audit(tmp_path, journal, keeps=True)[1] == 0
    assert audit(tmp_path, journal)[1] == 0


@pytest.mark.parametrize("harm", ["cut", "empty", "flipped", "stranger", "of other rows"])
def test_a_damaged_sheet_is_noticed_and_computed_again(tmp_path, caplog, harm):
    journal = Journal(tmp_path / "journal")
    whole, calls, _ = audit(tmp_path)
    for position in (0.0, 0.1, 0.5, 0.999):
        audit(tmp_path, journal)
        other, sheet = sorted(journal.folder.glob("*.sheet"))[:2]
        content = bytearray(sheet.read_bytes())
        at = int(position * len(content))
        flipped = bytearray(content)
        flipped[at] ^= 1 << (at % 8)
        harmed = {
            "cut": content[:at], "empty": b"", "flipped": flipped, "stranger": b"another file" * 50,
            "of other rows": other.read_bytes(),
        }  # fmt: skip
        sheet.write_bytes(bytes(harmed[harm]))
        again, calls_again, _ = audit(tmp_path, journal)
        assert (again, calls_again) == (whole, calls // N_BLOCKS)
        assert "is damaged, and is computed again" in caplog.text


def test_a_sheet_that_was_being_written_is_no_sheet(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.folder.mkdir()
    (journal.folder / "0-0-30xyz.partial").write_bytes(b"half")
    assert audit(tmp_path, journal)[:2] == audit(tmp_path)[:2]


def test_two_audits_on_one_journal_do_not_disturb_each_other(tmp_path):
    whole, _, _ = audit(tmp_path, repeats=2)
    journal, found = Journal(tmp_path / "journal"), {}

    def work(name):
        (tmp_path / name).mkdir()
        found[name] = audit(tmp_path / name, journal, repeats=2)[0]

    workers = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {"a": whole, "b": whole}
    assert audit(tmp_path, journal, repeats=2)[1] == 0


def test_a_journal_that_vanishes_in_the_middle_is_no_harm(tmp_path, monkeypatch):
    """Another process has finished, and removes what both have written."""
    whole, calls, _ = audit(tmp_path)
    journal = Journal(tmp_path / "journal")
    audit(tmp_path, journal)
    read = Page.read

    def read_late(page):
        shutil.rmtree(journal.folder, ignore_errors=True)
        return read(page)

    monkeypatch.setattr(Page, "read", read_late)
    assert audit(tmp_path, journal)[:2] == (whole, calls)


def test_beyond_one_shuffle_block_a_resumed_audit_is_the_same_too(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffling, "SHUFFLE_BLOCK_ROWS", 40)
    whole, _, _ = audit(tmp_path, repeats=2)
    journal = Journal(tmp_path / "journal")
    with pytest.raises(InterruptedAuditError):
        audit(tmp_path, journal, after=2, repeats=2)
    again, calls, _ = audit(tmp_path, journal, repeats=2)
    assert again == whole
    assert audit(tmp_path, journal, repeats=2)[1] == 0 < calls
