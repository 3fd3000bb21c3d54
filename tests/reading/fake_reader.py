"""A reader without a model, for the tests of what happens around one."""

from __future__ import annotations

from PIL import Image

from tests.readers import UprightReader
from vary.document.elements import Block, Line, Page
from vary.io.errors import InputError


class FakeReader(UprightReader):
    """Answers with the size of what it was shown; fails on the calls in `bad`."""

    def __init__(self, scale: float = 1.0, bad: tuple[int, ...] = (), error: Exception | None = None):
        self.scale, self.bad, self.error = scale, bad, error or InputError("the ink has run")
        self.seen: list[tuple[int, int]] = []
        self.scales: list[float] = []

    def wanted_scale(self, image: Image.Image) -> float:
        return self.scale

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        assert image.mode == "L"
        self.seen.append(image.size)
        self.scales.append(scale)
        if len(self.seen) in self.bad:
            raise self.error
        box = (0.0, 0.0, 10.0, 10.0)
        line = Line(f"read {len(self.seen)}", box, 1.0)
        return Page(1, "ok", *image.size, blocks=[Block([line], box)])
