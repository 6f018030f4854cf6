"""The summary of an audit as a file: written and read back to the last bit."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from nnperm_mlflow.analysis.statistics.summary_columns import SURE
from nnperm_mlflow.basics.errors import EvidenceError, name_list

_TEXTS = ("perturbation", "feature", "kind", "way", "value")
_NEEDED = {
    *_TEXTS, "rows", "skipped", "median", "median_low", "median_high", "mean", "q95", "max", "changed_share",
    "changed_median", "flipped_share", "measurable",
}  # fmt: skip
"""Columns of a summary without which nothing can be said of it; what came later may be missing in an old one."""


def read_summary(path: Path) -> pd.DataFrame:
    """Read a summary as it was written: numbers to the last bit, names as text, what is missing as NaN.

    A statistic of which an audit has to tell how sure it is, and that comes without, has an interval of NaN: where the
    columns are left out nobody may take the number for a certain one.

    Raises
    ------
    EvidenceError
        If it is none, or does not tell of at least one perturbation, of each once.
    """
    summary = read_table(path, _TEXTS, _NEEDED)
    names = summary["perturbation"]
    if names.empty or names.isna().any() or names.duplicated().any():
        raise EvidenceError(f"{path.name} does not tell of each perturbation once. Audit again.")
    ends = (f"{name}{end}" for name in SURE if name in summary for end in ("_low", "_high"))
    return summary.assign(**{column: math.nan for column in ends if column not in summary})


def read_table(path: Path, texts: Collection[str], needed: Collection[str]) -> pd.DataFrame:
    """Read a table as `write_table` wrote it.

    Parameters
    ----------
    path : Path
    texts : collection of str
        Columns that are text, whatever it looks like; all others are numbers.
    needed : collection of str
        Columns without which it is no such table.

    Raises
    ------
    EvidenceError
        If it is none.
    """
    try:
        read = arrow_csv.read_csv(
            path,
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()), null_values=[""]),
        )
        if lacking := set(needed).difference(read.column_names):
            raise EvidenceError(f"{path.name} lacks the columns {name_list(sorted(lacking))}. Audit again.")
        wrong = [field.name for field in read.schema if field.name not in texts and not _holds_numbers(field)]
        if wrong or len(set(read.column_names)) < read.num_columns:
            raise EvidenceError(
                f"{path.name} holds no numbers, or has two columns, under {name_list(wrong or read.column_names)}. "
                "Audit again."
            )
        fields = [field.with_type(pa.float64()) if pa.types.is_null(field.type) else field for field in read.schema]
        return read.cast(pa.schema(fields)).to_pandas()
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise EvidenceError(
            f"{path.name} is no table that an audit wrote ({type(error).__name__}). Audit again."
        ) from error


def _holds_numbers(field: pa.Field) -> bool:
    kind = field.type
    return any(
        is_one(kind) for is_one in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    )


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV from which each text can be read back.

    A carriage return ends a row for those who read CSV, and pandas does not quote it: where there is one, every text is
    quoted.
    """
    texts = [pd.Index(table[name]).unique() for name in table.select_dtypes(exclude=["number", "bool"])]
    has_returns = any("\r" in str(text) for told in (table.columns, *texts) for text in told)
    table.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL)
