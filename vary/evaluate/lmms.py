"""Run a model of ours in lmms-eval.

`python -m vary.evaluate.lmms --model vary --model_args pretrained=DIR --tasks NAME`.

All arguments are those of lmms-eval, which is imported only when this runs. `vary eval` does not use this file.
Protocol of lmms-eval: a model has `generate_until(requests)`. The `args` of a request are the question, settings of the
generation, a function from a record to its images, and the record's number, task and split. `task_dict` holds the
records.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..io.errors import ConfigError
from ..models.generate.chat import ChatModel, load_chat_model


class VaryAnswers:
    """A model with the methods that lmms-eval calls. pretrained: a model folder."""

    task_dict: dict[str, Any]

    def __init__(
        self, pretrained: str = "", device: str = "cpu", batch_size: int | str = 1, dtype: str = "auto", **others: Any
    ):
        super().__init__()
        if others:
            raise ConfigError(f"unknown model argument {next(iter(others))!r}; allowed: pretrained, device, dtype")
        self.chat_model: ChatModel = load_chat_model(pretrained, device, dtype)
        self.batch_size = int(batch_size)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests, in their order."""
        answers = []
        for request in requests:
            question, settings, images_of, number, task, split = request.args
            images = [image.convert("RGB") for image in images_of(self.task_dict[task][split][number])]
            found = self.chat_model.ask(images, question, max_tokens=int(settings.get("max_new_tokens", 1024)))
            answers.append(_until(found.text, settings.get("until") or ()))
        return answers

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Conversations of several rounds are not supported."""
        raise NotImplementedError("vary answers one question at a time")

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Likelihoods of given answers are not supported: choose tasks that generate."""
        raise NotImplementedError("vary has no likelihoods for lmms-eval: choose tasks of the kind generate_until")


def _until(text: str, ends: str | Sequence[str]) -> str:
    for end in [ends] if isinstance(ends, str) else ends:
        text = text.split(end)[0] if end else text
    return text


def __getattr__(name: str) -> Any:
    """Build `Vary` with lmms-eval's base class; its registry imports this name."""
    if name != "Vary":
        raise AttributeError(name)
    from lmms_eval.api.model import lmms

    return type("Vary", (VaryAnswers, lmms), {})


def main() -> None:
    """Run lmms-eval's command with the model `vary` in its registry."""
    try:
        from lmms_eval.__main__ import cli_evaluate
        from lmms_eval.models import MODEL_REGISTRY_V2
        from lmms_eval.models.registry_v2 import ModelManifest
    except ImportError:
        sys.exit("vary: this needs lmms-eval 0.7 or later: pip install lmms-eval")
    MODEL_REGISTRY_V2.register_manifest(ModelManifest(model_id="vary", simple_class_path="vary.evaluate.lmms.Vary"))
    cli_evaluate()


if __name__ == "__main__":
    main()
