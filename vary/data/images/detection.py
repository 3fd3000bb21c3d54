"""Make detection and referring-expression samples: an image, a question about objects, and their boxes.

Boxes come from published annotations (`read_coco` for COCO and Objects365, `read_openimages`) or from `paste.py`.
`make_question` writes question and answer. Up to 30 boxes it asks for all objects, above that for randomly drawn
classes, because answers must stay short (Vary-toy, arXiv 2401.12503 section 3.1.1). Answers list objects from left to
right, so that the order follows from the image. Boxes in answers are thousandths of the image's sides.

Frame of regions: pixels of the image, origin top-left.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...io.errors import InputError
from ...io.image import open_image
from ...markup.boxes import Found, format_boxes
from ...markup.prompts import PROMPTS
from ..corpus.records import load_json_object
from ..degrade import degrade
from ..sample import Region, Sample, Skipped, shuffle_index

MAX_BOXES = 30


# -- published annotations ---------------------------------------------------------------------------------------------
@dataclass
class Annotations:
    """Boxes of a set of images, packed: image k has the boxes starts[k] to starts[k + 1].

    images: prefix of the file names. boxes: (N, 4) float32, x0, y0, x1, y1 as fractions of width and height. classes:
    (N,) index into names. sizes: (len(files), 2), width and height stated in the annotations, else 0. left_out: reason
    -> number of boxes that were dropped.
    """

    name: str
    images: str
    files: list[str]
    starts: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    names: list[str]
    sizes: np.ndarray
    left_out: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.files)


def read_coco(path: str | Path, images: str | Path = "") -> Annotations:
    """Read COCO's `instances_*.json`, also used by Objects365.

    Crowd boxes and boxes without area inside their image are dropped and counted. Raises ValueError for any other form.
    """
    whole = load_json_object(Path(path), ("images", "annotations", "categories"))
    try:
        names = {c["id"]: k for k, c in enumerate(whole["categories"])}
        place = {image["id"]: k for k, image in enumerate(whole["images"])}
        sizes = np.array([(image["width"], image["height"]) for image in whole["images"]], np.float32).reshape(-1, 2)
        left_out = Counter({"crowd": sum(bool(a.get("iscrowd")) for a in whole["annotations"])})
        single = [a for a in whole["annotations"] if not a.get("iscrowd")]
        of_image = np.array([place[a["image_id"]] for a in single], np.int64)
        classes = np.array([names[a["category_id"]] for a in single], np.int32)
        boxes = np.array([a["bbox"] for a in single], np.float32).reshape(-1, 4)
        files = [image["file_name"] for image in whole["images"]]
        labels = [c["name"].strip() for c in whole["categories"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not of COCO's form: {type(error).__name__} {error}") from None
    boxes[:, 2:] += boxes[:, :2]
    shares = boxes / np.maximum(sizes, 1)[of_image][:, [0, 1, 0, 1]]
    return _pack(Path(path).stem, images, files, of_image, shares, classes, labels, sizes, left_out)


def read_openimages(path: str | Path, classes: str | Path, images: str | Path = "") -> Annotations:
    """Read OpenImages' box CSV and its `class-descriptions-boxable.csv`; images are named ID.jpg.

    Boxes around groups are dropped and counted. Raises ValueError for missing columns.
    """
    with open(classes, encoding="utf-8", newline="") as lines:
        described = [row for row in csv.reader(lines) if len(row) == 2 and row[0] != "LabelName"]
    names = {code: k for k, (code, _) in enumerate(described)}
    place: dict[str, int] = {}
    of_image, boxes, found, left_out = [], [], [], Counter[str]()
    with open(path, encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), 2):
            try:
                box = [float(row[key]) for key in ("XMin", "YMin", "XMax", "YMax")]
                if row.get("IsGroupOf") == "1":
                    left_out["group"] += 1
                    continue
                found.append(names[row["LabelName"]])
                of_image.append(place.setdefault(row["ImageID"], len(place)))
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path}: line {number}: {type(error).__name__} {error}") from None
            boxes.append(box)
    files = [f"{image}.jpg" for image in place]
    shares = np.array(boxes, np.float32).reshape(-1, 4)
    labels = [label.strip() for _, label in described]
    owner, index = np.array(of_image, np.int64), np.array(found, np.int32)
    unknown = np.zeros((len(files), 2), np.float32)
    return _pack(Path(path).stem, images, files, owner, shares, index, labels, unknown, left_out)


def _pack(
    name: str,
    images: str | Path,
    files: list[str],
    of_image: np.ndarray,
    shares: np.ndarray,
    classes: np.ndarray,
    names: list[str],
    sizes: np.ndarray,
    left_out: Counter[str],
) -> Annotations:
    """Sort boxes by image and clip them to it; boxes without area are dropped."""
    shares = shares.clip(0, 1)
    sound = ((shares[:, 2:] - shares[:, :2]) > 0).all(1)
    left_out["no area"] += int((~sound).sum())
    order = np.flatnonzero(sound)[np.argsort(of_image[sound], kind="stable")]
    starts = np.searchsorted(of_image[order], np.arange(len(files) + 1))
    prefix = f"{images}/" if isinstance(images, Path) else images
    return Annotations(name, prefix, files, starts, shares[order], classes[order], names, sizes, +left_out)


# -- question and answer -----------------------------------------------------------------------------------------------
def make_question(
    regions: Sequence[Region],
    size: tuple[int, int],
    rng: np.random.Generator,
    max_boxes: int = MAX_BOXES,
    rec: float = 0.0,
) -> tuple[str, str]:
    """Return a question about objects in an image of `size` (width, height), and its answer.

    rec: probability of asking for one object by a phrase that fits only this object. Raises ValueError if nothing can
    be asked: there are no objects, or more than `max_boxes` of every class.
    """
    things = sorted(regions, key=lambda r: (r.box[0], r.box[1], r.label))
    if not things:
        raise ValueError("no objects")
    singled = _identify_objects(things, size[0]) if rng.random() < rec else []
    if singled:
        phrase, thing = singled[int(rng.integers(len(singled)))]
        return PROMPTS["refer"]["en"].format(phrase), format_boxes([Found("", thing.box)], size)
    if len(things) <= max_boxes:
        return PROMPTS["detect"]["en"], format_boxes([Found(t.label, t.box) for t in things], size)
    counts = Counter(t.label for t in things)
    few = [label for label, count in counts.items() if count <= max_boxes]
    if not few:
        raise ValueError(f"{len(things)} objects, more than {max_boxes} of every class")
    chosen: list[str] = []
    for k in rng.permutation(len(few))[: int(rng.integers(1, len(few) + 1))]:
        if sum(counts[label] for label in chosen) + counts[few[k]] <= max_boxes:
            chosen.append(few[k])
    named = [Found(t.label, t.box) for label in chosen for t in things if t.label == label]
    return PROMPTS["detect-classes"]["en"].format(", ".join(chosen)), format_boxes(named, size)


def _identify_objects(things: Sequence[Region], width: int) -> list[tuple[str, Region]]:
    """Find objects that a phrase identifies: the only one of its class, or the left or right one of two."""
    by_label: dict[str, list[Region]] = {}
    for thing in things:
        by_label.setdefault(thing.label, []).append(thing)
    found = [(f"the {label}", same[0]) for label, same in by_label.items() if len(same) == 1]
    for label, same in by_label.items():
        if len(same) == 2:
            first, second = sorted(same, key=lambda r: r.box[0] + r.box[2])
            if (second.box[0] + second.box[2] - first.box[0] - first.box[2]) / 2 > 0.15 * width:
                found += [(f"the left {label}", first), (f"the right {label}", second)]
    return found


class DetectionSource:
    """Annotated images as samples, each once per pass.

    size: maximum side in pixels; larger images are scaled down. max_boxes, rec: see `make_question`. degraded: share of
    images with the defects of bad photographs. `sample(i)` raises Skipped for an image that cannot be read, that does
    not have the annotated shape, or about which nothing can be asked.
    """

    def __init__(
        self, annotations: Annotations, *, seed: int = 0, size: int = 1024, max_boxes: int = MAX_BOXES,
        rec: float = 0.0, degraded: float = 0.0,
    ):  # fmt: skip
        if not len(annotations):
            raise InputError(f"{annotations.name}: no images")
        self.annotations, self.seed, self.size = annotations, seed, size
        self.max_boxes, self.rec, self.degraded = max_boxes, rec, degraded

    def sample(self, i: int) -> Sample:
        """Return image i of an endless sequence of passes. `meta` names its file."""
        of, rng = self.annotations, np.random.default_rng((self.seed, i))
        k = shuffle_index(i, len(of), self.seed)
        file = of.images + of.files[k]
        part = slice(int(of.starts[k]), int(of.starts[k + 1]))
        try:
            picture = open_image(file, colour=True)
            wide, high = of.sizes[k].tolist()
            if abs(wide * picture.height - high * picture.width) > 0.02 * wide * picture.height:
                shape = f"{picture.width}x{picture.height} px"
                raise ValueError(f"the image is {shape}, its annotations are of {wide:.0f}x{high:.0f}")
            picture.thumbnail((self.size, self.size), Image.Resampling.BICUBIC)
            boxes = of.boxes[part].astype(np.float64) * (picture.size * 2)
            regions = [
                Region(of.names[c], (b[0], b[1], b[2], b[3]))
                for c, b in zip(of.classes[part], boxes.tolist(), strict=True)
            ]
            return make_sample(
                np.asarray(picture), regions, rng, self.max_boxes, self.rec, self.degraded, {"file": file}
            )
        except (ValueError, OSError) as error:
            raise Skipped(of.name, k, str(error) if isinstance(error, InputError) else f"{file}: {error}") from None


def make_sample(
    image: np.ndarray, regions: list[Region], rng: np.random.Generator, max_boxes: int, rec: float, degraded: float,
    meta: dict[str, Any],
) -> Sample:  # fmt: skip
    """Make a sample of an image (H, W, 3) and its objects: first apply defects, then ask about the result."""
    if rng.random() < degraded:
        image, meta["degraded"] = degrade(image, [], rng, regions, "photo")
    prompt, target = make_question(regions, image.shape[1::-1], rng, max_boxes, rec)
    return Sample(image, [], "detection", meta, target, prompt, regions)
