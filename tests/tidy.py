"""House rules that a program can check, as ordinary tests.

The numbers are those of STYLE.md. Every rule reads what git tracks: scratch folders never count.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from projects import projects, reachable

ROOT = Path(__file__).resolve().parent.parent
LINES_MAX, FUNCTION_LINES_MAX, PARAMETERS_MAX, COLUMNS_MAX = 400, 70, 8, 100
BLOB_BYTES_MAX = 1 << 20
MODULES_MAX = 14  # in one folder, __init__.py aside

# What packages must not reach, directly or through others (imports: test_dependencies.py).
# The servers reach models for the GPU plan alone (`test_servers_import_the_gpu_plan_only`).
_SERVERS = {"asr", "llm", "embed", "gateway", "rag"}
_WEB = {"web", "jobs", *_SERVERS}
MUST_NOT_REACH = {
    "core": {"registry", "runtime", "forge", "models", "speech", "bundle", *_WEB},
    "registry": {"runtime", "forge", "models", "speech", "bundle", *_WEB},
    "runtime": {"forge", "models", "speech", "bundle", *_WEB},
    "speech": {"forge", "models", "bundle", *_WEB},
    "forge": {"runtime", "models", "speech", "bundle", *_WEB},
    "models": {"bundle", *_WEB},
    "web": {"registry", "runtime", "forge", "models", "speech", "bundle", "jobs", *_SERVERS},
    "jobs": {"registry", "runtime", "forge", "models", "speech", "bundle", "web", *_SERVERS},
    "asr": {"bundle", "llm", "embed", "gateway", "rag"},
    "llm": {"bundle", "jobs", "asr", "embed", "gateway", "rag"},
    "embed": {"forge", "speech", "bundle", "jobs", "asr", "llm", "gateway", "rag"},
    "gateway": {"forge", "bundle", "llm", "embed", "rag"},
    "rag": {"forge", "speech", "bundle", "asr", "llm", "gateway"},
    "bundle": {"runtime", "forge", "models", "speech", *_WEB},
    "cli": set(),
}
# third-party packages that only the named places may import
ONLY_IN = {
    "torch": ("glagol.forge.families.gigaam.reference", "glagol.forge.nano"),
    "litestar": tuple(f"glagol.{n}" for n in ("asr", "embed", "gateway", "llm", "rag", "web")),
    "granian": ("glagol.asr", "glagol.embed", "glagol.rag", "glagol.web"),
    "uvicorn": ("glagol.llm",),
    "obstore": ("glagol.registry.fetch",),
    "onnxruntime": ("glagol.runtime.ort",),
    "prometheus_client": ("glagol.asr.observability", "glagol.embed", "glagol.llm", "glagol.web"),
    "sentencepiece": ("glagol.embed.tokenizer",),
    "qdrant_edge": ("glagol.rag.edge",),
    "redis": ("glagol.jobs.redis.queue",),
    "opentelemetry": ("glagol.web.tracing",),
    "sqlite3": ("glagol.gateway.library", "glagol.jobs.sqlite", "glagol.rag.store"),
    "httpx": tuple(f"glagol.{name}" for name in ("jobs", "llm", "asr", "cli", "gateway", "rag")),
    "click": ("glagol.cli",),
    "rich": ("glagol.cli",),
}
SPEECH_MUST_NOT_KNOW = {"os", "pathlib", "asyncio", "logging", "socket", "urllib", "http"}
SPEECH_MAY = ("glagol.speech.audio.jail",)  # processes and sockets: docs/adr/0021


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git tracks, or will once added; in a tree without git, every file."""
    try:
        listing = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the rules read what git tracks; this tree is not a git checkout")
    return tuple(ROOT / name for name in sorted(listing) if name and (ROOT / name).is_file())


def sources() -> list[Path]:
    """Library modules: packages/*/src."""
    return [p for p in tracked() if p.suffix == ".py" and p.is_relative_to(ROOT / "packages")]


def python_files() -> list[Path]:
    """Every Python file, tests and benchmarks included."""
    return [p for p in tracked() if p.suffix == ".py"]


def text_files() -> Iterator[tuple[Path, str]]:
    """Every tracked file that decodes as UTF-8."""
    for path in tracked():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@cache
def tree(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    """Dotted name of a library module."""
    parts = list(path.relative_to(ROOT / "packages").with_suffix("").parts[2:])
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports, relative imports resolved."""
    found: set[str] = set()
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def where(path: Path, node: ast.AST | None = None) -> str:
    """A place for a message: file, line, name."""
    at = f":{getattr(node, 'lineno', 0)} {getattr(node, 'name', '')}" if node else ""
    return f"{path.relative_to(ROOT)}{at}"


def inside(name: str, places: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the places or below one."""
    return any(name == place or name.startswith(place + ".") for place in places)


def test_modules_are_short() -> None:
    """A module over the limit holds two ideas."""
    long = {
        where(p): n for p in python_files() if (n := len(p.read_text().splitlines())) > LINES_MAX
    }
    assert not long


def test_folders_are_small() -> None:
    """A folder with more modules hides the one that is looked for; __init__.py does not count."""
    counts = Counter(p.parent for p in python_files() if p.name != "__init__.py")
    assert not {
        where(f): n for f, n in counts.items() if n > MODULES_MAX and f.name != "benchmarks"
    }


def test_lines_fit_the_column_limit() -> None:
    """Counted in characters, Cyrillic included."""
    wide = [
        f"{where(p)}:{i}"
        for p in python_files()
        for i, line in enumerate(p.read_text().splitlines(), 1)
        if len(line) > COLUMNS_MAX
    ]
    assert not wide


def test_functions_fit_a_screen() -> None:
    """Length from def line to last line."""
    long = [
        f"{where(p, f)} {f.end_lineno - f.lineno + 1} lines"
        for p in python_files()
        for f in functions(p)
        if f.end_lineno is not None and f.end_lineno - f.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


def test_functions_take_few_parameters() -> None:
    """``self`` and ``cls`` do not count."""
    many = []
    for path in sources():
        for f in functions(path):
            names = [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
            if len([n for n in names if n not in {"self", "cls"}]) > PARAMETERS_MAX:
                many.append(where(path, f))
    assert not [m for m in many if "/cli/" not in m], "options belong in a frozen type"


def public_definitions(path: Path) -> Iterator[ast.AST]:
    """Public classes, functions and methods of public classes, and the module itself."""
    yield tree(path)
    stack: list[ast.AST] = [tree(path)]
    while stack:
        for node in getattr(stack.pop(), "body", []):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if (is_function or isinstance(node, ast.ClassDef)) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    stack.append(node)


def test_public_things_have_docstrings() -> None:
    """At least 95 of 100, overall."""
    nodes = [(p, n) for p in sources() for n in public_definitions(p)]
    bare = [where(p, n) for p, n in nodes if not ast.get_docstring(n)]  # type: ignore[arg-type]
    assert len(bare) <= 0.05 * len(nodes), bare


NAMED_ARRAYS = re.compile(r"(Mapping|dict)\[str, \w+\]|Callable\[\[\], \w+\]")
"""Tensors by name, and makers of them, have no shape of their own: the names do."""


def array_types() -> re.Pattern[str]:
    """An annotation of an array: numpy's, torch's, and every alias of a package for one."""
    names = {"NDArray", "ndarray", "Tensor"}
    for path in sources():
        for node in tree(path).body:
            alias = re.match(
                r"(\w+)(: TypeAlias)? = (np\w?\.)?(NDArray|ndarray)\b", ast.unparse(node)
            )
            names |= {alias[1]} if alias else set()
    return re.compile(rf"\b({'|'.join(sorted(names))})\b")


def test_docstrings_give_shapes_and_errors() -> None:
    """A public function over arrays names a shape in brackets; one that raises says so."""
    missing, arrays = [], array_types()
    assert arrays.search("Array | None"), "speech has the alias Array"
    for path in sources():
        for node in public_definitions(path):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            text = ast.get_docstring(node) or ""
            signature = [a.annotation for a in (*node.args.args, *node.args.kwonlyargs)]
            annotations = " ".join(ast.unparse(a) for a in [*signature, node.returns] if a)
            annotations = NAMED_ARRAYS.sub("", annotations)
            if arrays.search(annotations) and "[" not in text:
                missing.append(f"{where(path, node)}: no shape")
            raises = [n for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc]
            named = {ast.unparse(n.exc).partition("(")[0] for n in raises if n.exc}
            if any(n.endswith("Error") for n in named) and "Raises" not in text:
                missing.append(f"{where(path, node)}: raises {sorted(named)}, not said")
    assert not missing


def test_packages_keep_their_direction() -> None:
    """asr -> speech -> runtime -> registry -> core; cli may import all, nothing imports cli."""
    known = projects()
    assert known.keys() == MUST_NOT_REACH.keys(), "every package has a row, every row a package"
    wrong = []
    for name, forbidden in MUST_NOT_REACH.items():
        found = reachable(name, {n: p.packages for n, p in known.items()})
        wrong += [f"{name} reaches {other}" for other in found & (forbidden | {"cli", name})]
    assert not wrong


def test_servers_import_the_gpu_plan_only() -> None:
    """asr and llm take the GPU plan from models; no server imports what builds models."""
    wrong = [
        f"{where(path)} imports {name}"
        for path in sources()
        if module_name(path).split(".")[1] in _SERVERS
        for name in imports(path)
        if name.startswith("glagol.models") and not inside(name, ("glagol.models.gpu_plan",))
    ]
    assert not wrong


def test_absences_hold() -> None:
    """Heavy imports live where ONLY_IN says; the outside world is in style/tidy_world.py."""
    wrong = []
    for path in sources():
        module = module_name(path)
        for name in imports(path):
            top = name.partition(".")[0]
            if top in ONLY_IN and not inside(module, ONLY_IN[top]):
                wrong.append(f"{where(path)} imports {name}")
            if top in SPEECH_MUST_NOT_KNOW and inside(module, ("glagol.speech", "glagol.runtime")):
                if inside(module, SPEECH_MAY) or (module == "glagol.runtime.ort" and top == "os"):
                    continue  # docs/adr/0003
                wrong.append(f"{where(path)} imports {name}")
    assert not wrong


def test_no_import_cycle() -> None:
    """Imports under TYPE_CHECKING count too: a cycle in types is a cycle in thought."""
    names = {module_name(p): p for p in sources()}
    graph = {m: {n for n in imports(p) if n in names and n != m} for m, p in names.items()}
    for module, path in names.items():
        if path.name == "__init__.py":
            graph[module] = {n for n in graph[module] if n.startswith(module + ".")}
        else:
            package = module.rpartition(".")[0]
            graph[module].discard(package)
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_libraries_do_not_print_or_swallow() -> None:
    """No print in libraries, no bare except, no drawer called utils."""
    wrong = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                wrong.append(f"{where(path, node)} bare except")
            called = node.func if isinstance(node, ast.Call) else None
            prints = isinstance(called, ast.Name) and called.id == "print"
            if prints and path.name != "__main__.py":
                wrong.append(f"{where(path, node)} print")
        if path.stem in {"utils", "util", "helpers", "common", "misc"}:
            wrong.append(f"{where(path)} name")
    assert not wrong


def test_no_index_host_or_machine_path() -> None:
    """Where packages come from, and where a checkout lies, is the user's configuration."""
    dot = r"[.]"
    hosts = "|".join(
        ["pypi" + dot + "org", "python" + "hosted" + dot + "org", "npm" + "js" + dot]
        + ["deb" + dot + "debian" + dot + "org", "debian" + dot + "org/debian"]
    )
    home = r"(?<![\w.$}/])/(?:home|Users|root|work)/[\w.-]+"
    found = []
    for path, text in text_files():
        found += [f"{where(path)}: {m.group()}" for m in re.finditer(hosts, text)]
        if "tests" not in path.relative_to(ROOT).parts:
            found += [f"{where(path)}: {m.group()}" for m in re.finditer(home, text)]
    assert not found


def test_blobs_are_small() -> None:
    """Git holds no weights but the embedded model's."""
    nano = ROOT / "models/gigaam-nano"
    large = {where(p): p.stat().st_size for p in tracked() if p.stat().st_size > BLOB_BYTES_MAX}
    assert not {name for name in large if not (ROOT / name).is_relative_to(nano)}
    weights = [p for p in tracked() if p.is_relative_to(nano) and p.suffix == ".safetensors"]
    assert sum(p.stat().st_size for p in weights) <= 16 << 20


def test_recipes_are_few_and_short() -> None:
    """At most 15 recipes of at most 4 lines, each with a one-line doc."""
    blocks = re.split(r"\n\n+", (ROOT / "Justfile").read_text())
    recipes = [b for b in blocks if re.search(r"^[a-z-]+( \*?\+?[A-Z]+)*:(?!=)", b, re.MULTILINE)]
    public = [b for b in recipes if "[private]" not in b]
    assert 5 <= len(public) <= 15
    for block in public:
        body = [line for line in block.splitlines() if line.startswith("    ")]
        assert len(body) <= 4, block
        assert block.startswith("# "), block


def test_build_files_say_almost_nothing() -> None:
    """Median of at most 8 lines."""
    lengths = [len(p.read_text().splitlines()) for p in tracked() if p.name == "BUILD"]
    if not lengths:
        pytest.skip("no BUILD file yet")
    assert statistics.median(lengths) <= 8


def test_documents_keep_their_size() -> None:
    """ARCHITECTURE.md stays readable in one sitting; every document that CONTRIBUTING names is."""
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 300
    for name in ("README.md", "STYLE.md", "CONTRIBUTING.md", "CHANGELOG.md", "RUNBOOK.md"):
        assert (ROOT / name).stat().st_size > 200, name


def test_links_between_documents_lead_somewhere() -> None:
    """Relative links of every Markdown file name a tracked file or folder."""
    broken = []
    for path in (p for p in tracked() if p.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:")) and not (path.parent / target).exists():
                broken.append(f"{where(path)} -> {target}")
    assert not broken


def test_tests_say_what_they_prove() -> None:
    """Every test module starts with a sentence."""
    tests = [p for p in python_files() if p.is_relative_to(ROOT / "tests")]
    assert not [
        where(p) for p in tests if p.name.startswith("test_") and not ast.get_docstring(tree(p))
    ]
