"""Find the folder that holds a model's weights: shipped in the package or given as a path."""

from __future__ import annotations

from pathlib import Path

from ..io.errors import InputError


def weights_dir(name: str) -> Path:
    """Folder of a model: a shipped name, or a path."""
    shipped = Path(__file__).parent / "weights" / name
    if shipped.is_dir():
        return shipped
    if Path(name).is_dir():
        return Path(name)
    known = sorted(p.name for p in shipped.parent.glob("*") if p.is_dir())
    raise InputError(f"no model {name!r}: neither a folder nor one of {', '.join(known) or 'none shipped'}")
