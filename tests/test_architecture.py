"""Who imports whom: rooms build on each other one way, and what is heavy is loaded only where it is needed."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nnperm_mlflow

PACKAGE = "nnperm_mlflow"
FOLDER = Path(nnperm_mlflow.__file__).parent

NETWORKS, TRACKING, DRAWING = {"tensorflow", "keras"}, {"mlflow"}, {"matplotlib", "seaborn", "plotly"}
ARRAYS = {"numpy", "pandas"}

ROOMS = {
    "basics": ("", NETWORKS | TRACKING | DRAWING | ARRAYS),
    "config": ("basics", NETWORKS | TRACKING | DRAWING | ARRAYS),
    "inputs": ("basics config", NETWORKS | TRACKING | DRAWING),
    "models": ("basics inputs", DRAWING),
    "analysis": ("basics config inputs models", NETWORKS | TRACKING | DRAWING),
    "verdict": ("basics config analysis", NETWORKS | TRACKING | DRAWING),
    "evidence": ("basics config verdict", NETWORKS | TRACKING | DRAWING),
    "report": ("basics verdict", NETWORKS | TRACKING),
    "registry": ("basics models verdict evidence", NETWORKS | DRAWING),
    "approval": ("basics config models analysis verdict evidence report registry", NETWORKS | DRAWING),
    "auditor": ("basics config inputs models analysis verdict evidence report registry approval", NETWORKS),
    "promotion": ("basics config inputs models analysis verdict evidence registry approval auditor", NETWORKS | DRAWING),
    "comparison": ("basics config inputs models analysis verdict evidence report registry auditor", NETWORKS),
    "evaluator": ("auditor", NETWORKS | DRAWING | ARRAYS),
    "listening": ("basics config registry", NETWORKS | DRAWING),
    "demo": ("basics analysis registry auditor", DRAWING),
    "cli": ("basics verdict registry approval auditor promotion comparison listening demo", NETWORKS | DRAWING),
}  # fmt: skip
"""For each room those that it builds on, and the libraries that are others' business; a room stands below all that it
builds on. `evaluator` is the one module at the root that is not a door (`__init__`, `__main__`)."""

DOORS = {"", "__main__"}


def is_for_types_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported_by(tree, modules, with_types=True, with_functions=True):
    """List the modules that a syntax tree names in imports: for type checkers too, and inside functions too."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "siblings are named by their full path"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            found |= inner or {node.module}
        elif is_for_types_only(node) and not with_types:
            waiting += node.orelse
            continue
        elif isinstance(node, ast.FunctionDef) and not with_functions:
            continue
        waiting += ast.iter_child_nodes(node)
    return found


def read_modules():
    trees = {}
    for path in sorted(FOLDER.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(FOLDER).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


TREES = read_modules()
IMPORTS = {name: imported_by(tree, set(TREES)) for name, tree in TREES.items()}


def is_ours(name):
    return name.split(".")[0] == PACKAGE


def room_of(name):
    """Return the room of a module of ours; "" for the package itself."""
    return name.partition(".")[2].partition(".")[0]


def test_imports_are_read_as_they_are_written():
    """Or the other tests here would find nothing to forbid."""
    code = """
import numpy as np, os.path
from nnperm_mlflow.basics import errors
from nnperm_mlflow.basics.errors import AuditError
if TYPE_CHECKING:
    from matplotlib.figure import Figure
def f():
    import keras
"""
    tree = ast.parse(code)
    always = {"numpy", "os.path", "nnperm_mlflow.basics.errors", "keras"}
    assert imported_by(tree, set(TREES)) == {*always, "matplotlib.figure"}
    assert imported_by(tree, set(TREES), with_types=False) == always
    assert imported_by(tree, set(TREES), with_types=False, with_functions=False) == always - {"keras"}
    assert "nnperm_mlflow.models.predictor" in IMPORTS["nnperm_mlflow.analysis.engine.loop"]
    assert "tensorflow" in IMPORTS["nnperm_mlflow.models.tensors"]
    assert len(TREES) > 30


def test_every_module_is_in_a_room():
    assert {room_of(name) for name in TREES} - DOORS == set(ROOMS)
    at_the_root = [
        name for name in TREES if name.count(".") <= 1 and not (FOLDER / room_of(name) / "__init__.py").exists()
    ]
    assert len(at_the_root) + 1 <= 6


def test_each_room_stands_below_those_that_it_builds_on():
    order = list(ROOMS)
    for room, (below, _) in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in below.split()), room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_builds_on_those_that_the_table_names(room):
    """On all of them, and on no other; the package itself tells nothing but its version."""
    found = {
        room_of(other): f"{name} imports {other}"
        for name in TREES
        if room_of(name) == room
        for other in filter(is_ours, IMPORTS[name])
        if room_of(other) not in ("", room)
    }
    assert set(found) == set(ROOMS[room][0].split()), [*found.values()]


def test_every_module_can_be_loaded_first():
    """No two modules load each other, over however many steps; `graphlib` raises where some do."""
    loads = {
        name: imported_by(tree, set(TREES), with_types=False, with_functions=False) & set(TREES)
        for name, tree in TREES.items()
    }
    assert set(TopologicalSorter(loads).static_order()) == set(TREES)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_nothing_of_libraries_that_are_anothers(room):
    """What is imported for type checkers alone is loaded by none."""
    for name in (name for name in TREES if room_of(name) == room):
        roots = {other.split(".")[0] for other in imported_by(TREES[name], set(TREES), with_types=False)}
        assert not roots & ROOMS[room][1], name


def loaded_by(statement):
    """Return what a fresh Python has loaded once it has run a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "stays_out"),
    [
        ("import nnperm_mlflow", NETWORKS | TRACKING | DRAWING | {"numpy", "pandas", "pyarrow", "pydantic"}),
        ("import nnperm_mlflow.analysis.engine.loop", NETWORKS | TRACKING | DRAWING),
        (
            "import nnperm_mlflow.analysis.statistics.findings, nnperm_mlflow.analysis.statistics.profiles",
            NETWORKS | TRACKING | DRAWING,
        ),
        (
            "import nnperm_mlflow.analysis.statistics.importance, nnperm_mlflow.analysis.perturbation.grouping",
            NETWORKS | TRACKING | DRAWING,
        ),
        ("from nnperm_mlflow import AuditConfig, Dataset, load_config", NETWORKS | TRACKING | DRAWING),
        ("import nnperm_mlflow.report.boxplot, nnperm_mlflow.report.heatmap", NETWORKS | TRACKING),
        ("import nnperm_mlflow.report.profiles", NETWORKS | TRACKING),
        ("import nnperm_mlflow.report.dumbbell, nnperm_mlflow.report.comparison_card", NETWORKS | TRACKING),
        ("import nnperm_mlflow.report.timeline", NETWORKS | TRACKING),
        ("import nnperm_mlflow.registry.publisher, nnperm_mlflow.registry.version_link", NETWORKS | DRAWING),
        ("import nnperm_mlflow.cli.main", NETWORKS | TRACKING | DRAWING),
        ("import nnperm_mlflow.cli.listen_command", NETWORKS | TRACKING | DRAWING | {"fastapi", "uvicorn", "huey"}),
        ("import nnperm_mlflow.evaluator", NETWORKS | DRAWING),
    ],
    ids=lambda value: value.removeprefix("import ") if isinstance(value, str) else "",
)
def test_what_is_heavy_is_not_loaded_by(statement, stays_out):
    loaded = loaded_by(statement)
    assert PACKAGE in loaded
    assert not loaded & stays_out


def test_all_public_names_are_there():
    for name in nnperm_mlflow.__all__:
        assert getattr(nnperm_mlflow, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'audits'"):
        _ = nnperm_mlflow.audits
