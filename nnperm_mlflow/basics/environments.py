"""What processes of ours get of this one's environment: by allow-lists, so that what nobody thought of stays here."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

_NAMES = frozenset(
    {
        "PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV",
        "CONDA_PREFIX", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE",
        "KERAS_BACKEND", "TF_DETERMINISTIC_OPS", "TF_XLA_FLAGS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_USE_LEGACY_KERAS",
        "XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE",
        "LOKY_MAX_CPU_COUNT", "TF_INTER_OP_PARALLELISM_THREADS", "TF_INTRA_OP_PARALLELISM_THREADS",
    }
)  # fmt: skip
_BEGINNINGS = (
    "LC_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "ONEDNN_", "DNNL_", "TF_CPP_",
    "TF_ENABLE_", "TF_NUM_", "TF_CUDNN_", "TF_GPU_", "TF2_",
)  # fmt: skip
"""Of names; `TF_` and `NVIDIA_` alone are also how secrets of other programs begin."""

_NAMES_OF_STORES = frozenset(
    {
        "HOME", "USER", "LOGNAME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TMPDIR", "TEMP", "TMP", "BOTO_CONFIG",
        "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "DO_NOT_TRACK",
    }
)  # fmt: skip
_BEGINNINGS_OF_STORES = (
    "MLFLOW_", "DATABRICKS_", "AWS_", "AZURE_", "GOOGLE_", "GCLOUD_", "PG", "ODBC", "KRB5", "SSL_CERT_", "XDG_",
    "NNPERM_", "KERAS_", "PYTHON",
)  # fmt: skip
"""Of names by which stores of MLflow, those of artifacts included, are reached."""


def audit_environment(own: Mapping[str, str], passed: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of an audit: what numbers may depend on, and what stores are reached by.

    Parameters
    ----------
    own : mapping of str to str
        That of this process.
    passed : collection of str
        Names of more variables that it gets.
    """
    of_stores = {
        name: value
        for name, value in own.items()
        if name.upper() in _NAMES_OF_STORES or name.startswith(_BEGINNINGS_OF_STORES) or name in passed
    }
    return {**_of_numbers(own), **of_stores}


def model_environment(own: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of a model's process: what its numbers may depend on, and no credentials.

    Parameters
    ----------
    own : mapping of str to str
        That of this process.
    home : Path
        A directory of the model's own: for its working directory, its home, and what it writes on the side.

    Returns
    -------
    dict of str to str
        Modules are found where this process finds them, and Keras reads the settings that it reads here.
    """
    users = site.getuserbase()
    return {
        **_of_numbers(own),
        "HOME": str(home),
        "USERPROFILE": str(home),
        "TMPDIR": str(home),
        "TEMP": str(home),
        "PYTHONPATH": os.pathsep.join(str(Path(place or ".").absolute()) for place in sys.path),
        **({} if users is None else {"PYTHONUSERBASE": users}),
        "KERAS_HOME": own.get("KERAS_HOME") or str(Path.home() / ".keras"),
        "MLFLOW_DISABLE_TELEMETRY": "true",  # whoever has said so here said it for the model, too
        "DO_NOT_TRACK": "true",
    }


def _of_numbers(own: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in own.items() if name in _NAMES or name.startswith(_BEGINNINGS)}
