"""Good text layers: how many lines are flagged, and what the check costs.

    python benchmarks/good_layers.py DIR [PAGES]

Pages are drawn from a seed out of all PDFs below DIR, up to three of each. A line is flagged when pixels replace a
character of it, or reject it. Prints each flag, then the rates and the seconds against reading by pixels alone.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from vary.io.errors import InputError
from vary.io.source import Source
from vary.reading.api import load
from vary.reading.pages import read_page


def main(folder: str, count: int) -> None:
    """Print flags and rates."""
    reader, rng, c = load("vary-nano"), random.Random(1), Counter[str]()
    paths = sorted(Path(folder).rglob("*.pdf"))
    rng.shuffle(paths)
    seconds = {"both": 0.0, "pixels": 0.0}
    for path in paths:
        if c["pages"] >= count:
            break
        try:
            source = Source(path)
        except InputError:
            continue
        with source:
            for number in sorted(rng.sample(range(1, len(source) + 1), min(3, len(source)))):
                began = time.process_time()
                page = read_page(source, number, reader)
                middle = time.process_time()
                c.update(pages=1, **{page.layer: 1})
                c.update(lines=len(page.lines), flags=len(page.disagreements))
                for one in page.disagreements:
                    print(f"{path.name}\t{number}\t{one.layer!r}\t{one.pixels!r}\t{one.odds:.1f}", flush=True)
                if c["pages"] % 5 == 0:
                    reader.uses_layer = False
                    began_pixels = time.process_time()
                    read_page(source, number, reader)
                    seconds["pixels"] += time.process_time() - began_pixels
                    seconds["both"] += middle - began
                    reader.uses_layer = True
    print(
        dict(c), f"flags per line {c['flags'] / max(1, c['lines']):.3%}", {k: round(v, 1) for k, v in seconds.items()}
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
