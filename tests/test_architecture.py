"""The size budget of the code, and calls that must not stand in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "vary").rglob("*.py"))
MAX_FILE, MAX_FUNCTION, MAX_LOOP, MAX_PACKAGE = 400, 50, 120, 27000
FORBIDDEN_NAMES = {"eval", "exec"}
FORBIDDEN_TEXT = ("import pickle", "trust_remote_code", "shell=True", "yaml.load(", "extractall(", "MAX_IMAGE_PIXELS =",
                  "LOAD_TRUNCATED_IMAGES", "torch.load(")  # fmt: skip


def functions(path: Path) -> list[ast.FunctionDef]:
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_budget(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MAX_FILE
    for node in functions(path):
        limit = MAX_LOOP if path.name == "loop.py" else MAX_FUNCTION
        assert node.end_lineno - node.lineno < limit, f"{node.name} is too long"
        assert node.returns is not None or node.name == "__init__", f"{node.name} has no return type"
    assert ast.get_docstring(ast.parse(source)), "no header"
    for text in FORBIDDEN_TEXT:
        assert text not in source or (path.name, text) == ("pickles.py", "torch.load("), text
    calls = [n.func.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert not FORBIDDEN_NAMES & set(calls)


def test_package_size_and_depth() -> None:
    assert sum(len(path.read_text().splitlines()) for path in FILES) <= MAX_PACKAGE
    assert max(len(path.relative_to(ROOT / "vary").parts) for path in FILES) <= 3
