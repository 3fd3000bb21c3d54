"""Write conversations with the Jinja template of another model, so that the text of a user stays text.

Jinja joins everything to one string, in which `</s>` of a user would look like the end of a turn. So the template is
rendered with private marks in place of what people wrote, and the result is split at the marks.
"""

from __future__ import annotations

import re
from typing import Any

from ...io.errors import InputError
from ...markup.prompts import Piece

_MARK = "\ue000{}\ue001"  # of the private use area: no template holds it
_MARKS = re.compile("\ue000(\\d+)\ue001")


def foreign_pieces(
    messages: list[dict[str, Any]], tokenizer: Any, template: str, image_pad: str, ask: bool, marked: bool = True
) -> tuple[list[Piece], list[Any]]:
    """Split a conversation into pieces as `markup.prompts.pieces_of` does, by a template in Jinja.

    Args:
        messages: The conversation.
        tokenizer: It renders the template, in a sandbox, and knows the special tokens.
        template: In Jinja; it writes `image_pad` for an image.
        image_pad: The token that stands for an image in the template, and for one image token in the prompt.
        ask: Announce an answer at the end.
        marked: Images have a place in the prompt; without one the template need not write `image_pad`.

    Raises:
        InputError: The template writes another number of images than the conversation has.
    """
    said: list[tuple[str, bool]] = []
    images: list[Any] = []
    turns = [_mark_turns(turn, said, images) for turn in messages]
    text = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, add_generation_prompt=ask)
    bos = tokenizer.bos_token
    if bos and not text.startswith(bos) and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:
        text = bos + text
    pieces: list[Piece] = []
    for k, part in enumerate(_MARKS.split(text)):
        if k % 2:
            pieces.append(Piece("text", *said[int(part)]))
        else:
            after_answer = bool(pieces) and pieces[-1].learn
            pieces += _literal(part, tokenizer, image_pad, after_answer)
    if marked and sum(piece.kind == "image" for piece in pieces) != len(images):
        raise InputError(f"the template of this model does not write its image token {image_pad!r} once per image")
    return pieces, images


def _mark_turns(turn: dict[str, Any], said: list[tuple[str, bool]], images: list[Any]) -> dict[str, Any]:
    """Replace the texts of a turn by marks, and collect them and the images."""
    content = turn["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    found = []
    for part in parts:
        if part["type"] == "image":
            images.append(next((part[key] for key in ("image", "path", "url") if part.get(key) is not None), None))
            found.append({"type": "image"})
        else:
            found.append({"type": "text", "text": _MARK.format(len(said))})
            said.append((part["text"], turn["role"] == "assistant"))
    return {"role": turn["role"], "content": found}


def _literal(text: str, tokenizer: Any, image_pad: str, after_answer: bool) -> list[Piece]:
    """Split the words of a template at special tokens. The token that ends an answer is learnt."""
    specials = sorted({image_pad, *tokenizer.all_special_tokens}, key=len, reverse=True)
    pieces = []
    for part in re.split(f"({'|'.join(map(re.escape, specials))})", text):
        if part == image_pad:
            pieces.append(Piece("image", ""))
        elif part:
            ends = after_answer and part == tokenizer.eos_token and not any(p.kind == "special" for p in pieces)
            pieces.append(Piece("special" if part in specials else "text", part, ends))
    return pieces
