"""The loaders of `examples/` run with the packages that they are for, where those are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import vary

EXAMPLES = Path(__file__).parents[1] / "examples"
PDF = EXAMPLES / "charis.pdf"


def example(name: str, package: str) -> ModuleType:
    pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def chunks(monkeypatch) -> list:
    """The chunks that both loaders must give. The file is read once, and from its text layer alone, for speed."""
    document = vary.read(PDF, "layer")
    monkeypatch.setattr(vary, "read", lambda path: document)
    return document.chunks(500)


def test_langchain_loader(chunks):
    found = example("langchain_loader", "langchain_core").VaryLoader(str(PDF), 500).load()
    assert [(d.page_content, d.metadata["pages"]) for d in found] == [(c.text, c.pages) for c in chunks]
    assert len(found) > 5
    assert found[0].metadata["source"] == str(PDF)


def test_llamaindex_reader(chunks):
    found = example("llamaindex_reader", "llama_index.core").VaryReader().load_data(str(PDF), 500)
    assert [(d.text, d.metadata["pages"]) for d in found] == [(c.text, c.pages) for c in chunks]
    assert found[-1].metadata["boxes"] == chunks[-1].boxes
    assert all(
        "boxes" not in d.get_content(mode) for d in found for mode in ("llm", "embed")
    )  # numbers are not for models
