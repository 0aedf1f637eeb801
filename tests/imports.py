"""Which module imports which, read from the sources without loading them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Loaded on purpose where they are needed: by the replicas alone, inside functions.
IMPORTED_LATE = {"models.preview.engine", "models.echomimic.engine"}


def modules() -> dict[str, Path]:
    found = {}
    for package in ("models", "serve_app"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imports(module: str) -> frozenset[str]:
    """The modules, ours by their full names, that one of ours imports."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return frozenset(name for node in ast.walk(tree) for name in names(node)) - {module}


def names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in MODULES else str(node.module)


@cache
def loads(module: str) -> frozenset[str]:
    """What one of ours imports when it runs; a type checker reads more."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.If) and names_type_checking(node.test))
    for_types = {name for block in blocks for node in ast.walk(block) for name in names(node)}
    return imports(module) - for_types


def names_type_checking(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"


def reached(module: str) -> set[str]:
    """All that is loaded with a module, ours and other people's; not what functions import late."""
    seen, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in MODULES:
            waiting += loads(current) - IMPORTED_LATE
    return seen
