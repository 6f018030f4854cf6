"""Who imports whom: rooms build on each other one way, and what is heavy is loaded only where it is needed."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import nnperm_mlflow
from tools.structure import between_rooms, find_cycle, longest_chain, read_imports

PACKAGE = "nnperm_mlflow"
FOLDER = Path(nnperm_mlflow.__file__).parent

NETWORKS, TRACKING, DRAWING = {"tensorflow", "keras"}, {"mlflow"}, {"matplotlib", "seaborn", "plotly"}
ARRAYS = {"numpy", "pandas"}
APART = NETWORKS | DRAWING

ROOMS = {
    "basics": ("", NETWORKS | TRACKING | DRAWING | ARRAYS),
    "config": ("basics", NETWORKS | TRACKING | DRAWING | ARRAYS),
    "inputs": ("basics config", NETWORKS | TRACKING | DRAWING),
    "models": ("basics inputs", DRAWING),
    "analysis": ("basics config inputs models", NETWORKS | TRACKING | DRAWING),
    "verdict": ("basics config analysis", NETWORKS | TRACKING | DRAWING),
    "evidence": ("basics config analysis verdict", NETWORKS | TRACKING | DRAWING),
    "attestation": ("basics config inputs analysis verdict evidence", NETWORKS | TRACKING | DRAWING),
    "report": ("basics config analysis verdict", NETWORKS | TRACKING),
    "registry": ("basics models analysis verdict evidence attestation", APART),
    "approval": ("basics config models analysis verdict evidence attestation report registry", APART),
    "spark": ("basics config inputs models analysis", NETWORKS | TRACKING | DRAWING),
    "auditor": ("basics config inputs models analysis verdict evidence report registry approval", NETWORKS),
    "promotion": ("basics config inputs models analysis verdict evidence attestation registry approval auditor", APART),
    "explanation": (
        "basics config inputs models analysis evidence report registry auditor promotion", NETWORKS
    ),
    "comparison": (
        "basics config inputs models analysis verdict evidence attestation report registry approval auditor", NETWORKS
    ),
    "listening": ("basics config evidence attestation registry", APART),
    "demo": ("basics registry", DRAWING),
    "cli": ("basics models attestation registry report auditor listening demo", APART),
}  # fmt: skip
"""For each room those that it builds on, and the libraries that are others' business; a room stands below all that it
builds on. What `demo` and `cli` do they do through the front door, as a user would: `nnperm_mlflow.audit`; so does the
listener where it guards."""

DOORS = {"", "__main__", "evaluator"}
"""The modules at the root; the last is MLflow's plugin, and light."""


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


def test_no_two_modules_build_on_each_other_and_no_chain_is_long():
    """Over however many steps, imports inside functions and for type checkers included."""
    imports = {name: others - {PACKAGE} for name, others in read_imports(FOLDER).items() if name != PACKAGE}
    assert find_cycle(imports) == []
    assert find_cycle(between_rooms(imports)) == []
    assert find_cycle(between_rooms(imports, "analysis")) == []
    assert len(longest_chain(imports)) <= 14


def test_what_is_private_to_a_room_is_imported_there_alone():
    """A module whose name begins with `_`, or in a room within the room."""
    private = {name for name in TREES if name.rpartition(".")[2].startswith("_") and not name.endswith("__")}
    assert private
    for name in TREES:
        for other in IMPORTS[name] & private:
            assert name.startswith(other.rpartition(".")[0] + "."), f"{name} imports {other}"


def test_a_cycle_and_the_longest_chain_are_found():
    chain = {"a": {"b"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert (find_cycle(chain), longest_chain(chain)) == ([], ["a", "b", "c"])
    assert set(find_cycle(chain | {"c": {"a"}})) == {"a", "b", "c"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_nothing_of_libraries_that_are_anothers(room):
    """What is imported for type checkers alone is loaded by none."""
    for name in (name for name in TREES if room_of(name) == room):
        roots = {other.split(".")[0] for other in imported_by(TREES[name], set(TREES), with_types=False)}
        assert not roots & ROOMS[room][1], name


def loaded_by(statements):
    """Yield what a fresh Python has loaded after each of several statements."""
    each = "".join(f"{statement}\ntold.append(list(sys.modules))\n" for statement in statements)
    code = f"import json, sys\ntold = []\n{each}print(json.dumps(told))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    for told in json.loads(done.stdout):
        yield {name.split(".")[0] for name in told}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stays_out", "statements"),
    [
        (NETWORKS | TRACKING | DRAWING | {"numpy", "pandas", "pyarrow", "pydantic"}, ["import nnperm_mlflow"]),
        (
            NETWORKS | TRACKING | DRAWING,
            [
                "import nnperm_mlflow.analysis.engine.loop",
                "import nnperm_mlflow.analysis.repeats.findings, nnperm_mlflow.analysis.profiles.profiles",
                "import nnperm_mlflow.analysis.repeats.score_columns, nnperm_mlflow.analysis.perturbation.grouping",
                "from nnperm_mlflow import AuditConfig, Dataset, load_config",
                "import nnperm_mlflow.report.page.audit_page",
                "from nnperm_mlflow import verify",
            ],
        ),
        (
            NETWORKS | TRACKING,
            [
                "import nnperm_mlflow.report.boxplot, nnperm_mlflow.report.heatmap",
                "import nnperm_mlflow.report.profile_curves",
                "import nnperm_mlflow.report.dumbbell, nnperm_mlflow.report.comparison_card",
                "import nnperm_mlflow.report.timeline",
                "import nnperm_mlflow.report.reason_bars, nnperm_mlflow.report.reason_letter, "
                "nnperm_mlflow.report.interaction_matrix",
            ],
        ),
        (
            NETWORKS | DRAWING,
            [
                "import nnperm_mlflow.registry.publisher, nnperm_mlflow.registry.version_link",
                "import nnperm_mlflow.evaluator",
                "import nnperm_mlflow.auditor.proposal.document",
                "from nnperm_mlflow import sign, bundle",
            ],
        ),
        (
            NETWORKS | TRACKING | DRAWING | {"fastapi", "uvicorn", "huey", "securesystemslib", "cryptography"},
            ["import nnperm_mlflow.cli.main"],
        ),
        (
            NETWORKS | TRACKING | DRAWING | {"fastapi", "uvicorn", "huey"},
            ["import nnperm_mlflow.cli.listen_command"],
        ),
        ({"securesystemslib"}, ["from nnperm_mlflow import promote, audit"]),
    ],
    ids=["package", "numbers", "pictures", "tracking", "commands", "listener", "signatures"],
)
def test_what_is_heavy_is_not_loaded_by_what_needs_it_not(stays_out, statements):
    """Neither by one of them alone nor by what came before it."""
    for statement, loaded in zip(statements, loaded_by(statements), strict=True):
        assert PACKAGE in loaded
        assert not loaded & stays_out, statement


NOBODY = {"key": "nowhere", "password": "", "trust": "nowhere"}
VERBS = {
    "audit": lambda audit: audit({"modell": "models:/none/1"}),
    "plan_audit": lambda plan_audit: plan_audit({"modell": "models:/none/1"}),
    "check": lambda check: check("models:/none/1", run_id="both"),
    "promote": lambda promote: promote("models:/none/1", "champion"),
    "publish": lambda publish: publish("nowhere"),
    "compare": lambda compare: compare("models:/none/1", "models:/none/2"),
    "explain": lambda explain: explain("0" * 32, row=1),
    "history": lambda history: history("models:/none"),
    "load_config": lambda load_config: load_config("nowhere.yaml"),
    "load_policy": lambda load_policy: load_policy("nowhere.yaml"),
    "upgrade_policy": lambda upgrade_policy: upgrade_policy("nowhere.yaml"),
    "propose": lambda propose: propose("models:/none/1"),
    "sign": lambda sign: sign("none", key="nowhere", password="", trust="nowhere"),
    "request": lambda request: request("models:/none/1", "champion", reason="", **NOBODY),
    "approve": lambda approve: approve("models:/none/1", "champion", reason="", **NOBODY),
    "refuse": lambda refuse: refuse("models:/none/1", "champion", reason="", **NOBODY),
    "guard": lambda guard: guard("models:/none", "champion", trust="nowhere"),
    "bundle": lambda bundle: bundle("none", __file__),
    "verify": lambda verify: verify("nowhere", trust="nowhere"),
    "write_report": lambda write_report: write_report("models:/none/1", run_id="both"),
    "write_config": lambda write_config: write_config(None, __file__),
    "dataset_from": lambda dataset_from: dataset_from({"age": [[1]]}),
}
"""For each public function a call that it refuses in words."""


@pytest.fixture(scope="module")
def all_loaded():
    """Every module of the package, loaded before anybody asks for a public name."""
    for name in TREES.keys() - {f"{PACKAGE}.__main__"}:
        importlib.import_module(name)


@pytest.mark.parametrize("name", nnperm_mlflow.__all__)
def test_a_public_name_is_what_it_says_even_when_every_module_has_been_loaded(name, all_loaded, tracked):
    public = getattr(nnperm_mlflow, name)
    assert public.__name__ == name
    assert name in dir(nnperm_mlflow)
    if name in VERBS:
        with pytest.raises(nnperm_mlflow.AuditError):
            VERBS[name](public)
    else:
        assert isinstance(public, type)


def test_no_module_is_called_as_a_public_name():
    """It would take the place of the name once somebody has imported it."""
    parts = {part for name in TREES for part in name.split(".")[1:]}
    assert parts.isdisjoint(nnperm_mlflow.__all__)


def test_what_is_no_public_name_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'audits'"):
        _ = nnperm_mlflow.audits
