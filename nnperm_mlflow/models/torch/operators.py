"""The operators that an exported program may name: arithmetic on tensors and lengths; nothing reaches further."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch

_TENSOR_OPERATORS = """
    abs absolute acos acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d add addbmm addcdiv addcmul addmm addmv addr adjoint alias alias_copy all
    alpha_dropout amax amin aminmax any arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin
    argsort asin asinh atan atan2 atanh atleast_1d atleast_2d atleast_3d avg_pool1d avg_pool2d avg_pool3d baddbmm
    batch_norm bernoulli bilinear bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_tensors broadcast_to
    bucketize cat cdist ceil celu channel_shuffle chunk clamp clamp_max clamp_min clip clone column_stack concat
    concatenate constant_pad_nd contiguous conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d
    conv_transpose3d convolution copy copysign cos cosh cosine_similarity count_nonzero cross cummax cummin cumprod
    cumsum deg2rad detach detach_ diag diag_embed diagonal diff div divide dot dropout dstack einsum elu embedding
    empty empty_like eq erf erfc erfinv exp exp2 expand expand_as expm1 eye feature_alpha_dropout feature_dropout
    fft_fft fft_fft2 fft_fftfreq fft_fftn fft_fftshift fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_irfft fft_irfft2
    fft_irfftn fft_rfft fft_rfft2 fft_rfftfreq fft_rfftn fill flatten flip fliplr flipud float_power floor floor_divide
    fmax fmin fmod frac full full_like gather ge gelu glu greater greater_equal group_norm gru gru_cell gt hardshrink
    hardsigmoid hardswish hardtanh hstack hypot imag index index_add index_copy index_fill index_put index_select inner
    instance_norm isclose isfinite isin isinf isnan isneginf isposinf item kron kthvalue layer_norm le leaky_relu lerp
    less less_equal lift_fresh_copy linalg_cross linalg_matrix_norm linalg_norm linalg_vecdot linalg_vector_norm linear
    linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp logaddexp2 logcumsumexp logical_and logical_not
    logical_or logical_xor logit logsumexp lstm lstm_cell lt masked_fill masked_scatter masked_select matmul max
    max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices maximum
    mean median meshgrid min minimum mish mm mode moveaxis movedim mul multiply mv nan_to_num nanmean nanmedian nansum
    narrow native_batch_norm native_dropout native_group_norm native_layer_norm ne neg negative new_empty new_full
    new_ones new_zeros nonzero norm normal not_equal numpy_T one_hot ones ones_like outer pad pairwise_distance permute
    pixel_shuffle pixel_unshuffle polar positive pow prelu prod quantile rad2deg rand rand_like randint randn randn_like
    randperm ravel real reciprocal reflection_pad1d reflection_pad2d reflection_pad3d relu relu6 remainder renorm repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d reshape reshape_as rms_norm rnn_relu
    rnn_relu_cell rnn_tanh rnn_tanh_cell roll rot90 round rrelu rsqrt rsub scalar_tensor scaled_dot_product_attention
    scatter scatter_add scatter_reduce searchsorted select select_scatter selu sgn sigmoid sign signbit silu sin sinc
    sinh size slice slice_scatter softmax softplus softshrink sort special_entr special_erf special_erfc special_exp2
    special_expit special_expm1 special_log1p special_log_ndtr special_log_softmax special_logit special_logsumexp
    special_ndtr special_ndtri special_softmax special_xlog1py special_xlogy split split_with_sizes sqrt square squeeze
    stack std std_mean stft sub subtract sum swapaxes swapdims sym_constrain_range sym_constrain_range_for_size
    sym_numel sym_size sym_storage_offset sym_stride t take take_along_dim tan tanh tensor_split tensordot threshold
    tile to topk trace transpose trapezoid tril triu true_divide trunc type_as unbind unflatten unfold uniform
    unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_linear1d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean view view_as vstack where
    xlogy zero zeros zeros_like
    __and__ __iand__ __ior__ __or__ __xor__ _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_scalar
    _assert_tensor_metadata _log_softmax _native_batch_norm_legit_no_training _native_multi_head_attention
    _safe_softmax _scaled_dot_product_flash_attention_for_cpu _softmax _to_copy _transformer_encoder_layer_fwd
    _unsafe_view _weight_norm
"""
"""Of `torch.ops.aten`, each with its variant in place: what computes, and checks what it is given.

The namespace also holds what writes and reads files (`save`, `from_file`), puts other memory under a tensor (`set_`,
`resize_`), trusts indices unchecked (`_index_put_impl_`, sparse tensors) or changes the process (`manual_seed`).
"""

_PLAIN_OPERATORS = (
    operator.eq, operator.ne, operator.le, operator.ge, operator.lt, operator.gt, operator.neg, operator.pos,
    operator.mul, operator.add, operator.sub, operator.floordiv, operator.mod, operator.pow, operator.truediv,
    operator.and_, operator.or_,
)  # fmt: skip
_LENGTH_OPERATORS = {
    **{f"_operator.{function.__name__}": function for function in _PLAIN_OPERATORS},
    "math.trunc": math.trunc,
    "torch.sym_not": operator.not_,
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_sqrt": math.sqrt,
    "torch.sym_ite": lambda condition, yes, no: yes if condition else no,
}
"""Arithmetic on lengths, by the names that torch.export gives it."""

_NEW_MEMORY = """
    add addmm avg_pool1d avg_pool2d baddbmm batch_norm bmm cat conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d cos div elu embedding exp gelu group_norm hardswish hardtanh instance_norm layer_norm
    leaky_relu linear log matmul max_pool2d mean mm mul neg pow relu relu6 rsub selu sigmoid silu sin softmax
    softplus sqrt stack sub sum tanh where zeros ones full
"""
"""Those that are known to give a tensor of their own, which is no view of what they take."""

_NEW_MEMORY_NAMES = frozenset(_NEW_MEMORY.split())
_KNOWN_NAMES = frozenset(_TENSOR_OPERATORS.split())
_TENSOR_OPERATOR = re.compile(r"torch\.ops\.aten\.(?P<name>\w+)\.(?P<overload>\w+)")


def find_operator(target: str) -> Callable[..., Any] | None:
    """Return the operator of that name, or None for one that is not known to compute and do nothing else.

    Parameters
    ----------
    target : str
        As an exported program writes it, as "torch.ops.aten.linear.default".

    Returns
    -------
    torch.ops.OpOverload or callable, or None
    """
    if target in _LENGTH_OPERATORS:
        return _LENGTH_OPERATORS[target]
    match = _TENSOR_OPERATOR.fullmatch(target)
    if match is None or not _is_known(match["name"]) or match["overload"].endswith("out"):
        return None
    found = getattr(getattr(torch.ops.aten, match["name"], None), match["overload"], None)
    # an operator has attributes beside its overloads, some of which change it for the whole process
    return found if isinstance(found, torch._ops.OpOverload) else None


def _is_known(name: str) -> bool:
    return name in _KNOWN_NAMES or name.removesuffix("_") in _KNOWN_NAMES


def operator_name(function: Callable[..., Any]) -> str:
    """Return the name of an operator on tensors, without its overload; empty for arithmetic on lengths."""
    schema = getattr(function, "_schema", None)
    return "" if schema is None else str(schema.name).removeprefix("aten::")


def is_in_place(function: Callable[..., Any]) -> bool:
    """Tell whether an operator writes into what it takes."""
    schema = getattr(function, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def gives_new_memory(function: Callable[..., Any]) -> bool:
    """Tell whether an operator is known to give a tensor of its own, which is no view of what it takes."""
    return operator_name(function) in _NEW_MEMORY_NAMES


def without_writing(function: Any) -> Callable[..., Any] | None:  # noqa: ANN401 - PyTorch's operators are untyped
    """Return the operator that gives as a new tensor what one in place writes over the old; None where there is none.

    Parameters
    ----------
    function : torch.ops.OpOverload
    """
    schema = function._schema
    names = [argument.name for argument in schema.arguments if argument.alias_info and argument.alias_info.is_write]
    overloads = getattr(torch.ops.aten, operator_name(function).removesuffix("_"), None)
    found = getattr(overloads, schema.overload_name or "default", None)
    return found if names == ["self"] and len(schema.returns) == 1 else None
