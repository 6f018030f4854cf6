"""PyTorch networks by branches: only what a change reaches is computed, and each number is that of a whole call."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.torch.archive import read_archive
from nnperm_mlflow.models.torch.predictor import NetworkPredictor
from nnperm_mlflow.models.torch.program import read_program
from tests.support.torch_networks import (
    Article,
    Attention,
    Gated,
    OneTensor,
    StepsFirst,
    exported,
    made,
    predicted,
    rows,
)

N_ROWS = 101
TAKES = {
    Article: ("numbers", "codes", "history"),
    Gated: ("numbers", "history"),
    Attention: ("numbers", "history"),
    StepsFirst: ("numbers", "history"),
    OneTensor: ("row",),
}


def predictor_of(module, names, data):
    """Return what an audit has of a network."""
    return read_as_predictor(exported(module, *(data[name][:4] for name in names)), names, data)


def read_as_predictor(archive, names, data):
    specs = [InputSpec(name, data[name].shape[1:], data[name].dtype) for name in names]
    return NetworkPredictor(read_program(read_archive(io.BytesIO(archive))), specs)


def given_to(module, names, data):
    return predicted(module, *(data[name] for name in names))


@pytest.fixture(scope="module")
def fitted():
    """Return each kind of network as torch.export loads it, with its predictor, and the rows."""
    data = rows(N_ROWS)
    made_of = {}
    for kind, names in TAKES.items():
        own = {name: data[name] for name in names}
        archive = exported(made(kind), *(it[:4] for it in own.values()))
        predictor = read_as_predictor(archive, names, own).fitted({name: it[:64] for name, it in own.items()})
        made_of[kind] = torch.export.load(io.BytesIO(archive)).module(), predictor
    return data, made_of


def changes_of(data, names):
    """Yield changes of every column, channel and whole input, with donors and to a set value."""
    order = np.random.default_rng(3).permutation(N_ROWS)
    for name in names:
        array = data[name]
        for place in range(array.shape[-1]):
            index = (place,) if array.ndim == 2 else (slice(None), place)
            values = array[(slice(None), *index)]
            yield Change((Slot(name, index),), (values[order],), order)
        yield Change((Slot(name, index),), (np.full_like(values, values[0]),))
        yield Change((Slot(name),), (array[order],), order)
    if len(names) > 1:
        yield Change(tuple(Slot(name) for name in names), tuple(data[name][order] for name in names), order)


@pytest.mark.parametrize("kind", TAKES)
def test_each_number_is_that_of_a_whole_call(fitted, kind):
    """Bit for bit, for every column, channel and input; the reference is what torch.export itself loads."""
    data, made_of = fitted
    module, predictor = made_of[kind]
    own = {name: data[name] for name in TAKES[kind]}
    block = predictor.begin([own])[0]
    assert np.array_equal(block.baseline, given_to(module, TAKES[kind], own))
    changes = [*changes_of(data, TAKES[kind])]
    for change, found in zip(changes, block.predict(changes), strict=True):
        assert np.array_equal(found, given_to(module, TAKES[kind], {**own, **change.on(own)})), change.slots


SHARES = {
    Article: {"numbers": (0, 0.4), "codes": (0, 0.4), "history": (0.8, 0.999)},
    Gated: {"numbers": (0, 0.1), "history": (0.99, 1)},
    Attention: {"numbers": (0.9, 1), "history": (0.9, 0.999)},
    StepsFirst: {"numbers": (0.8, 1), "history": (0.8, 1)},
    OneTensor: {"row": (0, 0.9)},
}


@pytest.mark.parametrize("kind", TAKES)
def test_a_change_runs_what_it_reaches(fitted, kind):
    """A number or code runs no recurrent layer, whose state of zeros hangs on how many rows the numbers have."""
    shares = fitted[1][kind][1].shares
    assert shares.keys() == SHARES[kind].keys()
    for name, (least, most) in SHARES[kind].items():
        assert least <= shares[name] <= most, name


def test_a_block_of_many_rows_goes_through_in_chunks_of_some_thousand():
    """As the loop does to which its numbers are compared, and whole calls do."""
    data = {name: it for name, it in rows(9000).items() if name in TAKES[Article]}
    module = made(Article)
    predictor = predictor_of(module, TAKES[Article], data)
    branches = predictor.fitted({name: it[:64] for name, it in data.items()})
    order = np.random.default_rng(1).permutation(9000)
    change = Change((Slot("history", (slice(None), 1)),), (data["history"][order, :, 1],), order)
    others = {**data, **change.on(data)}
    chunks = [slice(0, 3000), slice(3000, 6000), slice(6000, 9000)]
    parts = [given_to(module, TAKES[Article], {name: it[chunk] for name, it in others.items()}) for chunk in chunks]
    expected = np.concatenate(parts)
    assert np.array_equal(next(branches.begin([data])[0].predict([change])), expected)
    assert np.array_equal(predictor.call(others), expected)


def test_columns_that_are_not_read_change_nothing(fitted):
    data, made_of = fitted
    block = made_of[OneTensor][1].begin([{"row": data["row"]}])[0]
    change = Change((Slot("row", (4,)),), (np.full(N_ROWS, 99, np.float32),))
    assert np.array_equal(next(block.predict([change])), block.baseline)


def test_outputs_of_a_dict_have_its_names_and_say_what_they_are(fitted):
    outputs = fitted[1][Gated][1].outputs
    assert outputs.names == ("risk_0", "risk_1", "risk_2", "delay")
    assert [(head.columns, head.unit, head.exclusive) for head in outputs.heads] == [
        ((0, 1, 2), "probability", True),
        ((3,), None, False),
    ]


class Measuring(nn.Module):
    """Begins with a state as wide as what a picked column became."""

    def __init__(self):
        super().__init__()
        self.group, self.cell, self.last = nn.Embedding(6, 4), nn.GRUCell(3, 4), nn.Linear(8, 1)

    def forward(self, codes, history):
        grouped = self.group(codes[:, 2])
        state = torch.zeros_like(grouped)
        for step in range(2):
            state = self.cell(history[:, step], state)
        return self.last(torch.cat([grouped, state.view_as(grouped)], dim=1))


def test_a_state_that_is_shaped_by_a_picked_column_does_not_depend_on_it():
    names, data = ["codes", "history"], rows(64)
    own = {name: data[name] for name in names}
    module = made(Measuring)
    fitted = predictor_of(module, names, own).fitted(own)
    assert fitted.shares["codes"] < 0.3
    change = Change((Slot("codes", (2,)),), (own["codes"][::-1, 2].copy(),))
    found = next(fitted.begin([own])[0].predict([change]))
    assert np.array_equal(found, given_to(module, names, {**own, **change.on(own)}))


class Beside(nn.Module):
    """A network whose rows mix: it normalises over the rows of a call, as in training."""

    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(5), nn.Linear(5, 1)

    def forward(self, numbers):
        return self.last(self.norm(numbers))


class Writing(nn.Module):
    """Writes into a part of what others take as well."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, 1)

    def forward(self, numbers, history):
        doubled = 2 * numbers
        doubled[:, 0] = history[:, 0, 0]
        return self.last(doubled) + doubled.sum(dim=1, keepdim=True)


class ByChance(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.last = nn.Dropout(0.5), nn.Linear(5, 1)

    def forward(self, numbers):
        return self.last(self.drop(numbers))


@pytest.mark.parametrize("kind", [Beside, ByChance])
def test_what_mixes_rows_or_goes_by_chance_is_called_as_a_whole_with_a_word(kind, caplog):
    data = {"numbers": rows(64)["numbers"]}
    module = made(kind).train()
    predictor = predictor_of(module, ["numbers"], data).fitted(data)
    assert predictor.shares == {"numbers": 1.0}
    assert "a row's prediction depends on the rows beside it, or on chance" in caplog.text


def test_a_whole_call_that_normalises_over_its_rows_is_that_of_the_module():
    data = {"numbers": rows(64)["numbers"]}
    module = made(Beside).train()
    predictor = predictor_of(module, ["numbers"], data)
    assert np.array_equal(predictor.call(data), given_to(made(Beside).train(), ["numbers"], data))


def test_a_network_that_writes_in_place_is_called_as_a_whole_and_leaves_rows_as_they_are():
    names, data = ["numbers", "history"], rows(64)
    own = {name: data[name] for name in names}
    module = made(Writing)
    expected = given_to(module, names, own)
    before = {name: it.copy() for name, it in own.items()}
    predictor = predictor_of(module, names, own).fitted(own)
    assert not predictor.reuses
    for _ in range(2):
        assert np.array_equal(predictor.begin([own])[0].baseline, expected)
    assert all(np.array_equal(own[name], before[name]) for name in names)


def test_a_code_that_no_embedding_knows_is_told_without_its_value(fitted):
    data, made_of = fitted
    change = Change((Slot("codes", (1,)),), (np.full(N_ROWS, 4711),))
    block = made_of[Article][1].begin([{name: data[name] for name in TAKES[Article]}])[0]
    with pytest.raises(PredictionError, match="A code outside of what an embedding knows does that") as raised:
        list(block.predict([change]))
    assert "4711" not in str(raised.value)


def test_predicting_leaves_gradients_of_the_process_as_they_are(fitted):
    data, made_of = fitted
    made_of[OneTensor][1].begin([{"row": data["row"]}])
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


class Coarse(nn.Module):
    """Computes in bfloat16, which NumPy does not know, and joins its inputs so."""

    def __init__(self):
        super().__init__()
        self.one, self.codes = nn.Linear(5, 1).bfloat16(), nn.Embedding(6, 1)
        self.last = nn.Linear(2, 1).bfloat16()

    def forward(self, numbers, codes):
        own = self.one(numbers.bfloat16())
        joined = own + self.codes(codes[:, 0])
        return joined + self.last(torch.cat([own, self.codes(codes[:, 1]).bfloat16()], 1)).float()


def test_what_comes_from_donors_keeps_its_type():
    """A row that receives its own values predicts what it did before."""
    data = rows(N_ROWS)
    module, names = made(Coarse), ("numbers", "codes")
    given = {name: data[name] for name in names}
    branches = predictor_of(module, names, given).fitted({name: it[:64] for name, it in given.items()})
    assert branches.reuses
    block = branches.begin([given])[0]
    donors = np.random.default_rng(0).permutation(N_ROWS)
    for slot in (Slot("codes", (0,)), Slot("codes", (1,)), Slot("numbers")):
        values = data[slot.input][(donors, *slot.index)].copy()
        (found,) = block.predict([Change((slot,), (values,), donors)])
        changed = data[slot.input].copy()
        changed[(slice(None), *slot.index)] = values
        assert np.array_equal(found, given_to(module, names, {**given, slot.input: changed})), slot
