"""Find a model's folder, read its configuration, and register the model with the Auto classes of transformers."""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.machinery
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..io.errors import ConfigError, InputError

WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "trunk.onnx"  # input `pixels` (1, C, H, W) float32, normalised; output `features` (1, D, rows, columns)
FORMULA_FILES = ("formulas_begin.onnx", "formulas_next.onnx")  # see `generate/export_onnx.py`
LINE_FILES = ("lines_connect.onnx", "lines_score.onnx")  # of the same module: the decoder that rescores lines
GLYPH_FILE = "formulas_glyphs.onnx"  # of the same module: finds the glyphs of formulas in pixels
MORE_LETTERS = "more_letters"  # folder in a model's folder: a reading network with more letters, see `train/export/`
REGISTERING = {  # module of transformers -> module of ours that registers a class with it
    "transformers.models.auto.configuration_auto": "vary.models.config",
    "transformers.models.auto.modeling_auto": "vary.models.modeling",
    "transformers.models.auto.processing_auto": "vary.models.processor",
}
SHAPES: dict[str, tuple[Any, str]] = {  # of values in a `config.json`; what they hold is for `VaryConfig`
    "vocabularies": (list, "a list"),
    "connector": ((dict, list), "an object or a list"),
    "text_config": (dict, "an object"),
    "reading": ((dict, type(None)), "an object or null"),
}
HOLDS = "a model's folder holds config.json and model.safetensors, as `vary train --export` and `vary convert` write it"


def weights_dir(name: str) -> Path:
    """Return the folder of a shipped model, or the given path if it is a folder.

    Raises:
        ValueError: There is neither.
    """
    shipped = {path.name: path for path in (Path(__file__).parent / "weights").glob("*") if path.is_dir()}
    if name in shipped:
        return shipped[name]
    if name and Path(name).is_dir():
        return Path(name)
    raise InputError(f"no model {name!r}: neither a folder nor one of {', '.join(sorted(shipped)) or 'none shipped'}")


def header_digest(folder: Path) -> str:
    """Return the SHA-256 of the header of a folder's `model.safetensors`: the names and places of its tensors.

    Raises:
        OSError: The file cannot be read.
    """
    return hashlib.sha256(safetensors_header(folder / WEIGHTS_FILE)[0]).hexdigest()


def safetensors_header(path: Path) -> tuple[bytes, int]:
    """Return the header of a safetensors file, which tells the place of each tensor, and where the tensors begin.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(length), 8 + length


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Read a JSON file of a model folder; `config.json` names its parts and their sizes.

    Raises:
        ConfigError: It is missing, damaged, or no JSON object. The message names the file and the reason.
    """
    file = folder / name
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and name == "config.json":
            raise ConfigError(f"{folder}: no model: there is no {name}; {HOLDS}") from None
        raise ConfigError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{file}: expected an object, got {config!r:.60}")
    for key, (kinds, wanted) in SHAPES.items():
        if key in config and not isinstance(config[key], kinds):
            raise ConfigError(f"{file}: {key}: expected {wanted}, got {config[key]!r:.60}")
    return config


def value_at(folder: Path, config: dict[str, Any], *keys: str | int) -> Any:
    """Return a value of a folder's `config.json` by keys and places in lists. Raises ConfigError if it lacks one."""
    value: Any = config
    for key in keys:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            raise ConfigError(f"{folder / 'config.json'}: no {'.'.join(map(str, keys))}") from None
    return value


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
