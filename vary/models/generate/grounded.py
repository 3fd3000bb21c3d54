"""Write an answer that asks a detector: boxes that it finds are read back as regions (CoVLM, arXiv 2311.03354).

The answer stops at the token of the detector. The best box becomes a region of the prompt, its tokens are appended, and
the answer goes on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...io.errors import ConfigError
from ..heads.detector import Detector, best_boxes


@torch.no_grad()
def ask_detector(
    model: Any, inputs: dict[str, Any], end_ids: list[int], max_tokens: int = 256, **settings: Any
) -> tuple[Tensor, Tensor]:
    """Answer one prompt; return its ids with the answer (1, T), and the boxes that were found (1, R, 4).

    Args:
        model: A model with `regions` and a `detector`.
        inputs: The prompt, as the processor gives it.
        end_ids: Ids that follow a box, such as that of `<|#endofobject#|>`.
        max_tokens: Most tokens of the answer.
        **settings: Further arguments of `generate`.

    Raises:
        ConfigError: The model has no detector or no regions.
    """
    place = next((k for k, head in enumerate(model.heads) if isinstance(head, Detector)), None)
    if place is None or model.regions is None:
        raise ConfigError("this model has no detector, or no regions to read its boxes")
    found = dict(inputs)
    most = found["input_ids"].shape[1] + max_tokens
    ends = [model.config.text_config.eos_token_id, model.heads[place].token]
    while (left := most - found["input_ids"].shape[1]) > 0:
        ids = model.generate(**found, max_new_tokens=left, eos_token_id=ends, **settings)
        asked = bool(ids[0, -1] == model.heads[place].token)
        found = _longer(found, ids)
        if not asked:
            break
        box = best_boxes(model(**found).predictions[place][-1:])[None]
        found["regions"] = torch.cat([found["regions"], box], 1) if "regions" in found else box
        added = ids.new_tensor([[model.regions.token, *end_ids]])
        found = _longer(found, torch.cat([ids, added], 1))
    return found["input_ids"], found.get("regions", found["input_ids"].new_zeros(1, 0, 4))


def _longer(inputs: dict[str, Any], ids: Tensor) -> dict[str, Any]:
    return inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
