"""Shuffle blocks audited one by one, by Arrow tables alone, give the table and summary of one process, bit for bit."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nnperm_mlflow.analysis.blockwise import block_outcome
from nnperm_mlflow.analysis.blockwise.block_task import BlockTask, audit_rows
from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME, ROW
from nnperm_mlflow.analysis.blockwise.merged_findings import find_merged
from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.progress import nobody
from nnperm_mlflow.analysis.perturbation import donors
from nnperm_mlflow.analysis.perturbation.donors import block_numbers, shuffle_block, shuffle_blocks
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.statistics import rank_search
from nnperm_mlflow.basics.errors import DataError, EvidenceError, NonFinitePredictionError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.inputs.layout import Layout
from nnperm_mlflow.inputs.specs import InputSpec
from tests.support.cases import slow
from tests.support.plain import PlainPredictor

SPECS = [
    InputSpec("num_input", (3,), np.dtype("float32")),
    InputSpec("city_input", (1,), np.dtype("int64")),
    InputSpec("temporal_input", (4, 2), np.dtype("float32")),
]
DATA = {
    "row_id": "client",
    "temporal": {"history": {"column": "past", "channels": ["PAY", "BILL"], "channel_axis": 2, "shape": [4, 2]}},
}
INPUTS = {"num_input": ["age", "dose", "often"], "city_input": "city", "temporal_input": "history"}


def predict(inputs):
    """Predict what has ties, falls and rises, and is NaN where `often` is missing."""
    numbers, history = inputs["num_input"].astype("float64"), inputs["temporal_input"].astype("float64")
    return np.tanh(
        numbers[:, 0] * np.round(history[:, 1, 0], 1) + numbers[:, 2] + 0.3 * (inputs["city_input"][:, 0] == 2)
    )


def write(folder, n_rows, gaps=False):
    rng = np.random.default_rng(n_rows)
    often = rng.integers(0, 4, n_rows)
    table = pd.DataFrame(
        {
            "client": [f"c{number:06d}" for number in range(n_rows)],
            "age": rng.normal(size=n_rows),
            "dose": rng.exponential(size=n_rows).astype("float32"),
            "often": pd.array(np.where(rng.random(n_rows) < 0.01 * gaps, -1, often), dtype="Int64"),
            "city": rng.integers(0, 5, n_rows).astype("int32"),
            "past": list(rng.normal(size=(n_rows, 8)).astype("float32")),
        }
    )
    if gaps:
        table.loc[table["often"] == -1, "often"] = pd.NA
    table.to_parquet(folder / "data.parquet")
    return folder / "data.parquet"


class Case:
    """One audit, in one process and by blocks."""

    def __init__(self, folder, n_rows, gaps=False, **analysis):
        self.file, self.folder = write(folder, n_rows, gaps), folder
        self.config = DataConfig(static=str(self.file), **DATA)
        dataset = load_dataset(self.config, lambda location: self.file)
        inputs = bind_inputs(SPECS, dataset, INPUTS)
        self.ids = dataset.row_ids
        settings = AnalysisConfig(**{"rare_below": 0.0, "order": True, "windows": 2, "set": {"city": [1]}, **analysis})
        self.settings = settings
        self.job = Job(
            predictor=PlainPredictor(SPECS, predict),
            inputs=inputs,
            perturbations=plan_perturbations(inputs, "the model", settings),
            measure=choose_measure(None, 1, ()),
            model="the model",
            seed=settings.seed,
            repeats=settings.repeats,
            decision=Decision((0,)),
            skips_missing=gaps,
            void_inputs=frozenset({"num_input"}) if gaps else frozenset(),
        )

    def whole(self):
        path = self.folder / "deviations.parquet"
        found = find(self.job, 500, path, nobody, row_ids=self.ids)
        return found, pq.read_table(path)

    def task(self):
        table = pq.read_table(self.file)
        missing = [name for name in table.column_names if table.column(name).null_count]
        job = self.job
        return BlockTask(
            n_rows=job.inputs.n_rows,
            seed=job.seed,
            repeats=job.repeats,
            block_rows=500,
            perturbations=tuple(job.perturbations),
            measure=job.measure,
            decision=job.decision,
            model="the model",
            specs=tuple(SPECS),
            wanted=job.inputs.wanted,
            layout=Layout.of(table.schema, missing, self.config),
            first_row=table.slice(0, 1),
            row_id="client",
            skips_missing=job.skips_missing,
            void_inputs=job.void_inputs,
        )

    def blocks(self):
        """The rows of each shuffle block, as an exchange might bring them: in any order."""
        table = pq.read_table(self.file)
        numbers = block_numbers(np.arange(len(table)), len(table), self.job.seed)
        mixed = np.random.default_rng(1).permutation(len(table))
        table = table.append_column(ROW, pa.array(np.arange(len(table)))).take(mixed)
        for number in np.unique(numbers):
            yield int(number), table.filter(pa.array(numbers[mixed] == number))

    def by_blocks(self, audited=None):
        """What comes of blocks that are audited by themselves, whole if nothing else is said."""
        task = self.task()
        audited = audited or (lambda *block: audit_rows(task, PlainPredictor(SPECS, predict), *block))
        parts = {
            number: pa.Table.from_batches(audited(number, rows), task.schema)
            for number, rows in reversed([*self.blocks()])
        }
        outcomes = []
        for part in parts.values():
            (told,) = part.column(OUTCOME).drop_null().to_pylist()
            outcomes.append(block_outcome.load(told))
        outcome = block_outcome.merged([block_outcome.merged(outcomes[:2]), *outcomes[2:]])
        table = pa.concat_tables(parts.values())

        def first(number):
            rows = parts[0].sort_by([("repeat", "ascending"), ("row", "ascending")])
            return rows.column(task.columns[number]).to_numpy().reshape(task.repeats, -1)

        def look(wanted):
            repeats = table.column("repeat").to_numpy()
            found = []
            for each in wanted:
                values = table.column(task.columns[each.number]).to_numpy()
                own = values if each.repeat is None else values[repeats == each.repeat]
                found.append(rank_search.added(each.count(part) for part in np.array_split(own, 3)))
            return found

        return find_merged(self.job, outcome, first, look), table.drop_columns([BLOCK, OUTCOME])


def bits(table):
    """What a deviation table holds, by column, in the order of the rows: bytes, so that NaN is NaN and -0 is not 0."""
    ordered = table.sort_by([("repeat", "ascending"), ("row", "ascending")])
    columns = {name: ordered.column(name).to_numpy() for name in ordered.column_names}
    return {name: list(held) if held.dtype == object else held.tobytes() for name, held in columns.items()}


@pytest.mark.parametrize(
    ("n_rows", "block", "analysis"),
    [
        (2_003, 300, {}),
        *slow(
            (2_003, 300, {"repeats": 3, "seed": 5}), (2_000, 2_000, {}), (65_537, 65_536, {}), (31, 10, {"repeats": 2})
        ),
    ],
)
def test_blocks_audited_one_by_one_are_the_audit_of_one_process(n_rows, block, analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", block)
    case = Case(tmp_path, n_rows, **analysis)
    whole, table = case.whole()
    found, parts = case.by_blocks()
    assert bits(parts) == bits(table)
    pd.testing.assert_frame_equal(found.summary, whole.summary, check_exact=True)
    assert len(case.job.deal.sizes) == -(-n_rows // block)


def test_rows_that_are_left_out_are_left_out_by_blocks_too(tmp_path, monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 300)
    case = Case(tmp_path, 1_000, gaps=True, repeats=2)
    whole, table = case.whole()
    found, parts = case.by_blocks()
    assert whole.summary["skipped"].sum() > 0
    assert bits(parts) == bits(table)
    pd.testing.assert_frame_equal(found.summary, whole.summary, check_exact=True)


def test_where_many_deviations_share_a_bin_they_are_counted_in_two_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 300)
    monkeypatch.setattr(rank_search, "_MOST_VALUES", 10)
    case = Case(tmp_path, 1_000, repeats=2)
    pd.testing.assert_frame_equal(case.by_blocks()[0].summary, case.whole()[0].summary, check_exact=True)


@pytest.mark.parametrize("n_rows", [1, 300, 301, 5_000])
def test_a_row_tells_its_shuffle_block_by_itself(n_rows, monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 300)
    numbers = block_numbers(np.arange(n_rows)[::-1], n_rows, 7)[::-1]
    for block in shuffle_blocks(n_rows, 7):
        assert np.array_equal(np.flatnonzero(numbers == block.number), block.rows)
        assert np.array_equal(shuffle_block(block.number, n_rows, 7).rows, block.rows)


def change(table, how):
    if how == "a row less":
        return table.slice(1)
    if how == "a row twice":
        return pa.concat_tables([table.slice(1), table.slice(1, 1)])
    return pa.concat_tables([table, table.slice(0, 1)])


@pytest.mark.parametrize("how", ["a row less", "a row twice", "a row more"])
def test_rows_that_are_not_those_of_the_block_are_refused(how, tmp_path, monkeypatch):
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 300)
    case = Case(tmp_path, 700)
    number, rows = next(iter(case.blocks()))
    with pytest.raises(DataError, match="shuffle block 0 was expected to hold 233 rows, each once.*Pin their version"):
        [*audit_rows(case.task(), PlainPredictor(SPECS, predict), number, change(rows, how))]


def test_a_model_that_fails_in_a_block_says_for_which_row_of_all(tmp_path, monkeypatch):
    """The row's number in the data, not in the block."""
    monkeypatch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 300)
    case = Case(tmp_path, 700)
    number, rows = [*case.blocks()][1]
    first = int(rows.column(ROW).to_numpy().min())
    with pytest.raises(NonFinitePredictionError, match=rf"first: row {first}\)"):
        [
            *audit_rows(
                case.task(),
                PlainPredictor(SPECS, lambda inputs: np.full(len(inputs["num_input"]), np.nan)),
                number,
                rows,
            )
        ]


def test_counts_that_were_cut_short_are_refused():
    with pytest.raises(EvidenceError, match="damaged"):
        block_outcome.load(b"PK no counts at all")
