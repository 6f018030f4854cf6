"""The directory of a model's process, which goes with it; what killed audits have left goes with a later one."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if sys.platform == "win32":  # which has no such locks, and no owners by number
    fcntl = None
else:
    import fcntl

_PREFIX = "nnperm-model-"
_YOUNG_SECONDS = 3600.0  # within which nobody looks whether it is still somebody's


@dataclass(frozen=True)
class Home:
    """A directory that is locked as long as the process lives that has made it, however that ends.

    Attributes
    ----------
    path : Path
    lock : int or None
        Descriptor that holds the lock; None where the system has no such locks.
    """

    path: Path
    lock: int | None

    @classmethod
    def make(cls) -> Home:
        """Make a directory, and remove those of this user that were left behind."""
        for left in _left_behind():
            shutil.rmtree(left, ignore_errors=True)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        return cls(path, _locked(path))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.lock is not None:
            os.close(self.lock)


def _left_behind() -> Iterator[Path]:
    """Yield this user's directories that are an hour old, and that no living process holds."""
    if fcntl is None:
        return
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            told = path.lstat()
            is_own = path.is_dir() and not path.is_symlink() and told.st_uid == os.getuid()
            if not is_own or time.time() - told.st_mtime < _YOUNG_SECONDS:
                continue
            lock = _locked(path)
        except OSError:  # it has just gone
            continue
        if lock is not None:
            yield path
            os.close(lock)


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a directory; None where another process does, or there are none."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
