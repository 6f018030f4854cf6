"""Shuffle blocks audited in slices of the perturbations: the numbers of blocks that are audited whole."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nnperm_mlflow.analysis.blockwise import slices
from nnperm_mlflow.analysis.blockwise.block_task import table_batches
from nnperm_mlflow.analysis.blockwise.slice_plan import positions_of
from nnperm_mlflow.analysis.blockwise.slices import PIECE, audit_slice, joined_results, seconds_of_row
from nnperm_mlflow.analysis.perturbation import donors
from nnperm_mlflow.basics.errors import DataError, PredictionError
from tests.analysis.blockwise.test_blocks import SPECS, Case, bits, predict
from tests.support.cases import slow
from tests.support.plain import PlainPredictor


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 300)


def pieces_of(case, number, rows, n_slices, by=predict):
    """What all slices of a block give, in any order, in the order in which they are joined."""
    task = case.task()
    given = [
        batch
        for place in reversed(range(n_slices))
        for batch in audit_slice(task, PlainPredictor(SPECS, by), number, rows, place=place, n_slices=n_slices)
    ]
    ordered = pa.Table.from_batches(given, PIECE).sort_by([("first_row", "ascending"), ("place", "ascending")])
    assert set(ordered.column("block").to_pylist()) == {number}
    return ordered.column("packed").to_pylist()


def joined(case, number, n_slices, pieces):
    return table_batches(case.task(), number, joined_results(case.task(), number, n_slices, pieces))


@pytest.mark.parametrize(
    ("n_slices", "gaps", "analysis"), [(3, True, {"repeats": 2}), *slow((2, False, {}), (99, False, {}))]
)
def test_blocks_audited_in_slices_are_the_audit_of_one_process(n_slices, gaps, analysis, tmp_path, monkeypatch):
    """Pieces are cut smaller than the blocks of rows that a model is called with."""
    monkeypatch.setattr(slices, "_PIECE_BYTES", 2_000)
    case = Case(tmp_path, 1_000, gaps, **analysis)
    n_slices = min(n_slices, len(case.job.perturbations))
    whole, table = case.whole()
    found, parts = case.by_blocks(
        lambda number, rows: joined(case, number, n_slices, pieces_of(case, number, rows, n_slices))
    )
    assert bits(parts) == bits(table)
    pd.testing.assert_frame_equal(found.summary, whole.summary, check_exact=True)
    assert bool(whole.summary["skipped"].sum()) == gaps


def test_each_perturbation_is_in_one_slice_and_none_is_empty():
    for n_perturbations in (1, 7, 64):
        for n_slices in range(1, n_perturbations + 1):
            each = [positions_of(place, n_slices, n_perturbations) for place in range(n_slices)]
            assert [position for some in each for position in some] == [*range(n_perturbations)]
            assert max(map(len, each)) - min(map(len, each)) <= 1


def test_a_slice_that_is_missing_or_comes_twice_is_refused(tmp_path):
    case = Case(tmp_path, 700)
    number, rows = next(case.blocks())
    pieces = pieces_of(case, number, rows, 3)
    for wrong in (pieces[:-1], [*pieces, pieces[-1]]):
        with pytest.raises(DataError, match=r"shuffle block 0 was audited in 3 slices, and of \d there came something"):
            [*joined(case, number, 3, wrong)]


def test_slices_that_predict_different_numbers_for_rows_as_they_are_are_refused(tmp_path):
    case = Case(tmp_path, 700)
    number, rows = next(case.blocks())
    others = pieces_of(case, number, rows, 2, by=lambda inputs: np.nextafter(predict(inputs), 2))
    with pytest.raises(PredictionError, match="workers predict different numbers for the same rows.*of one kind"):
        [*joined(case, number, 2, [pieces_of(case, number, rows, 2)[0], others[1]])]


def test_a_row_is_timed_on_as_few_rows_as_tell_its_time(tmp_path, monkeypatch):
    """By a clock that a model moves: a hundredth of a second a call, and of a slow one a thousandth a row."""
    case, clock, asked = Case(tmp_path, 700), [0.0], []
    monkeypatch.setattr(slices.time, "monotonic", lambda: clock[0])

    def timed(of_row):
        def slow_predict(inputs):
            asked.append(len(inputs["num_input"]))
            clock[0] += 0.01 + of_row * len(inputs["num_input"])
            return predict(inputs)

        asked.clear()
        return replace(case.job, predictor=PlainPredictor(SPECS, slow_predict))

    n_calls = len(case.job.perturbations) + 1
    assert seconds_of_row(timed(0.0), np.arange(600), 1.0) == pytest.approx(n_calls * 0.01 / 64)
    assert set(asked) == {64}
    assert seconds_of_row(timed(0.0), np.arange(600), 1e-9) == pytest.approx(n_calls * 0.01 / 600)
    assert set(asked) == {64, 512, 600}
    slow_row = seconds_of_row(timed(1.0), np.arange(600), 1.0)
    assert (slow_row, set(asked)) == (pytest.approx(n_calls * (1.0 + 0.01 / 64)), {64})
