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


def room_of(module: str, inside: str = "") -> str:
    """Return the room of a module in the package, or in one of its rooms; "" where it lies in none there."""
    _, *places = module.split(".")
    if inside:
        return places[1] if places[0:1] == [inside] and len(places) > 2 else ""
    return places[0] if places else ""


def between_rooms(imports: dict[str, set[str]], inside: str = "") -> dict[str, set[str]]:
    """Return for each room of the package, or of one of its rooms, the rooms that it builds on."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, others in imports.items():
        room = room_of(module, inside)
        rooms[room] |= {room_of(other, inside) for other in others} - {room, ""}
    rooms.pop("", None)
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
