"""Markdown and HTML are escaped: what a page spells takes no effect, and reads as it was."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from vary.document.elements import Block, Document, Line, Page

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ATTACKS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![a](http://x/y.png)",
    "<svg/onload=alert(1)>", "[a]: javascript:alert(1)", "[a][b]", "<!-- x", "--> <b>x</b>", "<javascript:alert(1)>",
    "`code`", "**bold** and _it_ *is*", "~~gone~~", "# heading", "> quoted", "- item", "+ item", "1. item",
    "1986) item", "---", "===",
    "***", "| a | b |", ":-: | :-:", "&lt;b&gt; &#60;", "    indented", "```", "~~~", r"\*not\*",
    "$x$",
    "a <a href='x'>b</a>", "<?php ?>", "<!DOCTYPE html>", "snake_case_name", "2 < 3 & 4 > 1", "* * *", "http://x.y/_a_",
]  # fmt: skip


def written(text: str, kind: str = "text", **more) -> Document:
    lines = [Line(one, (0, 10.0 * k, 5, 10.0 * k + 9), 0.9) for k, one in enumerate(text.split("\n"))]
    return Document("a<b>.pdf", "m", [Page(1, "ok", 100, 100, blocks=[Block(lines, (0, 0, 100, 50), kind, **more)])])


class Tags(HTMLParser):
    """Tags, comments and text of a page."""

    def __init__(self, source: str):
        super().__init__()
        self.tags: list[tuple[str, list]] = []
        self.said = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append((tag, attributes))

    def handle_data(self, data) -> None:
        self.said += data


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", [*ATTACKS, "a line\n" + "\n".join(ATTACKS)], ids=lambda t: t[:20])
@pytest.mark.parametrize("kind", ["text", "heading", "list", "caption"])
def test_markdown_is_escaped(text, kind) -> None:
    shown = Tags(MARKDOWN.render(written(text, kind, level=2).markdown()))
    assert {tag for tag, _ in shown.tags} <= {"p", "br", "h2", "ul", "ol", "li"}
    if kind in ("text", "caption"):
        assert {tag for tag, _ in shown.tags} <= {"p", "br"}
        assert words(shown.said) == words(text)


@pytest.mark.parametrize("kind", ["header", "footer"])
@pytest.mark.parametrize("text", ATTACKS)
def test_comments_are_not_left(text, kind) -> None:
    shown = Tags(MARKDOWN.render(written(text, kind).markdown()))
    assert (shown.tags, shown.said.strip()) == ([], "")


def test_formulas_in_cells_are_not_escaped_and_other_dollars_are() -> None:
    cells = [["a", "b"], ["$x_i$ is $|y^2|$", "$5 or 6$"], ["a|b", r"$\alpha$"]]
    table = written("x", "table", cells=cells).markdown()
    assert "| $x_i$ is $\\vert y^2\\vert $ | \\$5 or 6\\$ |" in table
    assert "| a\\|b | $\\alpha$ |" in table


def test_markdown_table() -> None:
    cells = [["a|b", "<i>"], ["*x*", ""]]
    shown = Tags(MARKDOWN.render(written("x", "table", cells=cells).markdown()))
    assert [tag for tag, _ in shown.tags] == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert shown.said.split() == ["a|b", "<i>", "*x*"]


FILES = [["file", "get"], ["a|b.csv", "load"], ["get list 2 of all", "load"], ["none", "load"]]


def files(**more) -> Document:
    """A table whose lines have links: `get` within a cell of two printed lines, and `load` in the last two rows."""
    texts = ["file  get", "a|b.csv  load", "get list  load", "2 of all", "none  load"]
    document = written("\n".join(texts), "table", cells=FILES, **more)
    lines = document.pages[0].blocks[0].lines
    lines[1].links = [(0, 7, "https://a.example/1|2")]
    lines[2].links, lines[3].links = (
        [(4, 8, "https://a.example/list"), (10, 14, "/2")],
        [(0, 1, "https://a.example/list")],
    )
    lines[4].links = [(6, 10, "javascript:alert(1)")]
    return document


def test_links_in_cells_are_links() -> None:
    rows = files().markdown().split("\n")[4:]
    assert rows[0] == r"| [a\|b.csv](https://a.example/1%7C2) | load |"
    assert rows[1:] == [
        "| get [list 2](https://a.example/list) of all | [load](/2) |", "| none | load |"
    ]  # fmt: skip
    shown = Tags(files().html())
    assert [value for tag, (*_, value) in [t for t in shown.tags if t[0] == "a"]] == [
        ("href", "https://a.example/1|2"), ("href", "https://a.example/list")
    ]  # fmt: skip
    assert words(shown.said).endswith("filegeta|b.csvloadget list 2 of allloadnoneload")
    merged = files(merged=[(1, 1, 2, 1)]).markdown()
    assert '<td>get <a href="https://a.example/list">list 2</a> of all</td>' in merged


def test_links_in_cells_are_those_of_their_rows_in_chunks() -> None:
    found = [chunk.text for chunk in files().chunks(60)]
    assert ["https://a.example/1" in text for text in found] == ["a\\|b" in text for text in found]
    assert sum("[load](/2)" in text for text in found) == 1


def test_markdown_of_each_kind() -> None:
    found = written("• one\ntwo\n2. three", "list").markdown()
    assert found == "<!-- page 1 -->\n\n- one two\n2. three"
    assert written("Title", "heading", level=2).markdown().endswith("\n\n## Title")
    assert written("x^2", "formula").markdown().endswith("\n\n$$x^2$$")
    figure = Block([], (1, 1, 9, 9), "figure", image="a_images/0001-1.png")
    assert Document("a", "m", [Page(1, "ok", blocks=[figure])]).markdown().endswith("![figure](a_images/0001-1.png)")


def test_lost_pages_are_named() -> None:
    document = Document("a.pdf", "m", [Page(3, "failed", error="a --> <b>reason</b>"), Page(4, "blank")])
    assert "page 3: failed: a " in document.markdown()
    assert Tags(MARKDOWN.render(document.markdown())).tags == []
    shown = Tags(document.html())
    assert "page 3: failed: a --> <b>reason</b>" in shown.said
    assert "b" not in {tag for tag, _ in shown.tags}
    assert "page 4" not in shown.said


@pytest.mark.parametrize("kind", ["text", "heading", "list", "table", "formula", "caption", "header", "footer"])
def test_html_is_escaped(kind) -> None:
    text = " ".join(ATTACKS)
    document = written(text, kind, cells=[[text, '"><script>']] if kind == "table" else None)
    shown = Tags(document.html())
    allowed = {"html", "head", "meta", "title", "style", "body", "section", "p", "h1", "ul", "li", "table", "tr", "td",
               "pre", "small", "header", "footer"}  # fmt: skip
    assert {tag for tag, _ in shown.tags} <= allowed
    assert {name for _, attributes in shown.tags for name, _ in attributes} <= {
        "charset", "name", "content", "id", "data-status",
    }  # fmt: skip
    assert words(text) in words(shown.said)
    assert not re.search(r"(?i)src=(?!x)|https?://(?!x)", document.html())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Chapter 1 ........ 5", "Chapter 1 … 5"),
        ("2.11 Of gates . . . . . . . . . .  32", "2.11 Of gates … 32"),
        ("Index…………12", "Index … 12"),
        ("Rope · · · · · · · 4.50", "Rope … 4.50"),
        ("Wait... and see.", "Wait... and see."),
        ("It ends here.... So", "It ends here.... So"),
        ("Name: ________", "Name: ________"),
    ],
)
def test_dots_of_a_leader_are_an_ellipsis_in_markdown(text, expected) -> None:
    assert written(text).markdown().splitlines()[-1] == expected
    assert written(text).pages[0].text == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Name: ____ Date: ____", "Name: ____ Date: ____"), ("____", "\\____"), ("_x_ y", "\\_x_ y"), ("a _ b", "a _ b")],
)
def test_blanks_of_forms_are_no_markup(text: str, expected: str) -> None:
    shown = written(text).markdown()
    assert shown.splitlines()[-1] == expected
    assert not re.search("<em>|<hr", MARKDOWN.render(shown))
