"""Typeset pages: the target says exactly what the page shows, in order, with a box for every character."""

from __future__ import annotations

import re
from itertools import chain, pairwise

import numpy as np
import pytest

from vary.data.documents.content import Composer, Content
from vary.data.documents.page_split import PageCutter, PageMismatch
from vary.data.documents.source import DocumentSource
from vary.data.documents.templates import TEMPLATES, draw_families, draw_style, to_typst
from vary.data.documents.typst import load_fonts
from vary.data.sample import LAYOUT_CLASSES
from vary.io.pdf_layer import HYPHEN
from vary.io.pdf_text import read_text_layer
from vary.markup.blocks import (
    Code,
    Formula,
    Heading,
    Item,
    Note,
    Paragraph,
    Quote,
    Run,
    cut,
    pieces,
    to_markdown,
)
from vary.markup.read_document import read_markdown
from vary.markup.tables import Cell, parse_latex, ruled_table

from ..conftest import printed_by, words_of_the_standard_library

FORMULAS = [r"x^2+y^2=z^2", r"\frac{a}{b}", r"\alpha+\beta", r"\sum_{k=1}^{n} k", r"\sqrt{x+1}", r"e^{i\pi}+1=0"]
TABLES = [
    ("Planets", ["Name", "Mass", "Moons"], [["Mercury", "0.055", "0"], ["Venus", "0.815", "0"], ["Earth", "1", "1"]]),
    ("Odd signs", ["R&D_1", "50%", "#$"], [["a\\b", "{x}", "~^"], ["<i>", "*a*", "_b_"], ["p|q", "`r`", "[^1]"]]),
]  # fmt: skip
CODE = ["def area(r):\n    # of a circle\n    return 3.14 * r ** 2\n\nprint(area(2))"]


@pytest.fixture(scope="module")
def prose() -> str:
    return " ".join(words_of_the_standard_library().split())


@pytest.fixture(scope="module")
def content(prose) -> Content:
    return Content(prose, FORMULAS, TABLES, CODE)


@pytest.fixture(scope="module")
def plain(prose) -> Content:
    """Without formulas, whose signs the text layer spells in its own way."""
    return Content(prose, (), TABLES, CODE)


def squeezed(text: str) -> str:
    return "".join(text.replace(HYPHEN, "").replace("-", "").split())


def printed(block) -> str:
    """What a block of a page prints, footnote marks included; bullets are drawn in the template's own way."""
    if isinstance(block, Note):
        return block.number + "".join(run.text for run in block.runs)
    return "".join(piece for piece in pieces(block) if piece is not None)


def test_there_are_enough_templates() -> None:
    assert len(TEMPLATES) >= 12
    assert {1, 2} < {template.columns for template in TEMPLATES.values()}


def test_sample_is_pure(content) -> None:
    one, other = DocumentSource(content, 3, pages=2), DocumentSource(content, 3, pages=2)
    for i in (5, 0):
        other.sample(i + 3)  # what came before must not matter
        a, b = one.sample(i), other.sample(i)
        assert np.array_equal(a.image, b.image)
        assert (a.target, a.meta, a.regions) == (b.target, b.meta, b.regions)
        assert all(np.array_equal(x.boxes, y.boxes) for x, y in zip(a.lines, b.lines, strict=True))
    assert one.sample(0).target != DocumentSource(content, 4, pages=2).sample(0).target


def test_another_process_makes_the_same_page(capsys) -> None:
    program = (
        "import hashlib; from vary.data.documents.content import Content;"
        "from vary.data.documents.source import DocumentSource;"
        "s = DocumentSource(Content('A plain text of some words. ' * 90, ['x^2']), 9, pages=2).sample(1);"
        "print(hashlib.sha256(s.image.tobytes() + s.target.encode()).hexdigest())"
    )
    exec(program, {})
    assert printed_by(program, PYTHONHASHSEED="1") == capsys.readouterr().out != ""


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_template(name, plain) -> None:
    """Text of the target == text layer of the page, every box holds ink, blocks stand in reading order."""
    source = DocumentSource(plain, 1, templates=[name], pages=2)
    for i in range(2):
        sample = source.sample(i)
        sheet = source.sheets(0)[i]
        layer = sheet.page.layer
        shown = squeezed(layer.text)
        wanted = squeezed("".join(printed(block) for block in sheet.page.blocks))
        assert sorted(re.sub(r"[•◦–·▪—]", "", shown)) == sorted(re.sub(r"[•◦–·▪—]", "", wanted))
        assert sample.target == to_markdown(sheet.page.blocks)
        ink, checked = 255 - sample.image, 0
        for line in sample.lines:
            assert len(line.text) == len(line.boxes)
            for ch, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
                if not ch.isspace():
                    around = ink[
                        int(y0) - 1 : int(y1) + 2, int(x0) - 1 : int(x1) + 2
                    ]  # PDFium sets glyphs on whole pixels
                    assert around.max(initial=0) > 40, ch
                    checked += 1
        assert checked > 100
        assert "".join("".join(line.text.split()) for line in sample.lines).count("e") == shown.count("e")


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_target_set_again_gives_the_same_image(name, content) -> None:
    """Blocks -> Markdown -> blocks -> Typst: nothing that is printed is lost or made up."""
    import typst

    fonts, rng, template = load_fonts(), np.random.default_rng(8), TEMPLATES[name]
    families, mono = draw_families(template, rng, fonts.families, "en")
    composer = Composer(content, template, rng, frozenset(), lambda text, code=False: fonts.missing(text, families))
    style = draw_style(template, rng, families, mono, composer.names, "en")
    groups = composer.groups(style.first_note)
    blocks = list(chain.from_iterable(next(groups) for _ in range(25)))
    again, skipped = read_markdown(to_markdown(blocks))
    assert not skipped
    assert [type(b) for b in again] == [type(b) for b in blocks]
    one, two = (
        typst.compile(to_typst(b, template, style, composer.math).encode(), font_paths=fonts.fonts, pdf_tags=False)
        for b in (blocks, again)
    )
    import pypdfium2

    first, second = pypdfium2.PdfDocument(one), pypdfium2.PdfDocument(two)
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.render(grayscale=True).to_numpy(), b.render(grayscale=True).to_numpy())


def test_markdown_round_trip(content) -> None:
    """Also of texts that are full of Markdown's own signs."""
    odd = Content("a *b* _c_ `d` #e 1. f - g [h](i) [^1] <j> $k$ \\( l \\[ & &amp; ![m] snake_case 5*3 * x ** y. " * 40,
                  FORMULAS, TABLES, CODE)  # fmt: skip
    for name in ("article", "manual", "exam", "letter"):
        for source in (content, odd):
            composer = Composer(source, TEMPLATES[name], np.random.default_rng(5), frozenset(), lambda *_: set())
            groups = composer.groups()
            blocks = list(chain.from_iterable(next(groups) for _ in range(80)))
            again, _ = read_markdown(to_markdown(blocks))
            assert to_markdown(again) == to_markdown(blocks)
            assert [type(b) for b in again] == [type(b) for b in blocks]


def test_pages_are_cut_exactly(plain) -> None:
    """All pages of a document together say what the document says, even where a word is parted by a page."""
    source = DocumentSource(plain, 2, templates=["conference", "article", "encyclopedia"], pages=4)
    hyphens = 0
    for document in range(6):
        source.sample(4 * document)
        _, _, _, _, blocks = source.compose(document, 0, 1.2)
        pages = [sheet.page for sheet in source.sheets(document)]
        if source.refused:
            continue
        body = [[b for b in page.body() if not isinstance(b, Note)] for page in pages]
        shown = "".join(squeezed(printed(block)) for blocks_ in body for block in blocks_)
        text = "".join(squeezed(printed(block)) for block in blocks if not isinstance(block, Note))
        assert text.startswith(shown)
        assert len(shown) > 2000
        hyphens += sum(to_markdown(b).endswith("-") for b in body)
        for before, after in pairwise(body):
            whole = [squeezed(printed(block)) for block in blocks]
            assert squeezed(printed(before[-1])) in "".join(whole)
            assert squeezed(printed(after[0])) in "".join(whole)


def test_two_columns_are_read_one_after_the_other(plain) -> None:
    source = DocumentSource(plain, 7, templates=["conference", "journal", "newspaper"], pages=3)
    for i in range(6):
        sample = source.sample(i)
        body = [r for r in sample.regions if r.label in ("text", "list item", "code", "table", "heading")]
        width = TEMPLATES[sample.meta["template"]].paper[0] * source.sheets(i // 3)[i % 3].scale
        columns = TEMPLATES[sample.meta["template"]].columns
        narrow = [r.box for r in body if r.box[2] - r.box[0] < width / columns]
        places = [(int((box[0] + box[2]) / 2 / (width / columns)), box[1]) for box in narrow]
        assert len({column for column, _ in places}) == columns
        assert places == sorted(places)


def test_footnotes_formulas_and_tables(content) -> None:
    source = DocumentSource(content, 4, templates=["article", "thesis", "conference"], pages=6)
    samples = [source.sample(i) for i in range(18)]
    targets = "\n\n".join(sample.target for sample in samples)
    for part in (r"\( ", r"\[ ", r"\begin{tabular}", "## ", "- ", "1. ", "**", r"\tag{"):
        assert part in targets, part
    for sample in samples:
        marks = set(re.findall(r"(?<!\n)\[\^(\d+)\](?!:)", sample.target))
        texts = set(re.findall(r"(?m)^\[\^(\d+)\]:", sample.target))
        assert texts <= marks or not marks, "a footnote stands on the page of its mark or goes on from the page before"
        formulas = [region.text for region in sample.regions if region.label == "inline formula"]
        assert all(f"\\( {latex} \\)" in sample.target for latex in formulas)
        for region in sample.regions:
            x0, y0, x1, y1 = region.box
            assert 0 <= x0 < x1 <= sample.image.shape[1]
            assert 0 <= y0 < y1 <= sample.image.shape[0]
    assert any(r.label == "inline formula" for sample in samples for r in sample.regions)


def test_heads_can_be_dropped(plain) -> None:
    kept = DocumentSource(plain, 6, templates=["journal"], pages=2).sample(1)
    dropped = DocumentSource(plain, 6, templates=["journal"], pages=2, heads="drop").sample(1)
    head = next(region.text for region in kept.regions if region.label == "header")
    assert kept.target.startswith(head + "\n\n")
    assert kept.target.removeprefix(head + "\n\n").startswith(dropped.target)
    assert np.array_equal(kept.image, dropped.image)
    assert str(kept.meta["page"]) in head


def test_regions_are_layout_classes(content) -> None:
    source = DocumentSource(content, 4, templates=["report", "thesis"], pages=4)
    regions = [region for i in range(8) for region in source.sample(i).regions]
    labels = {region.label for region in regions}
    assert {"text", "heading", "list item", "table", "caption", "header", "footer"} <= labels
    assert labels <= {*LAYOUT_CLASSES, "inline formula"}
    tables = [region for region in regions if region.label == "table"]
    assert not any("Table" in region.text for region in tables), "a caption is a region of its own"
    assert all(region.text.startswith("Table ") for region in regions if region.label == "caption")


def test_gutters_have_many_widths(plain) -> None:
    source = DocumentSource(plain, 3, templates=["conference"], pages=1)
    gaps = []
    for i in range(6):
        sample = source.sample(i)
        boxes = np.concatenate([line.boxes for line in sample.lines])
        middle = TEMPLATES["conference"].paper[0] * 1024 / TEMPLATES["conference"].paper[1] / 2
        body = boxes[(boxes[:, 1] > 200) & (boxes[:, 3] < 900)]
        gaps.append(body[body[:, 0] > middle, 0].min() - body[body[:, 2] < middle, 2].max())
    assert min(gaps) > 8
    assert max(gaps) > 1.8 * min(gaps)


def test_tinted_and_inverted_pages(plain) -> None:
    white, toned = (DocumentSource(plain, 3, templates=["letter"], pages=4, toned=share) for share in (0.0, 1.0))
    darker = 0
    for i in range(8):
        a, b = white.sample(i), toned.sample(i)
        paper, ink = b.meta["tone"]
        assert a.target == b.target
        assert (b.image[a.image == 255] == paper).all()
        assert np.abs(b.image[a.image < 20].astype(int) - ink).max() < 20
        assert abs(paper - ink) >= 100
        darker += paper < ink
    assert 0 < darker < 8


def test_a_page_that_says_something_else_is_refused(plain) -> None:
    source = DocumentSource(plain, 2, templates=["journal"], pages=2)
    source.sample(0)
    _, template, style, _, blocks = source.compose(0, 0, 1.2)
    sheet = source.sheets(0)[0]
    PageCutter(blocks, template, style, sheet.scale).read(sheet.pdf, style.first_page)
    k = next(k for k, block in enumerate(blocks) if isinstance(block, Paragraph) and len(block.runs[0].text) > 20)
    other = [*blocks]
    other[k] = Paragraph((Run("Q" + blocks[k].runs[0].text[1:]), *blocks[k].runs[1:]))
    with pytest.raises(PageMismatch, match="is printed for 'Q'"):
        PageCutter(other, template, style, sheet.scale).read(sheet.pdf, style.first_page)
    with pytest.raises(PageMismatch, match="running head"):
        PageCutter(blocks, template, style, sheet.scale).read(sheet.pdf, style.first_page + 1)


def test_layer_finds_every_colour() -> None:
    """Colours by text object are those that PDFium gives character by character; ligatures share their width."""
    import ctypes

    import pypdfium2
    import typst
    from pypdfium2 import raw

    source = "".join(f'#text(fill: rgb({k}, {k % 7}, {k % 3}), "office {k} affine ")' for k in range(16))
    page = pypdfium2.PdfDocument(typst.compile(f"#set page(width: 200pt)\n{source}".encode(), pdf_tags=False))[0]
    layer, textpage = read_text_layer(page, 2.0), page.get_textpage()
    four = [ctypes.c_uint() for _ in range(4)]
    glyphs = np.flatnonzero(layer.kinds != 1)
    for k in glyphs.tolist():
        assert raw.FPDFText_GetFillColor(textpage.raw, k, *four)
        assert layer.colours[k] == four[0].value << 16 | four[1].value << 8 | four[2].value
    start = layer.text.index("office") + 1
    edges = layer.boxes[start : start + 3]
    assert (edges[1:, 0] >= edges[:-1, 2] - 1e-3).all()
    x, y = ctypes.c_double(), ctypes.c_double()
    for k in glyphs.tolist():
        assert raw.FPDFText_GetCharOrigin(textpage.raw, k, x, y)
        assert layer.origins[k].tolist() == pytest.approx([2 * x.value, 2 * (page.get_height() - y.value)], rel=5e-3)
        assert layer.ems[k] == pytest.approx(2 * raw.FPDFText_GetFontSize(textpage.raw, k), rel=5e-3)


def test_users_documents() -> None:
    text = (
        "# A title\n\nIt has *two* words and \\( x^2 \\).[^n]\n\n- one\n- two\n\n> said\n\n![p](q.png)\n\n[^n]: Note.\n"
    )
    blocks, skipped = read_markdown(text * 3)
    assert skipped == {"picture": 3}
    source = DocumentSource(Content(documents=[blocks]), 1, templates=["book"], pages=2)
    target = source.sample(1).target
    assert "It has *two* words and \\( x^{2} \\).[^" in target
    assert "> said" in target
    assert not source.refused


def test_cut_of_blocks() -> None:
    runs = (Run("one two "), Run("three", "bold"), Run(" four"))
    assert cut(Paragraph(runs), [(0, 0), (0, 0), (0, 0)], False) is None
    assert cut(Paragraph(runs), [(0, 6), (0, 2), (0, 0)], True) == Paragraph((Run("one two "), Run("th-", "bold")))
    assert cut(Item(runs), [(1, 1), (3, 6), (0, 5), (0, 4)], False) == Paragraph((Run("two "), *runs[1:]))
    assert cut(Item(runs), [(0, 1), (0, 6), (0, 0), (0, 0)], False) == Item((Run("one two"),))
    assert cut(Code("a b\nc\nd"), [(0, 0), (0, 1), (0, 1)], False) == Code("c\nd")
    assert cut(Formula("x", "(1)"), [(0, 1), (0, 3)], False) == Formula("x", "(1)")


def test_tabular_round_trip() -> None:
    for rules in ("grid", "book", "none"):
        table = ruled_table([("a&b", "50% $1"), ("\\x~^", "{_#}"), ("", "é")], "lr", rules)
        assert parse_latex(to_markdown([table])) == table
        merged = ruled_table([("a", Cell("b", rows=2)), ("c",), (Cell("d", columns=2, bold=True),)], "lr", rules)
        assert read_markdown(to_markdown([merged, Paragraph((Run("x"),)), merged]))[0][::2] == [merged, merged]


def test_errors_name_what_was_given(plain) -> None:
    with pytest.raises(ValueError, match="unknown template 'leaflet'; allowed: article"):
        DocumentSource(plain, templates=["leaflet"])
    with pytest.raises(ValueError, match="heads 'some'"):
        DocumentSource(plain, heads="some")
    with pytest.raises(ValueError, match="no font with Chinese"):
        DocumentSource(Content("中文。" * 50, language="zh"))
    with pytest.raises(ValueError, match="nothing to typeset"):
        Content("")
    with pytest.raises(ValueError, match="do not fill 1 rows of 2 columns"):
        ruled_table([("a",)], "lr")
    with pytest.raises(ValueError, match="table ruling 'dots', align 'l'; allowed: grid, book, none"):
        ruled_table([("a",)], "l", "dots")
    assert load_fonts().missing("a中b文", ("Libertinus Serif",)) == {"中", "文"}
    assert Heading(1, (Run("x"),)) != Quote((Run("x"),))
