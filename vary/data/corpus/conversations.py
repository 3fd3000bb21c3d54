"""Readers of the sets that the papers name: each record becomes a `Conversation`.

A set is rows (`load`: JSON, JSONL, Parquet, a folder of pictures with .txt files) and a meaning (`read`: one row ->
images and turns); `SETS` pairs the two by name. Nothing is read ahead: a row when it is asked for, a picture when it
is opened.

The contract about bad records: `RecordSet.sample(i)` returns record i or raises `Skipped`, which names the set, the
record and the reason; it never returns another record instead. Iterating over a set passes bad records by and leaves
them in `set.skipped`; `check` decodes every picture too.

Formats: the official conversation JSON of Vary, Vary-toy, GOT and LLaVA; Vary-tiny-600k; the sets' own publications.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...io.image import BadInput, open_image
from ...markup.prompts import IMAGE_MARK, PROMPTS
from ..sample import Sample, Skipped, shuffled
from .records import PICTURES, load_rows, only_json

Row = dict[str, Any]
Turns = list[dict[str, str]]


@dataclass
class Conversation:
    """One record. images: files, or their bytes, in order. turns: `{"role": ..., "content": ...}` with the roles
    system, user and assistant; `<image>` in a user's turn is where the next image stands. meta: `set` and `record`,
    and what the record holds beyond that.
    """

    images: list[Path | bytes]
    turns: Turns
    meta: dict[str, Any] = field(default_factory=dict)

    def open(self, k: int = 0) -> Image.Image:
        """Image k, RGB and upright. Raises Skipped when it cannot be decoded."""
        source = self.images[k]
        try:
            return open_image(source, name=f"image {k + 1}" if isinstance(source, bytes) else str(source), colour=True)
        except (BadInput, OSError) as error:
            raise Skipped(self.meta.get("set", "set"), self.meta.get("record", 0), str(error)) from None

    def messages(self) -> list[dict[str, Any]]:
        """The turns as `VaryProcessor` takes them: each user's turn with the images that stand in it, opened."""
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
    """A published set. rows: its records; images: put before their image paths as it is (keep the slash); read: what
    a row means. `skipped`: bad records that the last iteration met.
    """

    def __init__(self, name: str, rows: Sequence[Any], images: str, read: Callable[[Any, str], Conversation]):
        self.name, self.rows, self.images, self.read = name, rows, images, read
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, i: int) -> Conversation:
        """Record i, its pictures named and found but not opened. Raises Skipped, IndexError beyond the end."""
        if not 0 <= i < len(self):
            raise IndexError(f"{self.name} has {len(self)} records, there is no {i}")
        try:
            conversation = self.read(self.rows[i], self.images)
            for image in conversation.images:
                if isinstance(image, Path) and not image.is_file():
                    raise ValueError(f"no image {image}")
        except ValueError as error:
            raise Skipped(self.name, i, str(error)) from None
        conversation.meta |= {"set": self.name, "record": i}
        return conversation

    def __iter__(self) -> Iterator[Conversation]:
        """The good records in order; the bad ones are in `skipped` then."""
        self.skipped = []
        for i in range(len(self)):
            try:
                yield self.sample(i)
            except Skipped as reason:
                self.skipped.append(reason)

    def check(self) -> list[Skipped]:
        """Read every record and decode every picture; return what cannot be used, which `skipped` holds too."""
        undecodable = []
        for conversation in self:
            try:
                for k in range(len(conversation.images)):
                    conversation.open(k)
            except Skipped as reason:
                undecodable.append(reason)
        self.skipped = sorted([*self.skipped, *undecodable], key=lambda s: s.record)
        return self.skipped


def open_set(
    kind: str, annotations: str | Path, images: str | Path = "", name: str | None = None, instances: str | Path = ""
) -> RecordSet:
    """A set of one of the kinds of `SETS`.

    annotations: the file (or folder) of records. images: prefix of image paths, put before them as text, so that a
    folder needs its slash; a `Path` gets one. instances: the COCO annotations that RefCOCO's boxes are in.
    Raises ValueError for an unknown kind and for files that are not there or not of the format.
    """
    if kind not in SETS:
        raise ValueError(f"unknown kind of set {kind!r}; allowed: {', '.join(SETS)}")
    if kind == "refcoco" and not instances:
        raise ValueError(f"{annotations}: RefCOCO's refs hold no boxes; give 'instances', the COCO annotations too")
    prefix = f"{images}/" if isinstance(images, Path) else images
    load, read = SETS[kind]
    files = [Path(annotations), Path(instances)] if kind == "refcoco" else [Path(annotations)]
    try:
        rows = load(*files)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{annotations}: not of the kind {kind!r}: {type(error).__name__} {error}") from None
    return RecordSet(name or Path(annotations).stem, rows, prefix, read)


def open_sets(names: str, registry: dict[str, dict[str, str]]) -> list[RecordSet]:
    """Sets by the official command line's form, `a+b+c`. registry: name -> arguments of `open_set`; `kind` may be
    left out for conversations. Raises ValueError for a name that the registry lacks.
    """
    for name in names.split("+"):
        if name not in registry:
            raise ValueError(f"no set {name!r} in the registry; there are: {', '.join(registry)}")
    return [open_set(**{"kind": "conversations", "name": name, **registry[name]}) for name in names.split("+")]


class FileSource:
    """Sets as samples of the data engine: all records in one order, shuffled anew for every pass over them.

    size: the longest side of a picture in pixels; larger ones are made smaller. `sample(i)` raises Skipped for a bad
    record: count it, do not draw another. A text-only record has an image of 0 x 0 pixels. Of several exchanges the
    first is `prompt` and `target`; all turns stand in `meta["turns"]`.
    """

    def __init__(self, sets: list[RecordSet], *, seed: int = 0, size: int = 1024):
        self.sets, self.seed, self.size = sets, seed, size
        self.ends = np.cumsum([len(s) for s in sets])
        if not len(self.ends) or not self.ends[-1]:
            raise ValueError(f"no records in the sets {', '.join(s.name for s in sets) or '(none)'}")

    def sample(self, i: int) -> Sample:
        """Sample i of an endless row of passes."""
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
        """The record behind sample i. Raises Skipped."""
        at = shuffled(i, int(self.ends[-1]), self.seed)
        which = int(np.searchsorted(self.ends, at, side="right"))
        return self.sets[which].sample(at - (int(self.ends[which - 1]) if which else 0))


# -- what a row means --------------------------------------------------------------------------------------------------
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def _conversation(row: Any, prefix: str) -> Conversation:
    """The official form, LLaVA's, and our own (`images`, `turns` of role and content).

    A list of turns or a row without images is text. An answer that comes before any question is left out, as the
    official readers do, and kept in `meta["before"]`. Where no turn says `<image>`, the images stand before the first
    question (the official rule for OPT; its Qwen reader ignored such images in silence).
    """
    row = {"conversations": row} if isinstance(row, list) else row
    given = _value(row, ("conversations", "turns", "messages"), list)
    turns: Turns = []
    meta = {k: v for k, v in row.items() if k not in ("conversations", "turns", "messages", "image", "images")}
    for k, turn in enumerate(given):
        role = _value(turn, ("from", "role"), str)
        if role not in _ROLES:
            raise ValueError(f"turn {k + 1} is of {role!r}; allowed: {', '.join(_ROLES)}")
        turns.append({"role": _ROLES[role], "content": _value(turn, ("value", "content"), str)})
        if "Numbers" in turn:  # OneChart: what its number head shall say
            meta["numbers"] = turn["Numbers"]
    system = [turns.pop(0)] if turns and turns[0]["role"] == "system" else []
    if turns and turns[0]["role"] == "assistant":
        meta["before"] = turns.pop(0)["content"]
    for k, ours in enumerate(turns):
        if ours["role"] != ("user", "assistant")[k % 2]:
            raise ValueError(f"turn {k + 1 + len(given) - len(turns)} is out of turn: {ours['role']}")
    if not turns or len(turns) % 2:
        raise ValueError("no answer to the last question" if turns else "no turns")
    images = row.get("images", row.get("image")) or []
    files = [f for image in (images if isinstance(images, list) else [images]) for f in _image(image, prefix)]
    if files:
        _place(turns, len(files), len(images) if isinstance(images, list) else 1)
    return Conversation(files, system + turns, meta)


def _place(turns: Turns, files: int, images: int) -> None:
    """See to it that the users' turns hold one `<image>` for each file. Raises ValueError when they cannot.

    One image may be several files: GOT's folder of pages.
    """
    if any(IMAGE_MARK in t["content"] for t in turns if t["role"] == "assistant"):
        raise ValueError(f"an answer holds {IMAGE_MARK}")
    users = [t for t in turns if t["role"] == "user"]
    marks = sum(t["content"].count(IMAGE_MARK) for t in users)
    if marks == 0:
        users[0]["content"] = IMAGE_MARK * files + "\n" + users[0]["content"]
    elif marks == images == 1:
        for turn in users:
            turn["content"] = turn["content"].replace(IMAGE_MARK, IMAGE_MARK * files)
    elif marks != files:
        raise ValueError(f"{marks} {IMAGE_MARK} for {files} images")


def _image(value: Any, prefix: str) -> list[Path | bytes]:
    """The files of one image: a path, a folder of pages in natural order, bytes, or Parquet's bytes and path."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return [value]
    if not isinstance(value, str) or not value:
        raise ValueError(f"an image must be a path or bytes, not {type(value).__name__}")
    if re.match(r"\w+://", value):
        raise ValueError(f"the image is an address, {value}: images are read from files, fetch the set first")
    path = Path(prefix + value)
    if not path.is_dir():
        return [path]
    pages = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=_natural)
    if not pages:
        raise ValueError(f"no pictures in the folder {path}")
    return [*pages]


def _natural(path: Path) -> list[tuple[str, int]]:
    """Page 2 before page 10."""
    return [(t, 0) if not t.isdecimal() else ("", int(t)) for t in re.findall(r"\d+|\D+", path.name)]


def _value(row: Any, keys: tuple[str, ...], kind: type) -> Any:
    """The first of these keys that a row has. Raises ValueError when there is none or its value is of another kind."""
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with {' or '.join(keys)}, not {type(row).__name__}")
    key = next((k for k in keys if row.get(k) is not None), None)
    if key is None:
        raise ValueError(f"no {' or '.join(keys)}; it has {', '.join(map(str, row)) or 'nothing'}")
    if not isinstance(row[key], kind):
        raise ValueError(f"{key} must be {kind.__name__}, not {type(row[key]).__name__}")
    return row[key]


def _asked(row: Row, prefix: str, image: Any, question: str, answer: str, **meta: Any) -> Conversation:
    """One question about one image."""
    turns = [{"role": "user", "content": f"{IMAGE_MARK}\n{question}"}, {"role": "assistant", "content": answer}]
    files = _image(image, prefix)
    if len(files) != 1:
        raise ValueError(f"{prefix}{image} is a folder; this kind of set has one picture a record")
    return Conversation(files, turns, meta)


_IMAGE_KEYS = ("image", "imgname", "file_name", "jpg", "png", "path", "url", "URL")


def _tiny_600k(row: Any, prefix: str) -> Conversation:
    """Vary-tiny-600k writes `<lb>` for the end of a paragraph, since the line break ends its answers."""
    caption = _value(row, ("caption",), str).replace("<lb>", "\n")
    return _asked(row, prefix, _value(row, ("image",), str), _value(row, ("question",), str), caption)


def _pair(row: Any, prefix: str) -> Conversation:
    """LAION-COCO and its like. `top_caption` is LAION-COCO's chosen one; its `TEXT` is what the web page said."""
    caption = _value(row, ("caption", "top_caption", "text", "txt", "TEXT"), str).strip()
    if not caption:
        raise ValueError("the caption is empty")
    return _asked(row, prefix, _value(row, _IMAGE_KEYS, object), PROMPTS["caption"]["en"], caption)


def _alpaca(row: Any, prefix: str) -> Conversation:
    """Alpaca: an instruction, its input where there is one, and the output; text only."""
    question = "\n".join(filter(None, [_value(row, ("instruction",), str), row.get("input")]))
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": _value(row, ("output",), str)}]
    return Conversation([], turns)


def _baize(row: Any, prefix: str) -> Conversation:
    """Baize: a dialogue in one string, `[|Human|]` and `[|AI|]` before the turns; text only."""
    parts = re.split(r"\[\|(Human|AI)\|\]", _value(row, ("input",), str))
    said = [(who, what.strip()) for who, what in zip(parts[1::2], parts[2::2], strict=True)]
    if said and not said[-1][1]:  # the set's own prompt for the next question
        said.pop()
    return _conversation(
        [{"role": "user" if who == "Human" else "assistant", "content": what} for who, what in said], ""
    )


def _short_answer(row: Any, prefix: str) -> Conversation:
    """DocVQA (`answers`: any of them is right, the first is learnt, all are in meta) and ChartQA (`label`)."""
    answers = _value(row, ("answers", "answer", "label"), object)
    answers = answers if isinstance(answers, list) else [answers]
    if not answers or not str(answers[0]).strip():
        raise ValueError("no answer")
    question = PROMPTS["vqa"]["en"].format(_value(row, ("question", "query"), str))
    return _asked(row, prefix, _value(row, _IMAGE_KEYS, object), question, str(answers[0]), answers=answers)


def _refer(row: Any, prefix: str) -> Conversation:
    """RefCOCO: a sentence that names one object, and its box in thousandths (Vary-toy, arXiv 2401.12503 table 1)."""
    from ...markup.boxes import Found, format_boxes

    x, y, wide, high = row["bbox"]
    width, height = row["size"]
    box = (max(0.0, x), max(0.0, y), min(float(width), x + wide), min(float(height), y + high))
    answer = format_boxes([Found("", box)], (width, height))
    question = PROMPTS["refer"]["en"].format(row["sentence"].strip().rstrip("."))
    return _asked(row, prefix, row["file_name"], question, answer, box=box, split=row["split"])


# -- what a file holds -------------------------------------------------------------------------------------------------
def _coco_captions(path: Path) -> list[Row]:
    """COCO's captions: one row per sentence."""
    whole = only_json(path, ("images", "annotations"))
    files = {image["id"]: image["file_name"] for image in whole["images"]}
    return [{"image": files.get(a["image_id"]), "caption": a["caption"]} for a in whole["annotations"]]


def _refcoco(path: Path, instances: Path) -> list[Row]:
    """RefCOCO's refs as JSON, and boxes from COCO's instances: one row per sentence."""
    refs = load_rows(path)
    whole = only_json(instances, ("images", "annotations"))
    boxes = {a["id"]: a["bbox"] for a in whole["annotations"]}
    images = {image["id"]: image for image in whole["images"]}
    rows = []
    for k, ref in enumerate(refs):
        if ref.get("ann_id") not in boxes or ref.get("image_id") not in images:
            raise ValueError(f"{path}: ref {k} has no box or image in {instances}: is it of the same COCO year?")
        image = images[ref["image_id"]]
        about = {"file_name": image["file_name"], "size": (image["width"], image["height"]), "split": ref.get("split")}
        rows += [about | {"bbox": boxes[ref["ann_id"]], "sentence": s["sent"]} for s in ref["sentences"]]
    return rows


class Kind(NamedTuple):
    """How a set's file is loaded, and what a row of it means."""

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
