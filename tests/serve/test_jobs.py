"""What keeps a server alive: limits, deadlines, clients that go away, a shutdown that loses nothing."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from vary.serve.gate import AccessMiddleware
from vary.serve.jobs import JobQueue
from vary.serve.limits import Limits

from .servers import KEY, FakeChatModel, FakeReader, asking, client_of, png, refusal, running, upload, wait_for


def test_limits(reader) -> None:  # 23
    with client_of(reader, body=100_000) as client:
        sent, kind = [], {"Content-Type": "application/json"}

        def endless():
            for _ in range(600):
                sent.append(1)
                yield b"x" * 1000

        message = refusal(client.post("/v1/chat/completions", content=endless(), headers=kind), 413)
        assert "larger than" in message
        refusal(upload(client, b"x" * 200_000), 413)
        assert reader.reads == 0


def test_a_body_without_length_is_refused_before_it_is_all_read() -> None:  # 23
    async def read_all(scope, receive, send):
        while (await receive()).get("more_body"):
            pass

    pieces, status = [], []

    async def receive():
        pieces.append(1)
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def send(message):
        status.append(message.get("status"))

    queue = JobQueue(Limits(body=100_000), KEY)
    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/parse", "headers": headers}
    asyncio.run(AccessMiddleware(read_all, queue)(scope, receive, send))
    assert (status[0], len(pieces)) == (413, 101)
    assert (queue.inside, queue.held) == (0, 0)

    async def stalling():
        await asyncio.sleep(30)

    queue = JobQueue(Limits(body_s=0.05), KEY)
    asyncio.run(AccessMiddleware(read_all, queue)(scope, stalling, send))
    assert 408 in status


def test_200_requests_at_once(reader) -> None:  # 23
    reader.hold = threading.Event()
    with running(reader, inside=20) as server:
        codes, lock = [], threading.Lock()

        def one():
            body = json.dumps(asking()).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            with socket.create_connection(("127.0.0.1", server.port), 30) as link:
                link.sendall(head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + body)
                answer = b"".join(iter(lambda: link.recv(65536), b""))
            with lock:
                codes.append(answer[9:12])
            assert answer[9:12] != b"429" or re.search(rb"retry-after: \d+", answer)

        threads = [threading.Thread(target=one) for _ in range(200)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(codes) == 180)
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", server.port)) as link:
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert link.recv(100).startswith(b"HTTP/1.1 200")
        assert time.perf_counter() - began < 1.0
        reader.hold.set()
        for thread in threads:
            thread.join(30)
        assert sorted(codes) == [b"200"] * 20 + [b"429"] * 180
        assert (server.app.state.queue.inside, server.app.state.queue.held) == (0, 0)


def test_disconnect_cancels() -> None:  # 25
    chat_model = FakeChatModel(f"word{k} " for k in range(10**9))
    with running(chat_model=chat_model) as server:
        body = json.dumps(asking(model="answers", stream=True)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        link = socket.create_connection(("127.0.0.1", server.port))
        link.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        assert b"200 OK" in link.recv(1000)
        link.close()
        wait_for(lambda: server.app.state.queue.inside == 0)
        said = chat_model.said
        time.sleep(0.1)
        assert chat_model.said - said <= 1
        body = json.dumps(asking(model="answers")).encode()
        link = socket.create_connection(("127.0.0.1", server.port))
        link.sendall(head.replace("stream", "").encode() + b"Content-Type: application/json\r\n\r\n" + body)
        time.sleep(0.05)
        link.close()
        wait_for(lambda: server.app.state.queue.inside == 0)


def test_deadline(reader) -> None:  # 25
    reader.hold = threading.Event()
    with client_of(reader, deadline_s=1.0) as client:  # the second page must end within it on a busy machine, too
        assert "deadline" in refusal(client.post("/v1/chat/completions", json=asking()), 504)
        reader.hold.set()
        reader.hold = None
        assert upload(client, png()).status_code == 200


def test_graceful_shutdown(reader) -> None:  # 25
    reader.hold = threading.Event()
    with client_of(reader) as client:
        queue, answers = client.app.state.queue, []
        assert client.get("/readyz").status_code == 200
        thread = threading.Thread(target=lambda: answers.append(upload(client, png())))
        thread.start()
        wait_for(lambda: reader.reads == 1)
        queue.closing = True
        assert "going down" in refusal(upload(client, png()), 503)
        refusal(client.get("/readyz"), 503)
        assert client.get("/healthz").status_code == 200
        reader.hold.set()
        thread.join(10)
        assert answers[0].status_code == 200
    assert not queue.ready


SLOW = """
import sys, time
from tests.serve.servers import FakeReader
from vary.serve.app import Served, serve
class Slow(FakeReader):
    def read(self, image, scale=1.0):
        print("reading", flush=True)
        time.sleep(1)
        return super().read(image, scale)
serve({"reads": Served(Slow())}, port=int(sys.argv[1]))
"""


def test_sigterm_lets_those_inside_finish() -> None:  # 25
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = Path(__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(port)], cwd=root, stdout=subprocess.PIPE)

    def up() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        wait_for(up)
        inside, idle = (http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(2))
        idle.request("GET", "/readyz")
        assert idle.getresponse().read() == b'{"status":"ready"}'
        inside.request("POST", "/v1/chat/completions", json.dumps(asking()), {"Content-Type": "application/json"})
        assert child.stdout
        assert child.stdout.readline() == b"reading\n"
        child.send_signal(signal.SIGTERM)
        answer = inside.getresponse()
        assert (answer.status, b"size 40" in answer.read()) == (200, True)
        assert child.wait(20) in (0, -signal.SIGTERM)
        assert not up()
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


def test_metrics_count_what_happened(client, pdf_file) -> None:
    upload(client, pdf_file.read_bytes())
    client.get("/healthz/none/such")
    text = client.get("/metrics").text
    assert 'vary_pages_total{status="ok"} 2' in text
    assert 'vary_pages_total{status="blank"} 1' in text
    assert 'vary_requests_total{route="/v1/parse",status="200"} 1' in text
    assert 'vary_requests_total{route="other",status="404"} 1' in text
    assert 'vary_request_seconds_bucket{route="/v1/parse",le="+Inf"} 1' in text
    assert "vary_ready 1" in text


def test_held_bytes_are_bounded() -> None:
    with client_of(held=30_000) as client:
        refusal(upload(client, b"x" * 40_000), 429)
        assert upload(client, png()).status_code == 200
        assert client.app.state.queue.held == 0


def test_pages_are_read_at_once_and_questions_do_not_wait_for_them() -> None:
    """Two workers hold a page each while a third waits; a question passes all of them."""
    reader = FakeReader()
    reader.hold = threading.Event()
    with running(reader, FakeChatModel(), workers=2) as server:
        pages = [threading.Thread(target=post, args=(server.port, asking())) for _ in range(3)]
        for page in pages:
            page.start()
        wait_for(lambda: reader.reads == 2)
        assert post(server.port, asking(model="answers"))["choices"][0]["message"]["content"] == "Hello there."
        assert reader.reads == 2
        reader.hold.set()
        for page in pages:
            page.join(20)
        assert reader.reads == 3


def test_more_jobs_than_threads_all_end() -> None:
    with client_of(workers=3, inside=64) as client:
        answers: list[str] = []

        def ask() -> None:
            for _ in range(4):
                answers.append(upload(client, png(), format="text").text)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == ["size 40\n"] * 32


def post(port: int, body: dict) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())
