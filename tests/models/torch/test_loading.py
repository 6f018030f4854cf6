"""PyTorch networks as MLflow logs them: names, types and shapes, the ways in which they are called, what is refused."""

import io
import sys

import mlflow
import numpy as np
import pytest
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from torch import nn

from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError
from nnperm_mlflow.inputs.slots import Change, Slot
from tests.support.cases import slow
from tests.support.stored import Trap, change_mlmodel, load
from tests.support.torch_networks import Article, Gated, OneTensor, made, members, packed, predicted, rows

DATA = rows(40)
ARTICLE = {name: DATA[name] for name in ("numbers", "codes", "history")}


def signature_of(inputs):
    """Return the signature of tensors with a first axis of any length."""
    return ModelSignature(Schema([TensorSpec(it.dtype, (-1, *it.shape[1:]), name) for name, it in inputs.items()]))


def save_archive(path, module, inputs, signature=None):
    example = tuple(inputs.values())
    signature = signature or signature_of(inputs)
    mlflow.pytorch.save_model(module, str(path), input_example=example, signature=signature, pip_requirements=[])
    return path


def save_pickle(path, module, signature):
    mlflow.pytorch.save_model(
        module, str(path), serialization_format="pickle", signature=signature, pip_requirements=[]
    )
    return path


@pytest.fixture(scope="module")
def article(tmp_path_factory):
    """The directory of a network with three inputs, logged as MLflow does by itself."""
    return save_archive(tmp_path_factory.mktemp("article") / "model", made(Article), ARTICLE)


def baseline(predictor, inputs):
    return predictor.begin([inputs])[0].baseline


def test_a_network_with_several_inputs_needs_neither_trust_nor_pyfunc(article):
    """MLflow gives such a version no flavour python_function."""
    assert "python_function" not in (article / "MLmodel").read_text()
    predictor = load(article)
    assert [(spec.name, spec.shape, str(spec.dtype)) for spec in predictor.inputs] == [
        ("numbers", (5,), "float32"),
        ("codes", (4,), "int64"),
        ("history", (6, 3), "float32"),
    ]
    assert predictor.outputs.unit == "probability"
    fitted = predictor.fitted(ARTICLE)
    assert fitted.shares["numbers"] < 0.4 < fitted.shares["history"]
    assert np.array_equal(baseline(fitted, ARTICLE), predicted(made(Article), *ARTICLE.values()))


def test_a_column_of_the_codes_is_looked_up_alone(article):
    """A change of a code costs as little as one of a number, and gives what the module gives."""
    fitted = load(article).fitted(ARTICLE)
    change = Change((Slot("codes", (2,)),), (ARTICLE["codes"][::-1, 2].copy(),))
    found = next(fitted.begin([ARTICLE])[0].predict([change]))
    others = {**ARTICLE, **change.on(ARTICLE)}
    assert fitted.shares["codes"] < 0.4
    assert np.array_equal(found, predicted(made(Article), *others.values()))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["num_input", "SEX_input", "temporal_input"], ["num_input", "SEX_input", "temporal_input"]),
        (["history", "numbers", "codes"], ["numbers", "codes", "history"]),
        ([None, None, None], ["numbers", "codes", "history"]),
    ],
)
def test_names_are_the_signatures_by_place_and_the_networks_own_where_it_has_these(article, tmp_path, names, expected):
    """MLflow hands over an example in the signature's order, whatever it calls the inputs."""
    path = save_archive_as(tmp_path / "model", article)
    parts = [TensorSpec(it.dtype, (-1, *it.shape[1:]), name) for name, it in zip(names, ARTICLE.values(), strict=True)]
    signature = {"inputs": Schema(parts).to_json()} if names[0] else None
    change_mlmodel(path, lambda it: it.update(signature=signature))
    assert [spec.name for spec in load(path).inputs] == expected
    assert [spec.shape for spec in load(path).inputs] == [(5,), (4,), (6, 3)]


def save_archive_as(path, other):
    """Copy a model's directory."""
    path.mkdir()
    for file in other.rglob("*"):
        if file.is_file():
            (path / file.relative_to(other)).parent.mkdir(exist_ok=True, parents=True)
            (path / file.relative_to(other)).write_bytes(file.read_bytes())
    return path


def test_an_example_of_one_row_makes_a_network_of_one_row(tmp_path):
    path = save_archive(tmp_path / "model", made(OneTensor), {"row": DATA["row"][:1]})
    for trust_model in (False, True):
        with pytest.raises(ModelError, match=r"takes exactly 1 row\(s\) as 'row': .* an input_example of two or more"):
            load(path, trust_model)


def test_a_network_logged_in_training_mode_is_told(tmp_path, caplog):
    network = nn.Sequential(nn.Linear(7, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    load(save_archive(tmp_path / "model", network.train(), {"row": DATA["row"]}))
    assert "was logged in training mode ('batch_norm', 'dropout')" in caplog.text
    assert "Log it again after model.eval()" in caplog.text
    caplog.clear()
    load(save_archive(tmp_path / "other", network.eval(), {"row": DATA["row"]}))
    assert "training" not in caplog.text


def test_without_pytorch_it_is_told_how_to_get_it(article, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("nnperm_mlflow.models.torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"needs the package 'torch'.*pip install 'nnperm_mlflow\[torch\]'"):
        load(article)


# What MLflow would run


def with_archive(article, path, **parts):
    """Copy a model, with an archive of which members are changed."""
    copy = save_archive_as(path, article)
    archive = copy / "data" / "model.pt2"
    archive.write_bytes(packed({**members(archive.read_bytes()), **parts}))
    return copy


def test_an_archive_that_would_run_something_where_it_is_served_is_refused_with_what_it_is(article, tmp_path):
    saved = io.BytesIO()
    torch.save(((Trap(tmp_path / "proof"),), {}), saved)
    path = with_archive(article, tmp_path / "model", **{"data/sample_inputs/model.pt": saved.getvalue()})
    message = "its pt2 archive holds example inputs that are more than tensors .*pathlib.PosixPath.*--trust-model"
    with pytest.raises(UntrustedModelError, match=message):
        load(path)
    assert not (tmp_path / "proof").exists()


def test_a_file_that_is_no_archive_is_damaged(article, tmp_path):
    path = save_archive_as(tmp_path / "model", article)
    (path / "data" / "model.pt2").write_bytes(b"nonsense")
    with pytest.raises(UntrustedModelError, match="its pt2 archive is damaged"):
        load(path)


def test_a_pickle_beside_an_archive_is_what_mlflow_serves(article, tmp_path):
    path = save_archive_as(tmp_path / "model", article)
    torch.save(Trap(tmp_path / "proof"), path / "data" / "model.pth")
    with pytest.raises(UntrustedModelError, match=r"holds a pickle \(model.pth\)"):
        load(path)
    assert not (tmp_path / "proof").exists()


def test_code_beside_an_archive_needs_trust(article, tmp_path):
    path = save_archive_as(tmp_path / "model", article)
    change_mlmodel(path, lambda it: it["flavors"]["pytorch"].update(code="code"))
    with pytest.raises(UntrustedModelError, match="beside the network lies 'code', which would run"):
        load(path)


def test_a_network_in_two_places_is_none(tmp_path):
    path = save_archive(tmp_path / "model", made(OneTensor), {"row": DATA["row"]})
    change_mlmodel(path, lambda it: it["flavors"]["pytorch"].update(model_data="other"))
    with pytest.raises(ModelError, match="names two places for one network \\('data', 'other'\\)"):
        load(path)


# Pickles, trusted


class ByDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Article()

    def forward(self, batch):
        return self.inner(batch["numbers"], batch["codes"], batch["history"])


class ByTuple(ByDict):
    def forward(self, batch):
        numbers, codes, history = batch
        return self.inner(numbers, codes, history)


class ByKeyword(ByDict):
    def forward(self, *, codes, history, numbers):
        return self.inner(numbers, codes, history)


class InOrder(ByDict):
    def forward(self, first, second, third=None):
        return self.inner(first, second, third)


@pytest.mark.parametrize("kind", [ByDict, *slow(ByTuple, ByKeyword, InOrder)])
def test_a_trusted_pickle_is_called_as_it_takes_its_inputs(tmp_path, kind):
    """And run by the branches of its graph; without trust it is refused, with what needs none."""
    module = made(kind)
    path = save_pickle(tmp_path / "model", module, signature_of(ARTICLE))
    with pytest.raises(UntrustedModelError, match="Logged with serialization_format='pt2'"):
        load(path)
    fitted = load(path, trust_model=True).fitted(ARTICLE)
    assert fitted.reuses
    assert np.array_equal(baseline(fitted, ARTICLE), predicted(module.inner, *ARTICLE.values()))
    change = Change((Slot("codes", (1,)),), (ARTICLE["codes"][::-1, 1].copy(),))
    others = {**ARTICLE, **change.on(ARTICLE)}
    found = next(fitted.begin([ARTICLE])[0].predict([change]))
    assert np.array_equal(found, predicted(module.inner, *others.values()))


class Deciding(nn.Module):
    """Takes one of two ways by what stands in its rows, so that it has no graph; gives a tuple."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(7, 1), nn.Linear(7, 1)

    def forward(self, row):
        row += 0  # writes into what it is given
        if float(row[:, 0].abs().max()) > 0:
            return self.one(row), self.other(row).squeeze(1)
        return self.other(row), row[:, 0]


def test_a_module_without_a_graph_is_called_as_a_whole(tmp_path):
    module = made(Deciding)
    path = save_pickle(tmp_path / "model", module, signature_of({"row": DATA["row"]}))
    fitted = load(path, trust_model=True).fitted({"row": DATA["row"]})
    assert not fitted.reuses
    assert np.array_equal(baseline(fitted, {"row": DATA["row"]}), predicted(module, DATA["row"]))


def test_columns_of_a_table_are_one_tensor_as_mlflow_makes_it(tmp_path):
    """Of float32 numbers, in the signature's order; columns by their names are the binding's business."""
    module = made(OneTensor)
    signature = ModelSignature(Schema([ColSpec("double", f"column {place}") for place in range(7)]))
    predictor = load(save_pickle(tmp_path / "model", module, signature), trust_model=True)
    (spec,) = predictor.inputs
    assert (spec.name, spec.shape, spec.dtype) == ("num_input", (7,), np.float32)
    fitted = predictor.fitted({"num_input": DATA["row"]})
    assert np.array_equal(baseline(fitted, {"num_input": DATA["row"]}), predicted(module, DATA["row"]))


def test_a_module_that_cannot_be_called_is_told_by_what_it_takes(tmp_path):
    path = save_pickle(tmp_path / "model", made(Gated), signature_of({"numbers": DATA["numbers"]}))
    with pytest.raises(ModelError, match=r"cannot be called with its inputs 'numbers': .*forward takes .*'history'"):
        load(path, trust_model=True).fitted({"numbers": DATA["numbers"]})


def test_a_pickle_whose_class_is_not_there_is_told_with_what_helps(tmp_path):
    path = save_pickle(tmp_path / "model", made(OneTensor), signature_of({"row": DATA["row"]}))
    (path / "data" / "model.pth").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"cannot be loaded with its own code either .*code_paths=\[...\]"):
        load(path, trust_model=True)


def test_a_trusted_archive_that_is_refused_otherwise_is_loaded_by_torch(article, tmp_path):
    path = with_archive(article, tmp_path / "model", **{"extra/notes.txt": b"notes"})
    with pytest.raises(UntrustedModelError, match="holds 'extra/notes.txt'"):
        load(path)
    fitted = load(path, trust_model=True).fitted(ARTICLE)
    assert fitted.reuses
    assert np.array_equal(baseline(fitted, ARTICLE), predicted(made(Article), *ARTICLE.values()))


class WithLoss(nn.Module):
    """Gives a loss beside its predictions, as TabNet does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 2)

    def forward(self, numbers):
        found = self.layer(numbers)
        return {"loss": found.square().mean(), "score": found}


@pytest.mark.parametrize("kind", ["pt2", "pickle"])
def test_a_number_of_all_rows_together_is_no_prediction(tmp_path, kind):
    given = {"numbers": DATA["numbers"]}
    module = made(WithLoss)
    if kind == "pt2":
        save_archive(tmp_path / "model", module, given)
    else:
        save_pickle(tmp_path / "model", module, signature_of(given))
    predictor = load(tmp_path / "model", trust_model=kind == "pickle").fitted(given)
    assert predictor.outputs.names == (("score_0", "score_1") if kind == "pt2" else ())
    with torch.inference_mode():
        expected = module(torch.from_numpy(DATA["numbers"]))["score"].numpy()
    assert np.array_equal(baseline(predictor, given), expected)
