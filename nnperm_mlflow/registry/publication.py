"""All that is to be written of an audit, kept beside its files until it is, so that nothing is computed in vain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nnperm_mlflow.basics.audit_files import PUBLICATION_FILE, file_digest
from nnperm_mlflow.basics.errors import EvidenceError, name_list
from nnperm_mlflow.verdict.verdict import Status

_FORMAT = 2  # the first called its parts otherwise


@dataclass(frozen=True)
class RunContent:
    """What an audit leaves behind in its run, as JSON can hold it.

    Attributes
    ----------
    files : list of str
        Names of files for the root of the run, in the order in which they are written.
    params, tags : mapping of str to str
    metrics : mapping of str to float
        Finite ones, by key.
    at : int
        When they were found: milliseconds since 1970.
    dataset : mapping of str to str
        The data set as MLflow describes one; see `run_content.describe_dataset`.
    """

    files: list[str]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    at: int
    dataset: Mapping[str, str]


@dataclass(frozen=True)
class VerdictContent:
    """What a run tells of a verdict, as JSON can hold it.

    Attributes
    ----------
    texts : mapping of str to str
        For the path of each file its content.
    tags : mapping of str to str
        Of the run.
    note : str
        Markdown for the run's description; "" leaves it as it is.
    """

    texts: Mapping[str, str]
    tags: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True)
class VersionLink:
    """What a model version tells of its newest audit, as JSON can hold it.

    Attributes
    ----------
    tags : mapping of str to str
        In the order in which MLflow lists them.
    section : str
        Markdown for the version's description.
    status : {"pass", "fail"} or None
        The verdict, if there is one.
    """

    tags: Mapping[str, str]
    section: str
    status: Status | None


@dataclass(frozen=True)
class Publication:
    """What an audit leaves in its run and on the version, as JSON can hold it.

    Attributes
    ----------
    run_id, experiment_id : str
    model : str
        Pinned URI of what was audited.
    model_id : str or None
        Of MLflow's logged model, if it is one.
    name, version : str or None
        Of the registered version, if it is one.
    run : RunContent
    verdict : VerdictContent
    link : VersionLink
    ends_run : bool
        Whether the run is finished with it.
    is_temporary : bool
        Whether the folder goes once all is written.
    lacks_verdict : bool
        Whether a policy was asked for that could not be applied yet.
    work_dir : str or None
        Where the audit kept its work, which is no longer needed then.
    """

    run_id: str
    experiment_id: str
    model: str
    model_id: str | None
    name: str | None
    version: str | None
    run: RunContent
    verdict: VerdictContent
    link: VersionLink
    ends_run: bool = True
    is_temporary: bool = False
    lacks_verdict: bool = False
    work_dir: str | None = None

    def save(self, folder: Path) -> None:
        """Write it beside the files of the audit, whole or not at all."""
        path = folder / PUBLICATION_FILE
        partial = path.with_suffix(".partial")
        digests = {name: file_digest(folder / name) for name in self.run.files}
        text = json.dumps({"format": _FORMAT, "digests": digests, **asdict(self)}, ensure_ascii=False, indent=1)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def load_publication(folder: Path) -> Publication:
    """Read what an audit left to be written.

    Raises
    ------
    EvidenceError
        If there is none in the folder, or it is not whole, or a file is not the one that the audit wrote.
    """
    path = folder / PUBLICATION_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if (form := told.pop("format")) not in (1, _FORMAT):
            raise ValueError("another format")
        if form == 1:
            told["run"], told["verdict"] = told.pop("evidence"), told.pop("judgement")
        digests = dict(told.pop("digests"))
        parts = {"run": RunContent, "verdict": VerdictContent, "link": VersionLink}
        publication = Publication(**{**told, **{key: kind(**told[key]) for key, kind in parts.items()}})
        files = publication.run.files
        if any(Path(name).name != name for name in files):
            raise ValueError("a path, not the name of a file")
        if not isinstance(publication.work_dir, (str, type(None))):
            raise TypeError("a path is text")
        changed = [name for name in files if not _has_digest(folder / name, digests[name])]
    except FileNotFoundError as error:
        raise EvidenceError(f"there is nothing to publish in '{folder}': it holds no {PUBLICATION_FILE}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceError(f"{path} is not what an audit wrote ({type(error).__name__}). Audit again.") from error
    if changed:
        raise EvidenceError(f"{name_list(changed)} in '{folder}' have been changed since the audit. Audit again.")
    return publication


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and file_digest(path) == digest
