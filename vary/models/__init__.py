"""Everything with weights: configurations, networks, processors, checkpoints of other makes.

Belongs here: parts (`vocab`, `connect`, `fuse`, `heads`), the model built of them, and named models (`zoo`).
May import `io`, `document`, `markup`, torch and transformers. Never here: reading pages, data, training loops.

`import vary.models` registers the model with AutoConfig, AutoModelForImageTextToText and AutoProcessor. It does not
import transformers: that takes seconds, and a reader of lines needs none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .hub import register

if TYPE_CHECKING:
    from .config import VaryConfig
    from .describe import describe
    from .modeling import VaryForConditionalGeneration
    from .processor import VaryProcessor
    from .zoo import names

_WHERE = {
    "VaryConfig": "config",
    "VaryForConditionalGeneration": "modeling",
    "VaryProcessor": "processor",
    "describe": "describe",
    "names": "zoo",
}
__all__ = ["VaryConfig", "VaryForConditionalGeneration", "VaryProcessor", "describe", "names"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module 'vary.models' has no attribute {name!r}")


register()
