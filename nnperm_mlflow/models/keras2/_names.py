"""What networks of Keras 2 are made of that computes and does nothing else, by the names in their configuration."""

from __future__ import annotations

import re


def words(*lines: str) -> frozenset[str]:
    """Return the words of some lines."""
    return frozenset(" ".join(lines).split())


def _in(module: str, *lines: str) -> frozenset[str]:
    """Return the words of some lines as names in a module."""
    return frozenset(f"{module}.{name}" for name in words(*lines))


_AXES = ("1D", "2D", "3D")

LAYERS = (
    words(
        "Activation ActivityRegularization Add AddLoss AddMetric AdditiveAttention AlphaDropout Attention Average",
        "BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop",
        "Concatenate CuDNNGRU CuDNNLSTM Dense Discretization Dot Dropout ELU EinsumDense Embedding Flatten Functional",
        "GRU GRUCell GRUCellV1 GRUCellV2 GRUV1 GRUV2 GaussianDropout GaussianNoise GroupNormalization HashedCrossing",
        "Hashing Identity InputLayer IntegerLookup LSTM LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2",
        "LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking Maximum Minimum Model",
        "MultiHeadAttention Multiply Normalization PReLU Permute RNN RandomBrightness RandomContrast RandomCrop",
        "RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling",
        "Reshape Resizing Sequential SimpleRNN SimpleRNNCell Softmax StackedRNNCells StringLookup Subtract",
        "SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization",
    )
    | {
        name + axes
        for axes in _AXES
        for name in words(
            "AveragePooling AvgPool Conv ConvLSTM Convolution Cropping DepthwiseConv GlobalAveragePooling",
            "GlobalAvgPool GlobalMaxPool GlobalMaxPooling MaxPool MaxPooling SeparableConv SeparableConvolution",
            "SpatialDropout UpSampling ZeroPadding",
        )
    }
    | {f"{name}{axes}Transpose" for axes in _AXES for name in ("Conv", "Convolution")}
)
"""Layers and networks. Those are left out that hold code (`Lambda`, wrappers of cells), files or other registries."""

OPERATORS = frozenset({"TFOpLambda", "SlicingOpLambda"})
"""Layers that call a function of TensorFlow by its name."""

OLD_OPERATOR = "TensorFlowOpLayer"
"""The same before TensorFlow 2.4: a layer that holds an operation."""

_INITIALIZERS = words(
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal",
    "RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros",
)
_OTHERS = words("L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

SETTINGS = (
    _INITIALIZERS
    | _OTHERS
    | {f"{name}V2" for name in _INITIALIZERS}
    | {_SNAKE.sub("_", name).lower() for name in _INITIALIZERS | _OTHERS}
    | words("l1_l2 maxnorm nonneg normal one uniform unitnorm zero")
    | words("glorot_normalV2 glorot_uniformV2 he_normalV2 he_uniformV2 lecun_normalV2 lecun_uniformV2")
)
"""Initialisers, regularisers and constraints of weights."""

POLICIES = frozenset({"Policy", "PolicyV1"})
"""In which type a layer computes."""

VALUES = frozenset({"TensorShape", "__tuple__", "__ellipsis__", "__bytes__", "__tensor__", "__numpy__"})
"""What stands for a value that JSON has no word for."""

ACTIVATIONS = words(
    "elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax",
    "softplus softsign swish tanh",
)

_LOSSES = words(
    "binary_crossentropy categorical_crossentropy cosine_similarity huber kl_divergence log_cosh logcosh",
    "mean_absolute_error mean_squared_error poisson sparse_categorical_crossentropy",
)

FUNCTIONS = (
    words(
        "argsort boolean_mask broadcast_to cast clip_by_norm clip_by_value concat einsum ensure_shape expand_dims eye",
        "fill gather gather_nd identity linspace meshgrid norm one_hot ones ones_like pad range rank repeat reshape",
        "reverse reverse_sequence roll searchsorted sequence_mask shape size slice sort split squeeze stack",
        "stop_gradient strided_slice tensordot tile transpose unique unstack where zeros zeros_like",
    )
    | _in("__operators__", "add eq getitem ne")
    | _in(
        "math",
        "abs accumulate_n acos acosh add add_n angle argmax argmin asin asinh atan atan2 atanh ceil conj cos cosh",
        "count_nonzero cumprod cumsum cumulative_logsumexp digamma divide divide_no_nan equal erf erfc erfcinv erfinv",
        "exp expm1 floor floordiv floormod greater greater_equal imag in_top_k invert_permutation is_finite is_inf",
        "is_nan l2_normalize less less_equal lgamma log log1p log_sigmoid log_softmax logical_and logical_not",
        "logical_or logical_xor maximum minimum mod multiply multiply_no_nan negative nextafter not_equal polyval pow",
        "real reciprocal reciprocal_no_nan reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max",
        "reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance rint round rsqrt scalar_mul",
        "segment_max segment_mean segment_min segment_sum sigmoid sign sin sinh softmax softplus softsign sqrt square",
        "squared_difference subtract tan tanh top_k truediv unsorted_segment_max unsorted_segment_mean",
        "unsorted_segment_min unsorted_segment_sum xdivy xlog1py xlogy zero_fraction",
    )
    | _in(
        "nn",
        "avg_pool avg_pool1d avg_pool2d batch_normalization bias_add conv1d conv2d conv_transpose convolution crelu",
        "depth_to_space depthwise_conv2d dropout elu embedding_lookup gelu l2_loss l2_normalize leaky_relu",
        "local_response_normalization log_softmax max_pool max_pool1d max_pool2d moments normalize_moments pool relu",
        "relu6 selu separable_conv2d sigmoid sigmoid_cross_entropy_with_logits silu softmax",
        "softmax_cross_entropy_with_logits softplus softsign space_to_depth",
        "sparse_softmax_cross_entropy_with_logits swish tanh top_k weighted_moments zero_fraction",
    )
    | _in(
        "linalg",
        "adjoint band_part cross det diag diag_part eye inv l2_normalize matmul matrix_transpose matvec norm normalize",
        "set_diag tensor_diag tensor_diag_part tensordot trace",
    )
    | _in("bitwise", "bitwise_and bitwise_or bitwise_xor left_shift right_shift")
    | _in("image", "flip_left_right flip_up_down per_image_standardization resize rgb_to_grayscale")
    | _in("random", "normal truncated_normal uniform")
    | _in("signal", "fft fft2d frame hamming_window hann_window ifft irfft rfft")
    | _in("strings", "join length lower regex_full_match regex_replace substr to_hash_bucket_fast to_number upper")
    | _in(
        "keras.backend",
        "abs all any argmax argmin batch_dot batch_flatten bias_add binary_crossentropy cast cast_to_floatx",
        "categorical_crossentropy clip concatenate cos cumprod cumsum dot elu equal exp expand_dims flatten gather",
        "greater greater_equal hard_sigmoid l2_normalize less less_equal log max maximum mean min minimum not_equal",
        "one_hot ones_like permute_dimensions pow prod relu repeat repeat_elements reshape reverse round shape sigmoid",
        "sign sin softmax softplus softsign sparse_categorical_crossentropy sqrt square squeeze stack std",
        "stop_gradient sum switch tanh tile transpose var zeros_like",
    )
    | _in("keras.activations", *ACTIVATIONS)
    | _in("keras.losses", *_LOSSES)
    | _in("keras.metrics", *_LOSSES)
    | _in("compat.v1", "batch_gather concat gather gather_nd shape size squeeze transpose where")
    | _in("compat.v1.math", "reduce_max reduce_mean reduce_min reduce_sum")
)
"""Functions of TensorFlow and Keras that compute and do nothing else, as operators in a graph name them."""
