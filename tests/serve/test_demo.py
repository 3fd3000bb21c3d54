"""The demo: what its page may do, that its routes are guarded, and, in a real browser, that it works."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pypdfium2
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from tests.serve.servers import FakeChatModel, FakeReader, png
from vary.document.elements import Block, Line, Page
from vary.document.findings import Disagreement, HiddenText
from vary.serve.app import Served, load_models
from vary.serve.demo import PAGE, PICTURE_SIDE, create_demo, demo
from vary.serve.limits import Limits

KEY = "a-secret-key"
ROOT = Path(__file__).parents[2]
EVIL = "<img src=x onerror=document.title='broken'>"
SCREENSHOT = os.environ.get("VARY_SCREENSHOT")  # where the browser's test writes docs/demo.png
CHROMIUM = os.environ.get("VARY_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def client_of(reader=None, key=None, **limits):
    models = {"reads": Served(reader or FakeReader()), "answers": Served(None, FakeChatModel())}
    with TestClient(create_demo(models, key, limits=Limits(**limits)), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client():
    with client_of() as client:
        yield client


def page(text: str = "Read me", number: int = 1, **more) -> Page:
    box = (10.0, 10.0, 110.0, 30.0)
    return Page(number, "ok", 200, 100, 112.0, blocks=[Block([Line(text, box, 0.9)], box)], **more)


def writing(client, pages: object, form: str, file: bytes | None = None, **more):
    data = pages if isinstance(pages, bytes) else json.dumps(pages).encode()
    files = {"document": ("a.pdf", data)} | ({"file": ("a.pdf", file)} if file is not None else {})
    return client.post("/demo/write", files=files, data={"format": form} | more)


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_page_may_run_its_own_script_and_nothing_else(client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    rules = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert (rules["connect-src"], rules["img-src"]) == ("'self'", "blob: data:")
    assert rules["require-trusted-types-for"] == "'script'"
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.S)
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_names_no_address_and_writes_no_markup() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[\w-]+\.\w|@import|url\(", text)
    assert not re.search(r"\bsrc=|<link (?!rel=\"icon\" href=\"data:,\")|\son\w+=|\sstyle=", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\b|Function\(", text)


def test_the_names_that_the_script_asks_for_are_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"\$\('(\w+)'\)", text)) - set(re.findall(r'\bid="(\w+)"', text)) == set()


def test_everything_but_the_page_wants_the_key() -> None:
    with client_of(key=KEY) as client:
        routes = [
            (method, route.path) for route in client.app.routes if hasattr(route, "methods") for method in route.methods
        ]
        assert {("POST", "/demo/picture"), ("POST", "/demo/write"), ("POST", "/v1/parse")} <= set(routes)
        for method, path in [*routes, ("POST", "/"), ("GET", "/index.html"), ("GET", "/demo.html")]:
            if path != "/healthz" and (method, path) != ("GET", "/"):  # the page itself is open
                assert client.request(method, path).status_code == 401, (method, path)
        assert client.get("/").status_code == client.head("/").status_code == 200
        assert KEY not in client.get("/").text
        got = client.post(
            "/demo/picture", files={"file": png()}, data={"page": 1}, headers={"Authorization": f"Bearer {KEY}"}
        )
        assert got.status_code == 200


def test_other_sites_and_names_are_refused(client) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        for path in ("/demo/picture", "/demo/write"):
            assert client.post(path, headers=headers).status_code == 403


def test_others_may_not_reach_it_without_a_key() -> None:
    with pytest.raises(ValueError, match=r"host 0\.0\.0\.0: .* a key is needed"):
        demo("vary-nano", "0.0.0.0", 0, None)


def test_the_call_serves_what_it_says(monkeypatch, caplog) -> None:
    ran = []
    monkeypatch.setattr("uvicorn.Server.run", lambda server: ran.append(server.config))
    monkeypatch.setattr("vary.serve.demo.load_models", lambda names, *_: {name: Served(FakeReader()) for name in names})
    demo(["one", "two"], "::1", 81, KEY)
    (config,) = ran
    assert (config.host, config.port, config.server_header, config.proxy_headers) == ("::1", 81, False, False)
    assert ":81" in caplog.text
    assert KEY not in caplog.text
    with TestClient(config.app, headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["one", "two"]


# -- pictures --------------------------------------------------------------------------------------------------------


def test_a_page_as_a_picture(client) -> None:
    pdf = (ROOT / "examples" / "charis.pdf").read_bytes()
    got = client.post("/demo/picture", files={"file": ("a.pdf", pdf)}, data={"page": 2})
    assert (got.status_code, got.headers["content-type"]) == (200, "image/jpeg")
    image, (width, height) = Image.open(io.BytesIO(got.content)), pypdfium2.PdfDocument(pdf)[1].get_size()
    assert image.size == pytest.approx((width * 150 / 72, height * 150 / 72), abs=1.5)
    assert image.convert("L").getextrema()[0] < 80


def test_large_pictures_come_smaller(client) -> None:
    got = client.post("/demo/picture", files={"file": ("a.png", png(3000, 1500))}, data={"page": 1})
    assert Image.open(io.BytesIO(got.content)).size == (PICTURE_SIDE, PICTURE_SIDE // 2)


@pytest.mark.parametrize(
    ("data", "number", "said"),
    [
        (b"nothing", 1, "a.png: neither a PDF nor an image"),
        (png(), 2, "there is no page 2; the file has 1"),
        (png(), 0, "no page 0"),
    ],
)
def test_pictures_that_cannot_be_drawn(client, data: bytes, number: int, said: str) -> None:
    got = client.post("/demo/picture", files={"file": ("a.png", data)}, data={"page": number})
    assert got.status_code == 400
    assert said in got.json()["error"]["message"]
    assert "/tmp" not in got.text


def test_the_limits_of_the_server_hold() -> None:
    with client_of(body=1000) as client:
        assert client.post("/demo/picture", files={"file": bytes(2000)}, data={"page": 1}).status_code == 413
    with client_of(inside=0) as client:
        assert client.post("/demo/write", files={"document": b"[]"}, data={"format": "md"}).status_code == 429


# -- what was read, written ------------------------------------------------------------------------------------------


def test_written_as_files(client) -> None:
    pages = [page("One").to_dict(), page("Two", 2).to_dict()]
    assert writing(client, pages, "text").text == "One\n\nTwo\n"
    assert writing(client, pages, "md").text == "<!-- page 1 -->\n\nOne\n\n<!-- page 2 -->\n\nTwo\n"
    got = writing(client, pages, "json", model="reads").json()
    assert (got["source"], got["model"]) == ("a.pdf", "reads")
    assert got["pages"] == pages
    html = writing(client, [page(EVIL).to_dict()], "html")
    assert html.headers["content-disposition"] == "attachment"
    assert "<img" not in html.text
    assert "&lt;img src=x" in html.text


def test_printed_lines_are_kept_in_files_that_ask_for_it(client) -> None:
    boxes = (10.0, 10.0, 190.0, 20.0), (10.0, 22.0, 190.0, 32.0)
    lines = [Line(text, box, 0.9) for text, box in zip(("The pilot", "comes aboard."), boxes, strict=True)]
    pages = [Page(1, "ok", 200, 100, 112.0, blocks=[Block(lines, (10.0, 10.0, 190.0, 32.0))]).to_dict()]
    assert writing(client, pages, "text").text == "The pilot comes aboard.\n"
    assert writing(client, pages, "text", join="false").text == "The pilot\ncomes aboard.\n"


def test_a_searchable_pdf(client) -> None:
    pdf = (ROOT / "examples" / "charis.pdf").read_bytes()
    got = writing(client, [page("Findable").to_dict(), page("Twice", 2).to_dict()], "pdf", pdf)
    assert (got.status_code, got.headers["content-type"]) == (200, "application/pdf")
    found = pypdfium2.PdfDocument(got.content)
    assert [found[k].get_textpage().get_text_bounded().strip() for k in range(2)] == ["Findable", "Twice"]
    assert writing(client, [], "pdf").json()["error"]["message"].startswith("file: needed")


def altered(**changes) -> object:
    return [page().to_dict() | changes]


@pytest.mark.parametrize(
    "pages",
    [
        b"\xff", b'{"a": 1}', b"[1]", b"[" * 100_000, altered(number='1"><script>'), altered(blocks=None),
        altered(blocks=[{"kind": "text"}]), altered(dpi=float("nan")), altered(width="wide"), altered(more=1),
    ],
    ids=range(10),
)  # fmt: skip
def test_pages_that_are_none(client, pages: object) -> None:
    got = writing(client, pages, "html")
    assert got.status_code == 400
    assert got.json()["error"]["message"] == "document: not the pages that /v1/parse gave"


def test_pictures_that_a_client_names_are_left_out(client) -> None:
    figure = Page(1, "ok", 9, 9, blocks=[Block([], (0, 0, 9, 9), "figure", image="http://evil.example/x.png")])
    assert "evil" not in writing(client, [figure.to_dict()], "html").text


# -- in a browser ----------------------------------------------------------------------------------------------------


def line(text: str, top: float, confidence: float = 0.99, right: float = 35.0, **more) -> Line:
    return Line(text, (5.0, top, right, top + 4), confidence, **more)


class EvilReader(FakeReader):
    """Reads markup, doubtfully, and a block of most kinds; every page but the first fails."""

    def read(self, image, scale=1.0):
        self.reads += 1
        if self.reads > 1:
            raise RuntimeError(EVIL)
        box = (5.0, 5.0, 35.0, 55.0)
        blocks = [
            Block([line(EVIL, 5, 0.4)], box, "heading", 2),
            Block([line("a long ex-", 10), line("ample of", 14, right=20.0), line("three lines", 18)], box),
            Block([line("a b", 22), line("c d", 26)], box, "table", cells=[["a", "b"], [EVIL, "d"]]),
            Block([line("a b c", 30)], box, "table", cells=[["a"], ["b"]]),
            Block([line("if x:", 34, styles=[(0, 2, "bold")]), line("  y", 38)], box, "code"),
            Block([], (5.0, 40.0, 25.0, 50.0), "figure"),
            Block([line("7", 52)], box, "footer"),
        ]
        for one in [line for block in blocks for line in block.lines]:
            one.characters, one.character_confidence = [one.box] * len(one.text), [one.confidence] * len(one.text)
        return Page(1, "ok", *image.size, blocks=blocks)


def tiff() -> bytes:
    pages, file = [Image.open(io.BytesIO(png())) for _ in range(2)], io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    return file.getvalue()


@contextmanager
def browsing(models: dict[str, Served], key: str | None = None):
    """The demo over a real socket, a page of Chromium before it, what that page complains about, and `expect`."""
    sync = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if not CHROMIUM:
        pytest.skip("no browser: install Chromium, or name one in VARY_CHROMIUM")
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_demo(models, key), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        with sync.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1200, "height": 720})
            tab.set_default_timeout(20_000)
            complaints, asked = [], []
            tab.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto(f"http://127.0.0.1:{port}/")
            yield tab, complaints, sync.expect
            assert all(re.match(rf"http://127\.0\.0\.1:{port}/|blob:|data:", url) for url in asked), asked
            browser.close()
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.mark.slow  # a browser, and real reading: VARY_SCREENSHOT=docs/demo.png pytest tests/serve/test_demo.py -m slow
def test_in_a_browser_reading() -> None:
    with browsing(load_models(["vary-nano"])) as (tab, complaints, expect):
        tab.set_input_files("#file", ROOT / "examples" / "charis.pdf")
        tab.wait_for_selector("#state:has-text('2 pages')")
        expect(tab.locator("#sheet img[src]")).to_have_js_property("complete", True)
        line = tab.locator("#text span[tabindex]", has_text="font").first
        line.click()
        frame, image = (tab.locator(f"#sheet {one}").bounding_box() for one in ("div.on", "img"))
        assert image["y"] < frame["y"] < image["y"] + image["height"]
        assert frame["height"] < 0.03 * image["height"]
        if SCREENSHOT:
            tab.screenshot(path=SCREENSHOT)
            assert Path(SCREENSHOT).stat().st_size < 300_000
        chosen = line.inner_text()
        tab.locator("#sheet div.high").nth(9).click()
        assert tab.locator("#text .on").count() == tab.locator("#sheet .on").count() == 1
        assert tab.locator("#text .on").inner_text() != chosen
        tab.keyboard.press("ArrowRight")
        expect(tab.locator("#number")).to_have_value("1")
        for form, begin in (("md", b"<!-- page 1 -->"), ("json", b'{"schema"'), ("pdf", b"%PDF-1.5")):
            with tab.expect_download() as download:
                tab.click(f"#save button[value={form}]")
            assert Path(download.value.path()).read_bytes().startswith(begin)
            assert download.value.suggested_filename.startswith("charis.")
        assert complaints == []


class AuditReader(FakeReader):
    """Reads a page whose text layer is repaired in one line, contradicts the pixels in another, and hides a word."""

    def read(self, image, scale=1.0):
        lines = [line("healed x", 5, sources=[(0, 6, "healed"), (7, 8, "both")]), line("pay 100", 12)]
        lines.append(line("plain", 20, sources=[(0, 5, "both")]))
        for one in lines:
            one.characters, one.character_confidence = [one.box] * len(one.text), [one.confidence] * len(one.text)
        head = Block([line("a", 30), line("b c", 36)], (5, 30, 35, 40), "table", cells=[["a", ""], ["b", "c"]])
        head.merged = [(0, 0, 1, 2)]
        page = Page(1, "ok", *image.size, blocks=[Block(lines, (5, 5, 35, 24)), head], layer="healed")
        page.disagreements = [Disagreement(f"pay 700{EVIL}", "pay 100", lines[1].box, -9.5)]
        page.hidden = [HiddenText("ghost", (5.0, 50.0, 20.0, 55.0), "background")]
        return page


@pytest.mark.slow  # a browser
def test_in_a_browser_the_audit(monkeypatch) -> None:
    monkeypatch.setattr("vary.reading.pages.find_structure", lambda page: None)
    with browsing({"audit": Served(AuditReader())}) as (tab, complaints, expect):
        tab.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": png()})
        tab.wait_for_selector("#state:has-text('1 page')")
        assert tab.locator("#findings").count() == 0
        assert tab.locator("td[colspan='2']").inner_text() == "a"
        tab.select_option("#colours", "source")
        assert tab.inner_text("#text .healed .healed") == "healed"
        assert tab.locator("#text p .both[tabindex]").inner_text() == "plain"
        assert tab.locator("#sheet .differs").count() == tab.locator("#sheet .hides").count() == 1
        found = tab.locator("#findings li")
        assert [one.inner_text() for one in found.all()] == [
            f"layer pay 700{EVIL}, pixels pay 100, log-odds of the layer -9.5", "hidden (background) ghost",
        ]  # fmt: skip
        tab.locator("#text p .pixels[tabindex]").click()
        assert tab.inner_text("#detail").endswith(
            f"read from pixels; layer: “pay 700{EVIL}”, pixels: “pay 100”, log-odds of the layer -9.5"
        )
        tab.select_option("#colours", "confidence")
        expect(tab.locator("#detail")).to_be_hidden()
        assert tab.locator("#findings").count() == 0
        assert [text for text in complaints if "401" not in text] == []


@pytest.mark.slow  # a browser
def test_in_a_browser_what_is_read_is_text(monkeypatch) -> None:
    monkeypatch.setattr("vary.reading.pages.find_structure", lambda page: None)
    models = {"evil": Served(EvilReader()), "answers": Served(None, FakeChatModel((EVIL, " said.")))}
    with browsing(models, KEY) as (tab, complaints, expect):
        tab.fill("#key", "wrong")
        tab.press("#key", "Enter")
        expect(tab.locator("#key")).to_have_value("")
        tab.fill("#key", KEY)
        tab.press("#key", "Enter")
        tab.wait_for_selector("#again:enabled")
        tab.set_input_files("#file", {"name": f"{EVIL}.tiff", "mimeType": "image/tiff", "buffer": tiff()})
        tab.wait_for_selector("#state.bad:has-text('2 pages, '):has-text('; not whole: page 2')")
        assert tab.inner_text("#text [role=heading][aria-level='2']") == EVIL
        assert tab.locator("#text span.low").count() == tab.locator("#sheet div.low").count() == 1
        assert tab.inner_text("#text .doubt") == EVIL
        assert tab.inner_text("#text p.text") == "a long example of\nthree lines"
        assert [cell.inner_text() for cell in tab.locator("td").all()] == ["a", "b", EVIL, "d", "a", "b"]
        assert tab.inner_text("#text pre.code") == "if x:\n  y"
        assert tab.inner_text("#text .bold") == "if"
        expect(tab.locator("canvas")).to_have_js_property("width", 20)
        tab.locator("tr").nth(1).click()
        assert tab.locator("#text .on, #sheet .on").count() == 2
        tab.fill("#question", "What?")
        tab.press("#question", "Enter")
        tab.wait_for_selector("#answer:has-text('said.')")
        assert tab.inner_text("#answer") == f"{EVIL} said."
        tab.select_option("#number", index=1)
        assert tab.inner_text("#text .lost") == f"page 2: failed: RuntimeError: {EVIL}"
        tab.click("#back")
        tab.check("#source")
        tab.wait_for_selector("#text pre")
        assert r"\<img" in tab.inner_text("#text pre")
        assert tab.title() == "vary"
        assert tab.locator("#text img").count() == 0
        tab.set_input_files("#file", {"name": "b.pdf", "mimeType": "application/pdf", "buffer": b"nothing"})
        tab.wait_for_selector("#state.bad:has-text('neither a PDF nor an image')")
        assert [text for text in complaints if "401" not in text and "400" not in text] == []
