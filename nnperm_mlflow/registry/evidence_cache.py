"""Files of runs that were found to be what their digests say, kept on this machine so that they are fetched once."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from nnperm_mlflow.basics.audit_files import file_digest

logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20  # of a file that is kept: summaries and configurations are small, tables are not


@dataclass(frozen=True)
class EvidenceCache:
    """Files by the sha256 of what they hold: whatever run names that digest means this content.

    A file is read only if it still has its digest, so that nothing in the folder has to be trusted.

    Attributes
    ----------
    folder : Path
        May be removed at any time.
    """

    folder: Path

    @classmethod
    def of_user(cls) -> EvidenceCache:
        """Return the one in this user's cache directory."""
        return cls(Path(platformdirs.user_cache_path("nnperm_mlflow")) / "evidence")

    def get(self, digest: str, name: str) -> Path | None:
        """Return the file of a digest and a name; None where there is none, or it is not what it was."""
        path = self.folder / digest / name
        try:
            return path if digest.isalnum() and file_digest(path) == digest else None
        except OSError:
            return None

    def keep(self, digest: str, path: Path) -> None:
        """Keep a file that has a digest; one that has another, is large, or finds no room is not kept."""
        try:
            if path.stat().st_size > _MOST_BYTES or file_digest(path) != digest:
                return
            own = self.folder / digest
            own.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=own)
            os.close(handle)
            shutil.copyfile(path, partial)
            Path(partial).replace(own / path.name)
        except OSError as error:
            logger.info("%s is not kept (%s)", path.name, error.strerror)
