"""What the prediction of one observation rests on, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nnperm_mlflow.basics.audit_files import REASONS_FILE, REASONS_LETTER, REASONS_PICTURE
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.paths import local_directory
from nnperm_mlflow.basics.text import four_decimals, rows_to_show
from nnperm_mlflow.evidence.summary_file import write_table
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.reason_bars import reasons_figure, reasons_title
from nnperm_mlflow.report.reason_letter import reason_letter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110
_SHOWN_ROWS = 10


@dataclass(frozen=True)
class Explanation:
    """What the prediction of one observation rests on.

    Attributes
    ----------
    model : str
        Pinned URI.
    run_id : str
        The audit whose model and data these are.
    row : int
        Position in the data.
    row_id : str or None
        What the row is called there.
    prediction : float
        The followed output.
    others : float
        Mean prediction of those it is compared with.
    unit : str
        Unit of the prediction.
    reference : str
        Those it is compared with, in words.
    features : DataFrame
        A row for each feature, what raises the prediction most first; see
        `analysis.reasons.observation_reasons.Reasons`.
    labels : FeatureLabels
        What features are called, behind their names in words and picture.
    parts : DataFrame or None
        The same of windows and groups, where these were asked for.
    """

    model: str
    run_id: str
    row: int
    row_id: str | None
    prediction: float
    others: float
    unit: str
    reference: str
    features: pd.DataFrame
    labels: FeatureLabels = field(default_factory=FeatureLabels)
    parts: pd.DataFrame | None = None

    @property
    def subject(self) -> str:
        """Which observation of which model."""
        called = f"row {self.row}" if self.row_id is None else f"observation {self.row_id}"
        return f"{called}, {self.model}"

    @property
    def letter(self) -> str:
        """The reasons in words, as plain text."""
        return reason_letter(
            self._labelled,
            subject=self.subject,
            prediction=self.prediction,
            others=self.others,
            unit=self.unit,
            reference=self.reference,
            audit=f"run {self.run_id}",
            parts=None if self.parts is None else self.labels.in_table(self.parts, "feature"),
        )

    @property
    def _labelled(self) -> pd.DataFrame:
        """The reasons, in which features have their labels behind their names."""
        return self.labels.in_table(self.features, "feature")

    @property
    def table(self) -> pd.DataFrame:
        """All that reasons are given by: features, and behind them windows and groups; `kind` tells which."""
        return self.features if self.parts is None else pd.concat([self.features, self.parts], ignore_index=True)

    @property
    def figure(self) -> Figure:
        """The reasons as bars, drawn anew."""
        lines = (self.subject, f"beside {self.reference}")
        table = self.labels.in_table(self.table, "feature")
        return reasons_figure(table, reasons_title(self.prediction, self.others), lines, self.unit)

    def write(self, output: str | Path) -> list[Path]:
        """Write letter, numbers and picture into a directory, which is made where it is not there; return the paths.

        Raises
        ------
        ConfigError
            If it cannot be written.
        """
        folder = local_directory(output, "the output directory")
        paths = [folder / name for name in (REASONS_LETTER, REASONS_FILE, REASONS_PICTURE)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            paths[0].write_text(self.letter, encoding="utf-8")
            write_table(self.table, paths[1])
            self.figure.savefig(paths[2], dpi=_DPI)
        except OSError as error:
            raise ConfigError(f"the output directory '{output}' cannot be written: {error.strerror}.") from error
        return paths

    def __repr__(self) -> str:
        """Tell the model and the first feature, and nothing of the observation."""
        first = self.features.iloc[0]
        return in_a_line("Explanation", f"of a row for {self.model}", f"raised most by '{first['feature']}'")

    def _repr_html_(self) -> str:
        shown = self._labelled.head(rows_to_show(len(self.features), _SHOWN_ROWS))
        rows = [
            (row["place"], row["feature"], four_decimals(row["effect"]),
             f"{four_decimals(row['low'])} to {four_decimals(row['high'])}", f"{row['turned']:.1%}")
            for row in shown.to_dict("records")
        ]  # fmt: skip
        more = len(self.features) - len(shown)
        return as_html(
            f"{self.subject}: {self.prediction:.4g}, beside {self.others:.4g} ({self.unit})",
            header=("place", "feature", "raises the prediction by", "95 % interval", "others' values that turn it"),
            rows=rows,
            notes=[*([f"... and {more} more in .features"] if more else []), f"compared with {self.reference}"],
        )
