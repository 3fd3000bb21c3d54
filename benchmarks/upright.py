"""Character error rate of pages that lie turned, without and with putting them upright."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace

from PIL import Image

import vary
from vary.document.orientation import Orientation
from vary.evaluate.metrics.text import cer
from vary.io.source import Source
from vary.reading.pages import FIRST_DPI, read_page

EXAMPLES = Path(__file__).parents[1] / "examples"
TURNS = ((0, 0), (0, 2), (0, 5), (0, 10), (90, 0), (180, 0), (270, 0))


def turn(image: Image.Image, rotation: int, skew: float) -> Image.Image:
    if rotation:
        image = image.transpose(getattr(Image.Transpose, f"ROTATE_{360 - rotation}"))
    return image.rotate(-skew, Image.Resampling.BICUBIC, expand=True, fillcolor=255) if skew else image


def main() -> None:
    with_it = vary.load("vary-nano")
    without = SimpleNamespace(
        name="without",
        find_orientation=lambda image: Orientation(),
        wanted_scale=with_it.wanted_scale,
        read=with_it.read,
    )
    print(f"{'page':12} {'turn':>4} {'skew':>4} {'without':>8} {'with':>8}   seconds")
    for name in ("page.png", "charis.pdf"):
        with Source(EXAMPLES / name) as source:
            image = source.image(1, FIRST_DPI)[0]
        truth = ""
        for rotation, skew in TURNS:
            with tempfile.TemporaryDirectory() as folder:
                turn(image, rotation, skew).save(path := Path(folder) / "page.png")
                with Source(path) as source:
                    pages = [read_page(source, 1, reader) for reader in (without, with_it)]
            truth = truth or ((EXAMPLES / "page.txt").read_text() if name == "page.png" else pages[0].text)
            rates = [cer(" ".join(page.text.split()), " ".join(truth.split())) for page in pages]
            seconds = " ".join(f"{page.seconds:.2f}" for page in pages)
            print(f"{name:12} {rotation:4} {skew:4} {rates[0]:8.4f} {rates[1]:8.4f}   {seconds}", flush=True)


if __name__ == "__main__":
    main()
