"""Find the folder of a model's weights, and register the model with the Auto classes of transformers."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from ..io.errors import InputError

ONNX_FILE = "trunk.onnx"  # input `pixels` (1, C, H, W) float32, normalised; output `features` (1, D, rows, columns)
REGISTERING = {  # module of transformers -> module of ours that registers a class with it
    "transformers.models.auto.configuration_auto": "vary.models.config",
    "transformers.models.auto.modeling_auto": "vary.models.modeling",
    "transformers.models.auto.processing_auto": "vary.models.processor",
}


def weights_dir(name: str) -> Path:
    """Return the folder of a shipped model, or the given path if it is a folder.

    Raises:
        ValueError: There is neither.
    """
    shipped = Path(__file__).parent / "weights" / name
    if shipped.is_dir():
        return shipped
    if Path(name).is_dir():
        return Path(name)
    known = sorted(p.name for p in shipped.parent.glob("*") if p.is_dir())
    raise InputError(f"no model {name!r}: neither a folder nor one of {', '.join(known) or 'none shipped'}")


def register() -> None:
    """Register our classes with the Auto classes: now if transformers is imported, else as soon as it is."""
    for theirs, ours in REGISTERING.items():
        if theirs in sys.modules:
            importlib.import_module(ours)
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


class _AfterImport(importlib.abc.MetaPathFinder):
    """Import a module of ours after a module of transformers."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the modules in `REGISTERING`; all others are left to Python."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if name in REGISTERING else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, REGISTERING[name])
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, after: str):
        self.loader, self.after = loader, after

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Create the module as its own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then import ours."""
        self.loader.exec_module(module)
        importlib.import_module(self.after)
