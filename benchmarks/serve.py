"""Load on `vary serve` over loopback: `python benchmarks/serve.py [--model stub|vary-nano] [--clients 200] [-n 2000]`.

The server runs in a process of its own, every client in a thread with one connection; a client that hears 429 waits as
long as it is told and asks again. Prints requests per second, the time of a request (with and without the waiting of
those that were sent away), the server's memory, /healthz meanwhile, and whether every request got its own answer:
each asks for a page of a width of its own and checks it (stub), or for the same text as the first (models).
"""

from __future__ import annotations

import argparse
import base64
import collections
import http.client
import io
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from PIL import Image

EXAMPLE = Path(__file__).parents[1] / "examples" / "page.png"


class Stub:
    """Reads a page's width, at once."""

    name = "stub"

    def find_orientation(self, image: Image.Image):
        from vary.document.orientation import Orientation

        return Orientation()

    def wanted_scale(self, image: Image.Image) -> float:
        return 1.0

    def read(self, image: Image.Image, scale: float = 1.0):
        from vary.document.elements import Block, Line, Page

        box = (0.0, 0.0, float(image.width), 20.0)
        return Page(1, "ok", *image.size, blocks=[Block([Line(f"width {image.width}", box, 1.0)], box)])


def server(model: str, inside: int) -> None:
    """The child: print the port, serve until the parent ends it."""
    import uvicorn

    from vary.serve.app import Served, create_app, load_models
    from vary.serve.limits import Limits

    models = {"stub": Served(Stub())} if model == "stub" else load_models([model])
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(create_app(models, limits=Limits(inside=inside)), log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


def body(model: str, k: int) -> tuple[bytes, str | None]:
    """A request and the answer it must get, where that is known."""
    if model == "stub":
        image, expected = Image.new("L", (100 + k % 1000, 100), 255), f"width {100 + k % 1000}"
        image.paste(0, (10, 10, 60, 30))
    else:
        image, expected = Image.open(EXAMPLE).crop((0, 0, 600, 200)), None
    file = io.BytesIO()
    image.save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}]}).encode(), expected


class Clients:
    """`count` threads share `total` requests."""

    def __init__(self, port: int, model: str, count: int, total: int):
        self.port, self.model, self.left, self.lock = port, model, iter(range(total)), threading.Lock()
        self.answers: list[tuple[str, str | None, float, float]] = []  # text, expected, seconds of the last try, of all
        self.codes: collections.Counter[str] = collections.Counter()
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]

    def run(self) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        while True:
            with self.lock:
                k = next(self.left, None)
            if k is None:
                return
            data, expected = body(self.model, k)
            began = time.perf_counter()
            while True:
                tried = time.perf_counter()
                try:
                    link.request("POST", "/v1/chat/completions", data, {"Content-Type": "application/json"})
                    answer = link.getresponse()
                    said = answer.read()
                except (OSError, http.client.HTTPException) as error:
                    link.close()
                    with self.lock:
                        self.codes[type(error).__name__] += 1
                    continue
                with self.lock:
                    self.codes[str(answer.status)] += 1
                if answer.status != 429:
                    break
                time.sleep(int(answer.headers["Retry-After"]))
            now = time.perf_counter()
            text = json.loads(said)["choices"][0]["message"]["content"] if answer.status == 200 else f"{answer.status}"
            with self.lock:
                self.answers.append((text, expected, now - tried, now - began))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="stub")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--inside", type=int, default=256, help="requests that the server lets in at once")
    parser.add_argument("--child", action="store_true")
    arguments = parser.parse_args()
    if arguments.child:
        server(arguments.model, arguments.inside)
        return
    command = [sys.executable, __file__, "--child", "--model", arguments.model, "--inside", str(arguments.inside)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    try:
        load(int(child.stdout.readline()), child.pid, arguments)
    finally:
        child.terminate()
        child.wait(30)


def load(port: int, pid: int, arguments: argparse.Namespace) -> None:
    warm = Clients(port, arguments.model, 1, 1)
    warm.run()
    before = memory(pid)
    clients = Clients(port, arguments.model, arguments.clients, arguments.n)
    began, health = time.perf_counter(), []
    for thread in clients.threads:
        thread.start()
    while any(thread.is_alive() for thread in clients.threads):
        asked, link = time.perf_counter(), http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        link.request("GET", "/healthz")
        link.getresponse().read()
        link.close()
        health.append(time.perf_counter() - asked)
        time.sleep(0.2)
    took = time.perf_counter() - began
    last, whole = (sorted(answer[k] for answer in clients.answers) for k in (2, 3))
    wrong = sum(text != (expected or warm.answers[0][0]) for text, expected, _, _ in clients.answers)
    print(f"{arguments.model}, {arguments.clients} clients, {arguments.inside} inside")
    print(f"{len(last)} answers in {took:.1f} s")
    print(f"{len(last) / took:.1f} requests/s; {arguments.n - len(last)} lost, {wrong} wrong; {dict(clients.codes)}")
    for name, seconds in (("admitted try", last), ("with waiting", whole)):
        p50, p99 = statistics.median(seconds), seconds[int(0.99 * (len(seconds) - 1))]
        print(f"{name}: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, slowest {seconds[-1] * 1000:.0f} ms")
    print(f"/healthz meanwhile: p50 {statistics.median(health) * 1000:.0f} ms, slowest {max(health) * 1000:.0f} ms")
    print(f"server memory: {before['VmRSS']} MiB before, peak {memory(pid)['VmHWM']} MiB")


def memory(pid: int) -> dict[str, int]:
    """Linux: resident memory now (VmRSS) and at its peak (VmHWM), MiB."""
    found = re.findall(r"^(Vm\w+):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), flags=re.M)
    return {name: int(size) // 1024 for name, size in found}


if __name__ == "__main__":
    main()
