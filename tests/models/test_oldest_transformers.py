"""The oldest transformers that `pyproject.toml` allows: the models, conversions and prompts pass on it too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    "models/test_family", "models/test_modeling", "models/test_convert", "models/test_convert_parts",
    "models/test_pickles", "models/test_rows", "markup/test_prompts", "models/test_chat", "models/test_ecosystem",
)  # fmt: skip


@pytest.mark.slow  # fetches a package and takes some minutes
@pytest.mark.timeout(1800)
def test_the_oldest_transformers(tmp_path) -> None:
    oldest = re.search(r'"transformers>=([\d.]+)"', (ROOT / "pyproject.toml").read_text()).group(1)
    place = tmp_path / "oldest"
    version = oldest if oldest.count(".") == 2 else f"{oldest}.0"
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(place)]
    subprocess.run([*install, f"transformers=={version}"], check=True)
    environment = os.environ | {"PYTHONPATH": f"{place}{os.pathsep}{ROOT}"}
    shown = subprocess.run(
        [sys.executable, "-c", "import transformers; print(transformers.__version__)"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip() == version
    tests = [str(ROOT / "tests" / f"{name}.py") for name in FILES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests], cwd=ROOT, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
