"""An audit as its run holds it, with the digests of its files checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from pyarrow import csv
from pydantic import ValidationError

from nnperm_mlflow.basics.documents import Told, wrong_keys
from nnperm_mlflow.basics.errors import EvidenceError, TrackingError, name_list, says_missing
from nnperm_mlflow.basics.files import CONFIG_FILE, SUMMARY_FILE, TABLE_FILE, VERDICT_FILE, file_digest
from nnperm_mlflow.config.configuration import AuditConfig, load_config
from nnperm_mlflow.registry.audits import FINISHED, TABLE_DIGEST, TABLE_TAG, holds_audit, status_of
from nnperm_mlflow.registry.refusals import explained
from nnperm_mlflow.verdict.judgement import Status

_TEXTS = ("perturbation", "feature", "kind", "way", "value")
_NEEDED = {*_TEXTS, "rows", "skipped", "median", "mean", "max", "changed_share"}
"""Columns of a summary without which nothing can be said of it; what came later may be missing in an old one."""


AnyTold = TypeVar("AnyTold", bound=Told)


class GivenVerdict(Told):
    """A verdict as a run holds it: see `Verdict.as_dict`, and when and by whom it was given."""

    verdict: Status
    in_words: str
    mode: str
    policy_digest: str
    subject: dict[str, Any]
    baselines: dict[str, str]
    checks: list[dict[str, Any]]
    given_at: str
    given_by: str


@dataclass(frozen=True)
class AuditRecord:
    """An audit as its run holds it; files are fetched when they are asked for, and checked.

    Attributes
    ----------
    client : MlflowClient
    run : Run
    folder : Path
        Directory for its files.
    own_table : Path, optional
        A copy of the deviation table, where that was kept out of the run.
    """

    client: MlflowClient
    run: Run
    folder: Path
    own_table: Path | None = None

    def __str__(self) -> str:
        return f"run {self.run_id}"

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return str(self.run.info.run_id)

    @property
    def experiment_id(self) -> str:
        """Id of the run's experiment."""
        return str(self.run.info.experiment_id)

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
        """Rows of the data."""
        return self._number("rows")

    @property
    def seed(self) -> int:
        """Key of the shuffles."""
        return self._number("seed")

    def param(self, name: str) -> str:
        """Return a parameter of the run.

        Raises
        ------
        EvidenceError
            If the run has none of that name.
        """
        if name not in self.run.data.params:
            raise EvidenceError(f"{self} does not say its '{name}': it is no whole audit. Audit the version again.")
        return str(self.run.data.params[name])

    @cached_property
    def table(self) -> Path:
        """The deviation table, its digest checked."""
        if self.own_table is not None:
            return self._checked(self.own_table, TABLE_DIGEST)
        if TABLE_TAG in self.run.data.tags:
            raise EvidenceError(
                f"the deviation table of {self} was kept out of the tracking server (--no-table): give your copy of it "
                "(--table FILE)."
            )
        return self._checked(self.fetch(TABLE_FILE), TABLE_DIGEST)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The summary, its digest checked."""
        return read_summary(self._checked(self.fetch(SUMMARY_FILE), "summary_digest"))

    @cached_property
    def config(self) -> AuditConfig:
        """The configuration as used, its digest checked."""
        return load_config(self._checked(self.fetch(CONFIG_FILE), "config_file_digest"))

    @cached_property
    def verdict(self) -> dict[str, Any] | None:
        """The newest verdict, with the keys of `GivenVerdict`; None where there is none."""
        return dict(self.read(VERDICT_FILE, GivenVerdict)) if self.holds(VERDICT_FILE) else None

    def read(self, name: str, kind: type[AnyTold]) -> AnyTold:
        """Return what a JSON file of the run tells.

        Raises
        ------
        EvidenceError
            If it is not there, or not what is written there.
        TrackingError
            If it cannot be fetched.
        """
        try:
            return kind.model_validate_json(self.fetch(name).read_bytes())
        except (ValidationError, OSError) as error:
            raise EvidenceError(
                f"{name} of {self} is not what was written there ({_fault_in(error)}). Do not rely on it; a verdict "
                "can be given again (nnperm check)."
            ) from error

    def fetch(self, name: str) -> Path:
        """Download a file of the run.

        Raises
        ------
        EvidenceError
            If it is not there.
        TrackingError
            If it is, and cannot be fetched, or the store of artifacts does not say whether it is.
        """
        try:
            with explained():
                return Path(self.client.download_artifacts(self.run_id, name, str(self.folder)))
        except TrackingError as error:
            if self.holds(name):
                raise TrackingError(
                    f"{name} of {self} is there, and cannot be fetched ({type(error.__cause__).__name__}). Is the "
                    "store of artifacts running, and may you read there?"
                ) from error
            raise EvidenceError(
                f"{name} of {self} is not there: the audit is not whole. Audit the version again."
            ) from error

    def holds(self, name: str) -> bool:
        """Tell whether a file is in the run."""
        return name in self.names_in(name.rpartition("/")[0])

    def names_in(self, folder: str) -> list[str]:
        """Return the paths of what a folder of the run holds; "" is its root.

        Raises
        ------
        TrackingError
            If the store of artifacts does not say.
        """
        with explained():
            return sorted(file.path for file in self.client.list_artifacts(self.run_id, folder or None))

    def ask_server(self) -> None:
        """Ask for the run once more, which tells a server that has fallen silent from a store of artifacts that has.

        Raises
        ------
        TrackingError
            If the server does not answer.
        """
        with explained():
            self.client.get_run(self.run_id)

    def _number(self, name: str) -> int:
        told = self.param(name)
        if not told.isdecimal():
            raise EvidenceError(
                f"'{name}' of {self} is no whole number: it is no whole audit. Audit the version again."
            )
        return int(told)

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


def read_audit(client: MlflowClient, run_id: str, folder: Path, table: Path | None = None) -> AuditRecord:
    """Return the audit that a run holds.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    folder : Path
        Directory for its files; made where it is not there.
    table : Path, optional
        A copy of the deviation table, where that was kept out of the run.

    Raises
    ------
    EvidenceError
        If there is no such run, or it was deleted, is not finished, or holds no audit.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if not says_missing(error):
            raise
        raise EvidenceError(
            f"run {run_id} is not in the tracking store. Look at the id (nnperm history) and the store "
            "(--tracking-uri), or audit the version again."
        ) from error
    if run.info.lifecycle_stage != "active":
        raise EvidenceError(f"run {run_id} has been deleted. Restore it, or audit the version again.")
    if status_of(run) != FINISHED:
        raise EvidenceError(
            f"run {run_id} is {run.info.status}, not {FINISHED}. If its results wait to be written, do that (nnperm "
            "publish); else audit the version again."
        )
    if not holds_audit(run):
        raise EvidenceError(f"run {run_id} holds no audit. Name one: nnperm history lists them.")
    folder.mkdir(parents=True, exist_ok=True)
    return AuditRecord(client, run, folder, table)


def _fault_in(error: ValidationError | OSError) -> str:
    """Return in words, and without what it holds, why a file is not read."""
    if isinstance(error, OSError):
        return "no file that can be read"
    wrong = wrong_keys(error)
    return f"wrong or missing: {name_list(wrong)}" if wrong else "no JSON object"


def read_summary(path: Path) -> pd.DataFrame:
    """Read a summary as it was written: numbers to the last bit, names as text, what is missing as NaN."""
    try:
        read = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(_TEXTS, pa.string()), null_values=[""]),
        )
        if lacking := _NEEDED.difference(read.column_names):
            raise EvidenceError(f"{path.name} lacks the columns {name_list(sorted(lacking))}. Audit again.")
        fields = [field.with_type(pa.float64()) if pa.types.is_null(field.type) else field for field in read.schema]
        return read.cast(pa.schema(fields)).to_pandas()
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise EvidenceError(
            f"{path.name} is no summary that an audit wrote ({type(error).__name__}). Audit again."
        ) from error
