"""Pages of PDFs: paragraphs in reading order, boxes with ink, and no page whose text layer cannot be trusted."""

from __future__ import annotations

import gzip
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from vary.data.pdfs.source import PdfSource

from ..conftest import child_processes, is_ended, words_of_the_standard_library

PROSE = " ".join(words_of_the_standard_library().replace("--", " ").replace("-", " ").split())
WORDS = [word for word in PROSE.split() if word.isalpha()]
TWO_COLUMNS = """#set page(width: 420pt, height: 560pt, margin: 50pt, columns: 2, header: [Running head #h(1fr) 17],
  footer: align(center)[Volume 3])
#set text(size: 9pt, lang: "en", hyphenate: true)
#set par(justify: true, spacing: 1.6em)
"""


def typeset(path: Path, source: str) -> Path:
    import typst

    path.write_bytes(typst.compile(source.encode(), pdf_tags=False))
    return path


@pytest.fixture(scope="module")
def paragraphs() -> list[str]:
    return [" ".join(WORDS[k : k + 45]).capitalize() + "." for k in range(0, 450, 45)]


@pytest.fixture(scope="module")
def columns(tmp_path_factory, paragraphs) -> PdfSource:
    path = tmp_path_factory.mktemp("columns") / "two.pdf"
    typeset(path, TWO_COLUMNS + "\n\n".join(f'#"{text}"' for text in paragraphs))
    return PdfSource(path, seed=2)


def test_columns_paragraphs_and_hyphens(columns, paragraphs) -> None:
    sample = columns.page(0)
    assert sample is not None
    head, *body, foot = sample.target.split("\n")
    assert (head, foot) == ("Running head 17", "Volume 3")
    shown = [text for text in paragraphs if text in body]
    assert len(shown) >= len(body) - 2  # the last one may go on overleaf
    assert body[: len(shown)] == paragraphs[: len(shown)]
    assert any(line.text.endswith("-") for line in sample.lines), "the page has words parted at line ends"


def test_heads_can_be_dropped(columns, tmp_path) -> None:
    dropped = PdfSource(columns.pages[0][0], heads="drop").page(0)
    kept = columns.page(0)
    assert kept.target == f"Running head 17\n{dropped.target}\nVolume 3"
    assert np.array_equal(kept.image, dropped.image)
    assert [line.text for line in kept.lines] == [line.text for line in dropped.lines]


def test_boxes_hold_ink(columns) -> None:
    sample = columns.page(0)
    ink, checked = 255 - sample.image, 0
    for line in sample.lines:
        assert len(line.text) == len(line.boxes)
        for ch, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
            if ch.isalnum():
                assert ink[int(y0) : int(y1) + 2, int(x0) : int(x1) + 2].max(initial=0) > 60, ch
                checked += 1
    assert checked > 800


def test_samples_are_pure_and_cover_the_pages(tmp_path) -> None:
    source = "#set page(width: 300pt, height: 300pt)\n" + "#pagebreak()\n".join(
        f'Page {k} says: #"{" ".join(WORDS[20 * k : 20 * k + 20])}"\n' for k in range(6)
    )
    typeset(tmp_path / "b.pdf", source)
    (tmp_path / "a.pdf.gz").write_bytes(gzip.compress((tmp_path / "b.pdf").read_bytes()))
    one, other = PdfSource(tmp_path, seed=3), PdfSource(tmp_path, seed=3)
    assert one.pages == [(str(tmp_path / name), k) for name in ("a.pdf.gz", "b.pdf") for k in range(1, 7)]
    for i in (7, 0, 3):
        other.sample(i + 1)
        a, b = one.sample(i), other.sample(i)
        assert (a.target, a.meta) == (b.target, b.meta)
        assert np.array_equal(a.image, b.image)
    seen = [(s.meta["file"], s.meta["page"]) for s in map(one.sample, range(12))]
    assert sorted(seen) == one.pages != seen


def test_untrustworthy_pages_are_named(tmp_path) -> None:
    """A white page, text as a picture only, hidden text, nonsense letters, characters over each other, formulas."""
    shifted = (
        " ".join(WORDS[:120])
        .lower()
        .translate(str.maketrans("abcdefghijklmnopqrstuvwxyz", "qxzjkvbpygfwmucldrhsnioate"))
    )
    pages = {
        "used": " ".join(WORDS[:120]),
        "blank": "#hide[]",
        "no text": "#rect(width: 60%, height: 20%, fill: black)",
        "under 20 characters": "Title",
        "characters without ink": f'#text(fill: white, "{" ".join(WORDS[:120])}")',
        "letters as in no language": f'#"{shifted}"',
        "characters over each other": f'#text(tracking: -0.45em, hyphenate: false, "{" ".join(WORDS[:60])}")',
        "formulas": " ".join(WORDS[:20]) + " $ sum_(k=1)^n integral_0^1 alpha + beta <= gamma times delta $ " * 6,
        "turned text": f'#rotate(90deg, reflow: true, box(width: 200pt, "{" ".join(WORDS[:40])}"))',
        "mostly ink without text": '#"' + " ".join(WORDS[:8]) + '"\n' + "#grid(columns: 40, ..range(1200).map(k => "
        "rect(width: 4pt, height: 4pt, fill: black)), gutter: 2pt)",
    }  # fmt: skip
    for k, source in enumerate(pages.values()):
        typeset(tmp_path / f"{k:02}.pdf", "#set page(width: 400pt, height: 400pt, margin: 40pt)\n" + source)
    found = PdfSource(tmp_path, max_math=0.02)
    for k, (reason, (path, number)) in enumerate(zip(pages, found.pages, strict=True)):
        sample = found.page(k)
        assert (found.unusable.get((path, number)), sample is not None) == (
            (None, True) if reason == "used" else (reason, False)
        ), reason
    assert found.report() == {reason: 1 for reason in pages}
    assert found.sample(5).meta["file"].endswith("00.pdf")


def test_private_and_unmapped_characters(tmp_path) -> None:
    """A layer that says other things than the page shows: made by writing another map into the PDF."""
    path = typeset(tmp_path / "private.pdf", f'#set page(width: 400pt, height: 400pt)\n#"{" ".join(WORDS[:80])}"')
    import re
    import zlib

    data = path.read_bytes()

    def spoiled(match: re.Match[bytes]) -> bytes:
        body = zlib.decompress(match[2])
        if b"beginbfchar" not in body:
            return match[0]
        packed = zlib.compress(re.sub(rb"<00([46][0-9a-fA-F])>", rb"<e0\1>", body), 9)
        return match[1] + packed.ljust(len(match[2]), b"\0")[: max(len(match[2]), len(packed))] + match[3]

    changed = re.sub(rb"(stream\r?\n)(x.*?)(\r?\nendstream)", spoiled, data, flags=re.S)
    assert changed != data
    path.write_bytes(changed)
    source = PdfSource(path)
    assert source.page(0) is None
    assert set(source.unusable.values()) <= {"private-use characters", "characters without Unicode"}


def test_code_and_lists_keep_their_lines(tmp_path) -> None:
    body = " ".join(WORDS[:40])
    source = f"""#set page(width: 300pt, height: 400pt, margin: 30pt)
#set par(justify: true)
#"{body}"

- {" ".join(WORDS[50:75])}
- {" ".join(WORDS[80:84])}

```
def area(r):
    return 3 * r
print(area(1))
x = 1
```
"""
    target = PdfSource(typeset(tmp_path / "code.pdf", source)).page(0).target.split("\n")
    assert target[0] == body
    assert target[1] == "• " + " ".join(WORDS[50:75])
    assert target[-4:] == ["def area(r):", "return 3 * r", "print(area(1))", "x = 1"]


def test_chinese_lines_join_without_blanks() -> None:
    from vary.data.pdfs.paragraphs import join_lines

    assert (
        join_lines("这个命令展开为一个放大率因子，", "这个因子", False, set())
        == "这个命令展开为一个放大率因子，这个因子"
    )
    assert join_lines("a full line", "goes on", False, set()) == "a full line goes on"
    assert join_lines("hyphen-", "ation", True, set()) == "hyphenation"
    assert join_lines("well-", "known", True, {"well-known"}) == "well-known"
    assert join_lines("the x-", "Axis", True, set()) == "the x-Axis"


def test_files_that_are_none(tmp_path) -> None:
    typeset(tmp_path / "good.pdf", f'#"{" ".join(WORDS[:60])}"')
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7 not really")
    source = PdfSource(tmp_path)
    assert len(source) == 1
    assert source.report()["file: not a PDF, or broken beyond reading"] == 1
    with pytest.raises(ValueError, match="no page of a PDF"):
        PdfSource(tmp_path / "bad.pdf")
    with pytest.raises(ValueError, match="does not exist"):
        PdfSource(tmp_path / "none")
    with pytest.raises(ValueError, match="heads 'both'"):
        PdfSource(tmp_path, heads="both")


def test_a_child_that_dies_costs_one_page(tmp_path) -> None:
    pages = "#pagebreak()\n".join(f'#"{" ".join(WORDS[60 * k : 60 * k + 60])}"\n' for k in range(2))
    before = child_processes()
    source = PdfSource(typeset(tmp_path / "two.pdf", pages))
    (child,) = child_processes() - before
    os.kill(child, signal.SIGKILL)
    while not is_ended(child):
        os.sched_yield()
    assert source.page(0) is None
    assert source.page(1) is not None
    assert source.report() == {"used": 1, "renderer: the PDF renderer crashed": 1}
    assert source.page(0) is not None
    assert source.report() == {"used": 2}
