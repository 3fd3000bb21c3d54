"""What the server answers: pages in every format, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

import vary
from vary.document.elements import Block, Line, Page
from vary.serve.app import create_app, load_models

from .servers import (
    FakeReader,
    asking,
    client_of,
    png,
    upload,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_accept_header_names_the_format(client) -> None:
    def accepting(kind: str, **form) -> tuple[str, str]:
        found = client.post("/v1/parse", files={"file": ("a.png", png())}, data=form, headers={"Accept": kind})
        return found.headers["content-type"].split(";")[0], found.text

    assert accepting("text/markdown") == ("text/markdown", "<!-- page 1 -->\n\nsize 40\n")
    assert accepting("image/png, text/plain;q=0.5") == ("text/plain", "size 40\n")
    assert accepting("application/x-ndjson")[1].endswith('"pages": 1, "lost": []}\n')
    assert accepting("*/*")[0] == "application/json"
    assert accepting("text/html;q=0.2, text/markdown;q=0.9, */*;q=0.1")[0] == "text/markdown"
    assert accepting("*/*, text/html")[0] == "text/html"
    assert accepting("text/markdown", format="text")[0] == "text/plain"  # the form is more exact than the header
    assert accepting("image/png", format="text")[0] == "text/plain"
    for none in ("image/png", "application/pdf, text/html;q=0"):
        refused = client.post("/v1/parse", files={"file": ("a.png", png())}, headers={"Accept": none})
        assert refused.status_code == 406
        assert "allowed: application/json, text/plain, text/markdown, text/html, application/x-ndjson" in refused.text


def test_markdown_is_written_when_a_question_asks_for_it(reader, monkeypatch) -> None:
    def read(image, scale=1.0):
        box = (0.0, 0.0, float(image.width), 20.0)
        return Page(1, "ok", *image.size, blocks=[Block([Line("Title", box, 1.0)], box, "heading", 2)], structured=True)

    monkeypatch.setattr(reader, "read", read)
    with client_of(reader) as client:
        for question, written in (("Convert to Markdown", "## Title"), ("OCR", "Title"), ("", "Title")):
            answer = client.post("/v1/chat/completions", json=asking(text=question)).json()
            assert answer["choices"][0]["message"]["content"] == written


def test_the_root_says_what_the_server_does(client) -> None:
    found = client.get("/")
    assert found.status_code == 200
    for route in ("/v1/parse", "/v1/chat/completions", "/v1/models", "docs/verbs/serve.md"):
        assert route in found.text
    assert client.get("/openapi.json").json()["info"]["version"] == vary.__version__


def test_a_pdf_is_parsed_in_every_format(client, pdf_file) -> None:
    data = pdf_file.read_bytes()
    document = upload(client, data, "three.pdf").json()
    assert document["source"] == "three.pdf"
    assert [(page["number"], page["status"]) for page in document["pages"]] == [(1, "ok"), (2, "blank"), (3, "ok")]
    assert "size 672" in upload(client, data, format="text").text
    assert "<!-- page 3 -->" in upload(client, data, format="md", pages="3").text
    html = upload(client, data, format="html")
    assert (html.headers["content-type"], "size 672" in html.text) == ("text/html; charset=utf-8", True)
    lines = [json.loads(line) for line in upload(client, data, format="ndjson", pages="1,3").text.splitlines()]
    assert [line["number"] for line in lines[:-1]] == [1, 3]
    assert lines[-1] == {"end": True, "source": "a.png", "model": "reads", "pages": 2, "lost": []}


def test_lines_are_kept_where_the_form_says_so(pdf_file) -> None:
    class TwoLines(FakeReader):
        def read(self, image, scale=1.0):
            page = super().read(image, scale)
            boxes = (20.0, 20.0, 600.0, 40.0), (20.0, 44.0, 600.0, 64.0)
            lines = [Line(text, box, 1.0) for text, box in zip(("The pilot", "comes aboard."), boxes, strict=True)]
            return replace(page, blocks=[Block(lines, (20.0, 20.0, 600.0, 64.0))])

    with client_of(TwoLines()) as client:
        got = {
            (form, join): upload(client, pdf_file.read_bytes(), format=form, pages="1", **join_field).text
            for form in ("text", "md", "html", "json")
            for join, join_field in ((True, {}), (False, {"join": "false"}))
        }
    joined, kept = "The pilot comes aboard.", "The pilot\ncomes aboard."
    assert (got["text", True], got["text", False]) == (f"{joined}\n", f"{kept}\n")
    assert (joined in got["md", True], joined in got["md", False]) == (True, False)
    assert (joined in got["html", True], joined in got["html", False]) == (True, False)
    assert json.loads(got["json", True])["pages"][0]["blocks"] == json.loads(got["json", False])["pages"][0]["blocks"]


def test_shipped_model_reads_over_http() -> None:
    models = load_models(["vary-nano"])
    assert (models["vary-nano"].reader is not None, models["vary-nano"].chat_model) == (True, None)
    with TestClient(create_app(models), base_url="http://localhost") as client:
        document = upload(client, (EXAMPLES / "page.png").read_bytes(), "page.png").json()
    truth = (EXAMPLES / "page.txt").read_text(encoding="utf-8")
    assert document["pages"][0]["status"] == "ok"
    assert len(set(truth.split()) & set(document["pages"][0]["text"].split())) > 0.8 * len(set(truth.split()))
