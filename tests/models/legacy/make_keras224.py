"""Writes HDF5 networks as Keras 2.2.4 did, before there was a Keras in TensorFlow; run once, with the versions below.

    pip install "tensorflow-cpu==2.21.0" "h5py==3.14.0"                                    # Python 3.11
    pip install --no-deps --target keras224 "keras==2.2.4" "keras_applications==1.0.8" "keras_preprocessing==1.1.2"
    python make_keras224.py keras224

Keras 2.2.4 is run on the first API of a later TensorFlow, with the few names put back that have moved since. Its
sequences have no InputLayer, its recurrent layers `hard_sigmoid` by default, its GRUs no `reset_after` that is said.
`expected.npz` holds the inputs and what it predicted.
"""

import collections
import collections.abc
import inspect
import sys
from pathlib import Path

import numpy as np
import tensorflow
from tensorflow.python.framework import ops
from tensorflow.python.ops import cond, control_flow_ops, while_loop

HERE = Path(__file__).parent / "keras224"
N_ROWS, N_STEPS, N_CHANNELS, N_NUMBERS = 40, 6, 3, 5

for name in ("Iterable", "Mapping", "Sequence", "Callable"):
    setattr(collections, name, getattr(collections.abc, name))
inspect.getargspec = lambda function: collections.namedtuple("Spec", "args varargs keywords defaults")(
    *inspect.getfullargspec(function)[:4]
)
for name, kind in {"int": int, "float": float, "bool": bool, "object": object}.items():
    np.__dict__.setdefault(name, kind)
v1 = tensorflow.compat.v1
v1.disable_v2_behavior()
ops._TensorLike = (tensorflow.Tensor, v1.Variable, tensorflow.SparseTensor)
ops.is_dense_tensor_like = lambda x: isinstance(x, (tensorflow.Tensor, v1.Variable))
control_flow_ops.while_loop, control_flow_ops.cond = while_loop.while_loop, cond.cond
sys.modules["tensorflow"] = v1
for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
    del sys.modules[name]
sys.path.insert(0, sys.argv[1])

from keras import backend, layers  # noqa: E402
from keras.models import Model, Sequential  # noqa: E402


def rows():
    generator = np.random.default_rng(0)
    item = generator.integers(1, 9, (N_ROWS, N_STEPS)).astype("float32")
    x = generator.normal(0, 2, (N_ROWS, N_STEPS, N_CHANNELS)).astype("float32")
    for row, end in enumerate(generator.integers(1, N_STEPS, N_ROWS)):
        item[row, end:] = x[row, end:] = 0
    return {"item": item, "x": x, "num": generator.normal(0, 1.5, (N_ROWS, N_NUMBERS)).astype("float32")}


def sequence_of_numbers():
    return Sequential([layers.Dense(4, activation="relu", input_dim=N_NUMBERS), layers.Dense(1)]), ["num"]


def sequence_of_steps():
    masking = layers.Masking(input_shape=(N_STEPS, N_CHANNELS))
    return Sequential([masking, layers.LSTM(4), layers.Dense(1, activation="sigmoid")]), ["x"]


def sequence_of_codes():
    embedding = layers.Embedding(9, 3, mask_zero=True, input_length=N_STEPS)
    return Sequential([embedding, layers.GRU(3), layers.Dense(1)]), ["item"]


def functional():
    item, x = layers.Input((N_STEPS,), name="item"), layers.Input((N_STEPS, N_CHANNELS), name="x")
    joined = layers.concatenate([layers.Embedding(9, 4, mask_zero=True)(item), x])
    return Model([item, x], layers.Dense(1)(layers.LSTM(4)(joined))), ["item", "x"]


def nested():
    inner, num = layers.Input((N_NUMBERS,)), layers.Input((N_NUMBERS,), name="num")
    part = Model(inner, layers.Dense(3, activation="tanh")(layers.BatchNormalization()(inner)))
    return Model(num, layers.Dense(1)(part(num))), ["num"]


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    expected = rows()
    for build in (sequence_of_numbers, sequence_of_steps, sequence_of_codes, functional, nested):
        backend.clear_session()
        network, names = build()
        generator = np.random.default_rng(3)
        drawn = [generator.normal(0, 0.5, weight.shape) for weight in network.get_weights()]
        network.set_weights([np.abs(weight) + 0.1 if weight.ndim == 1 else weight for weight in drawn])
        expected[build.__name__] = network.predict([expected[name] for name in names], batch_size=N_ROWS)
        network.save(str(HERE / f"{build.__name__}.h5"), include_optimizer=False)
    np.savez_compressed(HERE / "expected.npz", **expected)
