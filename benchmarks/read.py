"""Seconds and memory of reading, in a process of its own: `python benchmarks/read.py FILE [--pages 1-20]`.

Prints the time from the start of the process to the first page (imports and model load included), the median of the
pages after it, and the peak of resident memory of the process and of its largest child.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time

BEGAN = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--pages")
    parser.add_argument("--model", default="vary-nano")
    arguments = parser.parse_args()

    import vary

    ends: list[float] = []
    vary.read(
        arguments.file, arguments.model, pages=arguments.pages, on_page=lambda page: ends.append(time.perf_counter())
    )
    seconds = [b - a for a, b in itertools.pairwise(ends)]
    own, child = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"first page after {ends[0] - BEGAN:.2f} s")
    if seconds:
        print(f"{len(seconds)} more pages: median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s")
    print(f"peak memory {own:.0f} MiB, renderer {child:.0f} MiB")


if __name__ == "__main__":
    main()
