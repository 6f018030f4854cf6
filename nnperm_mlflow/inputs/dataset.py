"""The data an audit is made on: a static table, temporal arrays, row ids and labels, read from files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError, did_you_mean, name_list
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.basics.text import rows_in_words
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.inputs._row_sources import row_chunks, take_rows
from nnperm_mlflow.inputs.cells import split_cells
from nnperm_mlflow.inputs.series import Series
from nnperm_mlflow.inputs.specs import Fetch
from nnperm_mlflow.inputs.stored_series import checked_series, read_series, series_in_cells
from nnperm_mlflow.inputs.tables import Table, column_values, read_table, read_written

__all__ = ["Dataset", "Series", "dataset_from", "load_dataset"]

MEMORY = "memory"
"""Source of rows that come from no file."""

_CACHED_CELLS = 1 << 16  # of 8 bytes, which a processor keeps near: 512 KiB


@dataclass(frozen=True)
class Dataset:
    """Rows to audit a model on.

    Attributes
    ----------
    columns : mapping of str to ndarray of shape (n_rows,)
        The static table: numbers, booleans, or strings as objects.
    temporal : mapping of str to Series
    n_rows : int
    row_ids : ndarray of shape (n_rows,) or None
        What the rows are called outside.
    label : str or None
        Name of the column with the observed outcome.
    row_id : str or None
        Name of the column that `row_ids` came from.
    cluster : str or None
        Name of the column that says which rows belong together.
    source : str
        Where the data came from, as asked for.
    written : mapping of str to ndarray of shape (n_rows,), object
        Columns of a csv file as they are written there, for inputs that take them as text.
    split : mapping of str to list of str
        For each column whose cells were several numbers what these are called among `columns`.
    drawn_from : (int, int) or None
        Of rows that were drawn at random, from how many, and with which seed.
    """

    columns: Mapping[str, np.ndarray]
    temporal: Mapping[str, Series]
    n_rows: int
    row_ids: np.ndarray | None = None
    label: str | None = None
    row_id: str | None = None
    cluster: str | None = None
    source: str = MEMORY
    written: Mapping[str, np.ndarray] = field(default_factory=dict)
    split: Mapping[str, list[str]] = field(default_factory=dict)
    drawn_from: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return in_a_line("Dataset", self.in_words, *(map(" ".join, self._facts.items())))

    def _repr_html_(self) -> str:
        return as_html(self.in_words, facts=self._facts.items())

    @property
    def in_words(self) -> str:
        """How many rows there are, and where they came from: of which file, or of how many they were drawn."""
        if self.drawn_from is not None and self.drawn_from[0] > self.n_rows:
            return rows_in_words(self.n_rows, *self.drawn_from)
        return f"{self.n_rows:,} rows {'in memory' if self.source == MEMORY else f'of {Path(self.source).name}'}"

    def take(self, rows: np.ndarray, seed: int) -> Dataset:
        """Return some rows, which were drawn at random with a seed, as data of their own; they are held in memory."""
        series = {
            name: each if each.array is None else replace(each, array=take_rows(each.array, rows))
            for name, each in self.temporal.items()
        }
        return replace(
            self,
            columns={name: take_rows(values, rows) for name, values in self.columns.items()},
            temporal=series,
            n_rows=len(rows),
            row_ids=None if self.row_ids is None else take_rows(self.row_ids, rows),
            written={name: take_rows(values, rows) for name, values in self.written.items()},
            drawn_from=(self.n_rows, seed),
        )

    @property
    def _facts(self) -> dict[str, str]:
        """What it holds, by what that is; names alone, and no values."""
        facts = {"columns": name_list(self.columns)} if self.columns else {}
        facts |= {f"series '{name}'": name_list(series.channels) for name, series in self.temporal.items()}
        roles = {"row id": self.row_id, "label": self.label, "cluster": self.cluster}
        return facts | {what: name for what, name in roles.items() if name}

    @property
    def clusters(self) -> np.ndarray | None:
        """Number of each row's cluster, in the order in which they first appear; None where rows stand for themselves.

        Of shape (n_rows,), int64.
        """
        return None if self.cluster is None else pd.factorize(self.columns[self.cluster])[0]

    @property
    def label_counts(self) -> pd.Series:
        """How many rows hold which outcome, ascending; missing ones are none."""
        if self.label is None:
            return pd.Series(dtype=int)
        return pd.Series(self.columns[self.label]).value_counts().sort_index()

    def columns_as(self, dtype: np.dtype) -> Mapping[str, np.ndarray]:
        """Return the static table as an input of a dtype takes it: text as it is written, where that is known."""
        return {**self.columns, **self.written} if dtype.kind == "O" else self.columns

    @property
    def steps(self) -> set[str]:
        """Columns of the static table that are steps of temporal data."""
        return {name for series in self.temporal.values() for names in series.columns.values() for name in names}

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of names and values, whatever the order of columns and width of numbers."""
        sha = hashlib.sha256()
        for name in sorted(self.columns):
            _add_to(sha, f"column {name}", self.columns[name])
        for name in sorted(self.temporal):
            series = self.temporal[name]
            sha.update(repr((name, series.channels, dict(series.columns), series.channel_axis)).encode())
            if series.array is not None:
                _add_to(sha, f"array {name}", series.array)
        return sha.hexdigest()

    def text_digest(self) -> str:
        """Return the sha256 (64 hex digits) of `written`, which `digest` leaves out, since it depends on the model."""
        sha = hashlib.sha256()
        for name in sorted(self.written):
            _add_to(sha, f"column {name}", self.written[name])
        return sha.hexdigest()


def dataset_from(
    static: pd.DataFrame | Mapping[str, np.ndarray] | None = None,
    temporal: Mapping[str, Series] | None = None,
    row_id: str | None = None,
    label: str | None = None,
    source: str = MEMORY,
    *,
    cluster: str | None = None,
    problems: Problems | None = None,
) -> Dataset:
    """Check a table and temporal arrays against each other and make one data set of them.

    Parameters
    ----------
    static : DataFrame of shape (n_rows, n_columns), or mapping of str to ndarray of shape (n_rows,), optional
        Not modified; arrays that are mapped to files stay so.
    temporal : mapping of str to Series, optional
    row_id, label : str, optional
        Columns of `static` with the rows' names and with the observed outcome; neither is fed to the model by itself.
    source : str
        Where the data came from, for the record.
    cluster : str, optional
        Column of `static` that says which rows belong together; it is not fed to the model by itself either.
    problems : Problems, optional
        Takes in columns for rows' names, outcome and clusters that there are not, instead of an error; others are told
        with it.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a column is missing, the data are empty, or an array has another number of rows than the table.
    """
    columns = _columns(pd.DataFrame() if static is None else static)
    temporal = {name: checked_series(name, series) for name, series in (temporal or {}).items()}
    found = Problems() if problems is None else problems
    roles = {"row_id": row_id, "label": label, "cluster": cluster}
    row_id, label, cluster = (_role(what, name, columns, found) for what, name in roles.items())
    _check_clusters(cluster, columns, found)
    _check_steps(columns, temporal, found)
    if problems is None:
        found.settle()
    counts = {f"temporal data '{name}'": len(s.array) for name, s in temporal.items() if s.array is not None}
    if isinstance(static, pd.DataFrame):
        counts["the static table"] = len(static)
    else:
        counts |= {f"column '{name}'": len(values) for name, values in columns.items()}
    if not counts:
        raise DataError(
            "there are no data: name a static table (data: static) or temporal arrays (data: temporal) in a "
            "configuration, which nnperm init writes."
        )
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{what} has {count}" for what, count in counts.items())
        raise DataError(f"all data must have the same rows, but {listed}. Export them again together.")
    n_rows = next(iter(counts.values()))
    if n_rows == 0:
        raise DataError(f"{source} holds no rows; an audit needs at least two, to exchange values.")
    row_ids = columns[row_id] if row_id else None
    return Dataset(columns, temporal, n_rows, row_ids, label, row_id, cluster, source)


def load_dataset(
    config: DataConfig, fetch: Fetch, as_written: Collection[str] = (), problems: Problems | None = None
) -> Dataset:
    """Read the files that a configuration names.

    Parameters
    ----------
    config : DataConfig
    fetch : callable
        Turns each location into a local file.
    as_written : collection of str
        Columns that may feed inputs of text: of a csv file their text is kept as well. Names that are no column do not
        matter.
    problems : Problems, optional
        Takes in names of columns that there are not, as far as the rest can be read without them.

    Returns
    -------
    Dataset
        Arrays in .npy files stay memory-mapped.

    Raises
    ------
    ConfigError
        If a column is to be text that is not there.
    DataError
        If a file is missing, of another format, or does not hold what the configuration says.
    """
    found = Problems() if problems is None else problems
    if config.table is not None:
        raise ConfigError("data: table is read on a cluster alone: ask for one (--engine spark --table ...).")
    static, written = _read_static(config, fetch, as_written, found)
    static, temporal = _read_temporal(static, config, fetch, found)
    roles = [config.row_id, config.label, config.cluster]
    static, split, series = split_cells(static, [*config.text, *filter(None, roles)])
    for name in temporal.keys() & series.keys():
        told = f"'{name}' is both temporal data and a column of arrays in the static table; rename the former."
        found.add(ConfigError(told))
    files = [config.static, *(spec.file for spec in config.temporal.values())]
    source = next((location for location in files if location), MEMORY)
    named = without_secrets(source)
    dataset = dataset_from(
        static, {**series, **temporal}, config.row_id, config.label, named, cluster=config.cluster, problems=found
    )
    if problems is None:
        found.settle()
    ids, spelled = dataset.row_ids, written.get(config.row_id or "")
    if ids is not None and spelled is not None and not (pd.Series(ids).astype(str) == spelled).all():
        ids = spelled  # as 007
    texts = {name: written[name] for name in as_written if name in written}
    return replace(dataset, row_ids=ids, written=texts, split=split)


def _read_temporal(
    static: Table | None, config: DataConfig, fetch: Fetch, problems: Problems
) -> tuple[Table | None, dict[str, Series]]:
    """Return the static table without columns whose cells are temporal data, and all temporal data."""
    held = {column: None for spec in config.temporal.values() for column in spec.cells}
    arrays = {}
    for column in held:
        if static is None or column not in static:
            problems.add(_no_column("data: temporal", column, {} if static is None else _columns(static)))
            problems.settle()
        arrays[column] = _stacked(column, static[column])  # type: ignore[index]
    if held and static is not None:
        static = (
            static.drop(columns=[*held])
            if isinstance(static, pd.DataFrame)
            else {name: values for name, values in static.items() if name not in held}
        )
        static = None if not list(static) else static
    return static, {
        name: series_in_cells(name, spec, arrays.__getitem__) if spec.cells else read_series(name, spec, fetch)
        for name, spec in config.temporal.items()
    }


def _stacked(column: str, cells: pd.Series | np.ndarray) -> np.ndarray:
    """Return the cells of a column as one array, or refuse what are no arrays of one shape."""
    shapes = {cell.shape if isinstance(cell, np.ndarray) else None for cell in cells}
    if len(shapes) != 1 or None in shapes:
        raise ShapeError(
            f"the cells of '{column}' were expected to be arrays of numbers of one shape; some are none, or of another."
        )
    return np.stack(list(cells))


def _read_static(
    config: DataConfig, fetch: Fetch, as_written: Collection[str], problems: Problems
) -> tuple[Table | None, dict[str, np.ndarray]]:
    """Return the static table, and of a csv file the text of some columns."""
    if config.static is None:
        return None, {}
    table = read_table(config.static, fetch, config.csv, config.text)
    names = [str(name) for name in table]
    for name in config.text:
        if name not in names:
            told = f"data: text names '{name}', which is no column of the static table."
            problems.add(ConfigError(f"{told}{did_you_mean(name, names)}"))
    wanted = {*config.text, *as_written, config.row_id}
    written = read_written(config.static, fetch, [name for name in names if name in wanted], config.csv)
    for name in config.text:
        if name in written:
            table[name] = written[name]
    return table, written


def _columns(table: pd.DataFrame | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a table's columns, or say which of its names is there twice."""
    names = pd.Index([str(name) for name in table])
    twice = names[names.duplicated()]
    if len(twice):
        raise DataError(f"the static table names {name_list(twice)} twice; each column needs a name of its own.")
    if isinstance(table, pd.DataFrame):
        return {str(name): column_values(table[name]) for name in table.columns}
    columns = {str(name): np.asanyarray(values) for name, values in table.items()}
    for name, values in columns.items():
        if values.ndim != 1:
            raise ShapeError(f"column '{name}' must have one axis (rows), but the array has shape {values.shape}.")
    return {name: it if it.dtype.kind in "iufbM" else it.astype(object) for name, it in columns.items()}


def _role(what: str, name: str | None, columns: Mapping[str, np.ndarray], problems: Problems) -> str | None:
    """Return the name of a column with a role, or None where there is none."""
    if name is None or name in columns:
        return name or None
    problems.add(_no_column(f"data: {what}", name, columns))
    return None


def _check_clusters(cluster: str | None, columns: Mapping[str, np.ndarray], problems: Problems) -> None:
    """Refuse rows of which is not known with which others they belong together."""
    n_missing = 0 if cluster is None else int(np.count_nonzero(pd.isna(columns[cluster])))
    if n_missing:
        told = f"data: cluster names '{cluster}', which is missing in {n_missing} of {len(columns[cluster or ''])} rows"
        problems.add(DataError(f"{told}. Fill it in, with a value of its own for a row that belongs to no other."))


def _check_steps(columns: Mapping[str, np.ndarray], temporal: Mapping[str, Series], problems: Problems) -> None:
    """Refuse temporal data that are called as a column, or made of columns that there are not."""
    before = len(problems)
    for name, series in temporal.items():
        if name in columns:
            told = f"'{name}' is both a column of the static table and temporal data; rename the latter."
            problems.add(ConfigError(told))
        for column in dict.fromkeys(column for steps in series.columns.values() for column in steps):
            if column not in columns:
                problems.add(_no_column(f"data: temporal: {name}", column, columns))
    if len(problems) > before:
        problems.settle()  # what an input is to receive is not known without them


def _no_column(where: str, column: str, columns: Mapping[str, np.ndarray]) -> DataError:
    return DataError(
        f"{where} names the column '{column}', which the static table does not have. "
        f"It has {name_list(columns)}.{did_you_mean(column, columns)}"
    )


def _parts(piece: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array in parts that stay in the processor's cache while they are made wider and read again."""
    step = max(1, _CACHED_CELLS * len(piece) // max(1, piece.size))
    return (piece[start : start + step] for start in range(0, len(piece), step))


def _add_to(sha: hashlib._Hash, what: str, array: np.ndarray) -> None:
    """Add an array to a digest; integers, floats and texts count as the same whatever their width."""
    wide = {"i": np.int64, "u": np.int64, "f": np.float64, "b": np.int64}.get(array.dtype.kind)
    sha.update(f"\x1e{what} {array.shape} {'text' if wide is None else np.dtype(wide)}\x1e".encode())
    for _, piece in row_chunks(array):
        if wide is not None:
            for part in _parts(piece):
                sha.update(np.ascontiguousarray(part, dtype=wide).data)
        else:
            for text in map(str, piece.ravel()):
                sha.update(f"{len(text)}:{text}".encode())
