"""Hold the weights of a language model in 8 or 4 bits, by optimum-quanto."""

from __future__ import annotations

from typing import Any

from torch import nn

from ...io.errors import MissingExtra

QUANTISED = ("int8", "int4")
VECTOR = 16  # PyTorch's kernel reads so many weights at once, and past the end of a layer that is no multiple


def quantize(model: nn.Module, kind: str, extra: str = "quant") -> None:
    """Replace the weights of `model.language_model` by `kind` (`int8` or `int4`). Vocabularies stay as they are.

    Args:
        model: A model with a language model.
        kind: One of `QUANTISED`.
        extra: Extra of this package that installs optimum-quanto, for the error message.

    Raises:
        MissingExtra: optimum-quanto is not installed.
    """
    try:
        from optimum import quanto
    except ImportError:
        raise MissingExtra(f"dtype {kind}", "optimum-quanto", extra) from None
    language: Any = model.language_model
    layers = ((name, layer) for name, layer in language.named_modules() if isinstance(layer, nn.Linear))
    odd = [name for name, layer in layers if layer.in_features % VECTOR]
    quanto.quantize(language, weights=getattr(quanto, f"q{kind}"), exclude=odd or None)
    quanto.freeze(language)
