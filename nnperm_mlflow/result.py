"""What an audit found, and where its files lie."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nnperm_mlflow.errors import ConfigError
from nnperm_mlflow.models.pinning import ModelReference
from nnperm_mlflow.report.boxplot import boxplot_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE_FILE, SUMMARY_FILE, BOXPLOT_FILE, CONFIG_FILE = "deviations.parquet", "summary.csv", "boxplot.png", "config.yaml"


@dataclass(frozen=True)
class Folder:
    """A directory for the files of an audit, temporary ones included.

    Attributes
    ----------
    path : Path
    temporary : TemporaryDirectory or None
        Holds the directory as long as this object lives, where nobody asked for another.
    """

    path: Path
    temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def at(cls, output: str | Path | None) -> Folder:
        """Make the directory asked for, or a temporary one."""
        if output is None:
            temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            return cls(Path(temporary.name), temporary)
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=output):
                pass  # where this can be written, the audit's files can
        except OSError as error:
            raise ConfigError(f"the output directory '{output}' cannot be written: {error.strerror}.") from error
        return cls(Path(output))


@dataclass(frozen=True)
class AuditResult:
    """What an audit found.

    Attributes
    ----------
    model : ModelReference
        The pinned version.
    run_id, experiment_id : str
        The run that holds everything.
    address : str or None
        The run's page; None where the tracking store is no server.
    summary : DataFrame
        A row per perturbation, ordered by median deviation, largest first; see `analysis.statistics.summarize`.
    folder : Folder
        Where the files lie: the deviation table, the summary, the boxplot, the configuration as used.
    unit : str
        Unit of prediction and deviation.
    subtitle : str
        What was audited, on how many rows.
    not_linked : list of str
        What could not be written in the registry for want of permission.
    """

    model: ModelReference
    run_id: str
    experiment_id: str
    address: str | None
    summary: pd.DataFrame
    folder: Folder
    unit: str
    subtitle: str
    not_linked: list[str] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """Where the files lie; a temporary directory lives as long as the result."""
        return self.folder.path

    @property
    def table(self) -> pd.DataFrame:
        """The deviation table: one row per observation and repeat, one float32 column per perturbation."""
        return pd.read_parquet(self.directory / TABLE_FILE)

    @property
    def figure(self) -> Figure:
        """The boxplot, drawn anew."""
        return boxplot_figure(self.summary, self.subtitle, self.unit)
