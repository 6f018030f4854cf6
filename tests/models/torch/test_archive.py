"""What a pt2 archive may hold: a graph of operators that compute, lengths, and weights as plain numbers."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from nnperm_mlflow.models.torch.archive import ForeignPartError, read_archive
from nnperm_mlflow.models.torch.evaluated_text import check_evaluated_text
from nnperm_mlflow.models.torch.network import Network
from nnperm_mlflow.models.torch.operators import find_operator
from nnperm_mlflow.models.torch.program import read_program
from tests.support.torch_networks import Article, exported, made, members, packed, predicted, rows

GRAPH, WEIGHTS, CONSTANTS = "models/model.json", "data/weights/model_weights_config.json", "data/constants/"
EXAMPLES = "data/sample_inputs/model.pt"


@pytest.fixture(scope="module")
def archive():
    data = rows(4)
    return exported(made(Article), data["numbers"], data["codes"], data["history"])


def program_of(archive):
    """Return what an archive is read as, all of it looked through."""
    found = read_archive(io.BytesIO(archive))
    check_evaluated_text(found.program)
    return read_program(found)


def changed(archive, name, change):
    """Return an archive of which one member, nested JSON, is changed."""
    parts = members(archive)
    content = json.loads(parts[name])
    change(content)
    return packed({**parts, name: content})


def graph_of(program):
    return program["graph_module"]["graph"]


def test_what_torch_writes_is_read_and_gives_the_networks_own_numbers(archive):
    """Bit for bit, without torch.export; the reference is the module."""
    data = rows(300, seed=1)
    given = [torch.from_numpy(data[name]) for name in ("numbers", "codes", "history")]
    found = Network(program_of(archive))(given)
    assert np.array_equal(found[0].numpy(), predicted(made(Article), *(it.numpy() for it in given)))


def test_packing_members_anew_changes_nothing(archive):
    """So that what the other tests change is all that makes an archive foreign."""
    assert len(program_of(packed(members(archive))).calls) == len(program_of(archive).calls)


def test_nothing_is_unpickled(archive, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pickle was opened")

    for owner, name in (
        (torch, "load"),
        (pickle, "loads"),
        (pickle, "load"),
        (pickle, "Unpickler"),
        (torch.export, "load"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    program_of(archive)


def add_call(target):
    def change(program):
        graph_of(program)["nodes"][-1]["target"] = target

    return change


def set_length(expression):
    def change(program):
        graph_of(program)["tensor_values"]["numbers"]["sizes"][0] = {"as_expr": {"expr_str": expression, "hint": None}}

    return change


def set_argument(argument):
    def change(program):
        graph_of(program)["nodes"][-1]["inputs"][0]["arg"] = argument

    return change


def set_in(*path, value):
    def change(program):
        for key in path[:-1]:
            program = program[key]
        program[path[-1]] = value

    return change


CALLS = ("graph_module", "module_call_graph", 0, "signature")
FOREIGN_GRAPHS = {
    "an operator that writes files": (add_call("torch.ops.aten.save.default"), "calls 'torch.ops.aten.save.default'"),
    "an operator that reads files": (add_call("torch.ops.aten.from_file.default"), "calls 'torch.ops.aten.from_file"),
    "an operator of another package": (add_call("torch.ops.mine.linear.default"), "calls 'torch.ops.mine"),
    "a function of Python": (add_call("torch.serialization.load"), "calls 'torch.serialization.load'"),
    "an attribute of an operator": (add_call("torch.ops.aten.linear.default.__class__"), "calls 'torch.ops.aten"),
    "an operator of another module": (add_call("_operator.attrgetter"), "calls '_operator.attrgetter'"),
    "a registered extension": (add_call("#anything:at_all"), "calls '#anything:at_all'"),
    "an operator that does not check indices": (
        add_call("torch.ops.aten._index_put_impl_.default"),
        "calls 'torch.ops.aten._index_put_impl_"
    ),
    "an output into given memory": (add_call("torch.ops.aten.linear.out"), "calls 'torch.ops.aten.linear.out'"),
    "a length that calls": (set_length("print(1)"), "a length that is more than arithmetic: 'print"),
    "a length with an attribute": (set_length("Symbol('s0').name"), "a length that is more than arithmetic"),
    "a length in a comprehension": (set_length("[1 for s0 in s1]"), "a length that is more than arithmetic"),
    "a length that is no expression": (set_length("s0; s1"), "a length that is no expression"),
    "a guard that calls": (set_in("guards_code", value=["print(L)"]), "a guard that is more than arithmetic"),
    "a name that is code": (
        set_in("graph_module", "graph", "nodes", 0, "name", value="a, b = 1, 2"),
        "'a, b = 1, 2', which is no identifier",
    ),
    "a table with such a name": (
        set_in("graph_module", "graph", "sym_bool_values", value={"x: int": {"as_bool": True}}),
        "which is no identifier",
    ),
    "a parameter of forward that is code": (
        set_in(*CALLS, "forward_arg_names", value=["x=print()"]), "which is no identifier"
    ),
    "a tree of a class": (
        set_in(*CALLS, "out_spec", value='[1, {"type": "my.Class", "context": "[]", "children_spec": []}]'),
        "in a 'my.Class', which is no tuple, list or dict",
    ),
    "a tree with an enum": (
        set_in(
            *CALLS, "out_spec",
            value='[1, {"type": "builtins.dict", "context": "[{\\"__enum__\\": true}]", "children_spec": []}]',
        ),
        "by something that is no name",
    ),
    "an origin that is no name": (
        set_in("graph_module", "graph", "nodes", 0, "metadata", "source_fn_stack", value="a,torch.load()"),
        "which is no name",
    ),
    "an object of a class of its own": (
        set_in("graph_module", "graph", "custom_obj_values", value={"obj": {"name": "obj", "class_fqn": "A"}}),
        "objects of classes of its own",
    ),
    "an object as an argument": (
        set_argument({"as_custom_obj": {"name": "obj", "class_fqn": "A"}}), "an argument of the kind 'custom_obj'"
    ),
    "a graph as an argument": (set_argument({"as_graph": {"name": "g", "graph": {}}}), "of the kind 'graph'"),
    "an operator as an argument": (set_argument({"as_operator": "_operator.add"}), "of the kind 'operator'"),
    "another device": (set_argument({"as_device": {"type": "cuda", "index": 0}}), "of the kind 'device'"),
    "another version of the form": (
        set_in("schema_version", value={"major": 9, "minor": 0}), "another version of the form"
    ),
    "a graph of another form": (set_in("graph_module", "graph", "nodes", value=[{}]), "a graph of an unknown form"),
}  # fmt: skip


@pytest.mark.parametrize("what", FOREIGN_GRAPHS)
def test_a_graph_holds_nothing_but(archive, what):
    change, message = FOREIGN_GRAPHS[what]
    with pytest.raises(ForeignPartError) as raised:
        program_of(changed(archive, GRAPH, change))
    assert message in str(raised.value)


class Plain:
    """Stands for whatever an object could be: harmless."""


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


FOREIGN_PARTS = {
    "a part of another kind": ({"data/aotinductor/model/a.so": b""}, "which is no part of a network's graph"),
    "an extra file": ({"extra/notes.txt": b"notes"}, "which is no part of a network's graph"),
    "a custom object": ({f"{CONSTANTS}custom_obj_0": b""}, "which is no part of a network's graph"),
    "an opaque object": ({f"{CONSTANTS}opaque_obj_0": b""}, "which is no part of a network's graph"),
    "weights of an older version": ({"data/weights/model.pt": saved({})}, "which is no part of a network's graph"),
    "examples with an object": ({EXAMPLES: saved(((Plain(),), {}))}, "test_archive.Plain"),
    "examples with a stack of names": (
        {EXAMPLES: packed({"data.pkl": pickle.dumps(Plain(), protocol=4)})}, "the opcode STACK_GLOBAL"
    ),
    "examples in another format": ({EXAMPLES: pickle.dumps(1)}, "what is no file of torch.save"),
    "the other byte order": ({"byteorder": b"big"}, "most significant byte first"),
    "no JSON": ({GRAPH: b"{"}, "that is no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("what", FOREIGN_PARTS)
def test_an_archive_holds_nothing_but(archive, what):
    parts, message = FOREIGN_PARTS[what]
    with pytest.raises(ForeignPartError) as raised:
        program_of(packed({**members(archive), **parts}))
    assert message in str(raised.value)


def first_weight(config):
    return next(iter(config["config"].values()))


def test_a_weight_is_no_pickle(archive):
    def change(config):
        first_weight(config)["use_pickle"] = True

    with pytest.raises(ForeignPartError, match=r"holds 'codes.0.weight' as a pickle: code in it would run"):
        program_of(changed(archive, WEIGHTS, change))


@pytest.mark.parametrize("path", ["../secrets", "model_weights_config.json", "/etc/hostname"])
def test_a_weight_lies_where_weights_lie(archive, path):
    def change(config):
        first_weight(config)["path_name"] = path

    with pytest.raises(ForeignPartError, match="as a pickle"):
        program_of(changed(archive, WEIGHTS, change))


@pytest.mark.parametrize(("key", "value"), [("sizes", 1000), ("strides", 1000), ("storage_offset", 1 << 40)])
def test_a_weight_lies_within_the_bytes_that_are_stored_of_it(archive, key, value):
    def change(config):
        meta = first_weight(config)["tensor_meta"]
        meta[key] = {"as_int": value} if key == "storage_offset" else [{"as_int": value}, {"as_int": value}]

    with pytest.raises(ForeignPartError, match="describes 'codes.0.weight' as its bytes are not"):
        program_of(changed(archive, WEIGHTS, change))


def test_a_weight_on_another_device_is_told_with_what_helps(archive):
    def change(config):
        first_weight(config)["tensor_meta"]["device"]["type"] = "cuda"

    with pytest.raises(ForeignPartError, match=r"for cuda; log the network after .to\('cpu'\)"):
        program_of(changed(archive, WEIGHTS, change))


def test_members_are_stored_as_they_are(archive):
    """Packed ones could unpack to anything, and torch writes none."""
    with pytest.raises(ForeignPartError, match="packed, as torch.export writes none"):
        program_of(packed(members(archive), zipfile.ZIP_DEFLATED))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_member_is_there_twice(archive):
    file = io.BytesIO(archive)
    with zipfile.ZipFile(file, "a") as opened:
        root = opened.namelist()[0].partition("/")[0]
        opened.writestr(f"{root}/{GRAPH}", "{}")
    with pytest.raises(ForeignPartError, match="holds 'models/model.json' twice"):
        program_of(file.getvalue())


@pytest.mark.parametrize("around", [lambda it: b"before" + it, lambda it: it[:-2] + b"\x04\x00more"])
def test_nothing_lies_before_or_behind_the_members(archive, around):
    with pytest.raises(ForeignPartError, match="something before or behind its parts"):
        program_of(around(archive))


def test_what_is_damaged_is_told(archive):
    with pytest.raises(ForeignPartError, match="is damaged"):
        program_of(archive[: len(archive) // 2])


def test_tied_weights_share_their_memory():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = torch.nn.Linear(5, 5), torch.nn.Linear(5, 5)
            self.other.weight = self.one.weight

        def forward(self, x):
            return self.other(self.one(x))

    network, data = made(Tied), rows(40)["numbers"]
    program = program_of(exported(network, data))
    memory = {it.untyped_storage().data_ptr() for it in program.constants.values() if it.dim() == 2}
    assert len(memory) == 1
    assert np.array_equal(Network(program)([torch.from_numpy(data)])[0].numpy(), predicted(network, data))


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.add.__setattr__",
        "torch.ops.aten.add.__class__",
        "torch.ops.aten.add.overloads",
        "torch.ops.aten.add_.op",
        "torch.ops.aten.add._op",
        "torch.ops.aten.add.nothing",
    ],
)
def test_what_an_operator_has_beside_its_overloads_is_none(target):
    """Some of it changes the operator for the whole process."""
    assert find_operator("torch.ops.aten.add.Tensor") is torch.ops.aten.add.Tensor
    assert find_operator(target) is None


def test_guards_that_are_no_list_are_told_in_words(archive):
    with pytest.raises(ForeignPartError, match="unknown form what it guards"):
        program_of(changed(archive, GRAPH, lambda program: program.update(guards_code=5)))
