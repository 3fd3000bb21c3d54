"""A citizen of transformers: pipelines, PEFT, Trainer, quantised weights, device maps, compile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import Trainer, TrainingArguments, pipeline

from vary.models.config import preset
from vary.models.generate.chat import load_chat_model
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8))
TALK = [
    {"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "What is it?"}]},
    {"role": "assistant", "content": "A picture."},
]


@pytest.fixture(params=["vary-toy", "got", "vary-tiny"])
def made(request, tokenizers) -> tuple[VaryForConditionalGeneration, VaryProcessor]:
    config = preset(f"{request.param}-test")
    torch.manual_seed(0)
    return VaryForConditionalGeneration(config).eval(), VaryProcessor.of(config, tokenizers(config))


def learning(processor: VaryProcessor) -> dict:
    return dict(processor.apply_chat_template(TALK, tokenize=True, return_dict=True, labels=True))


def test_pipeline(made) -> None:
    model, processor = made
    ask = pipeline("image-text-to-text", model=model, processor=processor)
    answers = [ask(text=TALK[:1], max_new_tokens=5, do_sample=False, return_full_text=False) for _ in range(2)]
    assert answers[0][0]["generated_text"] == answers[1][0]["generated_text"]
    inputs = processor.apply_chat_template(TALK[:1], tokenize=True, return_dict=True)
    ids = model.generate(**inputs, max_new_tokens=5, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    expected = processor.tokenizer.decode(ids, skip_special_tokens=True)
    assert answers[0][0]["generated_text"].strip() == expected.strip()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft reads it
def test_lora_trains_its_own_weights_alone(made) -> None:
    model, processor = made
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)"))
    adapted(**learning(processor)).loss.backward()
    trained = {n for n, p in adapted.named_parameters() if p.grad is not None}
    assert trained
    assert all("lora_" in name and "language_model" in name for name in trained)


@pytest.mark.parametrize("made", ["vary-toy"], indirect=True)
def test_trainer_learns_one_answer_by_heart(made, tmp_path) -> None:
    model, processor = made
    one = learning(processor)
    arguments = TrainingArguments(
        str(tmp_path), max_steps=12, learning_rate=2e-2, per_device_train_batch_size=2, report_to=[],
        save_strategy="no", remove_unused_columns=False, use_cpu=True, disable_tqdm=True, logging_steps=1000, seed=0,
    )  # fmt: skip
    examples = [[*TALK], [*TALK]]

    def collate(batch: list) -> dict:
        return dict(processor.apply_chat_template(batch, tokenize=True, return_dict=True, labels=True))

    before = model(**one).loss.item()
    Trainer(model, arguments, train_dataset=examples, data_collator=collate).train()
    assert model.eval()(**one).loss.item() < before / 2


@pytest.mark.parametrize(
    ("dtype", "bits", "bound"),
    [
        ("int8", 8, 0.02),
        # slow: the library compiles a kernel at the first use in an environment, which takes a minute and more
        pytest.param("int4", 4, 0.2, marks=pytest.mark.slow),
    ],
)
def test_quantised_weights_answer_nearly_the_same(made, dtype, bits, bound, tmp_path) -> None:
    model, processor = made
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    quantised = load_chat_model(tmp_path, dtype=dtype).model
    linears = [m for m in quantised.language_model.modules() if isinstance(m, torch.nn.Linear)]
    assert linears
    assert all(type(m.weight).__name__.startswith("WeightQ") for m in linears)
    assert not any(type(p).__name__.startswith("WeightQ") for p in quantised.vocabularies.parameters())
    inputs = learning(processor)
    del inputs["labels"]
    with torch.no_grad():
        whole, few = model(**inputs).logits, quantised(**inputs).logits.float()
    assert (whole - few).abs().max() < bound * whole.abs().max()


@pytest.mark.slow  # 4 s to import the compiler
@pytest.mark.parametrize("made", ["vary-toy"], indirect=True)
def test_it_compiles_without_a_break(made) -> None:
    model, processor = made
    inputs = processor.apply_chat_template(TALK[:1], tokenize=True, return_dict=True)
    pixels = inputs["pixel_values"]
    pixels = pixels if isinstance(pixels, list) else [pixels]
    compiled = torch.compile(model.get_image_features, fullgraph=True, backend="eager")
    with torch.no_grad():
        expected = model.get_image_features(pixels)  # a tower of transformers installs hooks on its first call
        torch.testing.assert_close(compiled(pixels), expected, atol=1e-5, rtol=1e-5)


def test_half_precision_and_another_dtype_of_pixels(made) -> None:
    model, processor = made
    inputs = processor.apply_chat_template(TALK[:1], tokenize=True, return_dict=True)
    with torch.no_grad():
        whole = model(**inputs).logits
        half = model.to(torch.bfloat16)(**inputs).logits
    assert half.dtype == torch.bfloat16
    assert (whole - half.float()).abs().max() < 0.05 * whole.abs().max() + 0.02
