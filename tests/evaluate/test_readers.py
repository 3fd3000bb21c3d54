"""Readers that are measured: in a process of their own, behind a server, of other makes; fakes where it can be."""

from __future__ import annotations

import io
import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from PIL import Image

from vary.evaluate import readers as host
from vary.evaluate import readers as peers
from vary.evaluate.readers import Hosted, Opened, Reply
from vary.io.errors import RemoteError


def test_a_peer_that_is_not_installed_is_left_out_with_a_line(monkeypatch) -> None:
    monkeypatch.setitem(peers.PEERS, "tesseract", lambda: False)
    lines: list[str] = []
    assert peers.open_peers("tesseract", log=lines.append) == {}
    assert lines == ["tesseract: not installed, left out"]


def test_a_reader_in_its_own_process_reads_and_tells_what_it_took() -> None:
    reader = Hosted("model", {"name": "vary-nano"})
    try:
        found = reader.answer(Image.new("RGB", (96, 64), "white"), "")
        assert (found["text"], found["status"]) == ("", "blank")
        assert found["seconds"] >= 0
        assert 50 < found["memory_mib"] < 4000
        assert reader.identity.startswith("weights ")
    finally:
        reader.close()


TOY = """import os, sys
sys.path[:] = sys.argv[1:]
from vary.evaluate import readers as host, readers as peers
def answer(image, prompt, language):
    if prompt == "die":
        os._exit(7)
    print("a library that prints")
    return host.Reply(f"{prompt} {image.size}")
peers.OPENERS["toy"] = lambda: host.Opened("toy 1", answer, True)
host.serve()
"""


def test_a_page_that_kills_the_reader_costs_a_page(monkeypatch) -> None:
    monkeypatch.setattr(host, "CHILD", TOY)
    reader = Hosted("toy", {})
    try:
        found = [reader.answer(Image.new("P", (3, 2)), prompt) for prompt in ("one", "die", "two")]
    finally:
        assert reader.close() == 0
    assert [(r["text"], r["status"]) for r in found] == [("one (3, 2)", "ok"), ("", "failed"), ("two (3, 2)", "ok")]
    assert found[1]["error"] == "the process of toy died, exit status 7"
    assert 5 < found[0]["memory_mib"] < 200  # not what this process holds


def test_the_child_answers_in_lines_and_a_failure_is_a_page(monkeypatch) -> None:
    def answer(image, prompt, language):
        if prompt == "fail":
            raise RuntimeError("out of ink\nand paper")
        return Reply(f"{image.mode} {image.size} {image.getpixel((0, 0))} {language}")

    monkeypatch.setitem(peers.OPENERS, "toy", lambda: Opened("toy 1", answer, True, ("zh",)))
    heads = [{"mode": "RGB", "size": (2, 1), "prompt": p, "language": "zh"} for p in ("x", "fail", "x")]
    asked = b"".join(json.dumps(head).encode() + b"\n" + b"\n\x01\x02\x03\x04\x05" for head in heads)
    written = io.BytesIO()
    host._serve(io.BytesIO(b'{"kind": "toy", "settings": {}}\n' + asked), written)
    about, *found = map(json.loads, written.getvalue().splitlines())
    assert about == {"identity": "toy 1", "asks": True, "languages": ["zh"], "alphabet": ""}
    assert [r["text"] for r in found] == ["RGB (2, 1) (10, 1, 2) zh", "", "RGB (2, 1) (10, 1, 2) zh"]
    assert (found[1]["status"], found[1]["error"]) == ("failed", "RuntimeError: out of ink")


def test_a_reader_that_cannot_be_opened_says_why(monkeypatch) -> None:
    written = io.BytesIO()
    monkeypatch.setitem(peers.OPENERS, "toy", lambda name: (_ for _ in ()).throw(ValueError(f"no model {name!r}")))
    host._serve(io.BytesIO(b'{"kind": "toy", "settings": {"name": "nothing"}}\n'), written)
    assert json.loads(written.getvalue()) == {"refused": "no model 'nothing'"}
    monkeypatch.setattr(host, "CHILD", "raise SystemExit(3)")
    with pytest.raises(ValueError, match="the process of model died at its start, exit status 3"):
        Hosted("model", {})


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
        peer = peers.open_peers("", server=url, key="secret")["big-model"]
        found = [peer.answer(Image.new("L", (8, 8), 255), "Read.", "en") for _ in range(4)]
    assert [(r["text"], r["status"]) for r in found] == [
        ("read it", "ok"), ("cut", "truncated"), ("", "failed"), ("", "failed"),
    ]  # fmt: skip
    assert "500" in found[2]["error"]
    headers, body = seen[0]
    assert headers["Authorization"] == "Bearer secret"
    picture, text = body["messages"][0]["content"]
    assert (body["model"], body["temperature"], text["text"]) == ("big-model", 0, "Read.")
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert "secret" not in peer.identity
    with pytest.raises(ValueError, match="ftp://x: expected an address that begins with http"):
        peers.Server("ftp://x")
    with pytest.raises(RemoteError, match="cannot be reached"):
        peers.Server(url)  # it is gone


def test_a_fingerprint_follows_the_weights(tmp_path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\0" * (3 << 20))
    before = peers.fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("changes nothing")
    assert peers.fingerprint(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"\0" * (3 << 20) + b"\1")
    assert peers.fingerprint(tmp_path) != before


@pytest.mark.slow  # Tesseract and RapidOCR take seconds a page
@pytest.mark.skipif(os.environ.get("CI") == "true", reason="the peers are not installed there")
def test_the_peers_read_a_page(page_source) -> None:
    sample = page_source(text_style="natural", degraded=0.0, sizes_px=(18.0, 22.0), height=512, width=640).sample(1)
    for name, peer in peers.open_peers("tesseract,rapidocr").items():
        try:
            found = peer.answer(Image.fromarray(sample.image), "", "en")
        finally:
            peer.close()
        words = set(sample.text.split())
        assert len(words & set(found["text"].split())) > 0.4 * len(words), name
        assert found["memory_mib"] > 20


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
        opened = peers.open_model(str(tmp_path / name), max_tokens=3)
        assert (opened.asks, opened.languages) == (asks, None)
        reply = opened.answer(Image.new("L", (40, 30), 255), "What is it?", "en")
        assert (reply.status, reply.error) in (("truncated", None), ("ok", None))
