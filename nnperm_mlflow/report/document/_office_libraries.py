"""Python-docx and reportlab, which come with an extra: whoever files no documents needs neither."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from nnperm_mlflow.basics.errors import ConfigError


def office_library(name: str) -> ModuleType:
    """Return a module of one of the libraries that write documents.

    Raises
    ------
    ConfigError
        If the library is not here.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"to write this document the module '{error.name}' is needed, which is not here. Install the extra that "
            "brings it: pip install 'nnperm_mlflow[report]'. Or ask for '--to html', which needs nothing else."
        ) from error
