"""`import vary` is quick and light."""

from __future__ import annotations

import subprocess
import sys

import vary


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_is_quick_and_brings_no_torch() -> None:
    code = (
        "import time, sys; t = time.perf_counter(); import vary; print(time.perf_counter() - t, 'torch' in sys.modules)"
    )
    best = min(float(run(code).split()[0]) for _ in range(3))
    assert best < 0.3
    assert run(code).split()[1] == "False"


def test_every_public_name_is_there() -> None:
    for name in vary.__all__:
        assert getattr(vary, name) is not None
