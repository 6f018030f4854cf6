"""What the process of a model gets from the one that audits: what its numbers may depend on, and no credentials."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
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


def model_environment(own: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of a model's process.

    Parameters
    ----------
    own : mapping of str to str
        That of this process.
    home : Path
        A directory of the model's own: for its working directory, its home, and what it writes on the side.

    Returns
    -------
    dict of str to str
        From `own` by an allow-list, so that a variable that nobody has thought of stays here. Modules are found where
        this process finds them, and Keras reads the settings that it reads here.
    """
    kept = {name: value for name, value in own.items() if name in _NAMES or name.startswith(_BEGINNINGS)}
    users = site.getuserbase()
    return {
        **kept,
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
