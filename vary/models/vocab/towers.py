"""Any image tower of transformers as a vocabulary; timm's by the model type `timm_wrapper`, where timm is installed.

The tower's names of tensors are those of the installed transformers; `clip` and `siglip` have files of their own
because theirs have changed between versions.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...io.errors import ConfigError
from .base import Vocabulary


class HfVocabulary(Vocabulary):
    """Pixels (B, 3, H, W) -> tokens (B, N, D) of a tower.

    config: the tower's configuration as a dict with its `model_type`. stride: pixels per token; needed where the
    configuration has no `patch_size`. layer: hidden state, counted as transformers does; None is the tower's output.
    width: D, needed where the configuration has no `hidden_size`. Feature maps (B, D, rows, columns) are flattened;
    class and register tokens in front of the patches are dropped.
    """

    def __init__(
        self, config: dict[str, Any], stride: int | None = None, layer: int | None = None, width: int | None = None
    ):
        from transformers import AutoModel  # it costs seconds, and reading by rows needs none of it

        super().__init__(config=config, stride=stride, layer=layer, width=width)
        tower = _config(config)
        self.tower = AutoModel.from_config(tower)
        self.layer = layer
        self.width = int(width or tower.hidden_size)

    @classmethod
    def stride_of(cls, **sizes: Any) -> tuple[int, int]:
        """`stride`, else the patch size of the tower's configuration."""
        config, stride = sizes["config"], sizes.get("stride")
        if stride is None:
            stride = getattr(_config(config), "patch_size", None)
        if not isinstance(stride, int):
            raise ConfigError(f"vocabulary hf, {config['model_type']}: give stride, pixels per token; got {stride!r}")
        return stride, stride

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Raises ValueError when the tower gives fewer tokens than the grid has cells."""
        rows, columns = self.grid(*pixels_BCHW.shape[-2:])
        out = self.tower(pixel_values=pixels_BCHW, output_hidden_states=self.layer is not None)
        tokens: Tensor = out.last_hidden_state if self.layer is None else out.hidden_states[self.layer]
        if tokens.ndim == 4:
            tokens = tokens.flatten(2).transpose(1, 2)
        extra = tokens.shape[1] - rows * columns
        if extra < 0:
            raise ValueError(f"the tower gives {tokens.shape[1]} tokens for a grid of {rows}x{columns} cells")
        return tokens[:, extra:]


def _config(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    values = dict(config)
    return AutoConfig.for_model(values.pop("model_type"), **values)
