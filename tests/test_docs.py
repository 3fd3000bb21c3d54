"""The documentation: every verb and every page is in it, and it builds without a warning."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vary
from vary.cli import VERBS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_that_prints_its_help(verb: str) -> None:
    text = (DOCS / "verbs" / f"{verb}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# vary {verb}\n")
    assert f"\n```{{help-of}} {verb}\n```\n" in text
    assert f"vary {verb} " in text or f"vary {verb}\n" in text.partition("\n")[2]


def test_every_public_name_is_in_the_docs_of_the_api() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    assert [name for name in vary.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_page_is_in_the_contents() -> None:
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.S)
    listed = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    assert len(listed) == len(set(listed))
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert pages - {"index"} <= set(listed)


def test_examples_in_the_docs_use_options_that_there_are(capsys) -> None:
    seen = 0
    for page in [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]:
        for verb, rest in re.findall(r"(?m)^(?:\w+=\S+ )?vary (\w+)([^#\n]*)", page.read_text(encoding="utf-8")):
            if verb in VERBS:
                with contextlib.suppress(SystemExit):
                    _help(verb)
                printed = capsys.readouterr().out
                for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", rest):
                    seen += 1
                    assert re.search(rf"(?<![\w-]){option}\b", printed), f"{page.name}: vary {verb} {option}"
    assert seen > 20


def test_the_docs_name_verbs_that_there_are() -> None:
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    named = {verb for page in pages for verb in re.findall(r"`vary\s+([a-z]+)", page.read_text(encoding="utf-8"))}
    assert named <= set(VERBS)
    assert len(named) > 10


def test_the_quickstart_lists_all_extras_and_environment_variables() -> None:
    text = (DOCS / "quickstart.md").read_text(encoding="utf-8")
    listed = {name for row in re.findall(r"(?m)^\| (`.*?) \|", text) for name in re.findall(r"`([\w-]+)`", row)}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.findall(r"(?m)^(\w+) = \[", project.partition("[project.optional-dependencies]")[2].partition("\n[")[0])
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "vary").rglob("*.py"))
    assert len(extras) > 10
    assert {*extras, *re.findall(r"\bVARY_[A-Z]+(?:_[A-Z]+)*", code)} <= listed


def test_all_recipes_are_listed() -> None:
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    recipes = {path.name for path in (ROOT / "recipes").glob("*.yaml")}
    assert recipes == set(re.findall(r"`([\w-]+\.yaml)`", text.partition("## Recipes")[2].partition("\n## ")[0]))


def _help(verb: str) -> None:
    from vary.cli import main

    main([verb, "--help"])


@pytest.mark.slow  # a minute of a core, and Sphinx: pip install -e '.[docs]'
def test_the_docs_build_without_a_warning(tmp_path) -> None:
    if not all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser", "furo")):
        pytest.skip("no Sphinx: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, tmp_path]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
    for verb in VERBS:
        assert f"Usage: vary {verb}" in (tmp_path / "verbs" / f"{verb}.html").read_text(encoding="utf-8")
