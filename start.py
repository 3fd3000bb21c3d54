"""Set up and run, with nothing but Python: `python3 start.py read FILE` or `python3 start.py test`.

Makes `.venv` next to this file on the first call and hands the rest to `vary` (or to ruff, mypy and pytest for `test`).
Reading needs no PyTorch; the verbs that do get its CPU build.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
TORCH = "2.13.0"
# Linux wheels of PyTorch on PyPI carry CUDA (several GB); its CPU wheels, version +cpu, stand on PyTorch's own page.
TORCH_CPU_PAGE = "https://download.pytorch.org/whl/cpu/torch/"


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036
        print("start.py: Python 3.10 or newer is needed, this is " + platform.python_version(), file=sys.stderr)
        return 1
    verb, *rest = sys.argv[1:] or ["--help"]
    light = verb.startswith("-") or verb in ("read", "serve")
    extra = "dev" if verb == "test" else "serve" if verb == "serve" else "" if light else "train"
    set_up(extra)
    if verb != "test":
        return subprocess.call([PYTHON, "-m", "vary.cli", verb, *rest])
    checks = [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"], ["pytest", *rest]]
    return max(subprocess.call([PYTHON, "-m", *check], cwd=HERE) for check in checks)


def set_up(extra: str) -> None:
    """Install once per extra; a stamp file remembers what was installed from which pyproject."""
    stamp = VENV / f"ready-{extra or 'base'}"
    project = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == project:
        return
    if not PYTHON.exists():
        print("start.py: making .venv and installing (once) ...", file=sys.stderr)
        venv.create(VENV, with_pip=True)
    if extra in ("dev", "train"):
        install_torch()
    pip("-e", f"{HERE}[{extra}]" if extra else str(HERE))
    stamp.write_text(project, encoding="utf-8")


def install_torch() -> None:
    """The CPU build, whatever the machine: other platforms have it on PyPI, Linux has it under a version of its own."""
    if subprocess.call([PYTHON, "-c", "import torch"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
        return
    if platform.system() != "Linux":
        pip(f"torch=={TORCH}")
        return
    wanted = f"torch=={TORCH}+cpu"
    known = [PYTHON, "-m", "pip", "install", "-q", wanted]  # a mirror or a wheel folder of this machine may hold it
    if subprocess.call(known, stderr=subprocess.DEVNULL):
        pip("--find-links", TORCH_CPU_PAGE, wanted)


def pip(*arguments: str) -> None:
    done = subprocess.call([PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments])
    if done:
        sys.exit(f"start.py: pip install {' '.join(arguments)} failed")


if __name__ == "__main__":
    sys.exit(main())
