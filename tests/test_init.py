"""`import vary` is quick and light."""

from __future__ import annotations

import vary

from .conftest import printed_by


def test_import_is_quick_and_brings_no_torch() -> None:
    code = (
        "import time, sys; t = time.perf_counter(); import vary; print(time.perf_counter() - t, 'torch' in sys.modules)"
    )
    best = min(float(printed_by(code).split()[0]) for _ in range(3))
    assert best < 0.3
    assert printed_by(code).split()[1] == "False"


def test_every_public_name_is_there() -> None:
    for name in vary.__all__:
        assert getattr(vary, name) is not None
