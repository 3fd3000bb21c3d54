"""The server: what it answers, what it refuses, and that nothing is lost. Numbers are those of reliability.md."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from vary.document.elements import Block, Line, Page
from vary.document.orientation import Orientation
from vary.serve.app import Served, create_app, is_loopback, load_models, serve
from vary.serve.limits import Limits

KEY = "a-secret-key"
EXAMPLES = Path(__file__).parents[2] / "examples"


class FakeReader:
    """Reads the size of an image; `hold` keeps it reading, `bad` is raised."""

    name = "fake"

    def __init__(self):
        self.hold, self.bad, self.reads = None, None, 0

    def find_orientation(self, image: Image.Image) -> Orientation:
        return Orientation()

    def wanted_scale(self, image):
        return 1.0

    def read(self, image, scale=1.0):
        self.reads += 1
        assert threading.current_thread().name.startswith("vary-reader-")
        if self.hold:
            self.hold.wait(20)
        if self.bad:
            raise self.bad
        box = (0.0, 0.0, float(image.width), 20.0)
        return Page(1, "ok", *image.size, blocks=[Block([Line(f"size {image.width}", box, 1.0)], box)])


class FakeChatModel:
    """Says the words it is given, and keeps what it was asked."""

    def __init__(self, words=("Hello ", "there."), finished=True):
        self.words, self.finished, self.said = words, finished, 0

    def chat_all(self, conversations, *, on_text, max_tokens):
        (self.asked,), self.tokens, self.said, text = conversations, max_tokens, 0, ""
        for word in self.words:
            text += word
            ended = on_text(word)
            self.said += 1
            if ended:
                break
            time.sleep(0)
        return [SimpleNamespace(text=text.strip(), finished=self.finished, tokens=self.said, asked=300, repeated=False)]


def png(width: int = 40, height: int = 60) -> bytes:
    image, file = Image.new("L", (width, height), 255), io.BytesIO()
    image.paste(0, (5, 5, 20, 20))
    image.save(file, "PNG")
    return file.getvalue()


def data_url(data: bytes | None = None) -> str:
    return "data:image/png;base64," + base64.b64encode(data or png()).decode()


def asking(url: str | None = None, text: str = "OCR", model: str = "reads", **more) -> dict:
    content = [{"type": "image_url", "image_url": {"url": url or data_url()}}, {"type": "text", "text": text}]
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@contextmanager
def client_of(reader=None, chat_model=None, key=None, raise_errors=True, **limits):
    models = {"reads": Served(reader or FakeReader()), "answers": Served(None, chat_model or FakeChatModel())}
    app = create_app(models, key, ("images.example",), Limits(**limits))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=raise_errors) as client:
        yield client


@pytest.fixture
def client(reader):
    with client_of(reader) as client:
        yield client


@contextmanager
def running(reader=None, chat_model=None, key=None, **limits):
    """The same over a real socket."""
    app = create_app(
        {"reads": Served(reader or FakeReader()), "answers": Served(None, chat_model)}, key, (), Limits(**limits)
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        port = listening.getsockname()[1]
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port, app=app, server=server)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def upload(client, data: bytes, name: str = "a.png", **fields):
    return client.post("/v1/parse", files={"file": (name, data)}, data=fields)


def wait_for(condition) -> None:
    ends = time.monotonic() + 60  # a machine may be busy
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.005)


# -- what it answers -------------------------------------------------------------------------------------------------


def test_the_official_client_reads_asks_and_streams() -> None:
    chat_model = FakeChatModel()
    with running(chat_model=chat_model, key=KEY) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
        assert [model.id for model in client.models.list()] == ["reads", "answers"]
        page = client.chat.completions.create(**asking(), temperature=0, max_tokens=50)
        assert (page.choices[0].message.content, page.choices[0].finish_reason) == ("size 40", "stop")
        answer = client.chat.completions.create(**asking(model="answers", text="What is it?"))
        assert answer.choices[0].message.content == "Hello there."
        image, question = chat_model.asked[0]["content"]
        assert (image["image"].size, image["image"].mode, chat_model.tokens) == ((40, 60), "RGB", 4096)
        assert question == {"type": "text", "text": "What is it?"}
        chunks = list(client.chat.completions.create(**asking(model="answers"), stream=True))
        assert [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content] == ["Hello ", "there."]
        assert chunks[-1].choices[0].finish_reason == "stop"
        stranger = openai.OpenAI(base_url=server.url + "/v1", api_key="other", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
            client.chat.completions.create(**asking(model="gpt"))
        with pytest.raises(openai.BadRequestError, match="temperature"):
            client.chat.completions.create(**asking(), temperature=0.7)


def test_the_accept_header_names_the_format(client) -> None:
    def accepting(kind: str, **form) -> tuple[str, str]:
        found = client.post("/v1/parse", files={"file": ("a.png", png())}, data=form, headers={"Accept": kind})
        return found.headers["content-type"].split(";")[0], found.text

    assert accepting("text/markdown") == ("text/markdown", "<!-- page 1 -->\n\nsize 40\n")
    assert accepting("image/png, text/plain;q=0.5") == ("text/plain", "size 40\n")
    assert accepting("application/x-ndjson")[1].endswith('"pages": 1, "lost": []}\n')
    assert accepting("*/*")[0] == "application/json"
    assert accepting("text/markdown", format="text")[0] == "text/plain"  # the form is more exact than the header


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
    for route in ("/v1/parse", "/v1/chat/completions", "/v1/models", "docs/reading.md"):
        assert route in found.text


def test_turns_before_are_part_of_the_question() -> None:
    """Answers go back as the official client has them; a model that only reads looks at the last turn alone."""
    chat_model = FakeChatModel()
    with running(chat_model=chat_model) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        first = asking(model="answers", text="What is it?")["messages"]
        said = client.chat.completions.create(model="answers", messages=first).choices[0].message
        system = {"role": "developer", "content": "Be brief."}
        more = {"role": "user", "content": [{"type": "text", "text": "And"}, *first[0]["content"]]}
        for answer in (said, said.model_dump()):
            client.chat.completions.create(model="answers", messages=[system, *first, answer, more])
            told = [
                (turn["role"], [part.get("text", "image") for part in turn["content"]]) for turn in chat_model.asked
            ]
            assert told == [
                ("system", ["Be brief."]), ("user", ["image", "What is it?"]), ("assistant", ["Hello there."]),
                ("user", ["image", "And\nWhat is it?"]),
            ]  # fmt: skip
        page = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url(png(77))}}]}
        read = client.chat.completions.create(model="reads", messages=[system, *first, said, page])
        assert read.choices[0].message.content == "size 77"
        for messages in ([*first, said], [said], [{"role": "tool", "content": "x", "tool_call_id": "1"}]):
            with pytest.raises(openai.BadRequestError, match=r"the last one|role"):
                client.chat.completions.create(model="answers", messages=messages)


def test_tokens_are_counted() -> None:
    with running(chat_model=FakeChatModel()) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        usage = client.chat.completions.create(**asking(model="answers")).usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (300, 2, 302)
        counted = {"stream": True, "stream_options": {"include_usage": True}}
        *chunks, last = client.chat.completions.create(**asking(model="answers"), **counted)
        assert (last.choices, last.usage.total_tokens) == ([], 302)
        assert all(chunk.usage is None for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert client.chat.completions.create(**asking()).usage is None  # what only reads counts none


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


def test_an_answer_that_loops_is_ended_and_says_so() -> None:
    chat_model = FakeChatModel(["The total is 12. ", *["and so on and on "] * 2000])
    with client_of(chat_model=chat_model) as client:
        choice = client.post("/v1/chat/completions", json=asking(model="answers")).json()["choices"][0]
        assert choice["finish_reason"] == "repetition"
        assert choice["message"]["content"].startswith("The total is 12. and so on and on")
        assert len(choice["message"]["content"]) < 60
        assert chat_model.said < 200
        text = client.post("/v1/chat/completions", json=asking(model="answers", stream=True)).text
        assert '"finish_reason": "repetition"' in text
        assert text.endswith("data: [DONE]\n\n")


def test_an_answer_that_was_cut_says_length() -> None:
    with client_of(chat_model=FakeChatModel(finished=False)) as client:
        choice = client.post("/v1/chat/completions", json=asking(model="answers")).json()["choices"][0]
        assert choice["finish_reason"] == "length"


def test_a_question_does_not_wait_for_a_long_document(pdf_file) -> None:
    order = []

    class Slow(FakeReader):
        def read(self, image, scale=1.0):
            order.append("page")
            time.sleep(0.05)
            return super().read(image, scale)

    reader = Slow()
    with client_of(reader) as client:
        frames, file = [Image.open(io.BytesIO(png(40 + k))) for k in range(20)], io.BytesIO()
        frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
        thread = threading.Thread(target=upload, args=(client, file.getvalue()))
        thread.start()
        wait_for(lambda: reader.reads >= 2)
        client.post("/v1/chat/completions", json=asking(model="answers"))
        order.append("answer")
        thread.join()
    assert order.index("answer") < 15
    assert order.count("page") == 20


def test_shipped_model_reads_over_http() -> None:
    models = load_models(["vary-nano"])
    assert (models["vary-nano"].reader is not None, models["vary-nano"].chat_model) == (True, None)
    with TestClient(create_app(models), base_url="http://localhost") as client:
        document = upload(client, (EXAMPLES / "page.png").read_bytes(), "page.png").json()
    truth = (EXAMPLES / "page.txt").read_text(encoding="utf-8")
    assert document["pages"][0]["status"] == "ok"
    assert len(set(truth.split()) & set(document["pages"][0]["text"].split())) > 0.8 * len(set(truth.split()))


def test_a_real_model_answers_and_is_ended_when_it_loops(tmp_path, tokenizers) -> None:
    import torch

    from vary.models.config import preset
    from vary.models.modeling import VaryForConditionalGeneration
    from vary.models.processor import VaryProcessor

    config = preset("vary-toy-test")
    torch.manual_seed(0)
    VaryForConditionalGeneration(config).save_pretrained(tmp_path / "toy")
    VaryProcessor.of(config, tokenizers(config)).save_pretrained(tmp_path / "toy")
    models = load_models([str(tmp_path / "toy")])
    assert (models["toy"].reader, models["toy"].chat_model is not None) == (None, True)
    expected = models["toy"].chat_model.ask(Image.open(io.BytesIO(png())).convert("RGB"), "What?", max_tokens=9)
    with TestClient(create_app(models), base_url="http://localhost") as client:
        asked = asking(model="toy", text="What?", max_tokens=9)
        choice = client.post("/v1/chat/completions", json=asked).json()["choices"][0]
        assert choice["message"]["content"] == expected.text
        assert choice["finish_reason"] == ("stop" if expected.finished else "length")
        streamed = client.post("/v1/chat/completions", json=asked | {"stream": True}).text
        pieces = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        assert "".join(p["choices"][0]["delta"].get("content", "") for p in pieces).strip() == expected.text
        models["toy"].chat_model.processor.tokenizer.decode = lambda ids, **_: "the same words again " * len(ids)
        choice = client.post("/v1/chat/completions", json=asked | {"max_tokens": 150}).json()["choices"][0]
        assert choice["finish_reason"] == "repetition"
        assert len(choice["message"]["content"]) < 60


# -- what it refuses -------------------------------------------------------------------------------------------------


def refusal(response, status: int) -> str:
    assert response.status_code == status, response.text
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.json()["error"]["message"]


def test_auth_every_route() -> None:  # 24
    with client_of(key=KEY) as client:
        routes = {(route.path, m) for route in client.app.routes for m in route.methods} | {("/none", "GET")}
        assert len(routes) > 7
        for path, method in routes:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
                got = client.request(method, path, headers=headers)
                assert got.status_code == (401 if path != "/healthz" else 405 if method == "HEAD" else 200), path
        assert client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
        assert client.get("/none", headers={"Authorization": f"Bearer {KEY}"}).status_code == 404


def test_without_a_key_only_this_machine_is_served(client) -> None:
    assert client.get("/v1/models").status_code == 200
    for headers in ({"Host": "evil.example"}, {"Host": "localhost.evil.example"}, {"Origin": "https://evil.example"}):
        refusal(client.get("/v1/models", headers=headers), 403)
    assert client.get("/v1/models", headers={"Origin": "http://localhost:3000", "Host": "[::1]:8"}).status_code == 200
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        assert not is_loopback(host)
        with pytest.raises(ValueError, match="a key is needed"):
            serve({}, host)
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")


def test_unknown_field_400(client) -> None:  # 28
    assert "top_k" in refusal(client.post("/v1/chat/completions", json=asking(top_k=4)), 400)
    assert "colour" in refusal(upload(client, png(), colour="red"), 400)
    for more in ({"n": 10**6}, {"max_tokens": 10**9}, {"max_tokens": 0}, {"temperature": 1}, {"messages": []}):
        refusal(client.post("/v1/chat/completions", json=asking() | more), 400)
    refusal(client.post("/v1/chat/completions", content=b"{nonsense"), 400)
    refusal(upload(client, png(), format="docx"), 400)
    many = asking()
    many["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": data_url()}}] * 10_000
    assert "10000 images; allowed: up to 16" in refusal(client.post("/v1/chat/completions", json=many), 400)


def test_a_reader_is_not_asked_questions(client) -> None:
    for text in ("What is the total?", "Sum the column"):
        assert "answers no questions" in refusal(client.post("/v1/chat/completions", json=asking(text=text)), 400)
    no_image = {"model": "reads", "messages": [{"role": "user", "content": "OCR"}]}
    assert "image_url" in refusal(client.post("/v1/chat/completions", json=no_image), 400)
    assert "does not read" in refusal(upload(client, png(), model="answers"), 400)


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example/a.png", "https://127.0.0.1/", "https://0.0.0.0/", "https://[::1]/", "https://0x7f000001/",
        "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest", "https://10.0.0.1/", "https://2130706433/",
        "https://0177.0.0.1/", "https://images.example@127.0.0.1/", "https://user@images.example/a",
        "https://images.example:8443/a", "https://images.example.evil.org/", "file:///etc/passwd", "gopher://x/",
        "data:text/html;base64,PGI+", "data:image/png,abc", "data:image/png;base64,@@@@", "https://[/", "", "C:\\a.png",
    ],
)  # fmt: skip
def test_ssrf(client, monkeypatch, url) -> None:  # 22; names that resolve badly are in reading/test_remote.py
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    refusal(client.post("/v1/chat/completions", json=asking(url or " ")), 400)
