"""Whether the table of an audit on a cluster, its counts and its summary are what they say: read part by part."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from nnperm_mlflow.analysis.blockwise import block_outcome
from nnperm_mlflow.analysis.blockwise.block_outcome import BlockOutcome
from nnperm_mlflow.analysis.blockwise.columns import OUTCOME
from nnperm_mlflow.analysis.statistics.rank_search import Counts, Ranks, Wanted, added, values_at
from nnperm_mlflow.analysis.statistics.stored_tally import same_counts
from nnperm_mlflow.analysis.statistics.summary_columns import QUANTILES
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.basics.documents import Tolerant
from nnperm_mlflow.basics.errors import EvidenceError, name_list
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.promotion.data_places import may_be_read

_SCHEMES = {"s3a": "s3", "s3n": "s3", "abfss": "abfs"}
"""What Spark calls a storage, and Arrow."""

_CLOSE = 1e-12  # relative: numbers on record are those of the counts, but for the digits that a csv file has
_UNREADABLE = (pa.ArrowException, OSError, ValueError, LookupError, TypeError)


class Part(Tolerant):
    """A file of the table."""

    name: str
    sha256: str


class Parts(Tolerant):
    """What `table.json` says."""

    location: str
    repeats: int
    columns: dict[str, str]
    parts: list[Part]


def confirm_parts(record: AuditRecord, allowed: Sequence[str] = ()) -> None:
    """Refuse a table in parts of which one is another, counts that are not theirs, or a summary that is not of these.

    Each part has the sha256 on record; what is said to have been counted of it is counted once more, as far as
    deviations tell it; the counts of all parts add up to those on record; and means, quantiles, largest deviations and
    shares of the summary come from these. Ends of intervals are not computed again.

    Parameters
    ----------
    record : AuditRecord
    allowed : sequence of str
        Places from which a table may be read that a run names, see `promotion.data_places`.

    Raises
    ------
    EvidenceError
        The message says what is not as it was.
    """
    try:
        told = Parts.model_validate_json(record.parts.read_bytes())
    except ValueError as error:
        raise EvidenceError(f"table.json of {record} is not what an audit writes. Audit the version again.") from error
    if not may_be_read(told.location, allowed):
        raise EvidenceError(
            f"{record} names a table at '{without_secrets(told.location)}', and what a run names is read only where "
            "that is allowed. Allow the place (--allow-data PREFIX)."
        )
    storage, folder = _storage(told.location, record)
    names = [str(name) for name in record.summary["perturbation"]]
    if set(names) != set(told.columns):
        raise EvidenceError(f"table and summary of {record} name other perturbations. Audit the version again.")
    outcomes = [_confirmed(storage, folder, part, told, record) for part in told.parts]
    if not outcomes:
        raise EvidenceError(f"the table of {record} has no parts. Audit the version again.")
    total, on_record = block_outcome.merged(outcomes), block_outcome.load(record.outcome)
    if len(total.tallies) != len(on_record.tallies) or not all(map(same_counts, total.tallies, on_record.tallies)):
        raise EvidenceError(f"the counts of {record} are not those of the parts of its table. Do not trust the run.")
    _confirm_summary(record, told, total, storage, folder)


def _storage(location: str, record: AuditRecord) -> tuple[fs.FileSystem, str]:
    scheme, colon, rest = location.partition(":")
    try:
        if not is_uri(location):
            return fs.LocalFileSystem(), location
        found, folder = fs.FileSystem.from_uri(f"{_SCHEMES.get(scheme, scheme)}{colon}{rest}")
    except _UNREADABLE as error:
        raise EvidenceError(
            f"the table of {record} lies at '{without_secrets(location)}', which cannot be reached from here "
            f"({type(error).__name__}). Promote where that storage is reached."
        ) from error
    return found, folder


def _confirmed(storage: fs.FileSystem, folder: str, part: Part, told: Parts, record: AuditRecord) -> BlockOutcome:
    """Return what was counted of a part, if that is the part and its counts."""
    content = _read(storage, folder, part, record)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise EvidenceError(f"{part.name} of the table of {record} has been changed. Audit the version again.")
    try:
        table = pq.read_table(pa.BufferReader(content))
        (stored,) = table.column(OUTCOME).drop_null().to_pylist()
        outcome = block_outcome.load(stored)
        outcome.marks.clear()
        wrong = [*_miscounted(table, outcome, told)]
    except _UNREADABLE as error:
        raise EvidenceError(
            f"{part.name} of the table of {record} is no part of one. Audit the version again."
        ) from error
    if wrong:
        raise EvidenceError(
            f"what was counted of {part.name} of the table of {record} is not what it holds: {name_list(wrong)}. Do "
            "not trust the run."
        )
    return outcome


def _read(storage: fs.FileSystem, folder: str, part: Part, record: AuditRecord) -> bytes:
    if "/" in part.name or part.name in ("", ".", ".."):
        raise EvidenceError(f"table.json of {record} names a part that is no file of the table. Do not trust the run.")
    try:
        with storage.open_input_stream(f"{folder.rstrip('/')}/{part.name}") as stream:
            return bytes(stream.read())
    except _UNREADABLE as error:
        raise EvidenceError(
            f"{part.name} of the table of {record} cannot be read ({type(error).__name__}): its storage must be "
            "reached from here. Audit the version again, where it is gone."
        ) from error


def _miscounted(table: pa.Table, outcome: BlockOutcome, told: Parts) -> Iterator[str]:
    """Yield the perturbations whose deviations are not those that were counted."""
    repeats = table.column("repeat").to_numpy()
    if len(outcome.tallies) != told.repeats:
        yield "repeats"
        return
    for position, (name, column) in enumerate(told.columns.items()):
        values = table.column(column).to_numpy().astype(np.float32, copy=False)
        for repeat, tally in enumerate(outcome.tallies):
            if not _is_counted(values[repeats == repeat], tally, position):
                yield name
                break


def _is_counted(values: np.ndarray, tally: Tally, position: int) -> bool:
    none = np.zeros((1, len(values)), dtype=bool)
    again = Tally.empty(1)
    again.add(values[None], none, none, none)
    again.count_all()
    if again.bins is None or tally.bins is None:
        return False
    pairs = [(again.bins, tally.bins), (again.sums, tally.sums), (again.skipped, tally.skipped)]
    same = all(np.array_equal(one[0], other[position]) for one, other in pairs)
    return same and again.n_rows == tally.n_rows and again.largest[0] == tally.largest[position]


def _confirm_summary(
    record: AuditRecord, told: Parts, outcome: BlockOutcome, storage: fs.FileSystem, folder: str
) -> None:
    tally, summary = outcome.total, record.summary.set_index("perturbation")
    names = [*told.columns]

    def look(wanted: Sequence[Wanted]) -> list[Counts]:
        found: list[list[Counts]] = [[] for _ in wanted]
        for part in told.parts:
            table = pq.read_table(pa.BufferReader(_read(storage, folder, part, record)))
            for place, each in enumerate(wanted):
                values = table.column(told.columns[names[each.number]]).to_numpy()
                found[place].append(each.count(values.astype(np.float32, copy=False)))
        return [added(each) for each in found]

    kept = tally.n_kept.tolist()
    bins = tally.bins if tally.bins is not None else np.zeros((len(names), 0), dtype=np.int64)
    asked = [Ranks(number, bins[number], _ranks(kept[number])) for number in range(len(names))]
    values = values_at(asked, look)
    wrong = [name for number, name in enumerate(names) if not _agrees(summary.loc[name], tally, number, values[number])]
    if wrong:
        raise EvidenceError(
            f"the summary of {record} is not what its table says of {name_list(wrong)}. Audit the version again."
        )


def _ranks(n_kept: int) -> list[int]:
    if not n_kept:
        return []
    return sorted({rank for share in QUANTILES.values() for rank in _between(share, n_kept)})


def _between(share: float, n_kept: int) -> tuple[int, int]:
    at = share * (n_kept - 1)
    return int(at), math.ceil(at)


def _agrees(row: pd.Series, tally: Tally, number: int, values: dict[int, float]) -> bool:
    """Tell whether a row of a summary is what the counts say."""
    kept = int(tally.n_kept[number])
    if (int(row["rows"]), int(row["skipped"])) != (tally.n_rows, int(tally.skipped[number])):
        return False
    if not kept:
        return all(math.isnan(row[name]) for name in (*QUANTILES, "mean", "max"))
    found = {"mean": tally.mean_of(number), "max": float(tally.largest[number])}
    found["changed_share"] = int(tally.moved[number]) / kept
    if tally.signed:
        found["shift"] = tally.shift_of(number)
    if not math.isnan(row["flipped_share"]):
        found["flipped_share"] = int(tally.flipped[number]) / kept
    for name, share in QUANTILES.items():
        low, high = _between(share, kept)
        found[name] = values[low] + (values[high] - values[low]) * (share * (kept - 1) - low)
    return all(math.isclose(value, row[name], rel_tol=_CLOSE, abs_tol=1e-300) for name, value in found.items())
