"""Servers of models that are not real, clients of them and requests to them."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from tests.readers import UprightReader
from vary.document.elements import Block, Line, Page
from vary.serve.app import Served, create_app
from vary.serve.limits import Limits

KEY = "a-secret-key"


class FakeReader(UprightReader):
    """Reads the size of an image; `hold` keeps it reading, `bad` is raised."""

    def __init__(self):
        self.hold, self.bad, self.reads = None, None, 0

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


@contextmanager
def client_of(reader=None, chat_model=None, key=None, raise_errors=True, **limits):
    models = {"reads": Served(reader or FakeReader()), "answers": Served(None, chat_model or FakeChatModel())}
    app = create_app(models, key, ("images.example",), Limits(**limits))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=raise_errors) as client:
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


def refusal(response, status: int) -> str:
    assert response.status_code == status, response.text
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.json()["error"]["message"]
