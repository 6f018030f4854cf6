"""Where unfinished audits and unpublished results are kept on this machine, and what they are known by."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil

from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.basics.audit_files import PUBLICATION_FILE
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.own_code import own_code_digest
from nnperm_mlflow.basics.paths import local_directory

logger = logging.getLogger(__name__)

KEPT_SECONDS = 30 * 24 * 3600
"""After which what nobody has gone on with is removed."""

LEFT_SECONDS = 3600
"""After which results are removed that were not whole when their process ended."""

_PRIVATE = 0o700  # what is computed holds predictions of people
_ABOUT_FILE, _WAITING_FILE = "about.json", "waiting.json"
_SETTINGS = ("seed", "within", "output", "decision", "missing", "exact", "random")
_NOT_OF_THE_NUMBERS = (
    "repeats", "self_noise", "rows_mix", "rows", "sampled_rows", "config_digest", "unit", "model", "model_trusted",
    "model_code", "subgroups", "rows_digest",
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """What has been computed of one audit.

    Attributes
    ----------
    folder : Path
    journal : Journal
    """

    folder: Path
    journal: Journal

    def wait(self, results: Path) -> None:
        """Note where the results lie that it was for, so that it goes with them once they are published."""
        with suppress(FileNotFoundError):  # another process has ended the same audit, and removed it
            (self.folder / _WAITING_FILE).write_text(json.dumps(str(results.resolve())), encoding="utf-8")

    def remove(self) -> None:
        """Remove it, once all is published."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Workspace:
    """A directory for the work of audits.

    Attributes
    ----------
    root : Path
    """

    root: Path

    @classmethod
    def at(cls, work_dir: str | Path | None = None) -> Workspace:
        """Return the directory asked for, else that of this user; made if need be.

        Raises
        ------
        ConfigError
            If it is a URI, has a name that is no UTF-8, or cannot be written.
        """
        workspace = cls.named(work_dir)
        root = workspace.root
        try:
            for folder in workspace.folders:
                folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            raise ConfigError(
                f"the work directory '{root}' cannot be written: {error.strerror}. Name another (--work-dir)."
            ) from error
        return cls(root.resolve())

    @classmethod
    def named(cls, work_dir: str | Path | None) -> Workspace:
        """Return the directory that `at` would make."""
        given = platformdirs.user_cache_path("nnperm_mlflow") if work_dir is None else work_dir
        return cls(local_directory(given, "the work directory"))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Its parts that this process writes to."""
        return self.root / "states", self.root / "results", self.results

    @property
    def results(self) -> Path:
        """Where results of this process lie until they are published."""
        return self.root / "results" / _owner()

    def open(self, plan: Plan, fresh: bool = False) -> State:
        """Return what has been computed of an audit before; say what is found, and what is not taken.

        Parameters
        ----------
        plan : Plan
        fresh : bool
            Start over, whatever there is.
        """
        self._prune()
        about = describe(plan)
        folder = self.root / "states" / fingerprint(about)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        state = State(folder, Journal(folder / "blocks"))
        try:
            if state.journal.n_sheets:
                logger.info("going on with an audit that was interrupted (finished parts: %d)", state.journal.n_sheets)
            else:
                self._say_what_differs(about)
            with suppress(FileNotFoundError):  # another process has just ended the same audit, and removed it
                folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
                (folder / _ABOUT_FILE).write_text(json.dumps(about), encoding="utf-8")
        except PermissionError as error:
            raise ConfigError(
                f"what has been computed of this audit lies in '{folder}', which you may not write. Name another work "
                "directory (--work-dir)."
            ) from error
        return state

    def unpublished(self) -> list[Path]:
        """Return the folders with results that wait to be published, those named by `--output` included."""
        own = [path.parent for path in self.root.glob(f"results/*/*/{PUBLICATION_FILE}")]
        told = [_read(path) for path in self.root.glob(f"states/*/{_WAITING_FILE}")]
        named = [Path(folder) for folder in told if isinstance(folder, str)]
        return sorted({*own, *(folder for folder in named if (folder / PUBLICATION_FILE).exists())})

    def forget(self, results: Path) -> None:
        """Remove what had been kept of an audit whose results have been published."""
        for path in self.root.glob(f"states/*/{_WAITING_FILE}"):
            if _read(path) == str(results.resolve()):
                shutil.rmtree(path.parent, ignore_errors=True)

    def _say_what_differs(self, about: dict[str, object]) -> None:
        for path in self.root.glob(f"states/*/{_ABOUT_FILE}"):
            other = _read(path)
            has_begun = Journal(path.parent / "blocks").n_sheets > 0
            if has_begun and isinstance(other, dict) and other.get("model") == about["model"]:
                apart = sorted(key for key in about if other.get(key) != about[key])
                logger.info(
                    "an unfinished audit of %s is of another %s: this one starts afresh",
                    about["model"],
                    ", ".join(apart).replace("_", " ") or "kind",
                )

    def _prune(self) -> None:
        """Remove what nobody has gone on with for long; results that wait to be published stay."""
        left = [path for path in self.root.glob("results/*/*") if not (path / PUBLICATION_FILE).exists()]
        for path in (*self.root.glob("states/*"), *left):
            if _seconds_since(path) > (LEFT_SECONDS if path in left and _is_gone(path.parent.name) else KEPT_SECONDS):
                shutil.rmtree(path, ignore_errors=True)
        for path in self.root.glob("results/*"):
            if _is_gone(path.name):
                with suppress(OSError):  # it is not empty
                    path.rmdir()


@contextmanager
def left_unmade(directories: Iterable[Path]) -> Iterator[None]:
    """Remove afterwards which of some directories, and of those they lie in, the block has made and left empty."""
    asked = [path.absolute() for path in directories]
    lacking = {place for path in asked for place in (path, *path.parents) if not os.access(place, os.F_OK)}
    try:
        yield
    finally:
        for place in sorted(lacking, reverse=True):  # the inner ones first
            with suppress(OSError):  # somebody has put something there
                place.rmdir()


def _owner() -> str:
    """Return a name for this process, under which its results lie."""
    return f"{_machine()}-{os.getpid()}"


def _machine() -> str:
    return re.sub(r"[^\w.-]", "_", platform.node()) or "machine"


def _is_gone(owner: str) -> bool:
    """Tell whether a process has ended; of those on other machines nobody knows."""
    machine, _, number = owner.rpartition("-")
    return machine == _machine() and number.isdecimal() and not psutil.pid_exists(int(number))


def _seconds_since(folder: Path) -> float:
    """Return how long ago something changed in a folder."""
    return time.time() - max(_changes(folder), default=time.time())


def _changes(folder: Path) -> Iterator[float]:
    with suppress(OSError):  # another process removes it
        yield folder.stat().st_mtime
        for path in folder.iterdir():
            yield path.stat().st_mtime


def _read(path: Path) -> object:
    """Return what a file of JSON holds; None where it is damaged, or gone."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def describe(plan: Plan) -> dict[str, object]:
    """Return all that the numbers of an audit depend on, but for what is disturbed, by name."""
    analysis = plan.used.analysis.model_dump(mode="json")
    temporal = {name: spec.as_told() for name, spec in plan.used.data.temporal.items()}
    return {
        "model": plan.reference.uri,
        **{key: value for key, value in plan.record.items() if key not in _NOT_OF_THE_NUMBERS},
        **{key: analysis[key] for key in _SETTINGS},
        **({"decides": "classes"} if plan.job.decision is not None and plan.job.decision.is_prediction else {}),
        **({"deal": "batches"} if plan.job.in_batches else {}),
        "inputs": dict(plan.used.inputs),
        "temporal": temporal,
        "text_digest": plan.dataset.text_digest(),
        "block_rows": plan.block_rows,
        "code": own_code_digest(),
        "machine": platform.machine(),
    }


def fingerprint(about: dict[str, object]) -> str:
    """Return the name of a state: 32 hex digits of the sha256 of what it depends on; a model is known by its files."""
    content = {key: value for key, value in about.items() if key != "model"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
