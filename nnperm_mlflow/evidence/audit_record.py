"""The record of an audit: what it is of, its numbers, and the digests of its files, wherever these lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import ValidationError

from nnperm_mlflow.analysis.interactions.interaction_columns import INTERACTION_COLUMNS
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.statistics.order import BEFORE
from nnperm_mlflow.basics.audit_files import (
    CONFIG_FILE,
    DIFFERENCES_FILE,
    INTERACTIONS_FILE,
    OUTCOME_FILE,
    PARTS_FILE,
    SCORE_DIFFERENCES_FILE,
    SCORES_FILE,
    SEGMENT_SCORES_FILE,
    SEGMENTS_FILE,
    SUMMARY_FILE,
    TABLE_FILE,
    VERDICT_FILE,
    file_digest,
)
from nnperm_mlflow.basics.documents import Tolerant, wrong_keys
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, name_list
from nnperm_mlflow.config.audit_config import AuditConfig, load_config
from nnperm_mlflow.config.labels_config import labels_of
from nnperm_mlflow.evidence.audit_folder import Files
from nnperm_mlflow.evidence.comparability import Basis
from nnperm_mlflow.evidence.scores_file import read_own_scores
from nnperm_mlflow.evidence.segments_file import read_segment_scores, read_segments
from nnperm_mlflow.evidence.summary_file import read_summary, read_table
from nnperm_mlflow.verdict.training_rows import TrainingOverlap
from nnperm_mlflow.verdict.verdict import GivenVerdict, Subject

TABLE_DIGEST, SUMMARY_DIGEST, CONFIG_DIGEST = "table_digest", "summary_digest", "config_file_digest"
"""Parameters with the sha256 of the deviation table, the summary and the configuration as used."""
SERVED_DIGEST = "served_digest"
"""That of those of the model's files that are served, where the audit told it."""
OUTCOME_DIGEST = "counts_digest"
"""That of what was counted on a cluster; `TABLE_DIGEST` is then of the list of the table's parts."""
ROWS_DIGEST = "rows_digest"
"""That of the rows, as `inputs.rows_digest` adds it up; audits of samples, and of before it was told, have none."""
SCORES_DIGEST = "scores_digest"
"""That of the model's own scores, where the audit told them."""
SEGMENTS_DIGEST, DIFFERENCES_DIGEST = "segments_digest", "segment_differences_digest"
"""Those of what is told of segments, where the audit was asked for them."""

SEGMENT_SCORES_DIGEST, SCORE_DIFFERENCES_DIGEST = "segment_scores_digest", "segment_score_differences_digest"
"""Those of what scorers say of segments, where the audit tells it."""

INTERACTIONS_DIGEST = "interactions_digest"
"""That of what pairs of features do together, where the audit was asked for it."""

_MOST_DIGITS = 30  # of a number, be it a seed

_DONORS_BEFORE = "permutations with their own values"  # within strata, of audits that do not say it

AnyTold = TypeVar("AnyTold", bound=Tolerant)


@dataclass(frozen=True)
class AuditRecord:
    """An audit that has been made; its files are read when they are asked for, and checked.

    Attributes
    ----------
    run_id, experiment_id : str
        The run that holds it.
    params : mapping of str to str
        What identifies the audit, as its run tells it: digests, seed, rows, versions of packages.
    files : Files
        In the run, or in a folder.
    tags : mapping of str to str
        Of the run.
    begun_at, ended_at : datetime or None
        When the run began and ended, in UTC.
    dataset : mapping of str to str
        The data as MLflow describes a data set; empty where the run does not tell.
    own_table : Path or None
        A copy of the deviation table, where that was kept out of the run.
    lacks_table : bool
        Whether the table was kept out.
    """

    run_id: str
    experiment_id: str
    params: Mapping[str, str]
    files: Files
    tags: Mapping[str, str]
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    dataset: Mapping[str, str] = field(default_factory=dict)
    own_table: Path | None = None
    lacks_table: bool = False

    def __str__(self) -> str:
        return f"run {self.run_id}"

    @property
    def model(self) -> str:
        """Pinned URI of what was audited."""
        return self.param("model")

    @property
    def repeats(self) -> int:
        """How many shuffles of each feature were made."""
        return self._number("repeats_made")

    @property
    def rows(self) -> int:
        """Rows that were audited: all of the data, or those of a sample."""
        return self.data_rows if self.sampled_rows is None else self.sampled_rows

    @property
    def data_rows(self) -> int:
        """Rows of the data."""
        return self._number("rows")

    @property
    def sampled_rows(self) -> int | None:
        """Rows of the sample that was audited; None where all rows were."""
        return self._count("sampled_rows")

    @property
    def rows_in_words(self) -> str:
        """How many rows were audited, and of how many."""
        return self.subject.rows_in_words

    @property
    def seed(self) -> int:
        """Key of the shuffles."""
        return self._number("seed")

    @property
    def unit(self) -> str:
        """Unit of prediction and deviation."""
        return self.param("unit")

    @property
    def order_by(self) -> str:
        """The statistic that leads, by which the summary is ordered."""
        return str(self.params.get("order_by", BEFORE))

    @property
    def subject(self) -> Subject:
        """What a verdict on the audit is on."""
        return Subject(
            model=self.model,
            run_id=self.run_id,
            experiment_id=self.experiment_id,
            model_digest=self.param("model_digest"),
            data_digest=self.param("data_digest"),
            config_digest=self.param("config_digest"),
            table_digest=self.param(TABLE_DIGEST),
            summary_digest=self.param(SUMMARY_DIGEST),
            rows=self.rows,
            repeats=self.repeats,
            seed=self.seed,
            positives=self._count("positives"),
            clusters=self._count("clusters"),
            sampled_from=None if self.sampled_rows is None else self.data_rows,
            look=self._count("look"),
            looks=self._count("looks"),
        )

    @property
    def training(self) -> TrainingOverlap | None:
        """How many of the rows the model was fitted to; None where nobody looked."""
        return TrainingOverlap.from_params(self.params)

    @property
    def model_code(self) -> str:
        """Where code that came with the model ran: "none", "isolated", "in process"; "unknown" where it is not said."""
        told = self.params.get("model_code")
        if told is None:  # before it was said, none ran without trust
            return "none" if self.params.get("model_trusted") == "False" else "unknown"
        return str(told)

    def called(self, name: str) -> str:
        """Return a feature's name, with what the audit's configuration calls it behind it."""
        label = labels_of(self.config.labels).get(name)
        return name if label is None else f"{name} ({label.label})"

    @property
    def predicted_by(self) -> str | None:
        """Function of the model that was called, where the audit says so; None for the one that MLflow serves."""
        told = self.params.get("predicted_by")
        return None if told is None else str(told)

    @property
    def function(self) -> str | None:
        """Function whose predictions were followed, whether it was asked for or served; None for plain `predict`."""
        called = self.config.analysis.predict or self.predicted_by
        return None if called == "predict" else called

    @property
    def served_digest(self) -> str | None:
        """sha256 of those of the model's files that are served; None where the audit was made before it was told."""
        return self.params.get(SERVED_DIGEST)

    @property
    def rows_mix(self) -> str | None:
        """By how much predictions of a row were seen to depend on the rows beside it; None where they were not."""
        told = self.params.get("rows_mix")
        return None if told is None else str(told)

    @property
    def basis(self) -> Basis:
        """What the audit must have in common with another to be compared with it row by row."""
        return Basis(self.param("data_digest"), self.repeats, self.unit, self.disturbance, self.params.get(ROWS_DIGEST))

    def is_on_data_of(self, other: AuditRecord) -> bool:
        """Tell whether another audit is on the same data, from what needs no download."""
        told = ((self.params.get(name), other.params.get(name)) for name in ("data_digest", ROWS_DIGEST))
        return any(own is not None and own == its for own, its in told)

    @property
    def disturbance(self) -> dict[str, object]:
        """The settings on which donors, values and predictions depend, as they were found to be."""
        return {**self.config.disturbance(), "donors": self.donors, "predict": self.function}

    @property
    def donors(self) -> str | None:
        """How donors were drawn within strata or batches; None where all rows could exchange values."""
        return None if self.config.analysis.drawing is None else self.params.get("donors", _DONORS_BEFORE)

    def param(self, name: str) -> str:
        """Return a parameter of the run.

        Raises
        ------
        EvidenceError
            If the run has none of that name.
        """
        if name not in self.params:
            raise EvidenceError(f"{self} does not say its '{name}': it is no whole audit. Audit the version again.")
        return str(self.params[name])

    def refuse_damaged(self) -> None:
        """Read all that the audit tells, but for its deviation table.

        Raises
        ------
        EvidenceError
            If something of it is missing, is not what an audit writes, or has been changed.
        """
        try:
            _ = self.subject, self.unit, self.config, self.own_scores, self.segments, self.interactions
            if self.order_by not in self.summary:
                raise EvidenceError(f"summary.csv has no '{self.order_by}', which is said to lead.")
        except (EvidenceError, ConfigError) as error:
            raise EvidenceError(f"{self} is damaged, or was made up: {error}") from error

    @property
    def is_on_cluster(self) -> bool:
        """Whether the deviation table lies in parts on the storage of a cluster."""
        return OUTCOME_DIGEST in self.params

    @property
    def parts(self) -> Path:
        """The list of the parts of such a table, its digest checked."""
        return self._fetch(PARTS_FILE, TABLE_DIGEST)

    @property
    def outcome(self) -> bytes:
        """What was counted of all rows, its digest checked; see `analysis.blockwise.block_outcome`."""
        return self._fetch(OUTCOME_FILE, OUTCOME_DIGEST).read_bytes()

    @cached_property
    def table(self) -> Path:
        """The deviation table, its digest checked."""
        if self.own_table is not None:
            return self._checked(self.own_table, TABLE_DIGEST)
        if self.is_on_cluster:
            raise EvidenceError(
                f"the deviation table of {self} is in parts on a cluster's storage, and is not compared row by row. "
                "Audit samples of both versions on one machine (analysis: {rows: 100000})."
            )
        if self.lacks_table:
            raise EvidenceError(
                f"the deviation table of {self} was kept out of the tracking server (--no-table): give your copy of it "
                "(--table FILE)."
            )
        return self._fetch(TABLE_FILE, TABLE_DIGEST)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The summary, its digest checked; see `analysis.statistics.summary.summarize`."""
        return read_summary(self._fetch(SUMMARY_FILE, SUMMARY_DIGEST))

    @cached_property
    def own_scores(self) -> dict[str, OwnScore]:
        """What scorers say of the model as it is, the file's digest checked; empty where the audit did not tell."""
        if SCORES_DIGEST not in self.params:
            return {}
        return read_own_scores(self._fetch(SCORES_FILE, SCORES_DIGEST))

    @cached_property
    def segments(self) -> SegmentTables | None:
        """What is told of segments, the files' digests checked; None where the audit was not asked for them."""
        if SEGMENTS_DIGEST not in self.params:
            return None
        tables = read_segments(*self._both({SEGMENTS_FILE: SEGMENTS_DIGEST, DIFFERENCES_FILE: DIFFERENCES_DIGEST}))
        if SEGMENT_SCORES_DIGEST not in self.params:
            return tables
        of_scores = {SEGMENT_SCORES_FILE: SEGMENT_SCORES_DIGEST, SCORE_DIFFERENCES_FILE: SCORE_DIFFERENCES_DIGEST}
        return replace(tables, scores=read_segment_scores(*self._both(of_scores)))

    @cached_property
    def interactions(self) -> pd.DataFrame | None:
        """What pairs of features do together, the file's digest checked; None where the audit was not asked for it."""
        if INTERACTIONS_DIGEST not in self.params:
            return None
        return read_table(
            self._fetch(INTERACTIONS_FILE, INTERACTIONS_DIGEST), ("first", "second", "scale"), INTERACTION_COLUMNS
        )

    @cached_property
    def config(self) -> AuditConfig:
        """The configuration as used, its digest checked."""
        return load_config(self._fetch(CONFIG_FILE, CONFIG_DIGEST))

    @cached_property
    def verdict(self) -> GivenVerdict | None:
        """The newest verdict; None where there is none."""
        return self.verdict_in(VERDICT_FILE)

    def verdict_in(self, name: str) -> GivenVerdict | None:
        """Return the verdict that a file holds, be it the newest or an earlier one; None where there is no such file.

        Raises
        ------
        EvidenceError
            If it is not what is written there.
        """
        return self.read(name, GivenVerdict) if self.holds(name) else None

    def read(self, name: str, kind: type[AnyTold]) -> AnyTold:
        """Return what a JSON file of the audit tells.

        Raises
        ------
        EvidenceError
            If it is not there, or not what is written there.
        TrackingError
            If it cannot be fetched.
        """
        try:
            return kind.model_validate_json(self.files.fetch(name).read_bytes())
        except (ValidationError, OSError) as error:
            raise EvidenceError(
                f"{name} of {self} is not what was written there ({_fault_in(error)}). Do not rely on it; a verdict "
                "can be given again (nnperm check)."
            ) from error

    def holds(self, name: str) -> bool:
        """Tell whether there is a file."""
        return name in self.files.names_in(name.rpartition("/")[0])

    def _number(self, name: str) -> int:
        told = self.param(name)
        if not (told.isdecimal() and len(told) <= _MOST_DIGITS):
            raise EvidenceError(
                f"'{name}' of {self} is no whole number: it is no whole audit. Audit the version again."
            )
        return int(told)

    def _count(self, name: str) -> int | None:
        return self._number(name) if name in self.params else None

    def _both(self, digests: Mapping[str, str]) -> list[Path]:
        """Return where files lie, each with its digest checked."""
        return [self._fetch(name, digest) for name, digest in digests.items()]

    def _fetch(self, name: str, digest: str) -> Path:
        """Return where a file lies, its digest checked."""
        return self._checked(self.files.fetch(name, self.param(digest)), digest)

    def _checked(self, path: Path, digest: str) -> Path:
        told = self.param(digest)
        try:
            found = file_digest(path)
        except OSError as error:
            raise EvidenceError(
                f"'{path}' cannot be read: {error.strerror}. Give the file that the audit wrote."
            ) from error
        if found != told:
            raise EvidenceError(
                f"{path.name} of {self} has been changed: its sha256 is {found[:12]}..., and {told[:12]}... when the "
                "audit was logged. Audit the version again."
            )
        return path


def _fault_in(error: ValidationError | OSError) -> str:
    """Return in words, and without what it holds, why a file is not read."""
    if isinstance(error, OSError):
        return "no file that can be read"
    wrong = wrong_keys(error)
    return f"wrong or missing: {name_list(wrong)}" if wrong else "no JSON object"
