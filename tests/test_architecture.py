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

BASICS = ["errors", "locations", "digests", "filenames", "filters", "markdown", "paths", "printing"]
"""Modules that build on nothing but each other; all may use them."""

MAY_IMPORT = {
    **{basic: [] for basic in BASICS},
    "errors": ["locations"],
    "paths": ["errors", "locations", "printing"],
    "documents": ["errors"],
    "policy": ["errors", "paths", "documents"],
    "config": [*BASICS, "documents", "policy"],
    "inputs": [*BASICS, "config"],
    "models": [*BASICS, "documents", "config", "inputs.specs", "inputs.slots"],
    "analysis": [*BASICS, "documents", "config", "inputs", "models.predictor", "models.numbers"],
    "report": [*BASICS, "config"],
    "verdict": [*BASICS, "policy", "analysis"],
    "registry": ["", *BASICS, "documents", "config", "policy", "models.pinning", "verdict"],
    "planning": ["", *BASICS, "config", "policy", "inputs", "models", "analysis", "verdict", "registry"],
    "forecasting": ["analysis", "planning"],
    "measuring": ["errors", "analysis", "planning"],
    "baselines": [*BASICS, "config", "policy", "models.pinning", "analysis", "verdict", "registry"],
    "workspace": [*BASICS, "analysis.journal", "planning"],
    "room": ["errors", "analysis", "planning"],
    "approval": [*BASICS, "policy", "models.pinning", "verdict", "registry", "baselines"],
    "checking": [*BASICS, "policy", "models.pinning", "verdict", "registry", "baselines", "approval"],
    "confirming": [*BASICS, "config", "policy", "inputs.dataset", "models", "analysis", "verdict", "registry",
                   "planning", "measuring", "baselines", "checking"],
    "promoting": [*BASICS, "policy", "models.pinning", "verdict", "registry", "checking", "confirming"],
    "result": [*BASICS, "models.pinning", "report", "verdict"],
    "recording": [*BASICS, "analysis", "verdict", "registry", "planning", "baselines", "approval", "result"],
    "publishing": [*BASICS, "registry", "approval", "workspace", "recording"],
    "auditing": [*BASICS, "config", "policy", "inputs.dataset", "analysis.progress", "registry", "planning",
                 "forecasting", "measuring", "baselines", "approval", "workspace", "room", "recording", "publishing",
                 "result"],
    "evaluating": [*BASICS, "documents", "config", "inputs", "models.pinning", "registry", "planning", "auditing",
                   "result"],
    "evaluator": ["evaluating"],
    "pairing": [*BASICS, "config", "inputs.dataset", "registry", "baselines"],
    "comparing": [*BASICS, "config", "models.pinning", "analysis.comparison", "verdict.judging", "registry", "report",
                  "planning", "result", "auditing", "pairing"],
    "reviewing": [*BASICS, "registry", "report", "checking"],
    "demo": ["errors", "printing", "config", "inputs", "analysis.progress", "auditing", "registry.connection",
             "registry.explaining", "result"],
    "listening": ["errors", "printing", "config", "registry.audits", "registry.linking", "registry.lookups",
                  "registry.connection", "registry.explaining"],
    "commands": [*BASICS, "listening", "auditing", "forecasting", "result", "verdict", "checking", "confirming",
                 "promoting", "comparing", "reviewing", "registry.events",
                 "publishing", "demo"],
    "cli": ["", "commands"],
    "__main__": ["cli"],
}  # fmt: skip
"""For each room the rooms and modules of ours that it may build on, beside its own; "" is the version's number."""

NETWORKS, TRACKING, DRAWING = {"tensorflow", "keras"}, {"mlflow"}, {"matplotlib", "seaborn", "plotly"}
MAY_NOT_IMPORT = {
    **dict.fromkeys([*BASICS, "documents", "policy", "config"], NETWORKS | TRACKING | DRAWING | {"numpy", "pandas"}),
    "inputs": NETWORKS | TRACKING | DRAWING,
    "models": DRAWING,
    "analysis": NETWORKS | TRACKING | DRAWING,
    "report": NETWORKS | TRACKING,
    "verdict": NETWORKS | TRACKING | DRAWING,
    "registry": NETWORKS | DRAWING,
    **dict.fromkeys(
        [
            "baselines",
            "approval",
            "checking",
            "confirming",
            "promoting",
            "workspace",
            "room",
            "recording",
            "publishing",
        ],
        NETWORKS | DRAWING,
    ),
    "planning": NETWORKS | DRAWING,
    **dict.fromkeys(["forecasting", "measuring"], NETWORKS | DRAWING),
    "result": NETWORKS | TRACKING,
    "auditing": NETWORKS | DRAWING,
    "evaluating": NETWORKS | DRAWING,
    "evaluator": NETWORKS | DRAWING | {"numpy", "pandas"},
    **dict.fromkeys(["pairing", "comparing"], NETWORKS | DRAWING),
    "reviewing": NETWORKS | DRAWING,
    "demo": DRAWING,
    "listening": NETWORKS | DRAWING,
    "commands": NETWORKS | DRAWING,
    "cli": NETWORKS | TRACKING | DRAWING,
}


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


def is_within(name, allowed):
    own = name.partition(".")[2]
    return any(own == place or (place and own.startswith(f"{place}.")) for place in allowed)


def test_imports_are_read_as_they_are_written():
    """Or the other tests here would find nothing to forbid."""
    code = """
import numpy as np, os.path
from nnperm_mlflow import errors
from nnperm_mlflow.errors import AuditError
if TYPE_CHECKING:
    from matplotlib.figure import Figure
def f():
    import keras
"""
    tree = ast.parse(code)
    always = {"numpy", "os.path", "nnperm_mlflow.errors", "keras"}
    assert imported_by(tree, set(TREES)) == {*always, "matplotlib.figure"}
    assert imported_by(tree, set(TREES), with_types=False) == always
    assert imported_by(tree, set(TREES), with_types=False, with_functions=False) == always - {"keras"}
    assert "nnperm_mlflow.models.predictor" in IMPORTS["nnperm_mlflow.analysis.engine"]
    assert "tensorflow" in IMPORTS["nnperm_mlflow.models.tensors"]
    assert len(TREES) > 30


def test_every_module_is_in_a_room():
    assert {room_of(name) for name in TREES} - {""} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_builds_on_no_room_above_it(room):
    for name in (name for name in TREES if room_of(name) == room):
        for other in filter(is_ours, IMPORTS[name]):
            assert room_of(other) == room or is_within(other, MAY_IMPORT[room]), f"{name} imports {other}"


def test_no_two_rooms_build_on_each_other():
    """The table above has an order; `graphlib` raises where it has none."""
    rooms = {room: {place.partition(".")[0] for place in places} - {""} for room, places in MAY_IMPORT.items()}
    assert next(TopologicalSorter(rooms).static_order()) == "locations"


def test_every_module_can_be_loaded_first():
    """No two modules load each other, over however many steps; `graphlib` raises where some do."""
    loads = {
        name: imported_by(tree, set(TREES), with_types=False, with_functions=False) & set(TREES)
        for name, tree in TREES.items()
    }
    assert set(TopologicalSorter(loads).static_order()) == set(TREES)


@pytest.mark.parametrize("room", MAY_NOT_IMPORT)
def test_a_room_knows_nothing_of_libraries_that_are_anothers(room):
    """What is imported for type checkers alone is loaded by none."""
    for name in (name for name in TREES if room_of(name) == room):
        roots = {other.split(".")[0] for other in imported_by(TREES[name], set(TREES), with_types=False)}
        assert not roots & MAY_NOT_IMPORT[room], name


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
        ("import nnperm_mlflow.analysis.engine", NETWORKS | TRACKING | DRAWING),
        ("import nnperm_mlflow.analysis.findings, nnperm_mlflow.analysis.profiles", NETWORKS | TRACKING | DRAWING),
        ("import nnperm_mlflow.analysis.importance, nnperm_mlflow.analysis.grouping", NETWORKS | TRACKING | DRAWING),
        ("from nnperm_mlflow import AuditConfig, Dataset, load_config", NETWORKS | TRACKING | DRAWING),
        ("import nnperm_mlflow.report.boxplot, nnperm_mlflow.report.heatmap", NETWORKS | TRACKING),
        ("import nnperm_mlflow.report.profiles", NETWORKS | TRACKING),
        ("import nnperm_mlflow.report.dumbbell, nnperm_mlflow.report.comparison_card", NETWORKS | TRACKING),
        ("import nnperm_mlflow.report.history", NETWORKS | TRACKING),
        ("import nnperm_mlflow.registry.evidence, nnperm_mlflow.registry.linking", NETWORKS | DRAWING),
        ("import nnperm_mlflow.cli", NETWORKS | TRACKING | DRAWING),
        ("import nnperm_mlflow.commands.listen", NETWORKS | TRACKING | DRAWING | {"fastapi", "uvicorn", "huey"}),
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
