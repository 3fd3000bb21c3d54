"""Pages per core-second of the data engine: `python benchmarks/render.py [--pages 128]`."""

from __future__ import annotations

import argparse
import time

from vary.data.corpus import Corpus
from vary.data.page import PageSource
from vary.data.text import TextSource
from vary.train.loop import Material


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=128)
    count = parser.parse_args().pages
    faces = Material.english().faces
    text = TextSource(Corpus.english())
    print(f"{len(faces)} faces, {sum(f.held_out for f in faces)} held out")
    for size, degraded in ((1024, 0.0), (1024, 1.0), (512, 0.5)):
        source = PageSource(text, faces, seed=1, height=size, width=size, degraded=degraded)
        began = time.process_time()
        characters = sum(len(source.sample(i).text) for i in range(count))
        spent = time.process_time() - began
        print(
            f"{size} px, {degraded:.0%} degraded: {count / spent:.0f} pages/core-s, {characters / count:.0f} characters"
        )


if __name__ == "__main__":
    main()
