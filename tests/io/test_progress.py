"""Progress is told with the rate and the time left."""

from __future__ import annotations

from vary.io.progress import Progress


def test_progress_tells_rate_and_time_left(monkeypatch) -> None:
    now, lines = [100.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress("pages", 100, log=lines.append, per="min")
    progress.first += 40  # pages of a run before this one
    now[0] += 30
    progress.at(55)
    assert lines == ["55/100 pages, 30.0 pages/min, 0:01:30 left"]
