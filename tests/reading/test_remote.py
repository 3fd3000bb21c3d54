"""Reading on another machine: vary's own server, other OpenAI-compatible ones, and images by address."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import uvicorn
from PIL import Image

from tests.serve.servers import FakeChatModel, FakeReader
from vary.io.errors import InputError, RemoteError
from vary.models.generate.answer import Answer
from vary.reading.pages import read_document
from vary.reading.remote import LONG_SIDE, RemoteModel
from vary.serve.app import Served, create_app
from vary.serve.fetch import fetch_image

from ..conftest import printed_by

PAGE = Image.new("L", (400, 600), 255)
PAGE.paste(0, (20, 20, 200, 60))


@contextmanager
def vary_server(**models):
    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(models, "key")
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(20)


class Other(BaseHTTPRequestHandler):
    """A server of someone else: answers from `script`, a list of (status, headers, body)."""

    def do_GET(self):
        self.answer(200, {}, {"data": [{"id": "vlm", "owned_by": "someone"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers, body))
        self.answer(*self.server.script.pop(0))

    def answer(self, status, headers, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def other():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    server.script, server.asked = [], []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def said(text: str, reason: str = "stop") -> tuple:
    return 200, {}, {"choices": [{"message": {"content": text}, "finish_reason": reason}]}


def test_pages_of_a_vary_server_come_with_boxes(pdf_file) -> None:
    reader = FakeReader()
    with vary_server(nano=Served(reader)) as url:
        server = RemoteModel(url, key="key")
        assert server.name == "nano"
        document = read_document(pdf_file, server)
        assert [page.status for page in document] == ["ok", "blank", "ok"]
        (line,) = document.pages[0].lines
        assert line.text == f"size {document.pages[0].width}"
        assert line.box == (0.0, 0.0, document.pages[0].width, 20.0)
        page = server.read(PAGE, 2.0)
        assert (page.width, page.height) == PAGE.size
        assert page.lines[0].text == "size 800"
        assert page.lines[0].box == (0.0, 0.0, 400.0, 10.0)
        reader.bad = InputError("the ink has run")
        document = read_document(pdf_file, server, "1")
        assert (document.pages[0].status, document.pages[0].error) == ("failed", "the ink has run")


def test_questions_stream() -> None:
    with vary_server(asks=Served(None, FakeChatModel())) as url:
        heard: list[str] = []
        assert RemoteModel(url, key="key").ask([PAGE], "What?", heard.append) == Answer("Hello there.", True)
        assert heard == ["Hello ", "there."]
        assert RemoteModel(url, key="key").ask([PAGE], "What?") == Answer("Hello there.", True)


def test_what_is_wrong_is_said_before_a_page_is_read(other) -> None:
    with vary_server(nano=Served(FakeReader())) as url:
        with pytest.raises(RemoteError, match="401: the key is missing or wrong"):
            RemoteModel(url, key="no")
        with pytest.raises(InputError, match="no model 'big'; it has nano"):
            RemoteModel(url, "big", "key")
    with pytest.raises(RemoteError, match="cannot be reached"):
        RemoteModel(url)
    with pytest.raises(InputError, match="http:// or https://"):
        RemoteModel("localhost:8000")


def test_other_servers_read_too(other) -> None:
    server = RemoteModel(other.url, key="key")
    other.script += [said("# Title\n\nA line.\nAnother.")]
    page = server.read(PAGE)
    assert (page.status, page.text, page.width) == ("ok", "# Title\n\nA line.\nAnother.", 400)
    assert [(line.box, line.confidence) for line in page.lines] == [((0.0, 0.0, 400.0, 600.0), 0.0)]
    path, headers, body = other.asked[0]
    assert (path, headers["Authorization"], body["temperature"]) == ("/v1/chat/completions", "Bearer key", 0)
    assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (said("cut", "length"), "truncated", "cut"),
        (said(""), "blank", ""),
        (said("x", "content_filter"), "failed", "x"),
        (said("Begin. " + "It goes on and on like this. " * 80), "repetition", "Begin. It goes on and on like this"),
    ],
)
def test_how_an_answer_ended_is_the_status_of_the_page(other, answer, status, text) -> None:
    other.script.append(answer)
    page = RemoteModel(other.url).read(PAGE)
    assert (page.status, page.text[:34]) == (status, text)


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(other, monkeypatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    server = RemoteModel(other.url)
    other.script += [(429, {"Retry-After": "3"}, {}), (503, {}, b"gone"), said("done")]
    assert server.read(PAGE).text == "done"
    assert slept == [3.0, 2.0]
    other.script += [(400, {}, {"error": {"message": "the image\nis too large"}})]
    with pytest.raises(InputError, match="400: the image is too large"):
        server.read(PAGE)
    other.script += [(429, {}, {"detail": "full"})] * 6
    with pytest.raises(InputError, match="429: full"):
        server.read(PAGE)
    other.script += [(200, {}, b"{half")]
    with pytest.raises(InputError, match="no JSON or was cut off"):
        server.read(PAGE)


def test_answers_that_break_off_are_no_answers(other) -> None:
    server, heard = RemoteModel(other.url), []
    first = b'data: {"choices": [{"delta": {"content": "Half"}}]}\n\n'
    other.script += [(200, {}, first), (200, {}, first + b"data: {half")]
    assert server.ask([PAGE], "What?", heard.append) == Answer("Half", False)
    with pytest.raises(RemoteError, match="cut off"):
        server.ask([PAGE], "What?", heard.append)
    assert heard == ["Half", "Half"]
    other.script += [(200, {}, b'data: {"error": {"message": "the deadline"}}\n\n'), (200, {}, {"text": "x"})]
    with pytest.raises(RemoteError, match="the deadline"):
        server.ask([PAGE], "What?", heard.append)
    with pytest.raises(RemoteError, match="as OpenAI-compatible servers do"):
        server.ask([PAGE], "What?")


def test_redirects_are_not_followed_and_the_key_goes_nowhere(other) -> None:
    server = RemoteModel(other.url, key="key")
    other.script += [(302, {"Location": other.url + "/elsewhere"}, {})]
    with pytest.raises(InputError, match="302"):
        server.read(PAGE)
    assert len(other.asked) == 1


def test_pages_are_sent_at_a_size_that_is_read_well(other) -> None:
    server = RemoteModel(other.url)
    assert server.wanted_scale(Image.new("L", (1200, 1500))) == 1.0
    assert server.wanted_scale(Image.new("L", (400, 800))) == LONG_SIDE / 800


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, vary.reading.remote, vary.reading.pages, vary.models.generate.repetition;"
        "print('torch' in sys.modules, 'fastapi' in sys.modules)"
    )
    assert printed_by(code) == "False False\n"


# -- images by address -----------------------------------------------------------------------------------------------


@pytest.fixture
def net(monkeypatch):
    """A network of our own: `net.addresses` is what names resolve to, call by call; connections are noted, not made."""

    class Net:
        addresses, asked, connected, response = [["93.184.216.34"]], [], [], b""

    net = Net()
    net.asked, net.connected = [], []

    def resolve(host, port, **_):
        net.asked.append(host)
        return [(0, 0, 0, "", (a, port)) for a in net.addresses[min(len(net.asked), len(net.addresses)) - 1]]

    def connect(address, timeout):
        net.connected.append(address)
        ours, theirs = socket.socketpair()
        threading.Thread(target=lambda: (theirs.recv(4096), theirs.sendall(net.response), theirs.close())).start()
        return ours

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", lambda self, sock, server_hostname: sock)
    return net


URL = "https://Images.example/a.png?b=1"


def test_an_allowed_host_is_resolved_once_and_connected_by_that_address(net) -> None:
    net.addresses = [["93.184.216.34"], ["127.0.0.1"]]  # rebinding: the second answer is another one
    net.response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbytes"
    assert fetch_image(URL, ["images.example"]) == b"bytes"
    assert net.asked == ["images.example"]
    assert net.connected == [("93.184.216.34", 443)]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "169.254.169.254", "10.1.2.3", "172.16.0.1",
     "192.168.0.1", "100.64.0.1", "fe80::1%eth0", "fc00::1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::",
     "224.0.0.1", "255.255.255.255", "::"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_never_connected_to(net, address) -> None:
    net.addresses = [["93.184.216.34", address]]
    with pytest.raises(InputError, match="not public"):
        fetch_image(URL, ["images.example"])
    assert net.connected == []


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n",
        b"nonsense",
        b"",
    ],
)
def test_redirects_floods_and_nonsense_are_refused(net, response) -> None:
    net.response = response
    with pytest.raises(InputError, match="image_url"):
        fetch_image(URL, ["images.example"], limit=1000)
    assert len(net.connected) == 1


def test_no_host_is_allowed_by_default(net) -> None:
    for url in (URL, "https://images.example.evil/a", "http://images.example/a", "ftp://images.example/a"):
        with pytest.raises(InputError):
            fetch_image(url)
    assert net.asked == []


def test_an_unknown_host_says_so(monkeypatch) -> None:
    def unknown(*_, **__):
        raise socket.gaierror("no")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match="not known"):
        fetch_image(URL, ["images.example"])


def test_vary_read_asks_a_server_and_loads_no_torch(pdf_file) -> None:
    with vary_server(nano=Served(FakeReader())) as url:
        code = (
            "import sys; from vary.cli import main; "
            f"code = main(['read', {str(pdf_file)!r}, '--server', {url!r}]); print(code, 'torch' in sys.modules)"
        )
        environment = os.environ | {"VARY_API_KEY": "key"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
    assert done.stdout.startswith("size ")
