"""The rules of the house, checked on the real code (CONTRIBUTING.md says them in words).

Everything is read from the syntax trees: imports inside functions count too, those under
`if TYPE_CHECKING:` do not.
"""

from __future__ import annotations

import ast
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from smolvlm.catalog import CATALOG, CatalogEntry
from smolvlm.config import ModelConfig, read_json
from smolvlm.weights.names import expected_shapes

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "smolvlm"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
HOMELESS = {"utils.py", "util.py", "common.py", "misc.py", "helpers.py"}

# A module may import from its own layer and from those above it. Folders stand for all they hold.
LAYERS = (
    ("errors",),
    ("config", "config_keys", "config_values", "types"),
    ("catalog",),
    ("media",),
    ("processing",),
    ("weights",),
    ("native",),
    ("model",),
    ("quant",),
    ("engines",),
    ("generation",),
    ("options",),
    ("api",),
    ("video",),
    ("export", "training", "evaluation"),
    ("server", "web", "cli"),
    ("__init__", "__main__"),
)
# `import smolvlm` re-exports the API lazily, and every layer may ask for the version.
VERSION_ONLY = "smolvlm"
# Four strangers: what one layer above may not import although it stands below it.
STRANGERS = {
    "media": {"catalog"},
    "processing": {"catalog"},
    "model": {"types", "catalog", "media", "processing", "weights"},
    "quant": {"media", "processing", "catalog"},
    "generation": {"catalog", "media", "weights", "model", "quant"},
}
# (library, where it may be imported): prefixes of module paths without `smolvlm.`
THIRD_PARTY = {
    # choose.py asks torch for a GPU, inside a function.
    "torch": ("model", "engines.torch", "engines.choose", "training", "quant"),
    "openvino": ("engines.openvino", "weights.vision_onnx"),
    "onnx": (),
    "transformers": (),
    "torchvision": (),
    "typer": ("cli",),
    "rich": ("cli",),
    "av": ("media",),
    "huggingface_hub": ("weights",),
    "tokenizers": ("processing", "weights"),
    "jinja2": ("processing", "video.page"),
}
# Modules without a test file of their own name, and the file that tests them instead.
TESTED_ELSEWHERE = {
    "__main__": "cli/test_main.py",
    "config_keys": "test_config.py",
    "config_values": "test_config.py",
    "cli.flags": "cli/test_main.py",
    "engines.base": "engines/test_engine_openvino.py",  # a protocol; its engines are tested
    "engines.compiled_cache": "engines/test_openvino_compile.py",
    "engines.folded_pixels": "engines/test_engine_openvino.py",
    "engines.native_weights": "engines/test_engine_native.py",
    "engines.openvino_ops": "engines/test_engine_openvino.py",
    "engines.openvino_text": "engines/test_engine_openvino.py",
    "engines.openvino_vision": "engines/test_engine_openvino.py",
    "errors": "cli/test_main.py",  # names without code
    "generation.sequence": "generation/test_generate.py",
    "generation.stream": "test_api.py",
    "media.limits": "media/test_images.py",
    "native.library": "engines/test_engine_native.py",
    "processing.context": "test_api.py",
    "processing.plans": "processing/test_processor.py",
}


@dataclass(frozen=True)
class Module:
    """One source file and its syntax tree."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        """Dotted, without the package: `engines.torch`; a package's own file is its `__init__`."""
        return ".".join(self.path.relative_to(PACKAGE).with_suffix("").parts)

    @property
    def is_empty(self) -> bool:
        return not self.tree.body


@cache
def modules() -> tuple[Module, ...]:
    return tuple(Module(p, ast.parse(p.read_text())) for p in sorted(PACKAGE.rglob("*.py")))


def imports(module: Module) -> Iterator[str]:
    """Every module that is imported at run time, in full: `smolvlm.engines.base`, `torch`."""
    for node in _walk_run_time(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}: relative import; write it in full"
            for alias in node.names:
                assert node.module is not None
                inner = f"{node.module}.{alias.name}"
                yield inner if _is_module(inner) else node.module


def _walk_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """The tree without what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from (other, *_walk_run_time(other))
            continue
        yield child
        yield from _walk_run_time(child)


def _is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def layer_of(name: str) -> int:
    """Which layer a module belongs to, by the first part of its name."""
    head = name.split(".")[0]
    found = [number for number, layer in enumerate(LAYERS) if head in layer]
    assert found, f"smolvlm/{head} is in no layer; add it to LAYERS and to docs"
    return found[0]


def test_imports_go_one_way() -> None:
    wrong = []
    for module in modules():
        for target in imports(module):
            if not target.startswith("smolvlm.") or module.name == "__init__":
                continue
            wanted = target.removeprefix("smolvlm.")
            if layer_of(wanted) > layer_of(module.name):
                wrong.append(f"{module.name} imports {wanted}, which stands below it")
            if wanted.split(".")[0] in STRANGERS.get(module.name.split(".")[0], ()):
                wrong.append(f"{module.name} imports {wanted}; these two are strangers")
    assert not wrong, "\n".join(wrong)


def test_imports_make_no_cycle() -> None:
    graph = {
        f"smolvlm.{m.name}": {t for t in imports(m) if t.startswith("smolvlm.")} for m in modules()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for target in graph.get(name, ()):
            visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("library", THIRD_PARTY)
def test_libraries_stay_where_they_belong(library: str) -> None:
    allowed = THIRD_PARTY[library]
    wrong = [
        f"{module.name} imports {target}"
        for module in modules()
        for target in imports(module)
        if target.split(".")[0] == library and not module.name.startswith(allowed)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_imported_by_string() -> None:
    wrong = [
        f"{module.name}: {ast.unparse(node)}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("__import__", "importlib.import_module", "import_module")
    ]
    assert not wrong, "\n".join(wrong)


def python_files() -> list[Path]:
    """All source of the repository; generated and fetched things lie elsewhere."""
    folders = ("smolvlm", "recipes", "benchmarks", "examples", "tests")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_files_are_short() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in python_files()}
    assert not {name: n for name, n in lengths.items() if n > MAX_FILE_LINES}


def test_functions_are_short() -> None:
    long = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {length} lines")
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for path in python_files():
        tree = ast.parse(path.read_text())
        if tree.body and ast.get_docstring(tree) is None and path.name != "conftest.py":
            silent.append(str(path.relative_to(ROOT)))
    assert not silent, "\n".join(silent)


def test_no_file_is_a_place_for_everything() -> None:
    assert not [str(path) for path in python_files() if path.name in HOMELESS]


def test_packages_keep_their_init_empty() -> None:
    filled = [m.name for m in modules() if m.name.endswith(".__init__") and not m.is_empty]
    docstring_only = {
        m.name for m in modules() if len(m.tree.body) == 1 and ast.get_docstring(m.tree) is not None
    }
    assert not set(filled) - docstring_only


def test_every_module_has_a_test_file() -> None:
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    lacking = sorted(set(TESTED_ELSEWHERE) - {module.name for module in modules()})
    for module in modules():
        package, _, name = module.name.rpartition(".")
        if name == "__init__":
            continue
        elsewhere = TESTED_ELSEWHERE.get(module.name)
        # Base names are unique in tests/, so some carry the name of their package or a last word.
        begins = (f"test_{name}", f"test_{package}_{name}", f"test_{package.rstrip('s')}_{name}")
        if elsewhere:
            found = (ROOT / "tests" / elsewhere).exists()
        else:
            found = any(t in begins or t.startswith(f"{begins[0]}_") for t in tests)
        if not found:
            lacking.append(module.name)
    assert not lacking, "\n".join(lacking)


def test_the_tree_of_the_readme_is_the_real_one() -> None:
    named = set(_tree_of_the_readme())
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, f"README.md names what does not exist: {missing}"
    packages = {f"smolvlm/{p.parent.name}" for p in PACKAGE.glob("*/__init__.py")}
    unnamed = sorted(packages - named)
    assert not unnamed, f"README.md's tree does not name {unnamed}"


def _tree_of_the_readme() -> Iterator[str]:
    """The paths in the fenced block that begins with `smolvlm/`.

    A line begins with names and goes on with words. Lines that are not indented stand at the root,
    the others in smolvlm/; a file after a folder (`media/  images.py`) lies in it.
    """
    text = (ROOT / "README.md").read_text()
    found = re.search(r"^```[a-z]*\n(smolvlm/.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, "README.md has no fenced tree that begins with smolvlm/"
    for line in found[1].splitlines():
        base = folder = Path("smolvlm") if line.startswith(" ") else Path()
        for word in line.split():
            if not re.fullmatch(r"[\w.]+(/[\w.]+)*(/|\.py)", word):
                break
            if word.endswith("/"):
                folder = base / word
                yield folder.as_posix()
            else:
                yield (folder / word).as_posix()


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_every_catalogue_entry_builds_from_its_config(entry: CatalogEntry) -> None:
    if entry.repo is None:
        file = PACKAGE / "assets" / "embedded" / "config.json"
    else:
        name = entry.repo.rpartition("/")[2]
        file = ROOT / "tests" / "golden" / "checkpoints" / f"{name}.config.json"
    config = ModelConfig.from_json(read_json(file))
    told = (entry.tile, entry.patch, entry.grid, entry.scale_factor, entry.tokens_per_tile)
    vision = config.vision
    assert told == (
        vision.image_size, vision.patch_size, vision.grid, config.scale_factor,
        config.tokens_per_tile,
    )  # fmt: skip
    shapes = expected_shapes(config).values()
    assert entry.parameters == sum(math.prod(shape) for shape in shapes)


@pytest.mark.parametrize("statement", ["import smolvlm", "import smolvlm.errors, smolvlm.catalog"])
def test_importing_the_package_imports_nothing_heavy(statement: str) -> None:
    heavy = ["torch", "openvino", "transformers", "numpy", "PIL", "rich", "huggingface_hub"]
    script = f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_module_but_those_of_torch_imports_without_torch() -> None:
    names = [
        f"smolvlm.{m.name.removesuffix('.__init__')}"
        for m in modules()
        if not m.name.startswith(THIRD_PARTY["torch"]) and not m.name.endswith("__main__")
    ]
    script = "import sys; sys.modules['torch'] = None; import " + ", ".join(names)
    run_python(script)


def run_python(script: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
