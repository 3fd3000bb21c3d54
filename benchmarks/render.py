"""Rates of the data engine: samples per core-second and bytes per sample of every kind, and what more cores bring.

`python benchmarks/render.py [--kinds "page;photo"] [--samples 256] [--workers 1,2,4]`. CPU time of the process and of
the children it starts; the first samples, which open fonts and content, are not counted. Content is fetched once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

from vary.data.mixture import Mixture, Part
from vary.data.render import render
from vary.data.shards import pack

FORMULAS, TABLES = "deb:python-sklearn-doc", "pypi:vega_datasets"
KINDS: dict[str, tuple[str, dict]] = {
    "page": ("page", {"degraded": 0.0}),
    "page, degraded": ("page", {"degraded": 1.0}),
    "page, degraded, 16 pages a style": ("page", {"degraded": 1.0, "pages_per_style": 16}),
    "page, 512 px": ("page", {"height": 512, "width": 512}),
    "document": ("document", {"formulas": FORMULAS, "tables": TABLES}),
    "layout": ("layout", {}),
    "pdf": ("pdf", {"files": "deb:r-doc-pdf"}),
    "formula": ("formula", {"formulas": FORMULAS}),
    "table": ("table", {"tables": TABLES}),
    "chart, matplotlib": ("chart", {}),
    "chart, vega": ("chart", {"engines": {"vega": 1}}),
    "photo": ("photo", {}),
}


def spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(name: str, count: int) -> str:
    kind, settings = KINDS[name]
    source = Mixture([Part(name, kind, 1, (), settings)], 1).sources[0]
    warm = [source.sample(10_000_000 + i) for i in range(min(64, count))]
    began = spent()
    for i in range(count):
        source.sample(i)
    if hasattr(source, "close"):
        source.close()  # its child's time counts only when it has ended
    took, letters = spent() - began, sum(len(s.text) for s in warm) / len(warm)
    sizes = []
    for image in ("png", "jpg"):
        began = spent()
        size = sum(len(pack(0, s, image)) for s in warm) / len(warm)
        sizes.append(f"{size / 1000:.0f} kB in {(spent() - began) / len(warm) * 1000:.1f} ms")
    return f"{count / took:.1f} | {letters:.0f} | {' | '.join(sizes)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=";".join(KINDS), help="some of: " + "; ".join(KINDS))
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--workers", default="", help="processes to try, such as 1,2,4: pages to shards, wall clock")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("kind | samples/core-s | characters | png shard, bytes and ms a sample | jpg shard\n---|---|---|---|---")
    for name in filter(None, arguments.kinds.split(";")):
        try:
            print(f"{name} | {measure(name, arguments.samples)}", flush=True)
        except (ValueError, RuntimeError, ImportError) as error:
            print(f"{name} | not measured: {error}", flush=True)
    recipe = {"mix": {"bench": {"page": {"source": "page", "degraded": 1.0}}}}
    for workers in map(int, filter(None, arguments.workers.split(","))):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            render(recipe, 64 * workers, folder, workers=workers, per_shard=32, image="jpg", log=lambda _: None)
            took = time.perf_counter() - began
            print(f"{workers} workers: {64 * workers / took:.1f} degraded pages/s into shards, start included")


if __name__ == "__main__":
    main()
