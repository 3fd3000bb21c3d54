"""Ask a model about images; the answer is text, boxes or the data of a chart.

`load_chat_model` opens any model folder with a processor whose template takes questions; models that read by rows alone
(`vary-nano`) are for `vary.read`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import GenerationConfig, TextStreamer

from ...io.errors import InputError, VaryError
from ...markup.boxes import Boxes, parse_boxes
from ...markup.chart_text import Chart, parse_chart
from ...markup.prompts import PROMPTS
from ..hub import weights_dir
from ..modeling import VaryForConditionalGeneration, load_model
from ..processor import VaryProcessor, load_processor, open_picture
from .answer import Answer
from .quantize import QUANTISED, quantize
from .repetition import Loop, StopRepetition

Picture = Image.Image | str | Path
OnText = Callable[[str], object]
MAX_TOKENS = 2048  # what the papers' own demos allow
NO_REPEAT = 20  # tokens that may not come twice in a row of that length (GOT's released script)


class ChatModel:
    """A model and its processor. Greedy and deterministic; `ask_all` answers as `ask` does, in batches."""

    def __init__(self, model: VaryForConditionalGeneration, processor: VaryProcessor):
        self.model, self.processor = model.eval(), processor

    def ask(
        self,
        images: Picture | list[Picture],
        question: str = "",
        *,
        on_text: OnText | None = None,
        **limits: Any,
    ) -> Answer:
        """Ask one question about one image or several. on_text gets pieces of the answer as they are written; if it
        returns True, that was the last one.

        limits: `max_tokens` (default 2048) and `no_repeat` (n-gram that may not repeat, 0 allows all; default 20).
        Raises ValueError for an image that cannot be read.
        """
        shown = images if isinstance(images, list) else [images]
        return self.ask_all([(shown, question)], on_text=on_text, **limits)[0]

    def ask_all(self, questions: list[tuple[list[Picture], str]], **limits: Any) -> list[Answer]:
        """Answer several questions, each about its own images, in one batch."""
        return self.chat_all([_message(images, question) for images, question in questions], **limits)

    def chat_all(
        self,
        conversations: list[list[dict[str, Any]]],
        *,
        max_tokens: int = MAX_TOKENS,
        no_repeat: int = NO_REPEAT,
        on_text: OnText | None = None,
    ) -> list[Answer]:
        """Answer the next turn of each conversation, in one batch.

        Each row has its own limit of tokens, so it gets the answer that it gets alone. A row that is refused has an
        `error` and the others are answered. A refused batch of one raises InputError (wrong turns, or more than the
        context holds).
        """
        refused = self._refusals(conversations)
        kept = [row for row in range(len(conversations)) if row not in refused]
        if len(conversations) == 1 and refused:
            raise InputError(refused[0])
        answers = {row: Answer("", False, 0, error=reason) for row, reason in refused.items()}
        if kept:
            found = self._generate([conversations[row] for row in kept], max_tokens, no_repeat, on_text)
            answers |= dict(zip(kept, found, strict=True))
        return [answers[row] for row in range(len(conversations))]

    def _refusals(self, conversations: list[list[dict[str, Any]]]) -> dict[int, str]:
        """Return the rows whose turns the template does not have or that leave no room for an answer, with reasons."""
        refused: dict[int, str] = {}
        for row, conversation in enumerate(conversations):
            try:
                length = int(self._encode([conversation])["attention_mask"].sum())
            except VaryError as error:
                refused[row] = str(error)
                continue
            if self._places is not None and length >= self._places:
                refused[row] = (
                    f"the question has {length} tokens with its images; this model's context holds {self._places}"
                )
        return refused

    @property
    def _places(self) -> int | None:
        """Length of the context in tokens; None when the model has no limit."""
        return getattr(self.model.config.text_config, "max_position_embeddings", None)

    def _encode(self, conversations: list[list[dict[str, Any]]]) -> Any:
        return self.processor.apply_chat_template(conversations, tokenize=True, return_dict=True)

    def _generate(
        self, conversations: list[list[dict[str, Any]]], max_tokens: int, no_repeat: int, on_text: OnText | None
    ) -> list[Answer]:
        inputs = self._encode(conversations).to(self.model.device)
        tokenizer, stop = self.processor.tokenizer, self.processor.stop_ids[-1:]
        long = 1 if self.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]  # tokens before the answer
        asked = inputs["attention_mask"].sum(1).tolist()
        rooms = [min(max_tokens, self._places - own) if self._places else max_tokens for own in asked]
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=max(rooms), no_repeat_ngram_size=no_repeat, eos_token_id=stop,
            pad_token_id=tokenizer.pad_token_id, suppress_tokens=[self.model.config.image_token_id],
        )  # fmt: skip
        streamer = _Streamer(tokenizer, on_text) if on_text else None
        guard = StopRepetition(tokenizer.decode, long, [*stop, tokenizer.pad_token_id])
        ends = torch.tensor(rooms, device=self.model.device) + long

        def is_full(input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            return input_ids.shape[1] >= ends

        with torch.inference_mode():
            written = self.model.generate(
                **inputs, generation_config=settings, streamer=streamer,
                stopping_criteria=[guard, is_full, *([streamer.should_stop] if streamer else [])],
            )  # fmt: skip
        rows = enumerate(zip(written[:, long:].tolist(), asked, rooms, strict=True))
        return [self.decode(ids[:room], stop[0], own, guard.loops.get(row)) for row, (ids, own, room) in rows]

    def chart(self, image: Picture, language: str = "en", **limits: Any) -> Chart:
        """Return the chart in an image as data. Raises ValueError when the answer holds none."""
        return parse_chart(self.ask(image, PROMPTS["chart"][language], **limits).text)

    def detect(self, image: Picture, classes: list[str] | None = None, language: str = "en", **limits: Any) -> Boxes:
        """Return the objects of an image, all or of some classes: boxes in its pixels; `rejected`: what is no box."""
        picture = open_picture(image)
        question = PROMPTS["detect"][language]
        if classes:
            question = PROMPTS["detect-classes"][language].format(", ".join(classes))
        return parse_boxes(self.ask(picture, question, **limits).text, picture.size)

    def decode(self, ids: list[int], stop: int, asked: int = 0, loop: Loop | None = None) -> Answer:
        """Return the answer that token ids up to `stop`, or up to a repetition, spell."""
        finished = stop in ids
        ids = ids[: ids.index(stop)] if finished else ids
        while loop and ids[-1] == self.processor.tokenizer.pad_token_id:  # other rows of the batch went on
            ids.pop()
        text = self.processor.tokenizer.decode(ids[: loop.keep] if loop else ids, skip_special_tokens=True).strip()
        return Answer(text, finished and loop is None, len(ids), asked, loop is not None)


def load_chat_model(folder: str | Path, device: str = "cpu", dtype: str = "auto") -> ChatModel:
    """Load a model that answers questions, from a folder. This is `vary.chat`.

    dtype: `auto` (as saved), `float32`, `bfloat16` or `float16`; `int8` and `int4` hold the language model's weights in
    as many bits and compute in bfloat16. Raises ValueError for a folder that holds no model, no tokenizer, or a model
    that takes no questions, and for a device that is not there.
    """
    path = weights_dir(str(folder))
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device}: this PyTorch finds no GPU")
    if not (path / "config.json").is_file():
        raise InputError(f"{folder}: no model folder (no config.json in it)")
    if not (path / "processor_config.json").is_file():
        raise InputError(
            f"{folder}: no processor in it; `vary convert` writes one when the tokenizer is next to the weights"
        )
    processor = load_processor(path)
    if processor.template == "plain":
        raise InputError(f"{folder}: this model reads pages (vary read) and answers no questions")
    model = load_model(path, "bfloat16" if dtype in QUANTISED else dtype)
    if dtype in QUANTISED:
        quantize(model, dtype)
    nn.Module.to(model, device)
    return ChatModel(model, processor)


def _message(images: list[Picture], question: str) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = [{"type": "image", "image": image} for image in images]
    if question:
        content.append({"type": "text", "text": question})
    return [{"role": "user", "content": content}]


class _Streamer(TextStreamer):
    def __init__(self, tokenizer: Any, on_text: Callable[[str], object]):
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.on_text, self.enough = on_text, False

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.enough = self.on_text(text) is True or self.enough

    def should_stop(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return a stopping criterion that ends generation when the listener wants no more."""
        return torch.full((input_ids.shape[0],), self.enough, device=input_ids.device)
