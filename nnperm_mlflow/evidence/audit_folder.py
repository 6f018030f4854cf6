"""Where the files of an audit lie: a run's artifacts, or a folder of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nnperm_mlflow.basics.errors import EvidenceError


class Files(Protocol):
    """The files of an audit, by the names in `basics.audit_files`."""

    def fetch(self, name: str, digest: str | None = None) -> Path:
        """Return where a file lies on this machine; raises `EvidenceError` if it is not there.

        Where its sha256 is given, another file that has it may stand for it.
        """

    def names_in(self, folder: str) -> list[str]:
        """Return the paths of what a folder holds; "" is the root."""

    def ask_server(self) -> None:
        """Ask whether the server behind them answers; raises `TrackingError` if it does not."""


@dataclass(frozen=True)
class FolderFiles:
    """Files that lie in a folder of this machine.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    def fetch(self, name: str, digest: str | None = None) -> Path:
        """Return where a file lies.

        Raises
        ------
        EvidenceError
            If it is not there.
        """
        path = self.folder / name
        if not path.is_file():
            raise EvidenceError(f"there is no {name} in '{self.folder}': the audit is not whole. Audit again.")
        return path

    def names_in(self, folder: str) -> list[str]:
        """Return the paths of what a folder holds; "" is the root."""
        return sorted(path.relative_to(self.folder).as_posix() for path in (self.folder / folder).glob("*"))

    def ask_server(self) -> None:
        """Ask nobody: no server is behind a folder."""
