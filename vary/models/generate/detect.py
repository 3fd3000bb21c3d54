"""Find what a text names in an image: Grounding DINO, a class of transformers, as a tool of `generate.tools`.

Source: Grounding DINO, arXiv 2303.05499.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from ...io.errors import ConfigError
from ...io.image import rgb


class GroundingDino:
    """A folder of Grounding DINO as a function from an image and a text to boxes.

    Args:
        folder: What transformers saves: model (safetensors) and processor.

    Raises:
        ConfigError: The folder holds another kind of detector.
    """

    def __init__(self, folder: Path):
        self.processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
        if not hasattr(self.processor, "post_process_grounded_object_detection"):
            raise ConfigError(f"{folder}: {type(self.processor).__name__}; allowed: processors of Grounding DINO")
        options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        self.model = AutoModelForZeroShotObjectDetection.from_pretrained(folder, **options).eval()

    @torch.no_grad()
    def __call__(
        self, image: Image.Image, caption: str, box_threshold: float = 0.3, text_threshold: float = 0.25
    ) -> dict[str, list[Any]]:
        """Return what was found, best first, under the names that LLaVA-Plus uses.

        Args:
            image: The image.
            caption: What to look for, such as `a cat. a red ball`.
            box_threshold: Least probability of a box.
            text_threshold: Least probability of a word of its phrase.

        Returns:
            `boxes` (left, top, right, bottom as shares of the image), their probabilities `logits`, and `phrases`.
        """
        text = caption.lower().strip().rstrip(".") + "."
        inputs = self.processor(images=rgb(image), text=text, return_tensors="pt")
        thresholds = {"threshold": box_threshold, "text_threshold": text_threshold}
        out = self.model(**inputs)
        found = self.processor.post_process_grounded_object_detection(out, inputs["input_ids"], **thresholds)[0]
        order = found["scores"].argsort(descending=True).tolist()
        boxes, scores = found["boxes"].tolist(), found["scores"].tolist()
        return {
            "boxes": [[round(side, 4) for side in boxes[k]] for k in order],
            "logits": [round(scores[k], 4) for k in order],
            "phrases": [found["text_labels"][k] for k in order],
        }
