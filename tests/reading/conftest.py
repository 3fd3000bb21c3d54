"""The shipped reader, loaded once for a process of tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def nano():
    from vary.reading.loader import load_reader

    return load_reader("vary-nano")
