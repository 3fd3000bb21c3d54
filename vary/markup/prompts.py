"""Turn conversations into prompts: chat templates, task prompts, special tokens, and the places of image tokens.

A conversation becomes a list of `Piece`s: special tokens, text and images, each learnt or not. Text that a user wrote
always stays text, even if it spells a special token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ..io.errors import ConfigError, InputError

# The family's names (Vary, GOT, OneChart): `<img>` starts an image, `<imgpad>` is one image token, `</img>` ends it.
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<img>", "</img>", "<imgpad>")
IMAGE_MARK = "<image>"  # what people write where an image goes
_SPECIALS = re.compile(r"(<\|im_start\|>|<\|im_end\|>|<\|endoftext\|>|<img>|</img>|<s>|</s>)")

# Task -> prompt, English and Chinese. Sources: the papers' figures and tables (arXiv 2312.06109, 2401.12503) and GOT's
# released script for `got`; the Chinese ones that the papers do not print are translations.
PROMPTS = {
    "ocr": {"en": "Provide the OCR results of this image.", "zh": "写出这幅图中所有文字。"},
    "markdown": {"en": "Convert the image to markdown format.", "zh": "将这幅图转成markdown格式。"},
    "table": {"en": "Convert this table to latex format.", "zh": "将这个表格转成latex格式。"},
    "chart": {"en": "Convert this chart to python-dict", "zh": "将这幅图表转成python字典"},
    "detect": {"en": "Detect all objects in this image.", "zh": "检测这幅图中的所有物体。"},
    "detect-classes": {"en": "Detect {} in this image.", "zh": "检测这幅图中的{}。"},
    "refer": {"en": "Detect an object: {}.", "zh": "检测一个物体：{}。"},
    "caption": {"en": "Describe the content of this image in a sentence.", "zh": "用一句话描述这幅图的内容。"},
    "vqa": {"en": "{}\nAnswer using a single word or phrase.", "zh": "{}\n用一个词或短语回答。"},
    "got": {"en": "OCR: ", "zh": "OCR: "},
    "got-format": {"en": "OCR with format: ", "zh": "OCR with format: "},
}


@dataclass(frozen=True)
class Piece:
    """A part of a prompt. kind: `special` (one special token), `text` (never special) or `image`.

    learn: whether a model is trained to write it.
    """

    kind: str
    text: str
    learn: bool = False


@dataclass(frozen=True)
class Template:
    """How a conversation is written. `{}` is the place of the content; special tokens are spelt out.

    start: before the first turn. system: the system turn; system_text: its default content. user: a turn of the user.
    asks: what announces an answer. answer: the answer with its end; all of it is learnt. image: around the image
    tokens. after_image: between an image and the text after it. stop: the token that ends an answer. question: whether
    the model takes text from the user. apart: whether an answer is tokenised separately from the text before it.
    """

    start: str = ""
    system: str = ""
    system_text: str = ""
    user: str = "{}"
    asks: str = ""
    answer: str = "{}</s>"
    image: str = "<img>{}</img>"
    after_image: str = ""
    stop: str = "</s>"
    question: bool = True
    apart: bool = False


_QWEN = Template(
    system="<|im_start|>system\n{}<|im_end|>",
    system_text="You should follow the instructions carefully and explain your answers in detail.",
    user="<|im_start|>user\n{}<|im_end|>",  # no newline behind <|im_end|>, unlike stock ChatML
    asks="<|im_start|>assistant\n",
    answer="{}<|im_end|>",
    stop="<|im_end|>",
)
_VICUNA = Template(
    start="<s>",
    system="{} ",
    system_text="A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    user="USER: {} ",
    asks="ASSISTANT:",
    answer=" {}</s>",
)

# Sources: the official code's conversation table and demos (Vary `mpt`, `v1`, `opt`; GOT `mpt`; Vary-tiny-600k's).
TEMPLATES = {
    "plain": Template(),
    "opt": Template(start="</s>", asks="\n", answer="{}\n</s>", question=False),
    "600k": Template(image="{}</s>", answer="{}\n", stop="\n", apart=True),  # image tokens come first, no brackets
    "opt-chat": replace(_VICUNA, start="</s>", after_image="\n"),
    "vicuna": _VICUNA,
    "llava": replace(_VICUNA, image="{}", after_image="\n"),  # LLaVA-1.5: no brackets around the image
    "llava-phi": replace(
        _VICUNA, start="", image="{}", after_image="\n", answer=" {}<|endoftext|>", stop="<|endoftext|>"
    ),
    "jinja": Template(image="{}"),  # the template of another model, in `chat_template` of the processor
    "qwen": _QWEN,
    "qwen-newline": replace(_QWEN, after_image="\n"),
}


def character_vocabulary(alphabet: str) -> dict[str, int]:
    """Return token -> id of a character decoder: special tokens, the line break, then the alphabet."""
    return {token: k for k, token in enumerate([*SPECIAL_TOKENS, "\n", *alphabet])}


def image_span(
    runs: int | list[int | str], template: Template = TEMPLATES["plain"], image_pad: str = "<imgpad>"
) -> str:
    """Return the text that represents one image in a prompt: runs of image tokens, and the text between them."""
    runs = [runs] if isinstance(runs, int) else runs
    return template.image.format("".join(run if isinstance(run, str) else image_pad * run for run in runs))


def pieces_of(messages: list[dict[str, Any]], template: Template, ask: bool = True) -> tuple[list[Piece], list[Any]]:
    """Split a conversation into pieces, and collect its images in order.

    Args:
        template: the chat template.
        messages: `{"role": "system" | "user" | "assistant", "content": ...}`. The content is text, in which each
            `<image>` is the next of the message's `images`, or a list of `{"type": "text", "text": ...}` and
            `{"type": "image", "image": ...}`.
        ask: announce an answer at the end if the last turn is the user's.

    Raises:
        InputError: roles do not alternate, or images do not fit the text.
    """
    pieces = _literal(template.start)
    images: list[Any] = []
    turns = list(messages)
    system = template.system_text
    if turns and turns[0]["role"] == "system":
        system = _text_only(turns.pop(0))
    if template.system:
        pieces += _around(template.system, [Piece("text", system)])
    elif messages and messages[0]["role"] == "system":
        raise InputError("this model's template has no system turn")
    for k, turn in enumerate(turns):
        expected = ("user", "assistant")[k % 2]
        if turn["role"] != expected:
            raise InputError(f"message {k + 1} has the role {turn['role']!r}; roles alternate and {expected!r} is next")
        if expected == "user":
            content = _content(turn, template, images)
            if not template.question and any(p.kind == "text" and p.text.strip() for p in content):
                raise InputError("this model takes an image and no question")
            pieces += _around(template.user, content)
        else:
            pieces += _literal(template.asks)
            pieces += _around(template.answer, [Piece("text", _text_only(turn), True)], learn=True)
    if ask and len(turns) % 2:
        pieces += _literal(template.asks)
    return pieces, images


# Jinja: the text of a turn without images
_SAID = (
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}"
)


def jinja(template: Template) -> str:
    """Return the same template in Jinja, for other software. One `<imgpad>` represents the tokens of an image."""

    def out(*parts: str) -> str:
        return "{{ " + " + ".join(parts) + " }}"

    user, answer = ([repr(part) for part in frame.split("{}")] for frame in (template.user, template.answer))
    start, asks, gap = repr(template.start), repr(template.asks), repr(template.after_image)
    text = out(start)
    if template.system:
        before, after = (repr(part) for part in template.system.split("{}"))
        own = "messages and messages[0].role == 'system'"
        text += f"{{% if {own} %}}{out(before)}{{% set message = messages[0] %}}{_SAID}{out(after)}"
        text += f"{{% else %}}{out(before, repr(template.system_text), after)}{{% endif %}}"
    image = out(repr(template.image.format("<imgpad>")))
    if template.after_image:
        text_next = "not loop.last and loop.nextitem.type == 'text' and not loop.nextitem.text.startswith('\\n')"
        image += f"{{% if {text_next} %}}{out(gap)}{{% endif %}}"
    parts = "{% for part in message.content %}{% if part.type == 'image' %}" + image
    parts += "{% else %}{{ part.text }}{% endif %}{% endfor %}"
    content = "{% if message.content is string %}{{ message.content }}{% else %}" + parts + "{% endif %}"
    text += "{% for message in messages %}{% if message.role == 'user' %}" + out(user[0]) + content + out(user[1])
    text += "{% elif message.role == 'assistant' %}" + out(asks, answer[0]) + _SAID + out(answer[1])
    return text + "{% endif %}{% endfor %}{% if add_generation_prompt %}" + out(asks) + "{% endif %}"


def _literal(text: str, learn: bool = False) -> list[Piece]:
    """Return a template's own words as pieces; here special tokens are special."""
    parts = [part for part in _SPECIALS.split(text) if part]
    return [Piece("special" if _SPECIALS.fullmatch(part) else "text", part, learn) for part in parts]


def _around(frame: str, content: list[Piece], learn: bool = False) -> list[Piece]:
    before, after = frame.split("{}")
    return [*_literal(before, learn), *content, *_literal(after, learn)]


def _content(turn: dict[str, Any], template: Template, images: list[Any]) -> list[Piece]:
    """Return the pieces of a user's turn. Its images are appended to `images`."""
    content = turn["content"]
    if isinstance(content, str):
        own = list(turn.get("images") or [])
        parts = re.split(f"({re.escape(IMAGE_MARK)})", content) if own else [content]
        if sum(part == IMAGE_MARK for part in parts) != len(own):
            raise InputError(f"the text holds {parts.count(IMAGE_MARK)} {IMAGE_MARK}, and {len(own)} images were given")
        content = [
            {"type": "image", "image": own.pop(0)} if part == IMAGE_MARK else {"type": "text", "text": part}
            for part in parts
            if part
        ]
    pieces: list[Piece] = []
    for part in content:
        if part["type"] == "image":
            source = next((part[key] for key in ("image", "path", "url") if part.get(key) is not None), None)
            images.append(source)
            pieces += _around(template.image, [Piece("image", "")])
        elif part["type"] == "text":
            text = part["text"]
            if pieces and pieces[-1].kind != "text" and template.after_image and not text.startswith("\n"):
                text = template.after_image + text
            pieces.append(Piece("text", text))
        else:
            raise ConfigError(f"content of type {part['type']!r}; allowed: text, image")
    return pieces


def _text_only(turn: dict[str, Any]) -> str:
    content = turn["content"]
    if isinstance(content, str):
        return content
    if any(part["type"] != "text" for part in content):
        raise InputError(f"a turn of the {turn['role']} holds an image; only users show images")
    return "".join(part["text"] for part in content)
