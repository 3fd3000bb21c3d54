"""Draw an image by diffusion: the pipelines of diffusers as a tool of `generate.tools`.

Sources: DDPM, arXiv 2006.11239; latent diffusion, arXiv 2112.10752; DiT, arXiv 2212.09748; DALL-E 2, arXiv 2204.06125.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ...io.errors import ConfigError, InputError, MissingExtra
from ..hub import read_config

PIPELINES = {  # class of diffusers -> what it draws from
    "DDPMPipeline": "nothing",
    "StableDiffusionPipeline": "words",
    "DiTPipeline": "a class",
    "KandinskyV22CombinedPipeline": "words",  # DALL-E 2: words give the embedding of an image, which is drawn
}


class Diffusion:
    """A folder of a diffusion model as a function from words to an image.

    Args:
        folder: What diffusers saves: `model_index.json`, and a folder for each part (safetensors).

    Raises:
        ConfigError: The folder holds another kind of model.
        MissingExtra: diffusers is not installed.
    """

    def __init__(self, folder: Path):
        kind = read_config(folder, "model_index.json").get("_class_name")
        if not isinstance(kind, str) or kind not in PIPELINES:
            raise ConfigError(f"{folder / 'model_index.json'}: {kind!r}; allowed: {', '.join(PIPELINES)}")
        try:
            import diffusers
        except ModuleNotFoundError:
            raise MissingExtra("drawing by diffusion, with Python 3.11 or later,", "diffusers", "images") from None
        self.source = PIPELINES[kind]
        options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        self.pipeline: Any = getattr(diffusers, kind).from_pretrained(folder, **options)
        self.pipeline.set_progress_bar_config(disable=True)

    def __call__(
        self,
        prompt: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> Image.Image:
        """Draw an image; the same arguments give the same one.

        Args:
            prompt: The words, or the name or number of a class (DiT). None for models that draw from nothing (DDPM).
            seed: Chooses the noise.
            steps: Steps of the diffusion that draws the image. None takes those of the pipeline.
            size: Width and height in pixels, for models that draw from words. None takes that of the model.

        Raises:
            InputError: The model needs a prompt, takes none, takes no size, or does not know the class.
        """
        name = type(self.pipeline).__name__
        if (prompt is None) != (self.source == "nothing"):
            raise InputError(f"{name} draws from {self.source}; the prompt is {prompt!r}")
        if size and self.source != "words":
            raise InputError(f"{name} draws in one size; the size is {size}")
        given: dict[str, Any] = {} if prompt is None else {"prompt": prompt}
        if self.source == "a class":
            given = {"class_labels": [self._class(str(prompt))]}
        given |= {"width": size[0], "height": size[1]} if size else {}
        given |= {} if steps is None else {"num_inference_steps": steps}
        with torch.random.fork_rng():  # some pipelines draw noise outside their generator
            generator = torch.manual_seed(seed)
            image: Image.Image = self.pipeline(**given, generator=generator).images[0]
        return image

    def _class(self, name: str) -> int:
        """Return the number of a class by its name or number."""
        labels, count = self.pipeline.labels, self.pipeline.transformer.config.num_embeds_ada_norm
        number = labels.get(name, int(name) if name.isdecimal() else -1)
        if not 0 <= number < count:
            known = f"0 to {count - 1}" + "".join(f", {label}" for label in list(labels)[:5])
            raise InputError(f"no class {name!r}; allowed: {known}{', …' if len(labels) > 5 else ''}")
        return int(number)
