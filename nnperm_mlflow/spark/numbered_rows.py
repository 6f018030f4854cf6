"""The rows of a lake with a number each, which an audit needs and a DataFrame does not have."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME, ROW
from nnperm_mlflow.basics.errors import ConfigError, DataError, did_you_mean, name_list
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.inputs.layout import gaps_matter
from nnperm_mlflow.spark.session import Session, refused

logger = logging.getLogger(__name__)

_FILE, _BUCKET = "__nnperm_file__", "__nnperm_bucket__"
_BUCKET_ROWS = 500_000  # that one task sorts where rows are numbered by their names
_MOST_BUCKETS = 256
_NO_VERSIONS = "TIME_TRAVEL"  # in what Spark calls its refusal
_SAMPLED = 20_000  # names that tell where one bucket ends and the next begins


def quoted(name: str) -> str:
    """Return a column's name as Spark takes one with points, commas or brackets in it."""
    return "`" + name.replace("`", "``") + "`"


@dataclass(frozen=True)
class NumberedRows:
    """Rows, each with its position in the column `ROW`.

    Attributes
    ----------
    frame : DataFrame of Spark
    n_rows : int
    schema : pyarrow.Schema
        Of the data, without that column.
    missing : frozenset of str
        Columns in which something is missing, of those whose type hangs on it.
    source : str
        Where they came from, without secrets.
    """

    frame: Any
    n_rows: int
    schema: pa.Schema
    missing: frozenset[str]
    source: str

    def select(self, names: list[str]) -> Any:  # noqa: ANN401 - a DataFrame of Spark
        """Return the frame with some columns, and the rows' positions behind."""
        return self.frame.select(*(quoted(name) for name in names), quoted(ROW))


def number_rows(session: Session, config: DataConfig, frame: Any = None) -> NumberedRows:  # noqa: ANN401
    """Read what a configuration names, or take a DataFrame, and number its rows.

    Parameters
    ----------
    session : Session
    config : DataConfig
        Of Parquet files, numbered by path and place in the file; or of a table with its version.
    frame : DataFrame of Spark, optional
        Goes before these. Its rows, and those of a table, are numbered in the order of `row_id`.

    Raises
    ------
    ConfigError
        If there is no `row_id` where it is needed.
    DataError
        If the data cannot be read, hold no rows, or row ids repeat.
    """
    with refused():
        if frame is not None:
            return _by_names(_checked(frame), config, "a DataFrame of Spark")
        if config.table is not None:
            return _by_names(_versioned(session, config), config, f"{config.table}, version {config.version}")
        if config.static is None:
            raise ConfigError(
                "no data are named: a directory of Parquet files (data: static), or a table (data: table)."
            )
        return _by_place(session, config.static)


def _versioned(session: Session, config: DataConfig) -> Any:  # noqa: ANN401
    from pyspark.errors import AnalysisException  # noqa: PLC0415 - an extra

    name = ".".join(quoted(part) for part in str(config.table).split("."))
    version = (
        config.version if isinstance(config.version, int) else "'{}'".format(str(config.version).replace("'", "''"))
    )
    try:
        return _checked(session.spark.sql(f"SELECT * FROM {name} VERSION AS OF {version}"))  # noqa: S608 - quoted
    except AnalysisException as error:
        if _NO_VERSIONS not in (error.getCondition() or ""):
            raise
        raise ConfigError(
            f"data: version: '{config.table}' is no table that keeps its versions, as those of Delta and Iceberg do. "
            "Name one that does; or give its rows as they are now as a DataFrame, data=spark.table(...): their digest "
            "goes on record."
        ) from error


def _checked(frame: Any) -> Any:  # noqa: ANN401
    """Refuse columns that could not be told apart, or are called as ours."""
    lower = [name.lower() for name in frame.columns]
    alike = sorted({name for name in frame.columns if lower.count(name.lower()) > 1})
    ours = [name for name in frame.columns if name in (ROW, BLOCK, OUTCOME, _FILE, _BUCKET)]
    if alike or ours:
        why = "differ in nothing but capitals, which Spark does not tell apart" if alike else "are names of our own"
        raise DataError(f"the columns {name_list(alike or ours)} {why}. Rename them.")
    return frame


def _arrow_schema(frame: Any) -> pa.Schema:  # noqa: ANN401
    from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 - an extra

    return to_arrow_schema(frame.schema)


def _by_place(session: Session, location: str) -> NumberedRows:
    from pyspark.sql import functions as of  # noqa: PLC0415 - an extra

    read = _checked(session.spark.read.parquet(location))
    names = list(read.columns)
    placed = read.select(
        *(quoted(name) for name in names),
        of.col("_metadata.file_path").alias(_FILE),
        of.col("_metadata.row_index").alias(ROW),
    )
    schema = _arrow_schema(read)
    counted = [name for name in names if gaps_matter(schema.field(name).type)]
    counts = [of.count(quoted(name)).alias(f"c{place}") for place, name in enumerate(counted)]
    files = sorted(placed.groupBy(_FILE).agg(of.count(of.lit(1)).alias("n"), *counts).collect(), key=_path_of)
    n_rows, starts = 0, []
    for file in files:
        starts.append((file[_FILE], n_rows))
        n_rows += file["n"]
    if n_rows == 0:
        raise DataError(f"{without_secrets(location)} holds no rows.")
    missing = {name for place, name in enumerate(counted) if sum(file[f"c{place}"] for file in files) < n_rows}
    of_files = pa.table({_FILE: [file for file, _ in starts], "__nnperm_first__": [first for _, first in starts]})
    first = session.spark.createDataFrame(of_files)  # of Arrow: of Python's rows it would start workers of its own
    joined = placed.join(of.broadcast(first), _FILE)
    row = (of.col(quoted(ROW)) + of.col("__nnperm_first__")).alias(ROW)
    numbered = joined.select(*(quoted(name) for name in names), row)
    return NumberedRows(numbered, n_rows, schema, frozenset(missing), without_secrets(location))


def _path_of(file: Any) -> str:  # noqa: ANN401 - a Row of Spark
    return unquote(file[_FILE])


def _by_names(frame: Any, config: DataConfig, source: str) -> NumberedRows:  # noqa: ANN401
    """Return rows numbered in the order of their names: as they are where these are whole numbers without a gap."""
    from pyspark.sql import functions as of  # noqa: PLC0415 - an extra

    name, names = config.row_id, list(frame.columns)
    if name is None:
        raise ConfigError(
            f"{source} has no order, and rows are numbered: name the column that tells them apart (data: row_id)."
        )
    if name not in names:
        raise DataError(f"data: row_id names '{name}', which is no column of {source}.{did_you_mean(name, names)}")
    schema = _arrow_schema(frame)
    counted = [each for each in names if each == name or gaps_matter(schema.field(each).type)]
    counts = [of.count(quoted(each)).alias(f"c{place}") for place, each in enumerate(counted)]
    ends = [of.min(quoted(name)).alias("lowest"), of.max(quoted(name)).alias("highest")]
    told = frame.agg(of.count(of.lit(1)).alias("n"), *counts, *ends).collect()[0]
    n_rows = told["n"]
    if n_rows == 0:
        raise DataError(f"{source} holds no rows.")
    missing = frozenset(each for place, each in enumerate(counted) if told[f"c{place}"] < n_rows)
    if name in missing:
        raise DataError(f"data: row_id: '{name}' is missing in some rows. Each row needs a name of its own.")
    is_whole = pa.types.is_integer(schema.field(name).type)
    if is_whole and told["highest"] - told["lowest"] == n_rows - 1:  # that none repeats each shuffle block will see
        row = (of.col(quoted(name)).cast("long") - of.lit(told["lowest"])).alias(ROW)
        numbered = frame.select(*(quoted(each) for each in names), row)
    else:
        numbered = _ranked(frame, name, n_rows, source)
    return NumberedRows(numbered, n_rows, schema, missing, source)


def _ranked(frame: Any, name: str, n_rows: int, source: str) -> Any:  # noqa: ANN401
    """Return rows numbered by the rank of their names, sorted bucket by bucket; rows move once more for that."""
    from pyspark.sql import Window  # noqa: PLC0415 - an extra
    from pyspark.sql import functions as of  # noqa: PLC0415 - an extra

    n_different = frame.agg(of.count_distinct(quoted(name)).alias("n")).collect()[0]["n"]
    if n_different < n_rows:
        raise DataError(
            f"data: row_id: '{name}' tells {n_different:,} of {n_rows:,} rows of {source} apart. Name a column whose "
            "values differ in all rows."
        )
    logger.info("rows are numbered by their '%s': whole numbers without a gap would spare a sort", name)
    n_buckets = min(_MOST_BUCKETS, -(-n_rows // _BUCKET_ROWS))
    edges = []
    if n_buckets > 1:
        some = frame.select(quoted(name)).sample(min(1.0, _SAMPLED / n_rows), seed=0).collect()
        values = sorted(row[0] for row in some)
        edges = sorted({values[place * len(values) // n_buckets] for place in range(1, n_buckets)})
    bucket = sum((of.when(of.col(quoted(name)) >= of.lit(edge), 1).otherwise(0) for edge in edges), of.lit(0))
    named = frame.withColumn(_BUCKET, bucket)
    sizes = {row[0]: row[1] for row in named.groupBy(_BUCKET).agg(of.count(of.lit(1))).collect()}
    starts = [sum(sizes.get(before, 0) for before in range(place)) for place in range(len(edges) + 1)]
    rank = of.row_number().over(Window.partitionBy(_BUCKET).orderBy(quoted(name)))
    start = of.element_at(of.array(*(of.lit(start).cast("long") for start in starts)), of.col(_BUCKET) + 1)
    return named.withColumn(ROW, rank.cast("long") - 1 + start).drop(_BUCKET)
