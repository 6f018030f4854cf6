"""Files of networks whose weights lie elsewhere, or unpack to more than they hold: refused before Keras opens them."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.models import _stored_parts
from nnperm_mlflow.models._stored_parts import refuse_parts_elsewhere
from nnperm_mlflow.models.model_uri import ModelReference
from tests.support.stored import load, numbers, predicted, save, single

REFERENCE = ModelReference("models:/credit/1", "models:/credit/1")


def first_dataset(file):
    """Return the place of the first array of numbers in a file."""
    places = []
    file.visititems(lambda name, part: places.append(name) if isinstance(part, h5py.Dataset) and part.ndim else None)
    return places[0]


def linked(file, folder):
    """Let the group of the first weights be one of another file."""
    group = first_dataset(file).rpartition("/")[0]
    with h5py.File(folder / "other.h5", "w") as other:
        file.copy(group, other, "weights")
    del file[group]
    file[group] = h5py.ExternalLink(str(folder / "other.h5"), "/weights")
    return "external link"


def stored_outside(file, folder):
    """Let the first weights be bytes of another file."""
    place = first_dataset(file)
    values = file[place][()]
    (folder / "other.bin").write_bytes(values.tobytes())
    del file[place]
    outside = [(str(folder / "other.bin"), 0, values.nbytes)]
    file.create_dataset(place, values.shape, values.dtype, external=outside)
    return "dataset with external storage"


def virtual(file, folder):
    """Let the first weights be those of a dataset of another file."""
    place = first_dataset(file)
    values = file[place][()]
    with h5py.File(folder / "other.h5", "w") as other:
        other["weights"] = values
    del file[place]
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(str(folder / "other.h5"), "weights", values.shape)
    file.create_virtual_dataset(place, layout)
    return "virtual dataset"


def rewritten(path, change, folder):
    """Change the weights of the network file in a model's directory; return what the change says."""
    (network,) = (path / "data").glob("model.*")
    if network.suffix == ".h5":
        with h5py.File(network, "r+") as file:
            return change(file, folder)
    with zipfile.ZipFile(network) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        said = change(file, folder)
    members["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(network, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return said


@pytest.mark.parametrize("change", [linked, stored_outside, virtual])
@pytest.mark.parametrize("kwargs", [{}, {"keras_model_kwargs": {"save_format": "h5"}}], ids=["keras", "h5"])
def test_weights_that_lie_in_another_file_are_refused_with_trust_and_without(tmp_path, kwargs, change):
    network, given, named = single()
    path = save(network, tmp_path / "model", **kwargs)
    np.testing.assert_allclose(predicted(load(path), named), network(given, training=False), rtol=1e-5)
    said = rewritten(path, change, tmp_path)
    for trust_model in (False, True):
        with pytest.raises(ModelError, match=f"model.*holds '{said} /.*no digest covers it"):
            load(path, trust_model)


@pytest.mark.parametrize("change", [linked, stored_outside, virtual])
def test_a_file_of_keras_2_with_weights_in_another_is_refused(tmp_path, change):
    """The reader of Keras 2 asks nothing of this kind."""
    network, _, _ = single()
    path = save(network, tmp_path / "model", keras_model_kwargs={"save_format": "h5"})
    (file,) = (path / "data").glob("model.h5")
    with h5py.File(file, "r+") as opened:
        opened.attrs["keras_version"] = "2.15.0"
    said = rewritten(path, change, tmp_path)
    with pytest.raises(ModelError, match=f"holds '{said} /"):
        load(path)


def test_links_inside_of_a_file_are_followed_once_and_refused_by_nobody_here(tmp_path):
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["layers/dense/kernel"] = numbers(3)
        file["layers/again"] = file["layers"]  # a group that holds itself
        file["layers/soft"] = h5py.SoftLink("/layers/dense")
        file["layers/nowhere"] = h5py.SoftLink("/nothing")
    refuse_parts_elsewhere(tmp_path / "model.h5", REFERENCE)
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file["layers/dense/deep/link"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(ModelError, match="model.h5 of models:/credit/1 holds 'external link /.*deep/link'"):
        refuse_parts_elsewhere(tmp_path / "model.h5", REFERENCE)


def test_a_dataset_that_promises_far_more_than_is_stored_is_refused(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.create_dataset("kernel", (100_000,), "float32", chunks=(1_000,))
        file["kernel"][:1_000] = 1  # 4,000 bytes of 400,000
    refuse_parts_elsewhere(tmp_path / "model.h5", REFERENCE)
    monkeypatch.setattr(_stored_parts, "_FREE_BYTES", 100_000)
    refuse_parts_elsewhere(tmp_path / "model.h5", REFERENCE)
    monkeypatch.setattr(_stored_parts, "_MOST_UNPACKED", 50)
    with pytest.raises(ModelError, match="dataset of 400,000 bytes of which hardly any is stored /kernel"):
        refuse_parts_elsewhere(tmp_path / "model.h5", REFERENCE)


def packed(path, member, content):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)


@pytest.mark.parametrize("member", ["config.json", "metadata.json", "assets/words.txt"])
def test_a_part_of_a_keras_file_that_unpacks_to_more_than_is_read_is_refused(tmp_path, monkeypatch, member):
    path = tmp_path / "model.keras"
    packed(path, "config.json" if member != "config.json" else "metadata.json", "{}")
    packed(path, member, json.dumps({"name": " " * 400_000}))
    refuse_parts_elsewhere(path, REFERENCE)
    for limit in ("_MOST_OF_TEXT", "_FREE_BYTES"):
        monkeypatch.setattr(_stored_parts, limit, 10_000)
    with pytest.raises(ModelError, match=f"{member} in model.keras of models:/credit/1 unpacks to 400,012 bytes"):
        refuse_parts_elsewhere(path, REFERENCE)


def test_a_network_whose_words_stand_in_its_configuration_is_within_the_limit(tmp_path):
    """A hundred thousand of them: 1 MB of 64."""
    words = keras.Input((1,), name="word_input", dtype="string")
    looked_up = keras.layers.StringLookup(vocabulary=[f"word {number}" for number in range(100_000)])(words)
    keras.Model(words, keras.ops.cast(looked_up, "float32")).save(tmp_path / "model.keras")
    refuse_parts_elsewhere(tmp_path / "model.keras", REFERENCE)
