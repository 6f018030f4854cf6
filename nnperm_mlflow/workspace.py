"""Where unfinished audits and unpublished results are kept on this machine, and what they are known by."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from nnperm_mlflow.analysis.journal import Journal
from nnperm_mlflow.errors import ConfigError
from nnperm_mlflow.filenames import PUBLICATION_FILE
from nnperm_mlflow.planning import Plan

logger = logging.getLogger(__name__)

_ABOUT_FILE = "about.json"
_KEPT_SECONDS = 30 * 24 * 3600  # after which what nobody has gone on with is removed
_SETTINGS = ("seed", "within", "output", "decision", "missing", "exact", "random")
_NOT_OF_THE_NUMBERS = ("repeats", "self_noise", "rows", "config_digest", "unit", "model", "model_trusted")


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

    def remove(self) -> None:
        """Remove it, once it is published."""
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
            If it cannot be written.
        """
        root = Path(work_dir) if work_dir is not None else platformdirs.user_cache_path("nnperm_mlflow")
        try:
            for folder in (root / "states", root / "results"):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            raise ConfigError(
                f"the work directory '{root}' cannot be written: {error.strerror}. Name another (--work-dir)."
            ) from error
        return cls(root.resolve())

    @property
    def results(self) -> Path:
        """Where results lie until they are published."""
        return self.root / "results"

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
        if state.journal.n_sheets:
            logger.info("going on with an audit that was interrupted: %d parts are there", state.journal.n_sheets)
        else:
            self._say_what_differs(about)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _ABOUT_FILE).write_text(json.dumps(about), encoding="utf-8")
        return state

    def unpublished(self) -> list[Path]:
        """Return the folders with results that wait to be published."""
        return sorted(path.parent for path in self.results.glob(f"*/{PUBLICATION_FILE}"))

    def _say_what_differs(self, about: dict[str, object]) -> None:
        for path in (self.root / "states").glob(f"*/{_ABOUT_FILE}"):
            try:
                other = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if other.get("model") == about["model"]:
                apart = sorted(key for key in about if other.get(key) != about[key])
                logger.info(
                    "an unfinished audit of %s is of another %s: this one starts afresh",
                    about["model"],
                    ", ".join(apart).replace("_", " ") or "kind",
                )

    def _prune(self) -> None:
        """Remove states that nobody has gone on with for a month."""
        oldest = time.time() - _KEPT_SECONDS
        for path in (self.root / "states").glob(f"*/{_ABOUT_FILE}"):
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path.parent, ignore_errors=True)


def describe(plan: Plan) -> dict[str, object]:
    """Return all that the numbers of an audit depend on, but for what is disturbed, by name."""
    analysis = plan.used.analysis.model_dump(mode="json")
    temporal = {name: spec.model_dump(exclude={"file"}) for name, spec in plan.used.data.temporal.items()}
    return {
        "model": plan.reference.uri,
        **{key: value for key, value in plan.record.items() if key not in _NOT_OF_THE_NUMBERS},
        **{key: analysis[key] for key in _SETTINGS},
        "inputs": dict(plan.used.inputs),
        "temporal": temporal,
        "block_rows": plan.block_rows,
        "machine": platform.machine(),
    }


def fingerprint(about: dict[str, object]) -> str:
    """Return the name of a state: 32 hex digits of the sha256 of what it depends on; a model is known by its files."""
    content = {key: value for key, value in about.items() if key != "model"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
