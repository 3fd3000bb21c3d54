"""Published sets are read record by record; a bad record is named and never replaced by another one."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from vary.data.corpus.conversations import SETS, FileSource, open_set
from vary.data.corpus.records import load_rows
from vary.data.sample import Skipped
from vary.markup.prompts import TEMPLATES, pieces_of

RED, BLUE = (200, 30, 40), (20, 60, 220)


def picture(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (40, 30)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path.name


def png(colour: tuple[int, int, int]) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, "PNG")
    return data.getvalue()


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def official(*turns: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[k % 2], "value": text} for k, text in enumerate(turns)]


def test_official_conversations(tmp_path) -> None:
    picture(tmp_path / "images/a.png", BLUE)
    rows = [
        {"image": "a.png", "conversations": official("<image>\nRead this.", "Text.", "And now?", "Nothing.")},
        {"image": "a.png", "conversations": official("No mark here.", "Implied.")},
        {"conversations": official("Only <image> as text", "I see none.")},
        official("A bare list", "is text."),
        {"image": "a.png", "conversations": [{"from": "gpt", "value": "Too early"}, *official("Q <image>", "A")]},
    ]
    found = open_set("conversations", write(tmp_path / "set.json", rows), f"{tmp_path}/images/")
    first, implied, text, bare, early = list(found)
    assert found.skipped == []
    assert [t["role"] for t in first.turns] == ["user", "assistant"] * 2
    assert first.turns[0]["content"] == "<image>\nRead this."
    assert first.open().getpixel((3, 3)) == BLUE
    assert implied.turns[0]["content"] == "<image>\nNo mark here."
    assert text.images == bare.images == []
    assert text.turns[0]["content"] == "Only <image> as text"
    assert early.meta["before"] == "Too early"
    assert early.turns[0]["content"] == "Q <image>"
    assert early.meta["set"] == "set"
    assert early.meta["record"] == 4


def test_messages_are_what_the_processor_takes(tmp_path) -> None:
    for name, colour in (("1.png", RED), ("2.png", BLUE)):
        picture(tmp_path / name, colour)
    turns = official("Is <image> red?", "Yes.", "And <image>?", "No.")
    rows = [{"images": ["1.png", "2.png"], "conversations": turns}]
    conversation = open_set("conversations", write(tmp_path / "s.json", rows), tmp_path).sample(0)
    pieces, images = pieces_of(conversation.messages(), TEMPLATES["qwen"])
    assert [image.getpixel((0, 0)) for image in images] == [RED, BLUE]
    assert sum(piece.kind == "image" for piece in pieces) == 2
    assert "".join(piece.text for piece in pieces if piece.learn) == "Yes.<|im_end|>No.<|im_end|>"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": "none.png", "conversations": official("<image>", "A")}, "no image .*none.png"),
        ({"image": "a.png", "conversations": official("<image><image>", "A")}, "2 <image> for 1 images"),
        ({"image": "a.png", "conversations": official("<image>", "A", "B")}, "no answer to the last question"),
        ({"image": "a.png", "conversations": official("Q", "An <image>")}, "an answer holds <image>"),
        (
            {"image": "a.png", "conversations": [*official("<image>"), *official("again")]},
            "turn 2 is out of turn: user",
        ),
        ({"image": "a.png", "conversations": [{"from": "bot", "value": "x"}]}, "turn 1 is of 'bot'; allowed: human"),
        ({"image": "a.png", "conversations": [{"from": "human"}]}, "no value or content; it has from"),
        ({"image": "https://a.org/b.png", "conversations": official("<image>", "A")}, "is an address"),
        ({"image": 7, "conversations": official("<image>", "A")}, "must be a path or bytes, not int"),
        ({"image": "empty", "conversations": official("<image>", "A")}, "no pictures in the folder"),
        ({"image": "a.png"}, "no conversations or turns or messages; it has image"),
        ({"conversations": []}, "no turns"),
        (["text"], "expected an object with from or role, not str"),
        (17, "expected an object"),
    ],
)
def test_bad_records_are_named(tmp_path, row, reason) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    good = {"image": "a.png", "conversations": official("<image>", "Good.")}
    found = open_set("conversations", write(tmp_path / "set.json", [good, row, good]), tmp_path)
    with pytest.raises(Skipped, match=f"^set: record 1: .*{reason}"):
        found.sample(1)
    assert [c.meta["record"] for c in found] == [0, 2]
    assert [s.record for s in found.skipped] == [1]
    assert len(found) == 3
    with pytest.raises(IndexError, match="has 3 records, there is no 3"):
        found.sample(3)


def test_pictures_that_cannot_be_decoded(tmp_path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("no picture")
    rows = [
        {"image": n, "conversations": official("<image>", "A")} for n in ("a.png", "cut.png", "gone.png", "text.png")
    ]
    found = open_set("conversations", write(tmp_path / "set.json", rows), tmp_path)
    with pytest.raises(Skipped, match=r"^set: record 1: .*cut.png: cannot be decoded"):
        found.sample(1).open()
    assert [c.meta["record"] for c in found] == [0, 1, 3], "images are not opened before they are asked for"
    assert [s.record for s in found.skipped] == [2]
    with pytest.raises(Skipped, match=r"^set: record 3: .*not an image") as refused:
        found.sample(3).open()
    assert "\n" not in f"{refused.value}{found.skipped[0]}"


def test_a_folder_of_pages(tmp_path) -> None:
    for k in (10, 2, 1):
        picture(tmp_path / f"doc/page{k}.png", (k, 0, 0))
    rows = [{"image": "doc", "conversations": official("<image>\nOCR: ", "Three pages.")}]
    conversation = open_set("conversations", write(tmp_path / "s.json", rows), tmp_path).sample(0)
    assert [conversation.open(k).getpixel((0, 0))[0] for k in range(3)] == [1, 2, 10]
    assert conversation.turns[0]["content"] == "<image>" * 3 + "\nOCR: "


def test_sets_of_the_papers(tmp_path) -> None:
    picture(tmp_path / "a.png")
    one = {"image": "a.png"}
    rows = {
        "tiny-600k": ([one | {"question": "Read.", "caption": "One.<lb>Two."}], "Read.", "One.\nTwo."),
        "pairs": ([one | {"TEXT": "alt", "top_caption": " A red field. "}], "Describe the content", "A red field."),
        "docvqa": ({"data": [one | {"question": "Who?", "answers": ["Ann", "ann"]}]}, "Who?\nAnswer using", "Ann"),
        "chartqa": ([{"imgname": "a.png", "query": "How many?", "label": "14"}], "How many?\nAnswer using", "14"),
        "coco-captions": (
            {"images": [{"id": 5, "file_name": "a.png"}], "annotations": [{"image_id": 5, "caption": "A field."}]},
            "Describe the content", "A field.",
        ),
    }  # fmt: skip
    for kind, (content, question, answer) in rows.items():
        conversation = open_set(kind, write(tmp_path / f"{kind}.json", content), tmp_path).sample(0)
        assert conversation.turns[0]["content"].startswith(f"<image>\n{question}")
        assert conversation.turns[1]["content"] == answer
        assert conversation.open().size == (40, 30)
    texts = {
        "alpaca": ([{"instruction": "Add.", "input": "1, 2", "output": "3"}], ["Add.\n1, 2", "3"]),
        "baize": ([{"input": "Begin.\n[|Human|] Hi\n[|AI|] Yes?\n[|Human|] Go\n[|AI|] Ok\n[|Human|] "}],
                  ["Hi", "Yes?", "Go", "Ok"]),
    }  # fmt: skip
    for kind, (content, said) in texts.items():
        conversation = open_set(kind, write(tmp_path / f"{kind}.json", content)).sample(0)
        assert [t["content"] for t in conversation.turns] == said
        assert conversation.images == []
    assert {*rows, *texts, "conversations", "refcoco"} == set(SETS)


def test_answers_that_are_not_there(tmp_path) -> None:
    picture(tmp_path / "a.png")
    for kind, row, reason in (
        ("docvqa", {"image": "a.png", "question": "Who?", "answers": []}, "no answer"),
        ("docvqa", {"image": "a.png", "question": "Who?"}, "no answers or answer or label; it has image, question"),
        ("pairs", {"image": "a.png", "caption": "  "}, "the caption is empty"),
        ("pairs", {"URL": "http://a.org/1.jpg", "TEXT": "x"}, "is an address, http://a.org/1.jpg"),
    ):
        with pytest.raises(Skipped, match=f"^s: record 0: .*{reason}"):
            open_set(kind, write(tmp_path / "s.json", [row]), tmp_path).sample(0)


def test_refcoco(tmp_path) -> None:
    picture(tmp_path / "train_12.jpg", size=(640, 480))
    refs = [{"ref_id": 1, "ann_id": 9, "image_id": 12, "split": "train", "file_name": "train_12_1.jpg",
             "sentences": [{"sent": "the left woman"}, {"sent": "woman in red."}]}]  # fmt: skip
    instances = {
        "images": [{"id": 12, "file_name": "train_12.jpg", "width": 640, "height": 480}],
        "annotations": [{"id": 9, "image_id": 12, "category_id": 1, "bbox": [22.4, 11.52, 519.68, 420.96]}],
    }
    whole = write(tmp_path / "instances.json", instances)
    path = write(tmp_path / "refs.json", refs)
    left, red = list(open_set("refcoco", path, tmp_path, instances=whole))
    assert left.turns[0]["content"] == "<image>\nDetect an object: the left woman."
    assert red.turns[0]["content"] == "<image>\nDetect an object: woman in red."
    assert left.turns[1]["content"] == "[035, 024, 847, 901]"
    assert left.meta["split"] == "train"
    with pytest.raises(ValueError, match=r"refs.json: RefCOCO's refs hold no boxes; give 'instances'"):
        open_set("refcoco", path, tmp_path)
    instances["annotations"] = []
    with pytest.raises(ValueError, match=r"refs.json: ref 0 has no box or image in .*instances.json"):
        open_set("refcoco", path, tmp_path, instances=write(tmp_path / "instances.json", instances))


class Loud:
    def __reduce__(self) -> tuple:
        return print, ("this was run",)


def test_pickles_are_refused_unread(tmp_path, capsys) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(Loud()))
    with pytest.raises(ValueError, match="a pickle runs code when it is read and is refused; write it as JSON first"):
        open_set("refcoco", path, instances=path)
    assert "run" not in capsys.readouterr().out


def test_json_lines(tmp_path) -> None:
    path = tmp_path / "own.jsonl"
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sí?"},
             {"role": "assistant", "content": "好。"}]  # fmt: skip
    lines = [json.dumps({"turns": turns}, ensure_ascii=False), "", "{cut", json.dumps({"messages": turns[1:]})]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = open_set("conversations", path)
    assert len(found) == 3
    assert found.sample(0).turns == turns
    assert found.sample(2).turns == turns[1:]
    with pytest.raises(Skipped, match=r"^own: record 1: not JSON"):
        found.sample(1)


def test_parquet(tmp_path) -> None:
    colours = [(k, 0, 0) for k in range(7)]
    cells = [{"bytes": png(c), "path": None} for c in colours]
    table = pyarrow.table({"image": cells, "caption": [f"Number {k}." for k in range(7)]})
    folder = tmp_path / "pairs"
    folder.mkdir()
    parquet.write_table(table.slice(0, 5), folder / "0.parquet", row_group_size=2)
    parquet.write_table(table.slice(5), folder / "1.parquet")
    found = open_set("pairs", folder)
    assert len(found) == 7
    for k in (6, 0, 4, 5, 1):
        assert found.sample(k).turns[1]["content"] == f"Number {k}."
        assert found.sample(k).open().getpixel((0, 0)) == (k, 0, 0)
    (folder / "2.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"2.parquet: not Parquet: "):
        open_set("pairs", folder)


def test_a_folder_of_pairs(tmp_path) -> None:
    for name in ("00000/a.jpg", "00000/b.jpg", "00001/c.jpg"):
        picture(tmp_path / name)
    for name in ("00000/a.txt", "00001/c.txt", "00001/d.txt"):
        (tmp_path / name).write_text(f"Caption of {name}.")
    found = open_set("pairs", tmp_path)
    assert [c.turns[1]["content"] for c in found] == ["Caption of 00000/a.txt.", "Caption of 00001/c.txt."]
    assert [(s.record, s.reason.split(";")[0].split(" or ")[0]) for s in found.skipped] == [
        (1, "no caption"), (3, "no image"),
    ]  # fmt: skip


def test_files_that_are_not_of_the_format(tmp_path) -> None:
    (tmp_path / "broken.json").write_text("[1, 2")
    for path, reason in (
        (tmp_path / "none.json", "none.json: no such file or folder"),
        (tmp_path / "broken.json", "broken.json: not JSON"),
        (write(tmp_path / "dict.json", {"a": 1}), "dict.json: expected a list of records"),
        (write(tmp_path / "set.csv", []), "set.csv: allowed are .json, .jsonl"),
    ):
        with pytest.raises(ValueError, match=reason):
            load_rows(path)
    with pytest.raises(ValueError, match=r"dict.json: no list 'images'"):
        open_set("coco-captions", tmp_path / "dict.json")
    bad = write(tmp_path / "coco.json", {"images": [{"id": 1}], "annotations": []})
    with pytest.raises(ValueError, match=r"coco.json: not of the kind 'coco-captions': KeyError 'file_name'"):
        open_set("coco-captions", bad)
    with pytest.raises(ValueError, match="unknown kind of set 'vqa'; allowed: conversations, tiny-600k"):
        open_set("vqa", bad)


def test_source_of_samples(tmp_path) -> None:
    picture(tmp_path / "a.png", BLUE, (400, 200))
    rows = [{"image": "a.png", "conversations": official(f"<image>\nQ{k}", f"A{k}")} for k in range(5)]
    rows[3]["image"] = "gone.png"
    rows.append({"conversations": official("Text?", "Only.", "More?", "Yes.")})
    found = open_set("conversations", write(tmp_path / "s.json", rows), tmp_path)
    source, again = FileSource([found, found], seed=3, size=100), FileSource([found, found], seed=3, size=100)
    seen, skipped = [], []
    for i in range(24):
        try:
            sample = source.sample(i)
        except Skipped as reason:
            skipped.append(reason.record)
            continue
        seen.append(sample.meta["record"])
        other = again.sample(i)
        assert np.array_equal(sample.image, other.image)
        assert (sample.prompt, sample.target) == (other.prompt, other.target)
        if sample.meta["record"] == 5:
            assert sample.image.shape == (0, 0)
            assert (sample.prompt, sample.text, len(sample.meta["turns"])) == ("Text?", "Only.", 4)
        else:
            assert sample.image.shape == (50, 100, 3)
            assert (sample.image == BLUE).all()
            assert (sample.prompt, sample.text) == (f"Q{sample.meta['record']}", f"A{sample.meta['record']}")
    assert sorted(seen) == sorted([0, 1, 2, 4, 5] * 4)  # two passes over two sets, every record once in each
    assert skipped == [3] * 4
    assert seen[:10] != seen[10:]
    with pytest.raises(ValueError, match=r"no records in the sets \(none\)"):
        FileSource([])
