"""Read PDFs and page images as Markdown on a CPU, and train readers.

`vary.read(path)` reads a PDF or an image; the names below are loaded when first used, so importing vary is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from .document.elements import Block, Document, Line, Page
    from .io.errors import BadInput, InputError, VaryError
    from .models.config import VaryConfig
    from .models.generate.chat import load_chat_model as chat
    from .models.modeling import VaryForConditionalGeneration
    from .models.processor import VaryProcessor
    from .reading.api import load, read, stream
    from .reading.runs.batch import read_all

_WHERE = {
    "chat": "models.generate.chat",
    "load": "reading.api",
    "read": "reading.api",
    "stream": "reading.api",
    "read_all": "reading.runs.batch",
    "VaryConfig": "models.config",
    "VaryForConditionalGeneration": "models.modeling",
    "VaryProcessor": "models.processor",
    "Document": "document.elements",
    "Page": "document.elements",
    "Block": "document.elements",
    "Line": "document.elements",
    "BadInput": "io.errors",
    "InputError": "io.errors",
    "VaryError": "io.errors",
}
_RENAMED = {"chat": "load_chat_model"}
__all__ = [
    "BadInput", "Block", "Document", "InputError", "Line", "Page", "VaryConfig", "VaryError",
    "VaryForConditionalGeneration", "VaryProcessor", "chat", "load", "read", "read_all", "stream",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), _RENAMED.get(name, name))
    raise AttributeError(f"module 'vary' has no attribute {name!r}")
