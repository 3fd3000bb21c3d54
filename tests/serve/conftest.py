"""A server of a reader that is not real."""

from __future__ import annotations

import pytest

from .servers import FakeReader, client_of


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def client(reader):
    with client_of(reader) as client:
        yield client
