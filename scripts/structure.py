"""How the library is built, in numbers: its size, its circles of imports, what crosses its faces.

    python scripts/structure.py [--root FOLDER] [--json] [--where]

Imports inside functions count as those at a module's top; those for type checkers alone do not.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import networkx  # torch has it

PACKAGE = "unimoer_rag"
# From the bottom up: a room imports from itself and from rooms before it.
ROOMS = (
    "common", "model", "engine", "retrieval", "generation", "ranking", "pipelines", "serving",
    "data", "evaluation", "training", "cost", "cli", "lab",
)  # fmt: skip
# What an application imports: retrieval, pipelines, both frameworks, and their commands.
APPLICATION = (
    "unimoer_rag.retrieval.retriever", "unimoer_rag.pipelines.rag", "unimoer_rag.cli.index",
    "unimoer_rag.cli.search", "unimoer_rag.cli.ask", "langchain_unimoer",
    "llama_index.embeddings.unimoer", "llama_index.postprocessor.unimoer",
    "llama_index.retrievers.unimoer", "llama_index.response_synthesizers.unimoer",
    "llama_index.llms.unimoer", "llama_index.indices.managed.unimoer",
    "llama_index.sparse_embeddings.unimoer",
)  # fmt: skip


@dataclass
class Module:
    """One file: its length, and what it imports, one entry an import statement.

    Attributes:
        imports: modules; of what a room's face gives, the one that it comes from.
        inside: those of them that were not asked for by a face.
    """

    name: str
    lines: int
    imports: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)


def read(root: Path) -> dict[str, Module]:
    """The modules of the library and of the adapters, by name."""
    files = [(p, root) for p in sorted((root / PACKAGE).rglob("*.py"))]
    adapters = root / "integrations"
    files += [(p, adapters) for p in sorted(adapters.rglob("*.py"))]
    names = {_name(path, base): path for path, base in files}
    faces = {name: _face(path, name) for name, path in names.items()}
    modules = {}
    for name, path in names.items():
        text = path.read_text(encoding="utf-8")
        is_package = path.name == "__init__.py"
        module = Module(name, text.count("\n"))
        package = name if is_package else name.rpartition(".")[0]
        for target, by_face in _imports(ast.parse(text), package, names, faces):
            if target != name:
                module.imports.append(target)
                module.inside += [] if by_face else [target]
        modules[name] = module
    return modules


def _name(path: Path, base: Path) -> str:
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _face(path: Path, name: str) -> dict[str, str]:
    """What a face gives, and from which module: the imports of its stub."""
    stub = path.with_suffix(".pyi")
    if path.name != "__init__.py" or not stub.is_file():
        return {}
    return {
        alias.name: f"{name}.{node.module}"
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _imports(
    tree: ast.AST, package: str, names: dict[str, Path], faces: dict[str, dict[str, str]]
) -> Iterator[tuple[str, bool]]:
    """Modules imported, and whether by a face."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base]).rstrip(".")
            asked = {alias.name for alias in node.names}
            given = {name: home for name, home in faces.get(base, {}).items() if name in asked}
            yield from ((home, True) for home in sorted(set(given.values())))
            inside = {name for name in asked - given.keys() if f"{base}.{name}" in names}
            yield from ((f"{base}.{name}", False) for name in sorted(inside))
            if base in names and asked - given.keys() - inside:
                yield base, False
        else:
            yield from _imports(node, package, names, faces)


def room(name: str) -> str:
    """The room that a module is of; the adapters, the package's face and its command have none."""
    parts = name.split(".")
    if parts[0] != PACKAGE or len(parts) == 1 or parts[1] == "__main__":
        return ""
    return parts[1] if parts[1] in ROOMS or len(parts) > 2 else "common"


def _graph(modules: dict[str, Module]) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    graph.add_nodes_from(modules)
    graph.add_edges_from((m.name, target) for m in modules.values() for target in m.imports)
    return graph


def circles(modules: dict[str, Module]) -> list[list[str]]:
    """Groups of modules that import one another, by way of others or not."""
    groups = networkx.strongly_connected_components(_graph(modules))
    return sorted(sorted(group) for group in groups if len(group) > 1)


def upward(modules: dict[str, Module]) -> list[tuple[str, str]]:
    """Imports from a room of one that stands above it."""
    return [
        (module.name, target)
        for module in modules.values()
        for target in module.imports
        if room(module.name) in ROOMS
        and room(target) in ROOMS
        and ROOMS.index(room(target)) > ROOMS.index(room(module.name))
    ]


def insides(modules: dict[str, Module]) -> Counter[tuple[str, str]]:
    """Imports that pass by a room's face: of its modules in place of its `__init__`."""
    return Counter(
        (room(module.name), room(target))
        for module in modules.values()
        for target in module.inside
        if room(module.name)
        and room(target) not in ("", "common", room(module.name))
        and target != f"{PACKAGE}.{room(target)}"
    )


def reach(modules: dict[str, Module], roots: tuple[str, ...]) -> set[str]:
    """The modules that the roots import, by way of others or not."""
    graph = _graph(modules)
    there = [name for name in roots if name in graph]
    return set(there).union(*(networkx.descendants(graph, name) for name in there))


def table(modules: dict[str, Module]) -> dict[str, object]:
    """The figures."""
    library = [m for m in modules.values() if m.name.split(".")[0] == PACKAGE]
    application = reach(modules, APPLICATION)
    crossing = insides(modules)
    return {
        "library lines": sum(m.lines for m in library),
        "lines that an application imports": sum(modules[n].lines for n in application),
        "files over 400 lines": sum(m.lines > 400 for m in library),
        "median lines of a file": median(m.lines for m in library),
        "circles of imports": len(circles(modules)),
        "arrows that run back up": len(upward(modules)),
        **{f"insides: {a}->{b}": n for (a, b), n in crossing.most_common() if n > 10},
    }


def main() -> None:
    """Print the table, and with `--where` what stands behind it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--where", action="store_true", help="name the circles and the arrows")
    options = parser.parse_args()
    modules = read(options.root)
    figures = table(modules)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print("| | |\n|---|---|")
        print("\n".join(f"| {name} | {value} |" for name, value in figures.items()))
    if options.where:
        print(*(f"circle: {' '.join(group)}" for group in circles(modules)), sep="\n")
        print(*(f"up: {name} -> {target}" for name, target in upward(modules)), sep="\n")


if __name__ == "__main__":
    main()
