"""Render chart samples: `ChartSource.sample(i)` is a pure function of (seed, i).

Four steps: content.py chooses texts and values; style.py chooses the look, which limits how exactly a value can be
read; an engine draws; spec.py writes the answer, which states only what can be seen.

Source: Vary's data engine, arXiv 2312.06109 sections 3.2.2 and 3.3.2 (matplotlib and pyecharts; bar, line, pie,
composite; English and Chinese). Scatter and area charts, log axes and Vega are additions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from ...io.errors import ConfigError, InputError
from ..degrade import degrade
from ..pages.glyphs import Face, find_faces
from ..sample import Sample
from . import matplotlib_engine as plots
from .content import Content
from .spec import KINDS, SCHEMAS, ChartSpec, target
from .style import PLOT_SHARE, ChartStyle, fit

PROMPTS = {  # the prompt of each answer schema, for sources that mix schemas
    "vary": "Convert this chart to python-dict",
    "onechart": "Convert the key information of the chart to a python dict:",
    "onechart-compact": "Convert the key information of the chart to a compact python dict:",
}
_TRIES = 60  # contents tried before a sample is an error


class ChartSource:
    """A source of rendered charts.

    Args:
        content: sources of contents, used equally often (give one twice to use it twice as often).
        seed: seed of all samples.
        faces: fonts; by default those that matplotlib ships. A chart uses a face that has all its characters, so
            Chinese content needs Chinese faces (`style.han_faces`).
        kinds: some of `spec.KINDS`.
        engines: weight of each engine, by its name in `ENGINES`.
        schema: one of `spec.SCHEMAS`, or "mixed". Mixed samples have the prompt of their schema.
        sizes_px: smallest and largest width of an image, pixels.
        degraded: share of images with the defects of a scan (degrade.py).

    Raises:
        ConfigError: a name is unknown.
        InputError: there is no content.
    """

    def __init__(
        self,
        content: Sequence[Content],
        *,
        seed: int = 0,
        faces: Sequence[Face] = (),
        kinds: Sequence[str] = KINDS,
        engines: Mapping[str, float] | None = None,
        schema: str = "mixed",
        sizes_px: tuple[int, int] = (480, 1024),
        degraded: float = 0.0,
    ):
        self.content, self.seed, self.schema, self.sizes_px = list(content), seed, schema, sizes_px
        self.faces = [f for f in faces if not f.mono] or default_faces()
        self.engines = dict(engines or {"matplotlib": 1.0})
        self.kinds, self.degraded = tuple(kinds), degraded
        for what, given, allowed in (
            ("chart kind", self.kinds, KINDS),
            ("chart engine", tuple(self.engines), ENGINES),
            ("chart schema", () if schema == "mixed" else (schema,), (*SCHEMAS, "mixed")),
        ):
            for name in given:
                if name not in allowed:
                    raise ConfigError(f"unknown {what} {name!r}; allowed: {', '.join(allowed)}")
        if not self.content or not self.kinds:
            raise InputError(f"charts need content and kinds, not {len(self.content)} and {len(self.kinds)}")

    def sample(self, i: int) -> Sample:
        """Return chart number i. `meta` has its kind, engine, schema, face and the number of rejected contents."""
        rng = np.random.default_rng((self.seed, i))
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        weights = np.array(list(self.engines.values()))
        engine = list(self.engines)[int(rng.choice(len(weights), p=weights / weights.sum()))]
        schema = SCHEMAS[int(rng.integers(len(SCHEMAS)))] if self.schema == "mixed" else self.schema
        spec, style, drawing, tries = self._draw_clear(rng, kind, engine, i)
        meta = {"chart": kind, "engine": engine, "schema": schema, "face": style.face.family, "tries": tries}
        prompt = PROMPTS[schema] if self.schema == "mixed" else None
        image, regions = drawing.image, drawing.regions
        if rng.random() < self.degraded:
            image, meta["degraded"] = degrade(image, [], rng, regions)
        return Sample(image, [], "chart", meta, target=target(spec, schema), prompt=prompt, regions=regions)

    def _draw_clear(
        self, rng: np.random.Generator, kind: str, engine: str, i: int
    ) -> tuple[ChartSpec, ChartStyle, plots.Drawing, int]:
        """Draw until no texts overlap or leave the image: print less each time, then take other content."""
        for tries in range(_TRIES):
            raw = self.content[int(rng.integers(len(self.content)))].sample_spec(rng, kind)
            for plain in range(3):
                fitted = fit(rng, raw, self.faces, self.sizes_px, plain) if raw is not None else None
                if fitted is None:
                    break
                drawing = ENGINES[engine](*fitted)
                if is_clear(drawing):
                    return *fitted, drawing, tries
        raise InputError(
            f"chart {i} of seed {self.seed}: {_TRIES} contents gave no {kind} chart whose texts stay apart"
        )


def default_faces() -> list[Face]:
    """Return the upright text faces that matplotlib ships."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [f for f in find_faces(folder) if f.family in ("DejaVu Sans", "DejaVu Serif") and not f.italic]


def is_clear(drawing: plots.Drawing) -> bool:
    """Return whether all texts are inside the image and do not overlap, and the plot is large enough."""
    height, width = drawing.image.shape[:2]
    x0, y0, x1, y1 = drawing.plot
    pie = any(r.label == "slice" for r in drawing.regions)
    if not pie and (x1 - x0 < PLOT_SHARE * width or y1 - y0 < PLOT_SHARE * height):
        return False
    if pie and x1 - x0 < 0.25 * min(width, height):
        return False
    b = np.array([r.box for r in drawing.regions if r.label in TEXTS])
    if not len(b):
        return True
    if b[:, :2].min() < 0 or b[:, 2].max() > width or b[:, 3].max() > height:
        return False
    apart = (b[:, None, 0] >= b[None, :, 2]) | (b[:, None, 1] >= b[None, :, 3])
    return bool((apart | apart.T | np.eye(len(b), dtype=bool)).all())


TEXTS = ("title", "x_title", "y_title", "source", "legend", "x_tick", "y_tick", "value")


def _vega(spec: ChartSpec, style: ChartStyle) -> plots.Drawing:
    from . import vega_engine

    return vega_engine.draw(spec, style)


ENGINES = {"matplotlib": plots.draw, "vega": _vega}
