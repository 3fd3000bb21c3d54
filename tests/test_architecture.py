"""Hold the structure of the package: its layers, its folders, the size of its files and calls that are forbidden."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
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


def faults_of(path: Path) -> Iterator[str]:
    """What a file of the package breaks."""
    source, nodes = path.read_text(), list(ast.walk(tree_of(path)))
    if len(source.splitlines()) > MAX_FILE:
        yield f"more than {MAX_FILE} lines"
    for node in (n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)):
        if node.end_lineno - node.lineno >= (MAX_LOOP if path.name == "loop.py" else MAX_FUNCTION):
            yield f"{node.name} is too long"
        if node.returns is None and node.name != "__init__":
            yield f"{node.name} has no return type"
    if not ast.get_docstring(tree_of(path)):
        yield "no header"
    yield from (
        text for text in FORBIDDEN_TEXT if text in source and (path.name, text) != ("pickles.py", "torch.load(")
    )
    calls = {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    yield from sorted(FORBIDDEN_NAMES & calls)


def test_files_are_small_typed_and_safe() -> None:
    assert len(FILES) > 300
    assert [(str(path.relative_to(ROOT)), fault) for path in FILES for fault in faults_of(path)] == []


def test_a_file_that_breaks_the_rules_is_found(tmp_path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def long():\n" + "    eval('1')\n" * MAX_FILE + "import pickle\n")
    found = [f"more than {MAX_FILE} lines", "long is too long", "long has no return type", "no header"]
    assert list(faults_of(bad)) == [*found, "import pickle", "eval"]


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


def private_names(tree: ast.Module) -> Iterator[str]:
    """Where a test names what is private: as an attribute of anything but `self`, imported, or patched by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
            if ast.unparse(node.value) != "self" and node.attr not in PRIVATE_OF_OTHERS:
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            if any(re.match("_[a-z]", name.name) for name in node.names):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and "setattr" in vars(node.func).values():  # the name or the attribute
            named = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if any(re.search(r"(^|\.)_[A-Za-z]", name) for name in named):
                yield ast.unparse(node)


TESTS = sorted((ROOT / "tests").rglob("*.py"))


def test_tests_know_no_private_names() -> None:
    found = [(str(path.relative_to(ROOT)), name) for path in TESTS for name in private_names(tree_of(path))]
    assert found == []
    bad = "from a import _b\nc._d = self._e\nmonkeypatch.setattr('a._f', 1)\nmonkeypatch.setattr(a, 'g', 1)"
    assert sorted(private_names(ast.parse(bad))) == ["c._d", "from a import _b", "monkeypatch.setattr('a._f', 1)"]


def test_files_of_tests_are_small() -> None:
    assert [(str(p.relative_to(ROOT)), n) for p in TESTS if (n := len(p.read_text().splitlines())) > MAX_FILE] == []


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
