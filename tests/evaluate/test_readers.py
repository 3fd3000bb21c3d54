"""Readers that are measured: in a process of their own, behind a server, of other makes; fakes where it can be."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from PIL import Image

from vary.evaluate import our_models, readers
from vary.evaluate.programs import PROGRAMS, Program
from vary.evaluate.reader import Opened, Reply, Request
from vary.evaluate.readers import Hosted
from vary.io.errors import RemoteError


def test_a_peer_that_is_not_installed_is_named_with_the_way_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(PROGRAMS, "tesseract", replace(PROGRAMS["tesseract"], installed=lambda: False))
    lines: list[str] = []
    found, missing = readers.open_peers("tesseract", log=lines.append)
    assert found == {}
    assert missing == {"tesseract": "not installed (apt install tesseract-ocr)"}
    assert lines == ["tesseract: missing: not installed (apt install tesseract-ocr)"]


def test_a_reader_in_its_own_process_reads_and_tells_what_it_took() -> None:
    reader = Hosted("model", {"name": "vary-nano"})
    try:
        found = reader.answer(Request(Image.new("RGB", (96, 64), "white")))
        assert (found.text, found.status) == ("", "blank")
        assert found.seconds >= 0
        assert 50 < found.memory_mib < 4000
        assert reader.identity.startswith("weights ")
        layout = reader.answer(Request(Image.new("RGB", (96, 64), "white"), form="layout"))
        assert json.loads(layout.text) == []
    finally:
        reader.close()


def toy() -> Opened:
    """A reader for tests: it fails, dies or says what it was asked."""

    def answer(request: Request) -> Reply:
        if request.prompt == "die":
            os._exit(7)
        if request.prompt == "fail":
            raise RuntimeError("out of ink\nand paper")
        print("a library that prints")
        image = request.image
        return Reply(f"{request.prompt} {image.mode} {image.size} {image.getpixel((0, 0))} {request.language}")

    return Opened("toy 1", answer, True, ("zh",))


def serve_toy(requests, answers) -> None:
    """Entry of the child process."""
    PROGRAMS["toy"] = Program(toy, lambda: True, "")
    readers.serve(requests, answers)


def test_a_page_that_kills_or_fails_a_reader_is_one_failed_page() -> None:
    reader = Hosted("toy", {}, f"{__name__}:serve_toy")
    image = Image.new("RGB", (3, 2), (10, 1, 2))
    try:
        found = [reader.answer(Request(image, prompt=p, language="zh")) for p in ("one", "die", "fail", "two")]
    finally:
        reader.close()
    assert (reader.identity, reader.asks, reader.languages, reader.takes) == ("toy 1", True, ["zh"], "image")
    assert [r.text for r in found] == ["one RGB (3, 2) (10, 1, 2) zh", "", "", "two RGB (3, 2) (10, 1, 2) zh"]
    assert [r.status for r in found] == ["ok", "failed", "failed", "ok"]
    assert [r.error for r in found[1:3]] == ["the process of toy died", "RuntimeError: out of ink"]
    assert 5 < found[0].memory_mib < 2000


def test_a_reader_that_cannot_be_opened_says_why() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Hosted("model", {"name": "nothing"})
    with pytest.raises(ValueError, match="the process of model died at its start"):
        Hosted("model", {}, "os:abort")


def test_readers_of_pdfs_get_the_pdf(tmp_path, pdf_file) -> None:
    opened = {name: program for name, program in PROGRAMS.items() if program.installed()}
    for name in set(opened) & {"pdftotext", "pdfplumber", "markitdown"}:
        reader = opened[name].open()
        assert reader.takes == "pdf"
        assert "The first page says this." in reader.answer(Request(None, pdf_file)).text, name


@contextmanager
def server(replies):
    """An OpenAI-compatible server on this machine; yields its address and the requests it gets."""
    seen: list = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._send(200, {"data": [{"id": "big-model"}]})

        def do_POST(self):
            seen.append((dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self._send(*replies[(len(seen) - 1) % len(replies)])

        def _send(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1", seen
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def test_any_server_of_the_chat_protocol_is_a_peer() -> None:
    def says(text, reason):
        return 200, {"choices": [{"message": {"content": text}, "finish_reason": reason}]}

    with server([says("read it", "stop"), says("cut", "length"), (500, {}), (200, {"odd": 1})]) as (url, seen):
        peer = readers.open_peers("", server=url, key="secret")[0]["big-model"]
        found = [peer.answer(Request(Image.new("L", (8, 8), 255), prompt="Read.")) for _ in range(4)]
    assert [(r.text, r.status) for r in found] == [
        ("read it", "ok"), ("cut", "truncated"), ("", "failed"), ("", "failed"),
    ]  # fmt: skip
    assert "500" in found[2].error
    headers, body = seen[0]
    assert headers["Authorization"] == "Bearer secret"
    picture, text = body["messages"][0]["content"]
    assert (body["model"], body["temperature"], text["text"]) == ("big-model", 0, "Read.")
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert "secret" not in peer.identity
    with pytest.raises(ValueError, match="ftp://x: expected an address that begins with http"):
        readers.Server("ftp://x")
    with pytest.raises(RemoteError, match="cannot be reached"):
        readers.Server(url)  # it is gone


def test_a_fingerprint_follows_the_weights(tmp_path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\0" * (3 << 20))
    before = our_models.fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("changes nothing")
    assert our_models.fingerprint(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"\0" * (3 << 20) + b"\1")
    changed = our_models.fingerprint(tmp_path)
    assert changed != before
    (tmp_path / "more_letters").mkdir()
    (tmp_path / "more_letters" / "trunk.onnx").write_bytes(b"\2")
    larger = our_models.fingerprint(tmp_path)
    assert larger not in (before, changed)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert our_models.fingerprint(tmp_path) != larger


def test_a_fingerprint_sees_a_change_in_the_middle_of_a_file(tmp_path) -> None:
    (tmp_path / "trunk.onnx").write_bytes(b"\0" * (3 << 20))
    before = our_models.fingerprint(tmp_path)
    (tmp_path / "trunk.onnx").write_bytes(b"\0" * (3 << 19) + b"\1" + b"\0" * ((3 << 19) - 1))
    assert our_models.fingerprint(tmp_path) != before


@pytest.mark.slow  # Tesseract and RapidOCR take seconds a page
@pytest.mark.skipif(os.environ.get("CI") == "true", reason="the peers are not installed there")
def test_the_peers_read_a_page(page_source) -> None:
    sample = page_source(text_style="natural", degraded=0.0, sizes_px=(18.0, 22.0), height=512, width=640).sample(1)
    for name, peer in readers.open_peers("tesseract,rapidocr")[0].items():
        try:
            found = peer.answer(Request(Image.fromarray(sample.image)))
        finally:
            peer.close()
        words = set(sample.text.split())
        assert len(words & set(found.text.split())) > 0.4 * len(words), name
        assert found.memory_mib > 20


def test_a_model_that_answers_is_opened_as_one_and_one_that_takes_no_question_gets_none(tmp_path, tokenizers) -> None:
    import torch

    from vary.models.config import preset
    from vary.models.modeling import VaryForConditionalGeneration
    from vary.models.processor import VaryProcessor

    torch.manual_seed(0)
    for name, asks in (("vary-toy-test", True), ("vary-tiny-paper-test", False)):
        config = preset(name)
        VaryForConditionalGeneration(config).save_pretrained(tmp_path / name)
        VaryProcessor.of(config, tokenizers(config)).save_pretrained(tmp_path / name)
        opened = our_models.open_model(str(tmp_path / name), max_tokens=3)
        assert (opened.asks, opened.languages) == (asks, None)
        reply = opened.answer(Request(Image.new("L", (40, 30), 255), prompt="What is it?"))
        assert (reply.status, reply.error) in (("truncated", None), ("ok", None))
