"""Networks as Keras 2 writes them, with what it predicts for some rows and for rows that were changed.

    python -m tests.support.keras2_networks FOLDER

writes for each kind `KIND.h5`, for some `KIND.keras`, and `KIND.npz`: the predictions for the rows of `rows()`
(`served`), and for these with one input's rows in reverse order (`served_INPUT`). It is run as a program, so that Keras
2 is alone.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

layers = tf_keras.layers
Dense, LSTM, GRU, Embedding, Masking, Model = (
    layers.Dense,
    layers.LSTM,
    layers.GRU,
    layers.Embedding,
    layers.Masking,
    tf_keras.Model,
)
N_ROWS, N_STEPS, N_CHANNELS, N_NUMBERS = 40, 6, 3, 5


def rows():
    """Rows for all inputs there are; series end early in `item` and `x`, in zeros."""
    generator = np.random.default_rng(0)
    item = generator.integers(1, 9, (N_ROWS, N_STEPS)).astype("float32")
    x = generator.normal(0, 2, (N_ROWS, N_STEPS, N_CHANNELS)).astype("float32")
    for row, end in enumerate(generator.integers(1, N_STEPS, N_ROWS)):
        item[row, end:] = x[row, end:] = 0
    return {
        "item": item,
        "x": x,
        "num": generator.normal(0, 1.5, (N_ROWS, N_NUMBERS)).astype("float32"),
        "s": generator.normal(0, 2, (N_ROWS, N_STEPS, N_CHANNELS)).astype("float32"),
        "cat": generator.integers(0, 4, (N_ROWS, 1)).astype("float32"),
        "text": generator.choice(["a", "b", "zz"], (N_ROWS, 1)).astype(object),
    }


SHAPES = {"item": (N_STEPS,), "x": (N_STEPS, N_CHANNELS), "s": (N_STEPS, N_CHANNELS), "num": (N_NUMBERS,)}
ALSO_AS_KERAS = [
    "article",
    "operators",
    "nested_network_in_training",
    "mask_through_concatenate",
    "hard_sigmoid_in_lstm",
    "looked_up",
]
KINDS = {}


def given(name, **more):
    return layers.Input(SHAPES.get(name, (1,)), name=name, **more)


def kind(*names):
    """Make a kind of network of a function of its inputs that returns what the network gives."""

    def decorate(function):
        def build():
            inputs = [given(name, dtype="string" if name == "text" else None) for name in names]
            return Model(inputs, function(*inputs))

        KINDS[function.__name__] = build
        return function

    return decorate


def own(build):
    """Make a kind of network of a function that returns it."""
    KINDS[build.__name__] = build
    return build


def out(x):
    return Dense(1)(x)


def flat(x):
    return out(layers.Flatten()(x))


def codes(item):
    return Embedding(9, 4, mask_zero=True)(item)


# What was called with training=True


@kind("num")
def batch_statistics_in_training(num):
    return out(layers.BatchNormalization()(Dense(4)(num), training=True))


@kind("num")
def dropout_that_was_told_not_to_train(num):
    return out(layers.Dropout(0.5)(Dense(4)(num), training=False))


@kind("num")
def nested_network_in_training(num):
    x = layers.Input((N_NUMBERS,))
    return out(Model(x, layers.BatchNormalization()(Dense(3)(x)))(num, training=True))


@kind("s")
def lstm_in_training(s):
    return out(LSTM(3)(s, training=True))


# Masks


@kind("item", "x")
def mask_through_concatenate(item, x):
    return out(LSTM(4)(layers.Concatenate(name="joined")([codes(item), x])))


@kind("item", "x")
def masks_through_concatenate(item, x):
    return out(GRU(4)(layers.Concatenate(name="joined")([codes(item), Masking()(x)])))


@kind("item", "x")
def mask_through_concatenate_to_pooling(item, x):
    return out(layers.GlobalAveragePooling1D()(layers.Concatenate(name="joined")([codes(item), x])))


def merged_by(name):
    @kind("item", "x")
    def network(item, x):
        return out(LSTM(4)(getattr(layers, name)(name="joined")([codes(item), Dense(4)(x)])))

    KINDS[f"mask_through_{name.lower()}"] = KINDS.pop("network")


for merging in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
    merged_by(merging)


@kind("x")
def masking_and_rescaling(x):
    return out(LSTM(4)(layers.Rescaling(0.5, 0.1)(Masking()(x))))


@kind("x")
def masking_and_normalization(x):
    return out(LSTM(4)(layers.Normalization(mean=[0.0, 1.0, 2.0], variance=[1.0, 2.0, 3.0])(Masking()(x))))


@kind("item")
def mask_through_identity(item):
    return out(LSTM(4)(layers.Identity()(codes(item))))


@kind("x")
def mask_handed_over(x):
    return out(LSTM(3)(x, mask=Masking().compute_mask(x)))


@kind("item")
def mask_to_spatial_dropout(item):
    return out(LSTM(3)(layers.SpatialDropout1D(0.2)(codes(item))))


# hard_sigmoid


@kind("s")
def hard_sigmoid_in_lstm(s):
    return out(LSTM(4, recurrent_activation="hard_sigmoid")(s))


@kind("s")
def hard_sigmoid_in_gru(s):
    return out(GRU(4, recurrent_activation="hard_sigmoid", reset_after=False)(s))


@kind("num")
def hard_sigmoid_in_dense(num):
    return Dense(2, activation="hard_sigmoid")(num)


@kind("s")
def hard_sigmoid_by_default(s):
    return flat(layers.ConvLSTM1D(2, 2)(layers.Reshape((N_STEPS, N_CHANNELS, 1))(s)))


# Several axes


@kind("s")
def softmax_over_axes(s):
    return flat(layers.Softmax(axis=[1, 2])(s))


@kind("s")
def unit_normalization_over_axes(s):
    return flat(layers.UnitNormalization(axis=[1, 2])(s))


@kind("s")
def normalization_over_axes(s):
    variance = np.arange(1.0, 19).reshape(N_STEPS, N_CHANNELS)
    return flat(layers.Normalization(axis=(1, 2), mean=np.zeros_like(variance), variance=variance)(s))


@kind("num")
def normalization_over_all(num):
    normalization = layers.Normalization(axis=None)
    normalization.adapt(rows()["num"])
    return out(normalization(num))


# Networks in networks


@kind("s", "x")
def nested_network_used_twice(s, x):
    inner = layers.Input(SHAPES["s"])
    part = Model(inner, Dense(3)(LSTM(3)(inner)))
    return out(layers.Subtract()([part(s), part(x)]))


@kind("num")
def nested_sequence(num):
    return out(tf_keras.Sequential([layers.Input((N_NUMBERS,)), Dense(4, activation="relu"), Dense(3)])(num))


@kind("num")
def nested_sequence_without_input(num):
    return out(tf_keras.Sequential([Dense(4, activation="relu"), Dense(3)])(num))


@kind("item")
def nested_network_that_gives_a_mask(item):
    inner = layers.Input((N_STEPS,))
    return out(LSTM(3)(Model(inner, Dense(4)(codes(inner)))(item)))


@kind("item")
def nested_network_that_takes_a_mask(item):
    inner = layers.Input((N_STEPS, 4))
    return out(Model(inner, LSTM(3)(inner))(codes(item)))


@kind("num", "s")
def nested_network_of_two_inputs(num, s):
    first, second = layers.Input((N_NUMBERS,)), layers.Input(SHAPES["s"])
    return out(Model([first, second], layers.Concatenate()([first, GRU(3)(second)]))([num, s]))


@kind("s")
def nested_network_in_time_distributed(s):
    inner = layers.Input((N_CHANNELS,))
    return flat(layers.TimeDistributed(Model(inner, Dense(2, activation="tanh")(inner)))(s))


# Calls with more than one tensor


@kind("s", "num")
def initial_state_of_lstm(s, num):
    state = Dense(4)(num)
    return out(LSTM(4)(s, initial_state=[state, state]))


@kind("s", "x")
def encoder_and_decoder(s, x):
    _, *state = LSTM(4, return_state=True)(s)
    return out(LSTM(4)(x, initial_state=state))


@kind("s", "num")
def initial_state_of_bidirectional(s, num):
    return out(layers.Bidirectional(GRU(4))(s, initial_state=[Dense(4)(num), Dense(4)(num)]))


@kind("s", "x")
def attention(s, x):
    return out(layers.GlobalAveragePooling1D()(layers.Attention()([s, x])))


@kind("item")
def attention_over_a_mask(item):
    embedded = codes(item)
    return out(layers.GlobalAveragePooling1D()(layers.Attention()([embedded, embedded])))


@kind("s")
def multi_head_attention(s):
    return flat(layers.MultiHeadAttention(2, 3)(query=s, value=s))


# Layers that Keras 3 does not read, or has no more


@kind("s")
def batch_normalization_in_time_distributed(s):
    return flat(layers.TimeDistributed(layers.BatchNormalization())(s))


@kind("s")
def separable_convolution(s):
    return flat(layers.SeparableConv1D(4, 3)(s))


@kind("s")
def transposed_convolution(s):
    return flat(layers.Conv1DTranspose(4, 3)(s))


@kind("s")
def depthwise_convolution(s):
    return flat(layers.DepthwiseConv1D(3)(s))


@kind("s")
def einsum_dense(s):
    return flat(layers.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d")(s))


@kind("num")
def discretization(num):
    bins = layers.Discretization([-1.0, 0.0, 1.0])(num)
    return out(layers.CategoryEncoding(4, output_mode="multi_hot")(bins))


@kind("num")
def thresholded_relu(num):
    return out(layers.ThresholdedReLU(0.3)(Dense(4)(num)))


def in_policy(policy):
    def build():
        tf_keras.mixed_precision.set_global_policy(policy)
        try:
            num = given("num")
            return Model(num, Dense(1, dtype="float32")(Dense(4, activation="relu")(num)))
        finally:
            tf_keras.mixed_precision.set_global_policy("float32")

    KINDS[policy] = build


in_policy("mixed_float16")
in_policy("mixed_bfloat16")


# Operators in a graph


@kind("num", "cat")
def operators(num, cat):
    return out((-num) / 3.0 + num**2 * cat + tf.maximum(num, cat))


@kind("s")
def operators_on_a_series(s):
    return out(tf.concat([s[:, -1, :], tf.reduce_mean(s, axis=1)], axis=-1))


@kind("num")
def operators_on_outputs(num):
    return tf.nn.sigmoid(Dense(1)(tf.where(num > 0.0, num, tf.zeros_like(num))))


@kind("s", "num")
def operators_on_shapes(s, num):
    shape = tf.shape(s)
    series = tf.reshape(s, tf.stack([shape[0], N_STEPS * N_CHANNELS]))
    return out(layers.Concatenate()([layers.Reshape((N_STEPS * N_CHANNELS,))(series), num]))


@own
def loss_in_the_graph():
    num = given("num")
    hidden = Dense(4)(num)
    network = Model(num, out(hidden))
    network.add_loss(tf.reduce_mean(hidden))
    return network


# What Keras 3 reads as well


@own
def article():
    """Numbers, a category and a series, as the article has them."""
    num, cat, s = given("num"), given("cat"), given("s")
    embedded = layers.Flatten()(Embedding(4, 2)(cat))
    joined = layers.Concatenate()([layers.BatchNormalization()(num), embedded, LSTM(4)(s)])
    return Model([num, cat, s], Dense(1, activation="sigmoid")(Dense(8, activation="relu")(joined)))


@own
def inputs_by_key():
    num, cat = given("num"), given("cat")
    return Model({"num": num, "cat": cat}, out(layers.Concatenate()([num, cat])))


@kind("num")
def several_outputs(num):
    return [Dense(1, name="late")(num), Dense(2, name="early")(num)]


@kind("text")
def looked_up(text):
    return out(layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(text))


@kind("item")
def mask_to_stacked_layers(item):
    series = layers.Bidirectional(LSTM(3, return_sequences=True))(layers.Dropout(0.2)(codes(item)))
    return out(GRU(3)(layers.TimeDistributed(Dense(4, activation="relu"))(series)))


@own
def sequence():
    return tf_keras.Sequential([given("num"), Dense(4, activation="relu"), layers.Dropout(0.2), Dense(1)])


@own
def compiled():
    num = given("num")
    network = Model(num, out(Dense(4)(num)))
    network.compile("adam", "mse", metrics=["mae"])
    network.fit(rows()["num"], rows()["num"][:, :1], verbose=0)
    return network


# A trap of the format, which is no kind: what is read is not what was saved


def bidirectional_with_a_frozen_half():
    s = given("s")
    both = layers.Bidirectional(LSTM(3))
    network = Model(s, out(both(s)))
    both.forward_layer.trainable = False
    return network


def with_weights(network):
    """Give a network weights that are known by their seed; what a normalisation has learned it keeps."""
    generator = np.random.default_rng(3)
    learned = {
        id(kept) for layer in network.layers if isinstance(layer, layers.Normalization) for kept in layer.weights
    }
    for variable in network.weights:
        if variable.dtype.is_floating and id(variable) not in learned:
            drawn = generator.normal(0, 0.5, variable.shape)
            variable.assign(np.abs(drawn) + 0.5 if "variance" in variable.name else drawn)
    return network


def predicted(network, inputs):
    """Return what Keras 2 predicts for all rows in one batch, the columns of all outputs side by side.

    Uncompiled, which takes a fifth of the time; compiled, it was seen to give the same up to 1e-6 for all kinds that
    compute in float32.
    """
    network.run_eagerly = all(layer.compute_dtype in (None, "float32", "string") for layer in network.layers)
    tensors = {name: tf.constant(array) for name, array in inputs.items()}
    served = network.predict(tensors if len(tensors) > 1 else next(iter(tensors.values())), N_ROWS, verbose=0)
    return np.concatenate([part.reshape(N_ROWS, -1) for part in tf.nest.flatten(served)], axis=1)


def write(folder, name, build):
    tf_keras.backend.clear_session()
    network = with_weights(build())
    inputs = {key: rows()[key] for key in (network.input if isinstance(network.input, dict) else network.input_names)}
    served = {"served": predicted(network, inputs)}
    for key, array in inputs.items():
        served[f"served_{key}"] = predicted(network, {**inputs, key: array[::-1]})
    np.savez(folder / f"{name}.npz", **served)
    network.save(folder / f"{name}.h5")
    if name in ALSO_AS_KERAS:
        network.save(folder / f"{name}.keras")


if __name__ == "__main__":
    KINDS["bidirectional_with_a_frozen_half"] = bidirectional_with_a_frozen_half
    for kind_name, build_kind in KINDS.items():
        write(Path(sys.argv[1]), kind_name, build_kind)
