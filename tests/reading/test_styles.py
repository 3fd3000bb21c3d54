"""Bold, italic and typewriter type: from the face to the page's lines, through the head, to Markdown and HTML."""

from __future__ import annotations

import html
import random
import re

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt

from vary.data.shards import pack, unpack
from vary.document.alphabets import LATIN
from vary.document.elements import STYLES, Block, Document, Line, Page
from vary.document.lines import FrameGrid
from vary.document.structure import find_structure
from vary.models.heads.reading import ReadingHead
from vary.reading.ctc import find_lines
from vary.reading.field import Field
from vary.train.tasks.reading_loss import reading_loss, reading_targets

from ..data.test_pdfs import typeset
from ..models.test_reading_head import oracle

TOLD = FrameGrid(LATIN, (8, 4), 2, STYLES)


def test_pages_say_how_their_type_looks(page_source) -> None:
    source = page_source(seed=3, height=512, width=512, degraded=0.0, sizes_px=(14, 20))
    lines = [line for i in range(12) for line in source.sample(i).lines]
    assert all(len(line.styles) == len(line.text) for line in lines)
    seen = np.bincount(np.concatenate([line.styles for line in lines]), minlength=8)
    assert seen[0] > 0
    assert seen[1] > 0
    assert seen[2] > 0
    assert seen[4] > 0
    sample = source.sample(1)
    again = unpack(pack(1, sample)[: len(pack(1, sample))])
    for a, b in zip(sample.lines, again.lines, strict=True):
        assert a.styles.tolist() == b.styles.tolist()


def test_fonts_of_a_pdf_say_it_too(tmp_path) -> None:
    from vary.data.pdfs.source import PdfSource

    head = '#set text(font: "Libertinus Serif", size: 11pt)\n'
    text = head + "plain words *bold words* _slanted words_ `code words` to the end"
    source = PdfSource(typeset(tmp_path / "a.pdf", text + " of the line." * 2), seed=1)
    line = source.page(0).lines[0]
    told = {name: "" for name in STYLES}
    for ch, look in zip(line.text, line.styles.tolist(), strict=True):
        for k, name in enumerate(STYLES):
            told[name] += ch if look >> k & 1 else ""
    assert {name: text.replace(" ", "") for name, text in told.items()} == {
        "bold": "boldwords", "italic": "slantedwords", "mono": "codewords"
    }  # fmt: skip


def field_of(sample, doubt: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The field of a head that also tells styles, wrong for the share `doubt` of the characters."""
    log_probs, geometry = oracle(sample)
    odds = np.full((*geometry.shape[:2], len(STYLES)), -3.0, np.float32)
    rng = np.random.default_rng(1)
    for line in sample.lines:
        x = (line.boxes[:, 0] + line.boxes[:, 2]) / 2
        y = line.baseline - line.x_height / 2
        for cx, look in zip(x, line.styles.tolist(), strict=True):
            true = np.array([3.0 if look >> k & 1 else -3.0 for k in range(len(STYLES))])
            odds[max(0, int(y / 8) - 1) : int(y / 8) + 2, int(cx / 2)] = true * (-1 if rng.random() < doubt else 1)
    return log_probs, np.concatenate([geometry, odds], -1)


def test_loss_of_styles(page_source) -> None:
    sample = page_source(seed=6, height=256, width=512, degraded=0.0, sizes_px=(18, 24)).sample(1)
    log_probs, geometry = (torch.from_numpy(v)[None] for v in field_of(sample))
    targets = reading_targets([sample.lines], sample.image.shape, TOLD)
    assert reading_loss(log_probs, geometry, targets, 8.0)["style"] < 0.1
    assert reading_loss(log_probs, -geometry, targets, 8.0)["style"] > 1
    for line in sample.lines:
        line.styles = None
    targets = reading_targets([sample.lines], sample.image.shape, TOLD)
    assert "style" not in reading_loss(log_probs, geometry, targets, 8.0)


def test_a_word_is_what_most_of_its_letters_are(page_source) -> None:
    sample = page_source(seed=9, height=512, width=512, degraded=0.0, sizes_px=(18, 24)).sample(2)
    log_probs, geometry = field_of(sample, doubt=0.1)
    true = {line.text: line for line in sample.lines}
    right = total = 0
    for line in find_lines(Field.from_arrays(np.exp(log_probs), geometry, TOLD), TOLD):
        assert line.styles.shape == (len(line.text), len(STYLES))
        for start, word in ((line.text.find(w), w) for w in line.text.split()):
            assert len({tuple(row) for row in line.styles[start : start + len(word)].tolist()}) == 1
        if line.text in true:
            bits = (true[line.text].styles[:, None] >> np.arange(len(STYLES)) & 1).astype(bool)
            ink = np.array([ch != " " for ch in line.text])
            right += int((line.styles == bits).all(1)[ink].sum())
            total += int(ink.sum())
    assert total > 100
    assert right / total > 0.93  # a word of one letter has no majority to mend it


def test_head_knows_its_styles() -> None:
    tokens, grid = torch.zeros(1, 6, 8), (2, 3)
    assert ReadingHead(8, LATIN, (8, 4), 2)(tokens, grid)[1].shape == (1, 2, 6, 2)
    assert ReadingHead(8, LATIN, (8, 4), 2, STYLES)(tokens, grid)[1].shape == (1, 2, 6, 5)
    with pytest.raises(ValueError, match="unknown style 'wavy'; allowed: bold, italic, mono"):
        ReadingHead(8, LATIN, (8, 4), 2, ("wavy",))


# -- kinds and writers -----------------------------------------------------------------------------------------------


def line(text: str, y: float = 0.0, x: float = 10.0, width: float | None = None, **styles: str) -> Line:
    """A line whose named words are set in a style; characters stand 8 px apart."""
    right = x + (8 * len(text) if width is None else width)
    spans = [(text.index(words), text.index(words) + len(words), style) for style, words in styles.items()]
    boxes = [(x + 8 * k, y, x + 8 * (k + 1), y + 16) for k in range(len(text))]
    return Line(text, (x, y, right, y + 16), 0.9, boxes, [0.9] * len(text), styles=sorted(spans))


def block(*lines: Line, kind: str = "text") -> Block:
    x0, y0, x1, y1 = zip(*(one.box for one in lines), strict=True)
    return Block(list(lines), (min(x0), min(y0), max(x1), max(y1)), kind)


def written(form: str, *blocks: Block) -> str:
    document = Document("a.pdf", "m", [Page(1, "ok", 600, 800, blocks=list(blocks))])
    return getattr(document, form)()


def shown(*blocks: Block) -> str:
    """The Markdown as a renderer of CommonMark shows it, without the comment that names the page."""
    return MarkdownIt().render(written("markdown", *blocks)).split("-->\n", 1)[1].strip()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (line("a bold word", bold="bold"), "<p>a <strong>bold</strong> word</p>"),
        (line("an (italic), b", italic="(italic),"), "<p>an <em>(italic),</em> b</p>"),
        (line("call f(x)*2 now", mono="f(x)*2"), "<p>call <code>f(x)*2</code> now</p>"),
        (line("both here", bold="here", italic="here"), "<p>both <em><strong>here</strong></em></p>"),
        (line("ticks `a`` b", mono="`a``"), "<p>ticks <code>`a``</code> b</p>"),
        (line("H2O, so", italic="H2O", subscript="2"), "<p><em>H<sub>2</sub>O</em>, so</p>"),
        (line("of xi, t", italic="xi, t", subscript="i"), "<p>of <em>x<sub>i</sub>, t</em></p>"),
        (line("a(xi)b", italic="xi", subscript="i"), "<p>a(<em>x<sub>i</sub></em>)b</p>"),
        (line("2xi3", italic="xi", subscript="i"), "<p>2<em>x</em><sub>i</sub>3</p>"),
        (line("two words", bold="two", italic="words"), "<p><strong>two</strong> <em>words</em></p>"),
        (line("twowords", bold="two", italic="words"), "<p><strong>two</strong>words</p>"),
        (line("no *stars* <b>", bold="*stars*"), "<p>no <strong>*stars*</strong> &lt;b&gt;</p>"),
    ],
)
def test_markdown_of_styles(made, expected) -> None:
    assert shown(block(made)) == expected


@pytest.mark.parametrize("seed", range(40))
def test_marks_are_never_shown(seed) -> None:
    """Random styles over random text: a renderer shows the text itself, and reads every mark as a mark."""
    rng = random.Random(seed)
    words = ["x", "word", "(", ")", ",", ".", "*", "_", "-", "∇", "ξ", "2", "é", "“", "中", "[", "]", "<", "`"]
    text = " ".join("".join(rng.choices(words, k=rng.randint(1, 5))) for _ in range(12))
    made = line("Start " + text)
    for _ in range(8):
        start = rng.randrange(6, len(made.text))
        style = rng.choice(["bold", "italic", "italic", "superscript", "subscript", "mono"])
        made.styles.append((start, min(len(made.text), start + rng.randint(1, 12)), style))
    plain = re.sub(r"</?(?:p|em|strong|sub|sup|code)>", "", MarkdownIt().render(written("markdown", block(made))))
    assert html.unescape(plain).split("-->\n", 1)[1].strip() == made.text


def test_links_inside_the_file_are_links_in_html_alone() -> None:
    made = line("see page 3")
    made.links = [(4, 10, "#page=3")]
    assert "see page 3" in written("markdown", block(made))
    assert '<a href="#page-3">page 3</a>' in written("html", block(made))


def test_styles_run_on_over_lines_and_hyphens() -> None:
    first = line("see the impor-", bold="impor-")
    second = line("tant words of it", 20, bold="tant words")
    assert block(first, second).styled_text() == ("see the important words of it", [(8, 23, "bold")])
    first, second = line("it is bold", bold="bold", width=120), line("and it goes on", 20, bold="and it")
    assert block(first, second).styled_text() == ("it is bold and it goes on", [(6, 17, "bold")])
    assert shown(block(first, second)) == "<p>it is <strong>bold and it</strong> goes on</p>"


def test_html_of_styles() -> None:
    made = written("html", block(line("a bold <word>", bold="bold", mono="<word>")))
    assert "<p>a <strong>bold</strong> <code>&lt;word&gt;</code></p>" in made


def test_list_items_keep_their_styles() -> None:
    made = block(line("- first item", bold="first"), line("- second", 20), kind="list")
    assert "<li><strong>first</strong> item</li>" in shown(made)


def test_typewriter_lines_are_code_with_their_indent() -> None:
    text = block(line("Some words before the code."), line("more of them.", 20))
    code = [line("if x == `y`:", 60, mono="if x == `y`:"), line("return  1", 80, x=42, mono="return  1")]
    page = Page(1, "ok", 600, 800, blocks=[text, block(code[0]), block(code[1]), block(line("After it.", 120))])
    find_structure(page)
    assert [found.kind for found in page.blocks] == ["text", "code", "text"]
    assert page.blocks[1].text == "if x == `y`:\n    return  1"
    assert "<pre><code>if x == `y`:\n    return  1\n</code></pre>" in shown(*page.blocks)
    assert "<pre><code>if x == `y`:\n    return  1</code></pre>" in written("html", *page.blocks)


def test_what_all_of_a_page_is_set_in_emphasises_nothing() -> None:
    lines = [line("all of it is bold", 20 * k, bold="all of it is bold") for k in range(5)]
    lines.append(line("but one word", 100, italic="one"))
    page = Page(1, "ok", 600, 800, blocks=[block(*lines)])
    find_structure(page)
    assert {span[2] for one in page.lines for span in one.styles} == {"italic"}


def test_json_round_trip() -> None:
    page = Page(1, "ok", 600, 800, blocks=[block(line("a bold word", bold="bold"))])
    assert page.to_dict()["blocks"][0]["lines"][0]["styles"] == [[2, 6, "bold"]]
    assert Page.from_dict(page.to_dict()).lines[0].styles == [(2, 6, "bold")]
