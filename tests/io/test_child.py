"""A child process is limited by what it does, not by how long that takes: load ends no request."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import pytest

from vary.io import child as module
from vary.io.child import Child, ChildDied, send, start_early


def serve(requests, answers) -> None:
    """In the child: works or waits for as many seconds as a request says."""
    for line in requests:
        request = json.loads(line)
        end = time.process_time() + request.get("work", 0.0)
        while time.process_time() < end:
            pass
        time.sleep(request.get("wait", 0.0))
        send(answers, {"answered": True})


@pytest.fixture
def child(monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.05)
    child = Child("tests.io.test_child:serve")
    child.ask({}, 60.0)  # starting Python takes CPU time, too
    yield child
    child.close()


@pytest.mark.skipif(sys.platform != "linux", reason="time on the clock counts there")
def test_a_child_that_is_kept_waiting_is_not_ended(child) -> None:
    assert child.ask({"wait": 1.0}, 0.3)[0]["answered"]


def test_a_child_that_works_too_long_is_ended_and_the_next_request_answered(child) -> None:
    with pytest.raises(ChildDied, match="took too long") as died:
        child.ask({"work": 1000.0}, 0.3)
    assert died.value.late
    assert child.ask({}, 60.0)[0]["answered"]


def test_a_child_that_does_nothing_is_ended(child, monkeypatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.5)
    with pytest.raises(ChildDied, match="took too long"):
        child.ask({"wait": 1000.0}, 60.0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupted_request_leaves_no_answer_to_the_next(child) -> None:
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(KeyboardInterrupt):
            child.ask({"wait": 20.0}, 60.0)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert child.process is None
    assert child.ask({}, 60.0)[0]["answered"]


def test_a_child_that_was_started_early_serves_the_next_of_its_entry() -> None:
    entry = "tests.io.test_child:serve"
    start_early(entry)
    process = module.waiting[entry]
    first, second = Child(entry), Child(entry)
    assert first.ask({}, 60.0)[0]["answered"]
    assert second.ask({}, 60.0)[0]["answered"]
    assert first.process is process is not second.process
    first.close()
    second.close()
