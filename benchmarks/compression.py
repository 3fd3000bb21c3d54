"""How few vision tokens a page can be read from: characters per token against CER, on text and on pseudo-words.

`python benchmarks/compression.py [--model vary-nano] [--pages 12] [--scales 1,0.8,0.5] [--plot FILE.png]`: the
rendered pages of `vary eval` (1024 x 1024 px), scaled down and read at that size. A vocabulary that keeps its stride
makes fewer tokens of a smaller page, so any model of `load_reader` can be asked. Prints a table.
Pseudo-words carry no language: what they lose and natural text does not was guessed, not seen.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass

import numpy as np

from vary.document.elements import Page
from vary.document.layout.arrange import find_evidence, lay_out
from vary.evaluate.metrics import METRICS, WEIGHT
from vary.evaluate.metrics.text import bootstrap_interval
from vary.evaluate.tasks import TASKS
from vary.models.images.preprocess import fit
from vary.reading.ctc import find_lines
from vary.reading.loader import load_reader
from vary.reading.reader import Reader
from vary.reading.scales.merge import find_texts

TEXTS = {"natural": "pages", "pseudo-words": "pseudo"}


@dataclass(frozen=True)
class Point:
    """One kind of text at one scale. tokens: mean of a page. ratio: characters a token. mean, low, high: CER, 95%."""

    text: str
    scale: float
    tokens: float
    ratio: float
    mean: float
    low: float
    high: float

    def row(self) -> str:
        rate = f"{self.mean:.2%} ({self.low:.2%} to {self.high:.2%})"
        return f"| {self.text} | {self.scale:g} | {self.tokens:,.0f} | {self.ratio:.2f} | {rate} |"


def measure(reader: Reader, text: str, scales: list[float], pages: int) -> list[Point]:
    found: dict[float, list[tuple[int, float, float]]] = {scale: [] for scale in scales}
    for example in TASKS[TEXTS[text]].examples(None, pages):
        image = example.open().convert("L")
        for scale in scales:
            pixels, stride = fit(image, scale, reader.preprocess["multiple"]).pixels, reader.network.frame_grid.stride
            scores = METRICS["text"].score(read_once(reader, pixels), example.truth)
            high, wide = (side // step for side, step in zip(pixels.shape, stride, strict=True))
            found[scale].append((high * wide, scores[WEIGHT] or 0.0, scores["cer"] or 0.0))
    return [_point(text, scale, values) for scale, values in found.items()]


def read_once(reader: Reader, pixels: np.ndarray) -> str:
    """Read an image at its own scale alone; `Reader.read` enlarges small type."""
    lines = find_texts(find_lines(reader.network(pixels), reader.network.frame_grid))
    evidence = find_evidence(pixels, lines)
    blocks = lay_out(lines, evidence, (pixels.shape[1], pixels.shape[0]), reader.network.frame_grid.styles)
    return Page(1, "ok", pixels.shape[1], pixels.shape[0], blocks=blocks).text


def _point(text: str, scale: float, pages: list[tuple[int, float, float]]) -> Point:
    tokens, characters, rates = zip(*pages, strict=True)
    low, high = bootstrap_interval(rates)
    return Point(
        text, scale, statistics.fmean(tokens), sum(characters) / sum(tokens), statistics.fmean(rates), low, high
    )


def draw(points: list[Point], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    for text in dict.fromkeys(p.text for p in points):
        mine = sorted((p for p in points if p.text == text), key=lambda p: p.ratio)
        x = [p.ratio for p in mine]
        (line,) = axis.plot(x, [p.mean * 100 for p in mine], marker="o", label=text)
        low, high = ([v * 100 for v in side] for side in ([p.low for p in mine], [p.high for p in mine]))
        axis.fill_between(x, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
    axis.set(xlabel="characters per vision token", ylabel="CER of a page, mean and 95% interval, %")
    axis.legend(title="text")
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vary-nano")
    parser.add_argument("--pages", type=int, default=12, help="of each kind of text (default: 12)")
    parser.add_argument("--scales", default="1,0.9,0.8,0.7,0.6,0.5,0.4", help="of the page, one reading each")
    parser.add_argument("--plot", metavar="FILE.png")
    arguments = parser.parse_args()
    reader = load_reader(arguments.model)
    print("| text | scale | tokens a page | characters a token | CER of a page, mean (95%) |\n" + "|---" * 5 + "|")
    points: list[Point] = []
    for text in TEXTS:
        points += measure(reader, text, [float(v) for v in arguments.scales.split(",")], arguments.pages)
        print("\n".join(p.row() for p in points if p.text == text), flush=True)
    if arguments.plot:
        draw(points, arguments.plot)


if __name__ == "__main__":
    main()
