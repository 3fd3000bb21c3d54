"""Hold the weights of a language model in 8 or 4 bits, by optimum-quanto."""

from __future__ import annotations

from torch import nn

from ..io.errors import MissingExtra

QUANTISED = ("int8", "int4")


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
    quanto.quantize(model.language_model, weights=getattr(quanto, f"q{kind}"))
    quanto.freeze(model.language_model)
