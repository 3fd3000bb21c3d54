"""Boxes are those of the annotations and of the pixels; questions never ask for more than an answer can hold."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vary.data.images.detection import MAX_BOXES, DetectionSource, make_question, read_coco, read_openimages
from vary.data.images.paste import PasteSource, cutouts, paste_object, shapes, stamps
from vary.data.sample import Region, Sample, Skipped
from vary.markup.boxes import parse_boxes

COLOURS = {"dog": (200, 40, 40), "cat": (40, 40, 200), "bus": (40, 160, 40)}


def scene(path: Path, things: list[tuple[str, list[int]]], size: tuple[int, int] = (320, 240)) -> None:
    """White, with a rectangle in its class's colour for each box x, y, width, height."""
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    for label, (x, y, w, h) in things:
        image[y : y + h, x : x + w] = COLOURS[label]
    Image.fromarray(image).save(path)


SCENES = {
    "a.png": [("dog", [10, 20, 60, 40]), ("cat", [200, 100, 50, 90]), ("dog", [250, 30, 40, 30])],
    "b.png": [("bus", [0, 0, 320, 200])],
    "c.png": [],
}


@pytest.fixture
def coco(tmp_path) -> Path:
    names = list(COLOURS)
    images = [{"id": 10 + k, "file_name": f, "width": 320, "height": 240} for k, f in enumerate(SCENES)]
    annotations = [
        {"image_id": 10 + k, "category_id": 3 + names.index(label), "bbox": box}
        for k, things in enumerate(SCENES.values())
        for label, box in things
    ]
    crowd = {"image_id": 10, "category_id": 3, "bbox": [0, 0, 300, 200], "iscrowd": 1}
    flat = {"image_id": 11, "category_id": 3, "bbox": [50, 50, 0, 20]}
    outside = {"image_id": 11, "category_id": 3, "bbox": [330, 10, 20, 20]}
    for name, things in SCENES.items():
        scene(tmp_path / name, things)
    whole = {
        "images": images,
        "annotations": [*annotations[::-1], crowd, flat, outside],
        "categories": [{"id": 3 + k, "name": name} for k, name in enumerate(names)],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(whole))
    return path


def holds(sample: Sample, region: Region) -> None:
    """The region is exactly the rectangle of its colour that begins there."""
    x0, y0, x1, y1 = (round(v) for v in region.box)
    inside = sample.image[y0:y1, x0:x1].reshape(-1, 3).astype(int)
    assert np.abs(inside - COLOURS[region.label]).max() < 3


def test_coco(coco, tmp_path) -> None:
    found = read_coco(coco, tmp_path)
    assert found.left_out == {"crowd": 1, "no area": 2}
    source = DetectionSource(found, seed=1)
    seen, skipped = {}, []
    for i in range(3):
        try:
            sample = source.sample(i)
        except Skipped as reason:
            skipped.append(str(reason))
            continue
        for region in sample.regions:
            holds(sample, region)
        seen[Path(sample.meta["file"]).name] = sample
    assert skipped == [f"instances: record 2: {tmp_path}/c.png: no objects"]
    assert set(seen) == {"a.png", "b.png"}
    assert seen["a.png"].prompt == "Detect all objects in this image."
    assert seen["a.png"].text == "dog: [031, 083, 219, 250], [781, 125, 906, 250]; cat: [625, 417, 781, 792]."
    assert seen["b.png"].text == "bus: [000, 000, 1000, 833]."
    assert not seen["a.png"].lines
    assert seen["a.png"].kind == "detection"


def test_openimages(tmp_path) -> None:
    scene(tmp_path / "00a1.png", SCENES["a.png"])
    (tmp_path / "00a1.png").rename(tmp_path / "00a1.jpg")
    (tmp_path / "classes.csv").write_text("/m/01,dog\n/m/02,cat\n")
    head = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    rows = [
        ["00a1", "x", "/m/01", 1, 10 / 320, 70 / 320, 20 / 240, 60 / 240, 0, 0, 0, 0, 0],
        ["00a1", "x", "/m/02", 1, 200 / 320, 250 / 320, 100 / 240, 190 / 240, 0, 0, 0, 0, 0],
        ["00a1", "x", "/m/02", 1, 0, 1, 0, 1, 0, 0, 1, 0, 0],
    ]
    with open(tmp_path / "boxes.csv", "w", newline="") as out:
        out.write(head + "\n")
        csv.writer(out).writerows(rows)
    found = read_openimages(tmp_path / "boxes.csv", tmp_path / "classes.csv", f"{tmp_path}/")
    assert found.left_out == {"group": 1}
    sample = DetectionSource(found).sample(0)
    assert [r.label for r in sample.regions] == ["dog", "cat"]
    for region in sample.regions:
        holds(sample, region)
    (tmp_path / "boxes.csv").write_text(head + "\n" + "00a1,x,/m/09,1,0,1,0,1,0,0,0,0,0\n")
    with pytest.raises(ValueError, match=r"boxes.csv: line 2: KeyError '/m/09'"):
        read_openimages(tmp_path / "boxes.csv", tmp_path / "classes.csv")


def test_smaller_images_keep_their_boxes(coco, tmp_path) -> None:
    source = DetectionSource(read_coco(coco, tmp_path), size=160)
    for i in range(3):
        try:
            sample = source.sample(i)
        except Skipped:
            continue
        assert sample.image.shape == (120, 160, 3)
        for region in sample.regions:
            x0, y0, x1, y1 = (round(v) for v in region.box)
            middle = sample.image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].reshape(-1, 3)
            assert np.abs(middle.astype(int) - COLOURS[region.label]).max() < 8


def test_images_that_do_not_fit_their_annotations(coco, tmp_path) -> None:
    scene(tmp_path / "a.png", [], (240, 320))
    (tmp_path / "b.png").unlink()
    source, reasons = DetectionSource(read_coco(coco, tmp_path)), {}
    for i in range(3):
        with pytest.raises(Skipped) as caught:
            source.sample(i)
        reasons[caught.value.record] = caught.value.reason
    assert reasons[0].endswith("a.png: the image is 240x320 px, its annotations are of 320x240")
    assert "b.png" in reasons[1]
    assert set(reasons) == {0, 1, 2}


def test_wrong_annotations(tmp_path) -> None:
    path = tmp_path / "x.json"
    for content, reason in (
        ({"images": []}, "no list 'annotations'"),
        ({"images": [{"id": 1}], "annotations": [], "categories": []}, "not of COCO's form: KeyError 'width'"),
        ({"images": [], "annotations": [{"image_id": 4, "bbox": [0, 0, 1, 1]}], "categories": []}, "KeyError 4"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=f"x.json: .*{reason}"):
            read_coco(path)


def many(**counts: int) -> list[Region]:
    rng = np.random.default_rng(len(counts))
    found = []
    for label, count in counts.items():
        for _ in range(count):
            x, y = rng.uniform(0, 900), rng.uniform(0, 900)
            found.append(Region(label, (x, y, x + 50, y + 40)))
    return found


def test_thirty_boxes_are_all_more_are_asked_by_class() -> None:
    prompt, answer = make_question(many(dog=18, cat=12), (1000, 1000), np.random.default_rng(0))
    assert prompt == "Detect all objects in this image."
    assert len(parse_boxes(answer, (1000, 1000)).found) == 30
    things, asked_for = many(dog=18, cat=13, bus=31, pen=2), Counter[str]()
    for seed in range(200):
        prompt, answer = make_question(things, (1000, 1000), np.random.default_rng(seed))
        labels = prompt.removeprefix("Detect ").removesuffix(" in this image.").split(", ")
        boxes = parse_boxes(answer, (1000, 1000))
        assert not boxes.rejected
        counts = Counter(f.label for f in boxes.found)
        assert list(counts) == labels
        assert counts == {label: sum(t.label == label for t in things) for label in labels}
        assert sum(counts.values()) <= MAX_BOXES
        asked_for.update(labels)
    assert set(asked_for) == {"dog", "cat", "pen"}
    assert min(asked_for.values()) > 30
    with pytest.raises(ValueError, match="62 objects, more than 30 of every class"):
        make_question(many(dog=31, cat=31), (1000, 1000), np.random.default_rng(0))
    with pytest.raises(ValueError, match="no objects"):
        make_question([], (10, 10), np.random.default_rng(0))


def test_one_object_by_what_only_it_is_called() -> None:
    left, right = Region("woman", (10, 10, 60, 90)), Region("woman", (700, 20, 760, 95))
    dogs = [
        Region("dog", (400, 10, 440, 50)),
        Region("dog", (410, 60, 450, 90)),
    ]  # one above the other: neither is left
    bus = Region("bus", (100, 50, 300, 90))
    right_answers = {
        "the left woman": "[010, 100, 060, 900]", "the right woman": "[700, 200, 760, 950]",
        "the bus": "[100, 500, 300, 900]",
    }  # fmt: skip
    seen = set()
    for seed in range(60):
        prompt, answer = make_question([right, bus, *dogs, left], (1000, 100), np.random.default_rng(seed), rec=1.0)
        phrase = prompt.removeprefix("Detect an object: ").removesuffix(".")
        assert right_answers[phrase] == answer
        seen.add(phrase)
    assert seen == set(right_answers)
    assert make_question(dogs, (1000, 100), np.random.default_rng(0), rec=1.0)[0] == "Detect all objects in this image."


def test_pasted_boxes_are_exact() -> None:
    """Every object has a corner of the RGB cube, which no mixture reaches: the extent of the colour is the truth."""
    objects = []
    for k in range(8):
        rgba = np.zeros((30 + 3 * k, 60, 4), np.uint8)
        rgba[:, 10 : 40 + k] = (255 * (k & 1), 255 * (k >> 1 & 1), 255 * (k >> 2), 255)
        rgba[:4, 20:24, 3] = 0
        objects.append((f"thing {chr(97 + k)}", rgba))
    source = PasteSource(objects, seed=2, height=200, width=300, count=(1, 9))
    most = checked = 0
    for i in range(60):
        sample = source.sample(i)
        most = max(most, len(sample.regions))
        labels = [r.label for r in sample.regions]
        for region in sample.regions:
            if labels.count(region.label) > 1:
                continue
            rgb = objects[ord(region.label[-1]) - 97][1][8, 15, :3]
            rows, columns = np.nonzero((sample.image == rgb).all(2))
            x0, y0, x1, y1 = region.box  # 2: soft edges and corners of turned and shrunk objects
            assert x0 <= columns.min() <= x0 + 2
            assert y0 <= rows.min() <= y0 + 2
            assert x1 - 2 <= columns.max() + 1 <= x1
            assert y1 - 2 <= rows.max() + 1 <= y1
            checked += 1
        found = parse_boxes(sample.text, (300, 200))
        assert not found.rejected
        assert sorted(f.label for f in found.found) == sorted(labels)
    assert most >= 7
    assert checked > 80


def test_pasting_is_repeatable() -> None:
    source, again = PasteSource(shapes(), seed=7, degraded=0.5), PasteSource(shapes(), seed=7, degraded=0.5)
    samples = [source.sample(i) for i in range(8)]
    for i in (5, 1):
        assert np.array_equal(again.sample(i).image, samples[i].image)
        assert again.sample(i).target == samples[i].target
    assert any("degraded" in s.meta for s in samples)


def test_an_object_hides_at_most_a_third_of_another() -> None:
    rng, square = np.random.default_rng(3), np.full((22, 22, 4), 255, np.uint8)
    refused = 0
    for _ in range(20):
        image, owner, areas = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8), []
        refused += sum(not paste_object(image, owner, areas, square, rng) for _ in range(12))
        for k, (own, seen) in enumerate(areas, 1):
            assert own == 22 * 22
            assert seen == (owner == k).sum() >= 0.7 * own
    assert refused > 20


def test_backgrounds_and_cutouts(tmp_path) -> None:
    Image.new("RGB", (400, 300), (9, 99, 9)).save(tmp_path / "wall.png")
    drawing = np.zeros((40, 80, 4), np.uint8)
    drawing[10:30, 20:60] = (250, 10, 10, 255)
    Image.fromarray(drawing).save(tmp_path / "toy_car-03.png")
    objects = cutouts([tmp_path / "toy_car-03.png"])
    assert [(label, rgba.shape) for label, rgba in objects] == [("toy car", (20, 40, 4))]
    sample = PasteSource(objects, [tmp_path / "wall.png"], height=90, width=120, count=(1, 1)).sample(0)
    x0, y0, x1, y1 = (int(v) for v in sample.regions[0].box)
    away = sample.image.copy()
    away[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = (9, 99, 9)
    assert (away == (9, 99, 9)).all()
    with pytest.raises(ValueError, match=r"wall.png: no transparency"):
        cutouts([tmp_path / "wall.png"])
    (tmp_path / "no.png").write_text("nothing")
    with pytest.raises(ValueError, match=r"no.png: cannot be read"):
        cutouts([tmp_path / "no.png"])
    with pytest.raises(Skipped, match=r"backgrounds: record 0: .*gone.png"):
        PasteSource(objects, [tmp_path / "gone.png"]).sample(0)
    with pytest.raises(ValueError, match="no objects were given"):
        PasteSource([])
    with pytest.raises(ValueError, match=r"count is \(0, 4\)"):
        PasteSource(objects, count=(0, 4))


def test_shapes() -> None:
    found = dict(shapes(40))
    assert len(found) == 30
    assert found["red circle"].shape == (40, 40, 4)
    assert found["red circle"][20, 20].tolist() == [214, 40, 40, 255]
    assert found["red ring"][20, 20, 3] == 0
    assert found["blue square"][..., 3].all()


@pytest.mark.slow  # fetches a package of 160 MB
def test_stamps() -> None:
    found = stamps()
    assert len(found) > 200
    assert {"zebra", "banana", "violin"} <= {label for label, _ in found}
    assert PasteSource(found, seed=3).sample(0).regions
