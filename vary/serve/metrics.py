"""Count requests and pages, and write the counts as Prometheus text."""

from __future__ import annotations

from collections import Counter

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """Counters of the server. mean_s: moving mean of the seconds that a successful POST took."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.mean_s = 1.0

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self.counts["vary_requests_total", f'route="{route}",status="{status}"'] += 1
        if method != "POST":
            return
        if status == 200:
            self.mean_s += 0.1 * (seconds - self.mean_s)
        for bucket in (*BUCKETS_S, float("inf")):
            edge = "+Inf" if bucket == float("inf") else f"{bucket:g}"
            self.counts["vary_request_seconds_bucket", f'route="{route}",le="{edge}"'] += seconds <= bucket
        self.counts["vary_request_seconds_sum", f'route="{route}"'] += seconds  # type: ignore[assignment]
        self.counts["vary_request_seconds_count", f'route="{route}"'] += 1

    def count_page(self, status: str) -> None:
        """Count a page that was read."""
        self.counts["vary_pages_total", f'status="{status}"'] += 1

    def text(self, gauges: dict[str, int]) -> str:
        """Return all counters and the gauges in Prometheus' text format."""
        lines = [f"{name}{{{labels}}} {value:g}" for (name, labels), value in sorted(self.counts.copy().items())]
        return "\n".join([*lines, *(f"{name} {value}" for name, value in gauges.items())]) + "\n"
