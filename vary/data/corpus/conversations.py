"""Read published training sets; each record becomes a `Conversation`.

A set consists of rows (`load`: JSON, JSONL, Parquet, a folder of images with .txt files) and a function that turns a
row into images and turns (`read`); `SETS` lists the pairs by name. Everything is lazy: a row is read on request, an
image when it is opened.

Bad records are never replaced: `RecordSet.sample(i)` returns record i or raises `Skipped`, which names the set, the
record and the reason. Iterating over a set leaves bad records out and lists them in `set.skipped`.

Formats: the conversation JSON of Vary, Vary-toy, GOT and LLaVA; Vary-tiny-600k; the publications of the sets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...io.errors import ConfigError, InputError
from ...io.image import open_image
from ...markup.prompts import IMAGE_MARK, PROMPTS
from ..sample import Sample, Skipped, shuffle_index
from .records import PICTURES, load_json_object, load_rows

Row = dict[str, Any]
Turns = list[dict[str, str]]


@dataclass
class Conversation:
    """One record of a set.

    images: files or their bytes, in order. turns: `{"role": ..., "content": ...}` with roles system, user and
    assistant; `<image>` in a user turn marks the position of the next image. meta: `set`, `record`, and other fields of
    the record.
    """

    images: list[Path | bytes]
    turns: Turns
    meta: dict[str, Any] = field(default_factory=dict)

    def open(self, k: int = 0) -> Image.Image:
        """Open image k, RGB and upright. Raises Skipped if it cannot be decoded."""
        source = self.images[k]
        try:
            return open_image(source, name=f"image {k + 1}" if isinstance(source, bytes) else str(source), colour=True)
        except (InputError, OSError) as error:
            raise Skipped(self.meta.get("set", "set"), self.meta.get("record", 0), str(error)) from None

    def messages(self) -> list[dict[str, Any]]:
        """Return the turns in the form that `VaryProcessor` takes, with opened images in the user turns."""
        opened = [self.open(k) for k in range(len(self.images))]
        messages: list[dict[str, Any]] = []
        for turn in self.turns:
            message: dict[str, Any] = dict(turn)
            if opened and turn["role"] == "user":
                count = turn["content"].count(IMAGE_MARK)
                message["images"], opened = opened[:count], opened[count:]
            messages.append(message)
        return messages


class RecordSet:
    """A published set.

    rows: its records. images: prefix of image paths, used as given (keep the slash). read: turns a row into a
    conversation. `skipped`: bad records of the last iteration.
    """

    def __init__(self, name: str, rows: Sequence[Any], images: str, read: Callable[[Any, str], Conversation]):
        self.name, self.rows, self.images, self.read = name, rows, images, read
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, i: int) -> Conversation:
        """Return record i with its images located but not opened. Raises Skipped, or IndexError past the end."""
        if not 0 <= i < len(self):
            raise IndexError(f"{self.name} has {len(self)} records, there is no {i}")
        try:
            conversation = self.read(self.rows[i], self.images)
            for image in conversation.images:
                if isinstance(image, Path) and not image.is_file():
                    raise InputError(f"no image {image}")
        except ValueError as error:
            raise Skipped(self.name, i, str(error)) from None
        conversation.meta |= {"set": self.name, "record": i}
        return conversation

    def __iter__(self) -> Iterator[Conversation]:
        """Yield the good records in order; bad ones are listed in `skipped`."""
        self.skipped = []
        for i in range(len(self)):
            try:
                yield self.sample(i)
            except Skipped as reason:
                self.skipped.append(reason)


def open_set(
    kind: str, annotations: str | Path, images: str | Path = "", name: str | None = None, instances: str | Path = ""
) -> RecordSet:
    """Open a set of one of the kinds in `SETS`.

    annotations: file or folder of records. images: prefix of image paths, so a folder needs its slash; a `Path` gets
    one. instances: the COCO annotations with the boxes of RefCOCO. Raises ValueError for an unknown kind, and for files
    that are missing or not in the format.
    """
    if kind not in SETS:
        raise ConfigError(f"unknown kind of set {kind!r}; allowed: {', '.join(SETS)}")
    if kind == "refcoco" and not instances:
        raise InputError(f"{annotations}: RefCOCO's refs hold no boxes; give 'instances', the COCO annotations too")
    prefix = f"{images}/" if isinstance(images, Path) else images
    load, read = SETS[kind]
    files = [Path(annotations), Path(instances)] if kind == "refcoco" else [Path(annotations)]
    try:
        rows = load(*files)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{annotations}: not of the kind {kind!r}: {type(error).__name__} {error}") from None
    return RecordSet(name or Path(annotations).stem, rows, prefix, read)


class FileSource:
    """Published sets as samples: all records in one order, reshuffled for every pass.

    size: maximum side of an image in pixels; larger images are scaled down. `sample(i)` raises Skipped for a bad
    record. A text-only record has an image of 0 x 0 pixels. If there are several exchanges, the first is `prompt` and
    `target`, and all turns are in `meta["turns"]`.
    """

    def __init__(self, sets: list[RecordSet], *, seed: int = 0, size: int = 1024):
        self.sets, self.seed, self.size = sets, seed, size
        self.ends = np.cumsum([len(s) for s in sets])
        if not len(self.ends) or not self.ends[-1]:
            raise InputError(f"no records in the sets {', '.join(s.name for s in sets) or '(none)'}")

    def sample(self, i: int) -> Sample:
        """Return sample i of an endless sequence of passes."""
        conversation = self.conversation(i)
        if len(conversation.images) > 1:
            reason = f"{len(conversation.images)} images; a sample holds one"
            raise Skipped(conversation.meta["set"], conversation.meta["record"], reason)
        image = np.zeros((0, 0), np.uint8)
        if conversation.images:
            picture = conversation.open()
            picture.thumbnail((self.size, self.size), Image.Resampling.BICUBIC)
            image = np.asarray(picture)
        question, answer = [t for t in conversation.turns if t["role"] != "system"][:2]
        prompt = question["content"].replace(IMAGE_MARK, "", len(conversation.images)).strip("\n")
        meta = conversation.meta | {"turns": conversation.turns}
        return Sample(image, [], "conversation", meta, answer["content"], prompt)

    def conversation(self, i: int) -> Conversation:
        """Return the record of sample i. Raises Skipped."""
        at = shuffle_index(i, int(self.ends[-1]), self.seed)
        which = int(np.searchsorted(self.ends, at, side="right"))
        return self.sets[which].sample(at - (int(self.ends[which - 1]) if which else 0))


# -- readers of rows --------------------------------------------------------------------------------------------------
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def _conversation(row: Any, prefix: str) -> Conversation:
    """Read the official form of Vary, LLaVA's form, and our own (`images`, `turns` of role and content).

    A list of turns, or a row without images, is text. An answer before the first question is dropped, as the official
    readers do, and kept in `meta["before"]`. If no turn contains `<image>`, the images go before the first question.
    This is the official rule for OPT; the official Qwen reader silently ignores such images.
    """
    row = {"conversations": row} if isinstance(row, list) else row
    given = _value(row, ("conversations", "turns", "messages"), list)
    turns: Turns = []
    meta = {k: v for k, v in row.items() if k not in ("conversations", "turns", "messages", "image", "images")}
    for k, turn in enumerate(given):
        role = _value(turn, ("from", "role"), str)
        if role not in _ROLES:
            raise ConfigError(f"turn {k + 1} is of {role!r}; allowed: {', '.join(_ROLES)}")
        turns.append({"role": _ROLES[role], "content": _value(turn, ("value", "content"), str)})
        if "Numbers" in turn:  # OneChart: targets of its number head
            meta["numbers"] = turn["Numbers"]
    system = [turns.pop(0)] if turns and turns[0]["role"] == "system" else []
    if turns and turns[0]["role"] == "assistant":
        meta["before"] = turns.pop(0)["content"]
    for k, ours in enumerate(turns):
        if ours["role"] != ("user", "assistant")[k % 2]:
            raise InputError(f"turn {k + 1 + len(given) - len(turns)} is out of turn: {ours['role']}")
    if not turns or len(turns) % 2:
        raise InputError("no answer to the last question" if turns else "no turns")
    images = row.get("images", row.get("image")) or []
    files = [f for image in (images if isinstance(images, list) else [images]) for f in _image(image, prefix)]
    if files:
        _place(turns, len(files), len(images) if isinstance(images, list) else 1)
    return Conversation(files, system + turns, meta)


def _place(turns: Turns, files: int, images: int) -> None:
    """Make sure that the user turns contain one `<image>` per file. Raises ValueError if that is impossible.

    One image may be several files: GOT uses folders of pages.
    """
    if any(IMAGE_MARK in t["content"] for t in turns if t["role"] == "assistant"):
        raise InputError(f"an answer holds {IMAGE_MARK}")
    users = [t for t in turns if t["role"] == "user"]
    marks = sum(t["content"].count(IMAGE_MARK) for t in users)
    if marks == 0:
        users[0]["content"] = IMAGE_MARK * files + "\n" + users[0]["content"]
    elif marks == images == 1:
        for turn in users:
            turn["content"] = turn["content"].replace(IMAGE_MARK, IMAGE_MARK * files)
    elif marks != files:
        raise InputError(f"{marks} {IMAGE_MARK} for {files} images")


def _image(value: Any, prefix: str) -> list[Path | bytes]:
    """Return the files of one image: a path, a folder of pages in natural order, bytes, or Parquet's bytes and path."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return [value]
    if not isinstance(value, str) or not value:
        raise InputError(f"an image must be a path or bytes, not {type(value).__name__}")
    if re.match(r"\w+://", value):
        raise InputError(f"the image is an address, {value}: images are read from files, fetch the set first")
    path = Path(prefix + value)
    if not path.is_dir():
        return [path]
    pages = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=_natural)
    if not pages:
        raise InputError(f"no pictures in the folder {path}")
    return [*pages]


def _natural(path: Path) -> list[tuple[str, int]]:
    """Sort key that puts page 2 before page 10."""
    return [(t, 0) if not t.isdecimal() else ("", int(t)) for t in re.findall(r"\d+|\D+", path.name)]


def _value(row: Any, keys: tuple[str, ...], kind: type) -> Any:
    """Return the first of these keys that the row has. Raises ValueError if there is none or its type is wrong."""
    if not isinstance(row, dict):
        raise InputError(f"expected an object with {' or '.join(keys)}, not {type(row).__name__}")
    key = next((k for k in keys if row.get(k) is not None), None)
    if key is None:
        raise InputError(f"no {' or '.join(keys)}; it has {', '.join(map(str, row)) or 'nothing'}")
    if not isinstance(row[key], kind):
        raise InputError(f"{key} must be {kind.__name__}, not {type(row[key]).__name__}")
    return row[key]


def _to_conversation(row: Row, prefix: str, image: Any, question: str, answer: str, **meta: Any) -> Conversation:
    """Make a conversation of one question about one image."""
    turns = [{"role": "user", "content": f"{IMAGE_MARK}\n{question}"}, {"role": "assistant", "content": answer}]
    files = _image(image, prefix)
    if len(files) != 1:
        raise InputError(f"{prefix}{image} is a folder; this kind of set has one picture a record")
    return Conversation(files, turns, meta)


_IMAGE_KEYS = ("image", "imgname", "file_name", "jpg", "png", "path", "url", "URL")


def _tiny_600k(row: Any, prefix: str) -> Conversation:
    """Read Vary-tiny-600k, which writes `<lb>` for a paragraph end because a line break ends its answers."""
    caption = _value(row, ("caption",), str).replace("<lb>", "\n")
    return _to_conversation(row, prefix, _value(row, ("image",), str), _value(row, ("question",), str), caption)


def _pair(row: Any, prefix: str) -> Conversation:
    """Read image-caption pairs such as LAION-COCO: `top_caption` is its selected caption, `TEXT` the alt text."""
    caption = _value(row, ("caption", "top_caption", "text", "txt", "TEXT"), str).strip()
    if not caption:
        raise InputError("the caption is empty")
    return _to_conversation(row, prefix, _value(row, _IMAGE_KEYS, object), PROMPTS["caption"]["en"], caption)


def _alpaca(row: Any, prefix: str) -> Conversation:
    """Read Alpaca: an instruction, an optional input, and the output; text only."""
    question = "\n".join(filter(None, [_value(row, ("instruction",), str), row.get("input")]))
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": _value(row, ("output",), str)}]
    return Conversation([], turns)


def _baize(row: Any, prefix: str) -> Conversation:
    """Read Baize: a dialogue in one string with `[|Human|]` and `[|AI|]` before the turns; text only."""
    parts = re.split(r"\[\|(Human|AI)\|\]", _value(row, ("input",), str))
    said = [(who, what.strip()) for who, what in zip(parts[1::2], parts[2::2], strict=True)]
    if said and not said[-1][1]:  # the data set's prompt for the next question
        said.pop()
    return _conversation(
        [{"role": "user" if who == "Human" else "assistant", "content": what} for who, what in said], ""
    )


def _short_answer(row: Any, prefix: str) -> Conversation:
    """Read DocVQA (`answers`: any is right, the first is the target, all are in meta) and ChartQA (`label`)."""
    answers = _value(row, ("answers", "answer", "label"), object)
    answers = answers if isinstance(answers, list) else [answers]
    if not answers or not str(answers[0]).strip():
        raise InputError("no answer")
    question = PROMPTS["vqa"]["en"].format(_value(row, ("question", "query"), str))
    return _to_conversation(row, prefix, _value(row, _IMAGE_KEYS, object), question, str(answers[0]), answers=answers)


def _refer(row: Any, prefix: str) -> Conversation:
    """Read RefCOCO: a phrase that identifies one object, and its box in thousandths (arXiv 2401.12503 table 1)."""
    from ...markup.boxes import Found, format_boxes

    x, y, wide, high = row["bbox"]
    width, height = row["size"]
    box = (max(0.0, x), max(0.0, y), min(float(width), x + wide), min(float(height), y + high))
    answer = format_boxes([Found("", box)], (width, height))
    question = PROMPTS["refer"]["en"].format(row["sentence"].strip().rstrip("."))
    return _to_conversation(row, prefix, row["file_name"], question, answer, box=box, split=row["split"])


# -- loaders of files -------------------------------------------------------------------------------------------------
def _coco_captions(path: Path) -> list[Row]:
    """Read COCO's captions: one row per sentence."""
    whole = load_json_object(path, ("images", "annotations"))
    files = {image["id"]: image["file_name"] for image in whole["images"]}
    return [{"image": files.get(a["image_id"]), "caption": a["caption"]} for a in whole["annotations"]]


def _refcoco(path: Path, instances: Path) -> list[Row]:
    """Read RefCOCO's refs as JSON with boxes from COCO's instances: one row per sentence."""
    refs = load_rows(path)
    whole = load_json_object(instances, ("images", "annotations"))
    boxes = {a["id"]: a["bbox"] for a in whole["annotations"]}
    images = {image["id"]: image for image in whole["images"]}
    rows = []
    for k, ref in enumerate(refs):
        if ref.get("ann_id") not in boxes or ref.get("image_id") not in images:
            raise InputError(f"{path}: ref {k} has no box or image in {instances}: is it of the same COCO year?")
        image = images[ref["image_id"]]
        about = {"file_name": image["file_name"], "size": (image["width"], image["height"]), "split": ref.get("split")}
        rows += [about | {"bbox": boxes[ref["ann_id"]], "sentence": s["sent"]} for s in ref["sentences"]]
    return rows


class Kind(NamedTuple):
    """How to load the file of a set, and how to read one of its rows."""

    load: Callable[..., Sequence[Any]]
    read: Callable[[Any, str], Conversation]


SETS: dict[str, Kind] = {
    "conversations": Kind(load_rows, _conversation),  # Vary, Vary-toy, GOT, LLaVA, ShareGPT, our own
    "tiny-600k": Kind(load_rows, _tiny_600k),
    "pairs": Kind(load_rows, _pair),  # LAION-COCO, a folder of pictures and .txt
    "alpaca": Kind(load_rows, _alpaca),
    "baize": Kind(load_rows, _baize),
    "docvqa": Kind(load_rows, _short_answer),
    "chartqa": Kind(load_rows, _short_answer),
    "refcoco": Kind(_refcoco, _refer),
    "coco-captions": Kind(_coco_captions, _pair),
}
