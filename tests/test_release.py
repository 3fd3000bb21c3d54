"""The release: a wheel and an sdist that install into empty environments and read a page there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import vary

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "examples" / "page.png"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def test_the_citation_and_the_changelog_name_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == vary.__version__
    assert citation["license"] == "Apache-2.0"
    newest = re.search(r"^## (\S+)(.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert vary.__version__.removesuffix(".dev0") == newest[1]
    assert ("unreleased" in newest[2]) == vary.__version__.endswith(".dev0")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The wheel and the sdist, built from a copy of the files that git tracks."""
    pytest.importorskip("build", reason="pip install build twine")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in run("git", "ls-files", cwd=ROOT).splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--outdir", out, source, cwd=out)
    return out


@pytest.mark.slow  # fetches the build backend
@pytest.mark.timeout(900)
def test_the_archives_hold_what_they_need_and_no_more(built):
    run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), cwd=built)
    wheel, sdist = next(built.glob("*.whl")), next(built.glob("*.tar.gz"))
    assert f"-{vary.__version__}-" in wheel.name
    files = set(zipfile.ZipFile(wheel).namelist())
    tracked = {name for name in run("git", "ls-files", "vary", cwd=ROOT).splitlines()}
    assert {name for name in files if ".dist-info/" not in name} == tracked
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked | {"pyproject.toml", "README.md", "LICENSE"} <= names


def environment(folder: Path, python: str) -> Path:
    """Make an empty environment and return its folder of programs. Skips a Python that is not installed."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        venv.create(folder, with_pip=True)
    else:
        found = shutil.which(f"python{python}")
        known = found and subprocess.run([found, "--version"], capture_output=True, text=True).stdout
        if not known or python not in known:
            pytest.skip(f"Python {python} is not installed")
        run(found, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin"


@pytest.mark.slow  # installs packages
@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_wheel_reads_a_page_in_an_empty_environment(built, tmp_path, python):
    programs = environment(tmp_path / "env", python)
    run(programs / "pip", "install", "-q", next(built.glob("*.whl")), cwd=tmp_path)
    packages = {package["name"] for package in json.loads(run(programs / "pip", "list", "--format=json", cwd=tmp_path))}
    assert not packages & {"torch", "transformers", "torchvision", "pandas", "matplotlib"}
    assert run(programs / "vary", "--version", cwd=tmp_path) == f"vary {vary.__version__}\n"
    document = json.loads(run(programs / "vary", "read", PAGE, "--to", "json", cwd=tmp_path))
    assert document["pages"][0]["status"] == "ok"
    assert len(document["pages"][0]["text"]) > 500


@pytest.mark.slow  # installs PyTorch
@pytest.mark.timeout(1800)
def test_the_wheel_trains_with_its_extra(built, tmp_path):
    """PyTorch's build for CPUs comes first, as in the README, so that the extra does not fetch CUDA."""
    programs = environment(tmp_path / "env", f"{sys.version_info.major}.{sys.version_info.minor}")
    run(programs / "pip", "install", "-q", "--no-deps", "-r", ROOT / "requirements-torch.txt", cwd=tmp_path)
    run(programs / "pip", "install", "-q", f"{next(built.glob('*.whl'))}[train]", cwd=tmp_path)
    recipe = ROOT / "recipes" / "nano-own.yaml"
    assert "vary-nano" in run(programs / "vary", "train", recipe, "--dry-run", cwd=tmp_path)
