"""`vary` as a function, with a reader that needs no model."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.readers import UprightReader
from vary.cli import main
from vary.document.elements import Block, Line, Page
from vary.io.errors import InputError


class FakeReader(UprightReader):
    """Reads "page 1", "page 2" ...; fails on the calls in `bad`."""

    def __init__(self, *bad: int):
        self.bad, self.calls, self.text = bad, 0, ""

    def read(self, image: Image.Image, scale: float = 1.0) -> Page:
        self.calls += 1
        if self.calls in self.bad:
            raise InputError("the ink has run")
        box = (0.0, 0.0, 10.0, 10.0)
        return Page(1, "ok", *image.size, blocks=[Block([Line(self.text or f"page {self.calls}", box, 1.0)], box)])


class Command:
    """Runs `vary`; `loaded` lists what models were asked for."""

    def __init__(self, monkeypatch, capsys):
        self.reader, self.loaded, self._capsys = FakeReader(), [], capsys
        monkeypatch.setattr("vary.reading.api.load", self._load)

    def _load(
        self, name: str, device: str, decoder: bool = False, pixels: bool = False, formulas: str | None = None
    ) -> FakeReader:
        self.loaded.append((name, device, *["decoder"] * decoder))
        return self.reader

    def __call__(self, *arguments: object) -> tuple[int, str, list[str]]:
        """Exit code, standard output, lines of standard error."""
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err.splitlines()


def png(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (40, 30), "white")
    image.paste(0, (5, 5, 20, 8))  # a page without ink is blank and never read
    image.save(path)
    return path
