"""What the server refuses: strangers, other hosts, unknown fields, addresses that it must not open."""

from __future__ import annotations

import socket

import pytest

from vary.serve.app import is_loopback, serve

from .servers import (
    KEY,
    asking,
    client_of,
    data_url,
    png,
    refusal,
    upload,
)


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
