"""Each package declares exactly what its code imports, and every other list agrees with that."""

from __future__ import annotations

import ast
import fnmatch
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from projects import OURS, Project, projects, reachable

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(projects())
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SERVING = "cli"  # the package whose needs are those of the serving environment, lock/asr-cpu.in


@cache
def distributions() -> Mapping[str, str]:
    """Dotted module names of this environment and the distribution that each comes from."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        for file in distribution.files or ():
            parts = file.parts
            if file.suffix in {".py", ".so"} and ".." not in parts:
                stem = parts[-1].partition(".")[0]
                module = parts[:-1] if stem == "__init__" else (*parts[:-1], stem)
                found[".".join(module)] = name
    return found


def modules(project: Project) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of a package."""
    for path in sorted((project.folder / "src").rglob("*.py")):
        parts = path.relative_to(project.folder / "src").with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> Iterator[set[str]]:
    """For each import statement of a file, the dotted names that it may mean."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ({alias.name} for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ({node.module, f"{node.module}.{alias.name}"} for alias in node.names)


def origin(names: set[str]) -> str | None:
    """Canonical name of the distribution that an import comes from; None: the standard library.

    Raises:
        LookupError: a namespace that several distributions share, and none is meant.
    """
    top = min(names, key=len).partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    known = distributions()
    for name in sorted(names, key=len, reverse=True):
        parts = name.split(".")
        if top == "glagol":
            if len(parts) > 1:
                return OURS + parts[1]
            continue
        for end in range(len(parts), 0, -1):
            if (module := ".".join(parts[:end])) in known:
                return known[module]
    if top == "glagol" or any(module.startswith(top + ".") for module in known):
        raise LookupError(names)
    return canonicalize_name(top)  # not in this environment: torch and the rest of lock/forge.txt


def used(project: Project) -> dict[str, set[str]]:
    """Distributions that a package imports, each with the modules that do."""
    found: dict[str, set[str]] = {}
    own = OURS + project.folder.name
    for module, path in modules(project):
        for names in imported(path):
            if (name := origin(names)) not in {None, own}:
                found.setdefault(str(name), set()).add(module)
    return found


def inside(module: str, places: tuple[str, ...]) -> bool:
    """Whether a module is one of the places or below one."""
    return any(module == place or module.startswith(place + ".") for place in places)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_imported_is_declared(name: str) -> None:
    """A package installed alone works; what only an extra brings stays in that extra's modules."""
    project = projects()[name]
    missing = []
    for distribution, places in used(project).items():
        if distribution in project.needs:
            continue
        extras = [extra for extra, needs in project.extras.items() if distribution in needs]
        allowed = tuple(m for extra in extras for m in project.extra_modules.get(extra, ()))
        missing += [f"{m} imports {distribution}" for m in places if not inside(m, allowed)]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_what_is_declared_is_imported(name: str) -> None:
    """A dependency that no module imports is not one; a table of modules names some that exist."""
    project = projects()[name]
    found = used(project)
    declared = project.needs.union(*project.extras.values())
    assert not declared - found.keys()
    assert project.extras.keys() == project.extra_modules.keys()
    own = [module for module, _ in modules(project)]
    for place in (p for places in project.extra_modules.values() for p in places):
        assert any(inside(module, (place,)) for module in own), place


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_named_by_its_folder(name: str) -> None:
    """Folder, distribution and module have one name, and `glagol` stays a namespace (PEP 420)."""
    project = projects()[name]
    assert project.data["project"]["name"] == OURS + name
    assert [p.name for p in (project.folder / "src").iterdir() if p.name != "__pycache__"] == [
        "glagol"
    ]
    inner = [p.name for p in (project.folder / "src" / "glagol").iterdir() if p.is_dir()]
    assert [n for n in inner if n != "__pycache__"] == [name]
    assert not (project.folder / "src" / "glagol" / "__init__.py").exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_package_exist(name: str) -> None:
    """Each entry point names a function of one of its own modules."""
    project = projects()[name]
    own = dict(modules(project))
    for target in project.data["project"].get("scripts", {}).values():
        module, _, function = target.partition(":")
        body = ast.parse(own[module].read_text(encoding="utf-8")).body
        assert function in {n.name for n in body if isinstance(n, ast.FunctionDef)}, target


def test_there_is_one_version() -> None:
    """Every package takes it from one file, and no project file holds a number of its own."""
    places = set()
    for name, project in projects().items():
        assert "version" not in project.data["project"], name
        assert "version" in project.data["project"]["dynamic"], name
        source = project.data["tool"]["hatch"]["version"]
        path = (project.folder / source["path"]).resolve()
        found = re.search(source["pattern"], path.read_text(encoding="utf-8"))
        assert found, name
        assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
        places.add(path)
    assert len(places) == 1
    assert "version" in SETTINGS["project"]["dynamic"]
    assert {(ROOT / SETTINGS["tool"]["hatch"]["version"]["path"]).resolve()} == places


def test_the_command_as_a_whole_holds_every_package() -> None:
    """What `pip install .` takes, made by tools that the locks pin."""
    build = SETTINGS["tool"]["hatch"]["build"]
    assert sorted(build["dev-mode-dirs"]) == [f"packages/{name}/src" for name in NAMES]
    packages = build["targets"]["wheel"]["packages"]
    assert sorted(packages) == [f"packages/{name}/src/glagol" for name in NAMES]
    assert SETTINGS["project"]["requires-python"] == ">=3.11,<3.15"
    pinned = "".join((ROOT / "lock" / f"{lock}.txt").read_text() for lock in ("packages", "tools"))
    for requirement in SETTINGS["build-system"]["requires"]:
        assert f"\n{requirement} " in pinned, requirement


def test_the_bundle_reads_the_same_version() -> None:
    """A bundle is named by the version that its packages have."""
    from glagol.bundle.pack.sources import VERSION_FILE

    source = projects()[SERVING].data["tool"]["hatch"]["version"]["path"]
    assert (ROOT / VERSION_FILE).resolve() == (projects()[SERVING].folder / source).resolve()


@pytest.mark.parametrize("name", NAMES)
def test_a_package_carries_its_licence(name: str) -> None:
    """The metadata says MIT, and the text that is built in is the repository's."""
    project = projects()[name]
    assert project.data["project"]["license"] == "MIT"
    assert project.data["project"]["license-files"] == ["LICENSE"]
    if not (ROOT / "LICENSE").is_file():
        pytest.skip("this tree holds no licence")
    assert (project.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_workspace_holds_every_package() -> None:
    """uv finds each package of ours in this repository and asks no index for it."""
    uv = SETTINGS["tool"]["uv"]
    assert uv["workspace"]["members"] == ["packages/*"]
    assert uv["sources"] == {OURS + name: {"workspace": True} for name in NAMES}


def test_the_tools_see_every_package() -> None:
    """mypy and pytest look into each src, and into no other."""
    wanted = {f"packages/{name}/src" for name in NAMES}
    mypy, pytest_ini = SETTINGS["tool"]["mypy"], SETTINGS["tool"]["pytest"]["ini_options"]
    for paths in (mypy["mypy_path"].split(":"), pytest_ini["pythonpath"]):
        assert {path for path in paths if path.startswith("packages/")} == wanted
    for path in wanted:
        assert any(fnmatch.fnmatch(path, pattern) for pattern in mypy["files"]), path


def test_bazel_has_the_same_graph() -> None:
    """The deps of each BUILD file reach exactly what the project files reach."""
    build = {}
    for name, project in projects().items():
        if not (project.folder / "BUILD").is_file():
            pytest.skip("this tree holds no BUILD files")
        text = (project.folder / "BUILD").read_text(encoding="utf-8")
        build[name] = frozenset(re.findall(r'"(\w+)"', text.partition("library(")[2]))
    declared = {name: project.packages for name, project in projects().items()}
    for name in NAMES:
        assert reachable(name, build) == reachable(name, declared), name


def test_the_serving_lock_holds_what_serving_needs() -> None:
    """lock/asr-cpu pins what the command needs, and asks for nothing that no package needs."""
    graph = {name: project.packages for name, project in projects().items()}
    serving = {SERVING, *reachable(SERVING, graph)}
    needed = {n for s in serving for n in projects()[s].needs if not n.startswith(OURS)}
    lock = (ROOT / "lock" / "asr-cpu.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(n) for n in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert not needed - pinned
    lines = (ROOT / "lock" / "asr-cpu.in").read_text(encoding="utf-8").splitlines()
    asked = {Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0]}
    assert not {canonicalize_name(requirement.name) for requirement in asked} - needed


TEST_FOLDERS = sorted(path.parent.name for path in ROOT.glob("tests/*/BUILD"))


@pytest.mark.parametrize(
    "folder", [name for name in TEST_FOLDERS if any((ROOT / "tests" / name).rglob("test_*.py"))]
)
def test_bazel_gives_each_folder_of_tests_what_it_imports(folder: str) -> None:
    """Packages by `deps`, helpers of other folders by `data`; a sandbox holds nothing else."""
    text = (ROOT / "tests" / folder / "BUILD").read_text(encoding="utf-8")
    found = re.search(r"deps = \[([^\]]*)\]", text)
    deps = set(re.findall(r'"(\w+)"', found[1])) if found else set()
    graph = {name: project.packages for name, project in projects().items()}
    given = deps.union(*(reachable(name, graph) for name in deps))
    helpers = {folder, *re.findall(r'"//tests/(\w+)(?::files)?"', text)}
    missing = set()
    for path in sorted((ROOT / "tests" / folder).rglob("*.py")):
        for names in imported(path):
            first, _, rest = min(names, key=len).partition(".")
            package = (rest or max(names, key=len).partition(".")[2]).partition(".")[0]
            if first == "glagol" and package in graph and package not in given:
                missing.add(f"{path.relative_to(ROOT)} needs //packages/{package}")
            if (
                first in TEST_FOLDERS
                and first not in helpers
                and first not in sys.stdlib_module_names
            ):
                missing.add(f"{path.relative_to(ROOT)} needs //tests/{first}:files")
    assert not missing
