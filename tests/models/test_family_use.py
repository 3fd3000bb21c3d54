"""Every way of seeing images can be asked, trained with LoRA, quantised and served, as vary-toy can."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient

from vary.data.sample import Sample
from vary.models.config import preset
from vary.models.generate.chat import load_chat_model
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor
from vary.serve.app import create_app, load_models
from vary.train.loop import train
from vary.train.recipe import Recipe
from vary.train.tasks import chat_task

from .references import randomised
from .test_rows import shown, tokenizer_of

WAYS = {  # one row of each way
    "llava-next": "prefix",
    "idefics": "cross",
    "blip": "attend",
    "florence-2": "encoder-decoder",
    "paligemma": "prefix mask",
    "qwen2-vl": "positions in three rows",
    "instructblip": "words",
}
TEMPLATE = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'image' %}PAD{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "{% if m.role == 'assistant' %}END{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    made = {}
    for name in WAYS:
        config = preset(f"{name}-test")
        tokenizer = tokenizer_of(config)
        pad = "" if name == "blip" else "<imgpad>"
        tokenizer.chat_template = TEMPLATE.replace("PAD", pad).replace("END", tokenizer.eos_token)
        processor = VaryProcessor.of(config, tokenizer)
        if name == "instructblip":
            processor.words_tokenizer = tokenizer_of(config)
        made[name] = tmp_path_factory.mktemp(name)
        randomised(VaryForConditionalGeneration(config)).save_pretrained(made[name])
        processor.save_pretrained(made[name])
    return made


@pytest.mark.parametrize("name", WAYS)
def test_it_answers_alone_in_a_batch_and_in_eight_bits(name, folders) -> None:
    chat = load_chat_model(folders[name])
    questions = [([shown(1)], "what?"), ([shown(2)], "and what is this?")]
    answers = chat.ask_all(questions, max_tokens=6)
    assert [answer.error for answer in answers] == [None, None]
    assert all(0 < answer.tokens <= 6 for answer in answers)
    assert [chat.ask(*question, max_tokens=6) for question in questions] == answers
    assert load_chat_model(folders[name], dtype="int8").ask(*questions[0], max_tokens=4).error is None


class Pictures:
    """Two pictures in turn, so that every batch asks the same and the loss of a step says what the last ones did."""

    def sample(self, i: int) -> Sample:
        image = np.random.default_rng(i % 2).integers(0, 255, (90, 61, 3), np.uint8)
        return Sample(image, [], "picture", {}, f"Number {i % 2}.", "Which is it?")


@pytest.mark.parametrize("name", WAYS)
def test_lora_lowers_the_loss(name, folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(chat_task, "open_mix", lambda stage, seed, held_out=False: Pictures())
    stage = {"name": "tune", "task": "answer", "mix": "pictures", "steps": 5, "lr": 0.02, "batch": 2, "max_tokens": 400,
             "trainable": ["language_model"], "schedule": "cosine"}  # fmt: skip
    lora = {"r": 4} | ({"targets": ["query", "value"]} if name == "blip" else {})
    whole = {"model": str(folders[name]), "out": str(tmp_path / "run"), "workers": 0, "log_every": 1, "save_every": 5,
             "eval_every": 100, "ema": 0.0, "precision": "float32", "lora": lora, "stages": [stage]}  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(whole))
    train(Recipe.load(tmp_path / "recipe.yaml"), log=lambda _: None)
    with (tmp_path / "run" / "loss.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]


def test_they_are_served(folders) -> None:
    models = load_models([str(folders[name]) for name in WAYS])
    picture = io.BytesIO()
    shown(1).save(picture, "PNG")
    url = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what?"}]
    with TestClient(create_app(models), base_url="http://localhost") as client:
        for name, model in models.items():
            expected = model.chat_model.ask(shown(1), "what?", max_tokens=5)
            asked = {"model": name, "max_tokens": 5, "messages": [{"role": "user", "content": content}]}
            found = client.post("/v1/chat/completions", json=asked).json()
            assert found["choices"][0]["message"]["content"] == expected.text, name
