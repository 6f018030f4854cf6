"""What lies beside a network and would run where MLflow serves it: code of its own, and pickles of its classes."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PICKLES = ("custom_objects.cloudpickle", "global_custom_objects.cloudpickle")
"""Files that MLflow opens, in the folder of a network, before it reads the network."""

_MOST_BYTES = 1 << 20  # Keras 2 registers 20 classes of its own, which take 2 kB

_NAMING = frozenset({
    "PROTO", "FRAME", "EMPTY_DICT", "MARK", "SHORT_BINUNICODE", "BINUNICODE", "MEMOIZE", "BINGET", "LONG_BINGET",
    "STACK_GLOBAL", "SETITEM", "SETITEMS", "STOP",
})  # fmt: skip
"""Operations of pickle by which a dict of names is made, and nothing is called."""


@dataclass(frozen=True)
class _Reference:
    """A class or function that a pickle names and does not bring."""

    module: str
    name: str


class _Naming(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as its base has it
        """Return what is named as a name; nothing is imported."""
        return _Reference(module, name)


def running_pickles(folders: Iterable[Path]) -> list[Path]:
    """Return the pickles of custom objects that run something when MLflow opens them, found out without that.

    MLflow writes what the process has registered with Keras beside each network; Keras 2 registers its own optimizers.
    Such a pickle does nothing but name importable things by the names that Keras gives them, `package>Name`, and no
    part of Keras itself is looked up by such a name.

    Parameters
    ----------
    folders : iterable of Path
        Where MLflow looks for them.
    """
    present = [folder / name for folder in folders for name in _PICKLES if (folder / name).is_file()]
    return [path for path in present if not _only_names(path)]


def _only_names(path: Path) -> bool:
    if path.stat().st_size > _MOST_BYTES:
        return False
    content = path.read_bytes()
    try:
        if not {operation.name for operation, _, _ in pickletools.genops(content)} <= _NAMING:
            return False
        named = _Naming(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, ValueError, TypeError, LookupError, EOFError, AttributeError):
        return False
    return isinstance(named, dict) and all(_is_registration(key, value) for key, value in named.items())


def _is_registration(key: object, value: object) -> bool:
    """Tell whether a name and what it stands for are as Keras registers them."""
    if not (isinstance(key, str) and isinstance(value, _Reference)):
        return False
    return bool(key.partition(">")[0]) and key.partition(">")[2] == value.name.rpartition(".")[2]
