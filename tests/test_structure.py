"""Who may import whom, read from all imports, those inside functions too; and where each module is tested."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imports import MODULES, ROOT, imports, names, reached

# The rooms of serve_app, each standing on those before it; a module of none is a room of its own.
ROOMS = (
    "models",
    "serve_app.errors",
    "serve_app.task",
    "serve_app.settings",
    "serve_app.schemas",
    "serve_app.storage",
    "serve_app.access",
    "serve_app.cluster",
    "serve_app.tasks",
    "serve_app.engines",
    "serve_app.api",
    "serve_app.app",
    "serve_app.proxy_headers",
    "serve_app.process_tree",
    "serve_app.client",
    "serve_app.launcher",
    "serve_app.keys",
    "serve_app.demo",
)

WEB = {"fastapi", "fastapi_offline", "starlette"}
FACES = {"mediapipe", "cv2"}
DIFFUSION = {"torch", "diffusers", "transformers"}

# What these modules may load of other people's packages, and so all that they import.
ALLOWED = {
    "serve_app.client": {"httpx", "pydantic", "tqdm"},
    "serve_app.schemas": {"pydantic"},
    "serve_app.task": set(),
    "serve_app.errors": set(),
    "serve_app.settings": {"pydantic"},
}
FORBIDDEN = {
    "models": {"ray", "httpx", "requests", "sqlalchemy", *WEB},
    "serve_app.engines": WEB,
    "serve_app.tasks": WEB,
    "serve_app.storage": {"ray", "sqlalchemy", *WEB},
    "serve_app.access": {"ray", "sqlalchemy", *WEB},
    "serve_app.tasks.manager": {"ray", *WEB},
    "serve_app.api": {*DIFFUSION, *FACES},
}


def packages(module: str) -> set[str]:
    """Other people's packages that are loaded with a module."""
    outside = {name.partition(".")[0] for name in reached(module) - MODULES.keys()}
    return outside - set(sys.stdlib_module_names)


def room(module: str) -> str | None:
    return next((name for name in ROOMS if module == name or module.startswith(f"{name}.")), None)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_in_a_room(module):
    assert room(module) or module == "serve_app"


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_climbs(module):
    if module == "serve_app":
        return
    for name in imports(module) & MODULES.keys() - {"serve_app"}:
        assert ROOMS.index(room(name)) <= ROOMS.index(room(module)), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_leads_back_to_itself(module):
    for name in imports(module) & MODULES.keys():
        assert module not in reached(name), f"{module} imports {name}, which leads back"


@pytest.mark.parametrize("module", ALLOWED)
def test_what_is_exchanged_between_processes_loads_little(module):
    # models.params and its like may use numpy's types, and nothing heavier.
    assert packages(module) <= ALLOWED[module]


@pytest.mark.parametrize("room_name", FORBIDDEN)
def test_a_room_knows_nothing_of_what_is_not_its_business(room_name):
    for module in MODULES:
        if module == room_name or module.startswith(f"{room_name}."):
            assert not packages(module) & FORBIDDEN[room_name], module


@pytest.mark.parametrize("module", MODULES)
def test_only_the_cluster_package_touches_ray_s_private_parts(module):
    if module.startswith("serve_app.cluster"):
        return
    for name in imports(module):
        assert not name.startswith("ray") or not any(part.startswith("_") for part in name.split(".")), name
    assert list(private_names(MODULES[module].read_text(encoding="utf-8"))) == []


# What Ray and Serve look up by its name: methods of a deployment, resources of a node.
LOOKED_UP = re.compile(r"__(serve|internal)_\w+__")


def private_names(source: str) -> Iterator[str]:
    """Such names, and parameters that a library keeps to itself."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword(arg=str(name)) if name.startswith("_"):
                yield name
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.Attribute(attr=name)
                | ast.Constant(value=str(name))
            ) if LOOKED_UP.search(name):
                yield name


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def __serve_build_asgi_app__(self): ...",
        "resources = {'node:__internal_head__': 1}",
        "get_deployment_handle('a', _check_exists=False)",
        "decorated.__serve_build_asgi_app__ = build",
    ],
)
def test_a_private_name_is_found_wherever_it_stands(source):
    assert len(list(private_names(source))) == 1


@pytest.mark.parametrize(
    "source", ["type(actor).__name__", "def _call(_request): ...", "call(request=_request)"]
)
def test_no_other_name_is_taken_for_a_private_one(source):
    assert list(private_names(source)) == []


TESTS = ROOT / "tests"

# What starts a service comes to tests as a fixture, by which they are marked.
STARTERS = {"run_service", "run_launcher", "started", "campaign"}


def stem(path: Path) -> str:
    return path.stem


def places_of_tests(package: Path) -> Iterator[tuple[str, set[str] | None]]:
    """The files of tests that a package's docstring names, each with the modules it tests; None: with all."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    if whole := re.search(r"Tested as a whole[^`]*`(tests/[^`]+)`", text):
        yield whole[1], None
    for path, modules in re.findall(r"^Tested in `(tests/[^`]+)`: (.+)$", text, flags=re.MULTILINE):
        yield path, set(re.findall(r"`(\w+)`", modules))


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if path.name != "__init__.py"])
def test_every_module_has_its_tests_or_its_package_says_where_they_are(module):
    path = MODULES[module].relative_to(ROOT)
    told = [
        place for place, tested in places_of_tests(ROOT / path.parent) if not tested or path.stem in tested
    ]
    assert (TESTS / path.parent / f"test_{path.name}").exists() or told, f"no test file for {path}"


@pytest.mark.parametrize("package", [path.parent for path in MODULES.values() if path.name == "__init__.py"])
def test_what_a_package_says_of_its_tests_is_true(package):
    for place, tested in places_of_tests(package):
        assert (ROOT / place).exists(), place
        assert (tested or set()) <= {path.stem for path in package.glob("*.py")}, place


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=stem)
def test_what_starts_a_service_is_a_fixture(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert not imported & STARTERS


@pytest.mark.parametrize("path", [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("scripts/*.py")], ids=stem)
def test_benchmarks_and_scripts_need_no_tests(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not any(name.startswith("tests") for node in ast.walk(tree) for name in names(node))


def test_the_checks_find_what_they_look_for():
    assert "ray" in packages("serve_app.tasks.actor")
    assert "torch" in packages("models.echomimic.engine")
    assert "serve_app.tasks.journal" in reached("serve_app.tasks.manager")
