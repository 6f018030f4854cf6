"""Networks that Keras 2 wrote: read by it they predict what it predicted, and without it none is read otherwise."""

import subprocess
import sys

import numpy as np
import pytest

from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError
from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.models.branches.branch_predictor import BranchPredictor
from tests.support.stored import load, stored_as

pytest.importorskip("tf_keras", reason="needs Keras 2: pip install --no-deps tf-keras, of the version of TensorFlow")

from tests.support.keras2_networks import ALSO_AS_KERAS, KINDS, rows

pytestmark = pytest.mark.slow

MIXING = {"batch_statistics_in_training", "nested_network_in_training"}
"""Kinds of which a row's prediction depends on the rows beside it."""

TOLD = {
    "batch_statistics_in_training": "'training=True in a call of batch_normalization'",
    "nested_network_in_training": "'training=True in a call of model'",
    "lstm_in_training": "'training=True in a call of lstm'",
    "mask_through_concatenate": r"'a mask that reaches joined \(Concatenate\)'",
    "masks_through_concatenate": r"'a mask that reaches joined \(Concatenate\)'",
    "mask_through_concatenate_to_pooling": r"'a mask that reaches joined \(Concatenate\)'",
    **{
        f"mask_through_{name.lower()}": rf"'a mask that reaches joined \({name}\)'"
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    },
    "masking_and_rescaling": r"'a mask that reaches rescaling \(Rescaling\)'",
    "masking_and_normalization": r"'a mask that reaches normalization \(Normalization\)'",
    "mask_through_identity": r"'a mask that reaches identity \(Identity\)'",
    "mask_handed_over": "'a mask in a call of lstm'",
    "mask_to_spatial_dropout": "'SpatialDropout1D'",
    "hard_sigmoid_in_lstm": "'hard_sigmoid'",
    "hard_sigmoid_in_gru": "'hard_sigmoid'",
    "hard_sigmoid_in_dense": "'hard_sigmoid'",
    "hard_sigmoid_by_default": "'hard_sigmoid'",
    "softmax_over_axes": "'Softmax over several axes'",
    "unit_normalization_over_axes": "'UnitNormalization over several axes'",
    "normalization_over_axes": "'Normalization over several axes'",
    "normalization_over_all": "'Normalization over several axes'",
    "nested_network_used_twice": r"'a network in it \(model\)'",
    "nested_sequence": r"'a network in it \(sequential\)'",
    "nested_sequence_without_input": r"'a network in it \(sequential\)'",
    "nested_network_that_gives_a_mask": r"'a network in it \(model\)'",
    "nested_network_that_takes_a_mask": r"'a network in it \(model\)'",
    "nested_network_of_two_inputs": r"'a network in it \(model\)'",
    "nested_network_in_time_distributed": "'Functional in TimeDistributed'",
    "initial_state_of_lstm": "'initial_state in a call of lstm'",
    "encoder_and_decoder": "'initial_state in a call of lstm_1'",
    "initial_state_of_bidirectional": "'initial_state in a call of bidirectional'",
    "attention": "'Attention'",
    "attention_over_a_mask": "'Attention'",
    "multi_head_attention": "'MultiHeadAttention'",
    "batch_normalization_in_time_distributed": "'BatchNormalization in TimeDistributed'",
    "separable_convolution": "'SeparableConv1D'",
    "transposed_convolution": "'Conv1DTranspose'",
    "depthwise_convolution": "'DepthwiseConv1D'",
    "einsum_dense": "'EinsumDense'",
    "discretization": "'Discretization'",
    "thresholded_relu": "'ThresholdedReLU'",
    "mixed_float16": "'the policy mixed_float16'",
    "mixed_bfloat16": "'the policy mixed_bfloat16'",
    "operators": "'operators'",
    "operators_on_a_series": "'operators'",
    "operators_on_outputs": "'operators'",
    "operators_on_shapes": "'operators'",
    "loss_in_the_graph": "'AddLoss'",
}
"""What is said of a kind where Keras 2 is not installed; Keras 3 reads the others as Keras 2 did."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a network of each kind and what Keras 2 predicted, written by Keras 2 alone."""
    folder = tmp_path_factory.mktemp("keras2")
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.keras2_networks", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def without_keras_2(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf_keras", None)


def served_of(written, kind):
    """What Keras 2 predicted for the rows (`served`), and for the rows with an input in reverse order."""
    with np.load(written / f"{kind}.npz") as stored:
        return dict(stored)


def given_to(predictor):
    return {spec.name: rows()[spec.name] for spec in predictor.inputs}


def assert_served(found, expected, served):
    """Up to 1e-6 of the spread of what was served."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.ptp(served, axis=0).max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_keras_2_predicts_what_it_predicted_and_moves_as_it_moved(written, tmp_path, kind):
    """An independent loop gave the whole network the changed rows."""
    served = served_of(written, kind)
    predictor = load(stored_as(tmp_path, written / f"{kind}.h5"))
    given = given_to(predictor)
    fitted = predictor.fitted(given)
    assert isinstance(fitted, BranchPredictor) == (kind not in MIXING)
    block = fitted.begin([given])[0]
    assert_served(block.baseline, served["served"], served["served"])
    names = [name.removeprefix("served_") for name in served if name != "served"]
    assert set(names) == set(given)
    for name, found in zip(names, block.predict(Change.of({name: given[name][::-1]}) for name in names), strict=True):
        assert_served(found, served[f"served_{name}"], served["served"])
        moved = np.abs(served[f"served_{name}"] - served["served"])
        assert_served(np.abs(found - block.baseline), moved, served["served"])
        assert moved.max() > 1e-3


@pytest.mark.parametrize("kind", ALSO_AS_KERAS)
def test_so_it_does_in_the_format_that_keras_2_calls_keras(written, tmp_path, kind):
    served = served_of(written, kind)["served"]
    predictor = load(stored_as(tmp_path, written / f"{kind}.keras"))
    given = given_to(predictor)
    for each in (predictor, predictor.fitted(given)):
        assert_served(each.begin([given])[0].baseline, served, served)


@pytest.mark.parametrize("kind", KINDS)
def test_without_keras_2_a_network_is_read_as_it_was_or_refused_with_the_command(
    written, tmp_path, without_keras_2, kind
):
    path = stored_as(tmp_path, written / f"{kind}.h5")
    if kind in TOLD:
        command = r"pip install 'nnperm_mlflow\[keras2\]'"
        with pytest.raises(ModelError, match=rf"was written by Keras 2\.\d+\.\d+ and holds .*{TOLD[kind]}.*{command}"):
            load(path)
    else:
        served = served_of(written, kind)["served"]
        predictor = load(path)
        assert_served(predictor.begin([given_to(predictor)])[0].baseline, served, served)


def test_without_keras_2_its_other_format_is_refused_with_the_command(written, tmp_path, without_keras_2):
    with pytest.raises(ModelError, match=r"pip install 'nnperm_mlflow\[keras2\]'") as caught:
        load(stored_as(tmp_path, written / "article.keras"))
    assert not isinstance(caught.value, UntrustedModelError)


def test_only_what_a_change_reaches_is_computed_again(written, tmp_path):
    predictor = load(stored_as(tmp_path, written / "article.h5"))
    shares = predictor.fitted(given_to(predictor)).shares
    assert shares["num"] < 0.5 < shares["s"]


def test_the_shortcut_gives_a_network_of_keras_2_its_numbers_up_to_rounding(written, tmp_path):
    predictor = load(stored_as(tmp_path, written / "article.h5"))
    given, column = given_to(predictor), (Slot("num", (2,)),)
    change = Change(column, (given["num"][::-1, 2].copy(),))
    exact = load(stored_as(tmp_path / "again", written / "article.h5")).fitted(given)
    quick = predictor.fitted(given, exact=False)
    assert "num" in quick.shortcuts
    found, expected = (next(each.begin([given])[0].predict([change])) for each in (quick, exact))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_outputs_have_the_names_and_units_of_their_layers(written, tmp_path):
    several = load(stored_as(tmp_path / "several", written / "several_outputs.h5"))
    assert several.outputs.names == ("late", "early_0", "early_1")
    for kind in ("article", "operators_on_outputs"):
        assert load(stored_as(tmp_path / kind, written / f"{kind}.h5")).outputs.unit == "probability"


@pytest.mark.parametrize("installed", [True, False])
def test_a_bidirectional_layer_with_a_frozen_half_is_told_of(written, tmp_path, caplog, monkeypatch, installed):
    """What is read, by Keras 2 itself too, is not what was saved."""
    import tf_keras

    kind = "bidirectional_with_a_frozen_half"
    served = tf_keras.models.load_model(written / f"{kind}.h5", compile=False)(rows()["s"], training=False).numpy()
    if not installed:
        monkeypatch.setitem(sys.modules, "tf_keras", None)
    predictor = load(stored_as(tmp_path, written / f"{kind}.h5"))
    assert "one half of 'bidirectional' was frozen when the network was saved" in caplog.text
    assert_served(predictor.begin([given_to(predictor)])[0].baseline, served, served)
    assert np.abs(served - served_of(written, kind)["served"]).max() > 0.1
    caplog.clear()
    load(stored_as(tmp_path / "other", written / "mask_to_stacked_layers.h5"))
    assert not caplog.text
