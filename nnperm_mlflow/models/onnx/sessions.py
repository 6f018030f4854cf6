"""Sessions of ONNX Runtime, with the settings that MLflow serves a model with; what may be set, and what they raise."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from nnperm_mlflow.basics.errors import PredictionError

WORKERS = max(1, min(4, os.cpu_count() or 1))
"""Calls of parts of a model that run at the same time, each on one thread, so that no thread waits for another."""

FAILURES = (
    runtime.EPFail, runtime.Fail, runtime.InvalidArgument, runtime.InvalidGraph, runtime.InvalidProtobuf,
    runtime.ModelRequiresCompilation, runtime.NoModel, runtime.NoSuchFile, runtime.NotImplemented,
    runtime.RuntimeException, RuntimeError, ValueError, TypeError, MemoryError,
)  # fmt: skip
"""What ONNX Runtime raises."""

HARMLESS_SETTINGS = re.compile(
    r"session\.(set_denormal_as_zero|disable_prepacking|use_env_allocators|use_device_allocator_for_initializers"
    r"|(intra|inter)_op\.allow_spinning|dynamic_block_base|force_spinning_stop|(intra_op|inter_op)_thread_affinities"
    r"|disable_quant_qdq|disable_double_qdq_remover|enable_quant_qdq_cleanup|qdqisint8allowed|x64quantprecision"
    r"|enable_gemm_fastmath_arm64_bfloat16|strict_shape_type_inference|allow_released_opsets_only|disable_aot_function_inlining"
    r"|disable_cpu_ep_fallback|graph_optimizations_loop_level)"
    r"|optimization\.(enable_gelu_approximation|enable_cast_chain_elimination|disable_specified_optimizers)|mlas\.\w+"
)
"""Further settings of a session that change how it computes, and nothing else: others name files and libraries."""

_LONGEST_KEY = 1_024  # letters of a further setting's name that ONNX Runtime takes
_MOST_SHOWN = 60  # letters of a setting in a message

_SILENT = 4  # fatal errors alone: what ONNX Runtime tells of others holds values

_CAUSES = {
    re.compile("out of data bounds|out of range"): "A code outside of what an embedding knows does that.",
    re.compile("dimension|shape", re.IGNORECASE): "A series of another length than the network takes does that.",
}
"""What ONNX Runtime says where a network fails, and what that comes from."""


class SettingError(ValueError):
    """A setting of a session is none that ONNX Runtime takes.

    Parameters
    ----------
    name : str
        As `onnx_session_options` have it.
    told : object
        What it is set to.
    expected : str
    """

    def __init__(self, name: str, told: object, expected: str) -> None:
        super().__init__(f"'{name}: {_shortened(told)}', where ONNX Runtime takes {expected}")


def _shortened(told: object) -> str:
    return told if isinstance(told, str) and len(told) <= _MOST_SHOWN else f"{told!r:.{_MOST_SHOWN}}"


def describe_failure(error: Exception) -> str:
    """Return what to say where a network fails; ONNX Runtime's own words may hold data."""
    cause = next((cause for says, cause in _CAUSES.items() if says.search(str(error))), "")
    return f"the network failed ({type(error).__name__}). {cause}".rstrip()


def plain_options() -> onnxruntime.SessionOptions:
    """Return the options of a session that runs operators as they stand."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def served_options(conf: Mapping[str, Any]) -> onnxruntime.SessionOptions:
    """Return the options of a session as MLflow makes it.

    Parameters
    ----------
    conf : mapping
        The flavour in the MLmodel file. Its threads are left out: they are the machine's business.

    Returns
    -------
    onnxruntime.SessionOptions

    Raises
    ------
    SettingError
        If ONNX Runtime does not take a setting.

    References
    ----------
    mlflow/onnx/__init__.py, `_OnnxModelWrapper`, of MLflow 3.17; it takes 0, [] and the like for no setting, too.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    told = _settings(conf, "onnx_session_options")
    if level := told.get("graph_optimization_level"):
        try:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(level)
        except TypeError as error:
            raise SettingError("graph_optimization_level", level, "1, 2, 3 or 99 (all of them)") from error
    for key, value in _settings(told, "extra_session_config").items():
        if not (isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY and isinstance(value, str)):
            raise SettingError(f"extra_session_config: {key}", value, "a name and a value that are text, as '1'")
        options.add_session_config_entry(key, value)
    return options


def _settings(conf: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return settings by name, or none where nothing is said."""
    told = conf.get(name) or {}
    if not isinstance(told, Mapping):
        raise SettingError(name, told, "settings by name")
    return told


def open_session(
    model: onnx.ModelProto, options: onnxruntime.SessionOptions, n_threads: int = 1
) -> onnxruntime.InferenceSession:
    """Return a session on processors, of a model that refers to nothing else; `n_threads` 0 is one for each core.

    A forest adds up its trees in as many parts as there are threads, and the last bit of a sum may hang on that.
    """
    options.intra_op_num_threads = n_threads
    options.enable_mem_pattern = False  # calls have any number of rows
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def optimized(model: onnx.ModelProto, options: onnxruntime.SessionOptions) -> onnx.ModelProto:
    """Return a model as ONNX Runtime runs it: the operators that a session's optimizations leave.

    Parts of it give the numbers of the whole, since the same operators run; each part optimized by itself would not.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        open_session(model, options)
        return onnx.load(path)


def run(session: onnxruntime.InferenceSession, outputs: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[Any]:
    """Call a session; what ONNX Runtime raises becomes a `PredictionError`."""
    try:
        return list(session.run(list(outputs), dict(feeds)))
    except FAILURES as error:
        raise PredictionError(describe_failure(error)) from error
