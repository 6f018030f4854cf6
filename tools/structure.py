"""Prints how the package is built: modules at its root, the longest chain of imports, cycles between modules and rooms.

    python tools/structure.py [FOLDER]

Imports inside functions and those for type checkers alone count as well.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "nnperm_mlflow"


def read_imports(folder: Path) -> dict[str, set[str]]:
    """Return for each module of the package in `folder` the modules of the package that it imports."""
    paths = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(folder).with_suffix("").parts]
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: _imported(ast.parse(path.read_text(encoding="utf-8")), set(paths)) for name, path in paths.items()}


def _imported(tree: ast.AST, modules: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & modules or {node.module} & modules
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & modules
    return found


def room_of(module: str) -> str:
    """Return the room of a module; "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def between_rooms(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return for each room the rooms that it builds on."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, others in imports.items():
        rooms[room_of(module)] |= {room_of(other) for other in others} - {room_of(module), ""}
    return dict(rooms)


def find_cycle(imports: dict[str, set[str]]) -> list[str]:
    """Return a cycle of imports, the first module again at its end; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def longest_chain(imports: dict[str, set[str]]) -> list[str]:
    """Return the longest chain of modules of which each imports the next one; there must be no cycle."""

    @cache
    def below(module: str) -> tuple[str, ...]:
        return (module, *max((below(other) for other in sorted(imports[module])), key=len, default=()))

    return list(max((below(module) for module in imports), key=len))


def main(folder: Path) -> None:
    """Print it."""
    imports = read_imports(folder)
    own = {name: others - {PACKAGE} for name, others in imports.items() if name != PACKAGE}
    rooms = between_rooms(own)
    at_root = sorted(
        name for name in own if "." not in name.partition(".")[2] and not (folder / room_of(name)).is_dir()
    )
    print(f"{len(imports)} modules in {sum((folder / room).is_dir() for room in rooms)} rooms")
    print(f"{len(at_root) + 1} at the root: __init__, {', '.join(room_of(name) for name in at_root)}")
    for what, graph in (("modules", own), ("rooms", rooms)):
        cycle = find_cycle(graph)
        print(f"cycle of {what}: {' -> '.join(cycle) or 'none'}")
    if not find_cycle(own):
        chain = longest_chain(own)
        print(f"longest chain, {len(chain)} modules: {' -> '.join(name.partition('.')[2] for name in chain)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / PACKAGE)
