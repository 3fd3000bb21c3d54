"""Read the tokenizer of a checkpoint, and put the special tokens at the ids that the weights know."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ...io.errors import InputError
from ..config import VaryConfig
from ..processor import VaryProcessor
from .qwen_tokenizer import qwen_tokenizer

FILES = (
    "qwen.tiktoken", "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip


def save_tokenizer(source: Path, target: Path, config: VaryConfig | None) -> list[str]:
    """Write the tokenizer of the source and a processor to the target. Return a line if there is none.

    config: of our model; None copies the files as they are, for a foreign layout. Raises ValueError when `<imgpad>` has
    another id than the model expects.
    """
    folder = source if source.is_dir() else source.parent
    present = [name for name in FILES if (folder / name).is_file()]
    if not any(name in present for name in ("qwen.tiktoken", "tokenizer.json", "tokenizer.model", "vocab.json")):
        return [f"{source}: no tokenizer next to it, so none was written"]
    if config is None:
        for name in present:
            shutil.copyfile(folder / name, target / name)
        return []
    tokenizer = load_tokenizer(folder)
    if tokenizer.convert_tokens_to_ids("<imgpad>") in (None, tokenizer.unk_token_id):
        # the authors' code adds `<imgpad>` to OPT first; in Qwen's layout it is the last
        names = ["<img>", "</img>"]
        names.insert(0 if len(tokenizer) == config.image_token_id else 2, "<imgpad>")
        tokenizer.add_tokens([AddedToken(token, special=True) for token in names], special_tokens=True)
    found = tokenizer.convert_tokens_to_ids("<imgpad>")
    if found != config.image_token_id:
        raise InputError(
            f"{source}: <imgpad> has the id {found} in the tokenizer, {config.image_token_id} in the model"
        )
    VaryProcessor.of(config, tokenizer).save_pretrained(target)
    return []


def load_tokenizer(folder: Path) -> Any:
    """Load the fast tokenizer of a folder; Qwen's is built from its ranks."""
    if (folder / "tokenizer.json").is_file():
        return PreTrainedTokenizerFast.from_pretrained(folder)
    if (folder / "qwen.tiktoken").is_file():
        return qwen_tokenizer(folder / "qwen.tiktoken")
    return AutoTokenizer.from_pretrained(folder)
