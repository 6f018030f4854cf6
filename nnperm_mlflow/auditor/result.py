"""What an audit found, and where its files lie."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.statistics.order import (
    MEAN,
    MEDIAN,
    conditionals,
    in_words,
    most_in_words,
    moved,
    plain,
    set_values,
    shuffles,
)
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends
from nnperm_mlflow.basics.audit_files import (
    ASSOCIATIONS_FILE,
    ASSOCIATIONS_PICTURE,
    BOXPLOT_FILE,
    EFFECTS_FILE,
    EFFECTS_PICTURE,
    GROUPS_FILE,
    HEATMAP_FILE,
    INTERACTIONS_PICTURE,
    PARTS_FILE,
    PROFILES_FILE,
    PROFILES_PICTURE,
    SEGMENTS_PICTURE,
    STRATA_FILE,
    SUBGROUPS_FILE,
    TABLE_FILE,
    WINDOWS_FILE,
)
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError
from nnperm_mlflow.basics.paths import local_directory
from nnperm_mlflow.basics.text import four_decimals, rows_to_show
from nnperm_mlflow.evidence.summary_file import write_table
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.report.association_map import associations_figure
from nnperm_mlflow.report.boxplot import boxplot_figure
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.heatmap import heatmap_figure
from nnperm_mlflow.report.interaction_matrix import interactions_figure
from nnperm_mlflow.report.profile_curves import effects_figure, profiles_figure
from nnperm_mlflow.report.segment_panels import segments_figure
from nnperm_mlflow.verdict.verdict import Verdict

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110
_SHOWN_ROWS = 10  # of the summary, in a notebook


@dataclass(frozen=True)
class Folder:
    """A directory for the files of an audit.

    Attributes
    ----------
    path : Path
    vanishes : finalize or None
        Removes the directory with this object, where nobody asked for it.
    """

    path: Path
    vanishes: weakref.finalize[..., Folder] | None = None

    @classmethod
    def at(cls, output: str | Path | None, results: Path | None = None) -> Folder:
        """Make the directory asked for, or one among `results` (or temporary files) that goes when nobody needs it.

        Raises
        ------
        ConfigError
            If the directory asked for is a URI, has a name that is no UTF-8, or cannot be written.
        """
        if output is None:
            path = Path(tempfile.mkdtemp(dir=results))
            folder = cls(path)
            vanishes = weakref.finalize(folder, shutil.rmtree, path, ignore_errors=True)
            object.__setattr__(folder, "vanishes", vanishes)  # it must watch the folder that holds it
            return folder
        path = local_directory(output, "the output directory")
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass  # where this can be written, the audit's files can
        except OSError as error:
            raise ConfigError(f"the output directory '{output}' cannot be written: {error.strerror}.") from error
        return cls(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other audits out of the directory within the block, where the system has locks for that.

        Raises
        ------
        ConfigError
            If another one is writing there.
        """
        if fcntl is None:
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            _lock(handle, self.path)
            yield
        finally:
            os.close(handle)  # which gives the lock back, as the end of the process would

    @property
    def asked_for(self) -> Path | None:
        """The directory, where somebody named it; None where it goes with this object."""
        return self.path if self.vanishes is None else None

    def keep(self) -> Path:
        """Let the directory stay, and return it."""
        if self.vanishes is not None:
            self.vanishes.detach()
        return self.path


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"another audit is writing to '{path}'. Wait for its end, or name another directory (--output)."
        ) from error
    except OSError:
        return  # the file system has no locks


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
        A row per perturbation, shuffles first and set values behind, in each part the largest first; see
        `analysis.statistics.summary.summarize`.
    folder : Folder
        Where the files lie: the deviation table, the summary, the boxplot, the configuration as used.
    unit : str
        Unit of prediction and deviation.
    subtitle : str
        What was audited, on how many rows.
    order_by : str
        The statistic that leads, a column of the summary.
    windows : DataFrame or None
        When each temporal channel matters, where windows were asked for; see
        `analysis.statistics.summary.window_table`.
    profiles : DataFrame or None
        The mean prediction over values of some features; see `analysis.profiles.profiles.find_profiles`.
    effects : DataFrame or None
        How the prediction goes along the values of some features; see `analysis.profiles.accumulated.find_effects`.
    associations : DataFrame
        Features that go together; see `analysis.perturbation.grouping.Companions`.
    strata : DataFrame or None
        Which rows could exchange values, where not all could; see `analysis.perturbation.strata.Strata.sizes`.
    groups : DataFrame or None
        What groups move beyond their members, where there are such; see
        `analysis.interactions.group_effects.group_effects`.
    subgroups : DataFrame or None
        Which rows could exchange values in conditional shuffles, in words, where there are such; see
        `analysis.repeats.subgroup_sizes.with_subgroups`.
    own_scores : mapping of str to OwnScore
        What scorers say of the model as it is, where there are labels.
    interactions : DataFrame or None
        What pairs of features do together; see `analysis.interactions.interactions.find_interactions`.
    segments : SegmentTables or None
        What is told of segments, where these were asked for.
    metrics : dict of str to float
        Medians and the like by their key in the run, as `median/age`.
    verdict : Verdict or None
        Whether the version keeps the policy; None where there is none.
    not_linked : list of str
        What could not be written in the registry for want of permission.
    labels : FeatureLabels
        What features and steps are called in pictures.
    """

    model: ModelReference
    run_id: str
    experiment_id: str
    address: str | None
    summary: pd.DataFrame
    folder: Folder
    unit: str
    subtitle: str
    order_by: str = MEAN
    windows: pd.DataFrame | None = None
    profiles: pd.DataFrame | None = None
    effects: pd.DataFrame | None = None
    associations: pd.DataFrame = field(default_factory=pd.DataFrame)
    strata: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    subgroups: pd.DataFrame | None = None
    own_scores: Mapping[str, OwnScore] = field(default_factory=dict)
    segments: SegmentTables | None = None
    interactions: pd.DataFrame | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    not_linked: list[str] = field(default_factory=list)
    labels: FeatureLabels = field(default_factory=FeatureLabels)

    @property
    def directory(self) -> Path:
        """Where the files lie; a temporary directory lives as long as the result."""
        return self.folder.path

    @property
    def table(self) -> pd.DataFrame:
        """The deviation table: one row per observation and repeat, one float32 column per perturbation.

        Raises
        ------
        EvidenceError
            If the audit was made on a cluster, where its table lies in parts (`table.json` says where).
        """
        if (self.directory / PARTS_FILE).exists():
            raise EvidenceError(
                "the deviation table lies in parts on the cluster's storage: "
                f"{self.directory / PARTS_FILE} says where, to be read by spark.read.parquet."
            )
        return pd.read_parquet(self.directory / TABLE_FILE)

    @property
    def figure(self) -> Figure:
        """The boxplot, drawn anew."""
        return boxplot_figure(self.labels.in_summary(self.summary), self.subtitle, self.unit, self.order_by)

    @property
    def moved(self) -> pd.DataFrame:
        """Those rows of the summary in which a feature kept its values, and was given them in another order."""
        return moved(self.summary)

    @property
    def plain(self) -> pd.DataFrame:
        """Those rows of `moved` whose donors come from all rows, or from strata that were named."""
        return plain(self.summary)

    @property
    def conditionals(self) -> pd.DataFrame:
        """Those rows of the summary in which a feature was shuffled among rows that are alike in what it goes with."""
        return conditionals(self.summary)

    @property
    def set_values(self) -> pd.DataFrame:
        """Those rows of the summary in which everybody was set to one value; `held` tells how many rows had it."""
        return set_values(self.summary)

    def __repr__(self) -> str:
        top = shuffles(self.summary).iloc[0]
        number = f"{in_words(self.order_by)} {top[self.order_by]:.4g}"
        largest = f"{most_in_words(self.order_by)} with '{top['perturbation']}' ({number})"
        verdict = [] if self.verdict is None else [f"verdict {self.verdict.status}"]
        return in_a_line("AuditResult", self.subtitle, largest, *verdict, f"run {self.run_id}")

    def _repr_html_(self) -> str:
        shown = self.labels.in_summary(self.summary).head(rows_to_show(len(self.summary), _SHOWN_ROWS))
        ends = zip(*interval_ends(shown, self.order_by), strict=True)
        second = MEDIAN if self.order_by == MEAN else MEAN
        rows = [
            (row["perturbation"], row["way"], four_decimals(row[self.order_by]),
             f"{four_decimals(low)} to {four_decimals(high)}", four_decimals(row[second]),
             f"{row['changed_share']:.1%}")
            for row, (low, high) in zip(shown.to_dict("records"), ends, strict=True)
        ]  # fmt: skip
        more = len(self.summary) - len(shown)
        told_scores = ", ".join(f"{name} {score}" for name, score in self.own_scores.items())
        return as_html(
            f"{self.subtitle}: deviation of the prediction ({self.unit})",
            header=("perturbation", "way", self.order_by, "95 % interval", second, "rows changed"),
            rows=rows,
            notes=[
                *([f"... and {more} more in .summary"] if more else []),
                *([f"the model itself: {told_scores}"] if told_scores else []),
                *([] if self.verdict is None else [f"verdict: {self.verdict.in_words}"]),
                f"run {self.run_id}, files in {self.directory}",
            ],
            link=self.address,
            picture=self.directory / BOXPLOT_FILE,
        )


def write_findings(result: AuditResult) -> list[str]:
    """Write what an audit found beside the numbers that a verdict rests on.

    Parameters
    ----------
    result : AuditResult

    Returns
    -------
    list of str
        Their names: tables as CSV and pictures as PNG; of windows, profiles, groups, strata, subgroups and segments
        only where there are such.
    """
    tables = {
        ASSOCIATIONS_FILE: result.associations,
        WINDOWS_FILE: result.windows,
        PROFILES_FILE: result.profiles,
        EFFECTS_FILE: result.effects,
        GROUPS_FILE: result.groups,
        STRATA_FILE: result.strata,
        SUBGROUPS_FILE: result.subgroups,
    }
    there = {name: table for name, table in tables.items() if table is not None}
    for name, table in there.items():
        write_table(table, result.directory / name)
    pictures = _pictures_of(result)
    for name, picture in pictures.items():
        picture.savefig(result.directory / name, dpi=_DPI)
    return [*there, *pictures]


def _pictures_of(result: AuditResult) -> dict[str, Figure]:
    """Return the pictures by the names of their files, with labels behind the names of features."""
    labels, subtitle, unit = result.labels, result.subtitle, result.unit
    pictures = {BOXPLOT_FILE: result.figure}
    if result.windows is not None:
        pictures[HEATMAP_FILE] = heatmap_figure(labels.in_windows(result.windows), subtitle, unit, result.order_by)
    if result.profiles is not None:
        pictures[PROFILES_PICTURE] = profiles_figure(labels.in_table(result.profiles, "feature"), subtitle, unit)
    if result.effects is not None and len(result.effects):
        pictures[EFFECTS_PICTURE] = effects_figure(labels.in_table(result.effects, "feature"), subtitle, unit)
    if result.interactions is not None and len(result.interactions):
        pairs = labels.in_table(result.interactions, "first", "second")
        pictures[INTERACTIONS_PICTURE] = interactions_figure(pairs, subtitle, unit)
    if len(result.associations):
        pairs = labels.in_table(result.associations, "first", "second")
        pictures[ASSOCIATIONS_PICTURE] = associations_figure(pairs, subtitle)
    if result.segments is not None:
        told = result.segments.renamed(labels.names_in(result.summary)).segments
        leading = labels.in_summary(result.summary)["perturbation"].tolist()
        pictures[SEGMENTS_PICTURE] = segments_figure(told, leading, subtitle, unit)
    return pictures
