"""A table in parts, its counts and its summary are held against each other before a promotion rests on them."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nnperm_mlflow.analysis.blockwise import block_outcome
from nnperm_mlflow.analysis.blockwise.block_task import audit_rows
from nnperm_mlflow.analysis.blockwise.columns import OUTCOME
from nnperm_mlflow.analysis.perturbation import donors
from nnperm_mlflow.basics.audit_files import OUTCOME_FILE, PARTS_FILE, SUMMARY_FILE, file_digest
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.evidence.audit_folder import FolderFiles
from nnperm_mlflow.evidence.audit_record import OUTCOME_DIGEST, SUMMARY_DIGEST, TABLE_DIGEST, AuditRecord
from nnperm_mlflow.evidence.summary_file import write_table
from nnperm_mlflow.promotion.table_parts import confirm_parts
from tests.analysis.blockwise.test_blocks import SPECS, Case, predict
from tests.support.plain import PlainPredictor


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The parts of a table of three shuffle blocks and two repeats, with its summary."""
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(donors, "SHUFFLE_BLOCK_ROWS", 300)
        case = Case(folder, 700, repeats=2)
        task, (found, _) = case.task(), case.by_blocks()
        parts = {}
        for number, rows in case.blocks():
            batches = audit_rows(task, PlainPredictor(SPECS, predict), number, rows)
            parts[f"part-{number:05}.parquet"] = pa.Table.from_batches(batches, task.schema)
    return task, found.summary, parts


def record_of(folder, made):
    """Write all of an audit that a promotion of parts reads, and return its record."""
    task, summary, parts = made
    place, outcomes = folder / "table", []
    place.mkdir()
    for name, table in parts.items():
        pq.write_table(table, place / name)
        outcomes.append(block_outcome.load(table.column(OUTCOME).drop_null()[0].as_py()))
    told = {
        "location": str(place),
        "repeats": 2,
        "columns": {done.name: name for done, name in zip(task.perturbations, task.columns, strict=True)},
        "parts": [{"name": name, "sha256": file_digest(place / name)} for name in parts],
    }
    outcome = block_outcome.merged(outcomes)
    outcome.marks.clear()
    (folder / PARTS_FILE).write_text(json.dumps(told))
    (folder / OUTCOME_FILE).write_bytes(block_outcome.dump(outcome))
    write_table(summary.assign(measurable=True, tested=True), folder / SUMMARY_FILE)
    return signed(folder)


def signed(folder):
    files = {TABLE_DIGEST: PARTS_FILE, OUTCOME_DIGEST: OUTCOME_FILE, SUMMARY_DIGEST: SUMMARY_FILE}
    params = {key: file_digest(folder / name) for key, name in files.items()}
    return AuditRecord("run", "0", params, FolderFiles(folder), {})


def test_what_is_whole_is_confirmed(made, tmp_path):
    record = record_of(tmp_path, made)
    assert record.is_on_cluster
    confirm_parts(record)
    with pytest.raises(EvidenceError, match="in parts on a cluster's storage"):
        _ = record.table


def test_a_table_is_read_only_where_that_is_allowed(made, tmp_path):
    """Whoever writes the run chooses which storage it names."""
    record = record_of(tmp_path, made)
    confirm_parts(record, [str(tmp_path)])
    with pytest.raises(EvidenceError, match=r"names a table at .*--allow-data"):
        confirm_parts(record, ["s3a://lake"])
    told = json.loads((tmp_path / PARTS_FILE).read_text())
    (tmp_path / PARTS_FILE).write_text(json.dumps({**told, "location": "s3a://me:secret@elsewhere/table"}))
    with pytest.raises(EvidenceError, match=r"names a table at 's3a://elsewhere/table'.*--allow-data"):
        confirm_parts(signed(tmp_path))


def spoil_parts(folder, how):
    """Change what lies on the cluster's storage, or what the run tells of it, and let digests of the run fit again."""
    part = folder / "table" / "part-00001.parquet"
    told = json.loads((folder / PARTS_FILE).read_text())
    if how == "a byte of a part":
        part.write_bytes(part.read_bytes()[:-1] + b"x")
    elif how == "a part gone":
        part.unlink()
    elif how == "a part not listed":
        told["parts"].pop()
    elif how == "a part of another place":
        told["parts"][0]["name"] = "../summary.csv"
    elif how == "deviations that were not counted":
        table = pq.read_table(part)
        column = np.array(table.column("age").to_numpy())
        column[3] += np.float32(0.25)
        pq.write_table(table.set_column(table.column_names.index("age"), "age", pa.array(column)), part)
        told["parts"][1]["sha256"] = hashlib.sha256(part.read_bytes()).hexdigest()
    elif how == "other counts":
        outcome = block_outcome.load((folder / OUTCOME_FILE).read_bytes())
        outcome.tallies[0].flipped[0] += 1
        (folder / OUTCOME_FILE).write_bytes(block_outcome.dump(outcome))
    else:
        lines = (folder / SUMMARY_FILE).read_text().splitlines()
        names, cells = lines[0].split(","), lines[1].split(",")
        cells[names.index(how)] = str(float(cells[names.index(how)]) * 1.0001)
        (folder / SUMMARY_FILE).write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    (folder / PARTS_FILE).write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("a byte of a part", r"part-00001.* has been changed"),
        ("a part gone", r"part-00001.* cannot be read"),
        ("a part not listed", "the counts of run run are not those of the parts"),
        ("a part of another place", "names a part that is no file of the table"),
        ("deviations that were not counted", r"counted of part-00001.* is not what it holds: 'age'"),
        ("other counts", "the counts of run run are not those of the parts"),
        *((name, "the summary of run run is not what its table says") for name in ("mean", "median", "q95", "max")),
        ("changed_share", "the summary of run run is not what its table says"),
    ],
)
def test_what_was_changed_is_refused(how, told, made, tmp_path):
    """Though every digest in the run fits, as it does where whoever changed it could write there."""
    record_of(tmp_path, made)
    spoil_parts(tmp_path, how)
    with pytest.raises(EvidenceError, match=told):
        confirm_parts(signed(tmp_path))
