"""What TensorFlow writes of itself is kept off standard error; Python's own `sys.stderr` goes past the filter."""

from __future__ import annotations

import os
import sys

from nnperm_mlflow.basics.stderr_filter import open_filter


class _BeforeTensorFlow:
    """Puts the filter in place when TensorFlow is first imported, and finds no module."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Return nothing, so that others find the module."""
        if fullname == "tensorflow":
            sys.meta_path.remove(self)
            _filter_descriptor()


def quieten_tensorflow() -> None:
    """Keep what TensorFlow writes of itself off standard error, once it is imported; in a process of our own only."""
    is_own = sys.stderr is sys.__stderr__ and "tensorflow" not in sys.modules
    if is_own and not any(isinstance(finder, _BeforeTensorFlow) for finder in sys.meta_path):
        sys.stderr.flush()
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
        sys.meta_path.insert(0, _BeforeTensorFlow())


def _filter_descriptor() -> None:
    write_end = open_filter()
    os.dup2(write_end, 2)
    os.close(write_end)
