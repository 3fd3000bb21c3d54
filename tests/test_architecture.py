"""Hold the structure of the package: its layers, its folders, the size of its files and calls that are forbidden."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vary"
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})
MAX_FILE, MAX_FUNCTION, MAX_LOOP = 400, 50, 120  # lines; MAX_LOOP is for the training loop
MAX_TOP, MAX_ENTRIES = 12, 16  # files and folders
DEEP = {"models", "data", "evaluate", "reading", "document", "train"}  # packages that may have folders of their own
# Public names that have their own meaning in each of several files. A verb of the command line is named like the
# function that it calls; `serve` answers a child process; others are the natural name of a part within its file.
TWICE = {
    *(
        "convert",
        "demo",
        "evaluate",
        "read",
        "render",
        "train",
        "serve",
        "main",
        "open_network",
        "open_reader",
        "verify",
    ),
    *(
        "Attention",
        "Block",
        "Content",
        "Formula",
        "Found",
        "Page",
        "Part",
        "Reader",
        "Row",
        "Run",
        "Source",
        "Task",
        "Template",
    ),
    *(
        "as_markdown",
        "build",
        "compare",
        "crop",
        "draw",
        "find_lines",
        "fit",
        "font",
        "load_tensors",
        "markdown",
    ),
    *("normalise", "official_config", "plain", "split_words", "to_typst"),
}
FORBIDDEN_NAMES = {"eval", "exec"}
FORBIDDEN_TEXT = (
    "import pickle",
    "trust_remote_code",
    "shell=True",
    "yaml.load(",
    "extractall(",
    "MAX_IMAGE_PIXELS =",
    "LOAD_TRUNCATED_IMAGES",
    "torch.load(",
)


def entries(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != "__pycache__")


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file. It is parsed once for all tests."""
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small_typed_and_safe(path: Path) -> None:
    source, nodes = path.read_text(), list(ast.walk(tree_of(path)))
    assert len(source.splitlines()) <= MAX_FILE
    for node in (n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)):
        limit = MAX_LOOP if path.name == "loop.py" else MAX_FUNCTION
        assert node.end_lineno - node.lineno < limit, f"{node.name} is too long"
        assert node.returns is not None or node.name == "__init__", f"{node.name} has no return type"
    assert ast.get_docstring(tree_of(path)), "no header"
    for text in FORBIDDEN_TEXT:
        assert text not in source or (path.name, text) == ("pickles.py", "torch.load("), text
    calls = {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not FORBIDDEN_NAMES & calls


def test_few_entries_and_few_levels() -> None:
    assert len(entries(PACKAGE)) <= MAX_TOP, entries(PACKAGE)
    for folder in FOLDERS:
        below = folder.relative_to(PACKAGE).parts
        assert len(below) < 2 or (len(below) == 2 and below[0] in DEEP), folder
        if folder.name != "zoo":
            assert len(entries(folder)) <= MAX_ENTRIES, entries(folder)


def test_layers() -> None:
    """import-linter checks the contracts in pyproject.toml."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_a_public_name_means_one_thing() -> None:
    """No public class or function name is defined in two files, but for names whose meaning is the file's."""
    where: dict[str, set[str]] = {}
    for path in FILES:
        for node in tree_of(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, set()).add(path.relative_to(PACKAGE).as_posix())
    twice = {name: sorted(files) for name, files in where.items() if len(files) > 1 and name not in TWICE}
    assert not twice, twice
    assert not {name for name in TWICE if len(where.get(name, ())) < 2}, "names of TWICE that are unique now"


# Of other packages: pypdf adds objects to a file, transformers names its attention, Python its way out.
PRIVATE_OF_OTHERS = {"_add_object", "_root_object", "_attn_implementation", "_exit"}


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_tests_know_no_private_names(path: Path) -> None:
    """Neither as attributes of anything but `self`, nor imported, nor patched by name."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
            assert ast.unparse(node.value) == "self" or node.attr in PRIVATE_OF_OTHERS, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            assert not [name.name for name in node.names if re.match("_[a-z]", name.name)], ast.unparse(node)
        elif isinstance(node, ast.Call) and "setattr" in vars(node.func).values():  # the name or the attribute
            named = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            assert not [name for name in named if re.search(r"(^|\.)_[A-Za-z]", name)], ast.unparse(node)


def imported_modules(path: Path, name: str, modules: dict[str, Path]) -> set[str]:
    """Modules of the package that a module imports, anywhere but for types alone."""
    tree = tree_of(path)
    typed = {id(n) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
             for n in ast.walk(node)}  # fmt: skip
    above = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typed:
            base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [node.module])])
            base = base if node.level else node.module or ""
            found |= {f"{base}.{n.name}" if f"{base}.{n.name}" in modules else base for n in node.names}
    return (found & modules.keys()) - {name}


def test_no_import_circles() -> None:
    """But in `document`: its elements have methods that write them, which import the formats when called."""
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}
    below = {name: imported_modules(path, name, modules) for name, path in modules.items()}
    size = 0
    while size != len(below):  # drop what imports nothing that is left, and what nothing that is left imports
        size, used = len(below), set().union(*below.values())
        below = {name: imported & below.keys() for name, imported in below.items() if imported and name in used}
    assert not [name for name in below if not name.startswith("vary.document.")]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_packages_say_what_belongs_there(folder: Path) -> None:
    """Three lines or more: what belongs here, what it may import, what never belongs here."""
    words = ast.get_docstring(tree_of(folder / "__init__.py")) or ""
    assert len(words.splitlines()) >= 3, words


def test_the_architecture_page_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+(?:[\w-]+\.(?:py|yaml))?)", text))
    assert len(named) > 40
    roots = (PACKAGE, ROOT)
    assert not [name for name in sorted(named) if not any((root / name).exists() for root in roots)]
