"""Charts: `ChartSource.sample(i)` is a pure function of (seed, i).

Content (topics.py: real tables, corpus words, Chinese phrases) says what a chart is about; a look (look.py) says how it
is drawn, and with that how exactly its values can be read; an engine draws it; the answer (facts.py) states what can be
seen, no more. Source: Vary's data engine, arXiv 2312.06109 sections 3.2.2 and 3.3.2 (matplotlib and pyecharts; bar,
line, pie, composite; English and Chinese); scatter and area charts, log axes and Vega are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from ...io.errors import ConfigError, InputError
from ..degrade import degrade
from ..pages.glyphs import Face, find_faces
from ..sample import Sample
from . import matplotlib_engine as plots
from .content import Content
from .spec import KINDS, SCHEMAS, ChartFacts, target
from .style import PLOT_SHARE, Look, fit

PROMPTS = {  # of the answers' schemas, for samples of a source that mixes them
    "vary": "Convert this chart to python-dict",
    "onechart": "Convert the key information of the chart to a python dict:",
    "onechart-compact": "Convert the key information of the chart to a compact python dict:",
}
_TRIES = 60  # contents that may not suit before a sample is an error


class ChartSource:
    """Rendered charts.

    content: what charts are about, each as often as the others (name one twice for twice as often). faces: fonts, those
    that matplotlib ships by default; a chart is set in a face that has all its characters, so Chinese content needs
    Chinese faces (`look.han_faces(folder)`). kinds: some of `facts.KINDS`. engines: name -> weight, names of `ENGINES`.
    schema: one of `facts.SCHEMAS`, or "mixed"; mixed samples carry the prompt of their schema. sizes_px: least and
    greatest width. degraded: share with the defects of a
    scan (degrade.py). echarts: folder of the npm package `echarts`, for the engine of that name.
    Raises ValueError for unknown names and for no content.
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
        echarts: str | Path | None = None,
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
        self._settings: dict[str, Any] = {}
        if "echarts" in self.engines:
            from .echarts_engine import package

            self._settings["echarts"] = package(echarts)

    def sample(self, i: int) -> Sample:
        """Chart number i. `meta` names kind, engine, schema, face and how many contents did not suit before it."""
        rng = np.random.default_rng((self.seed, i))
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        weights = np.array(list(self.engines.values()))
        engine = list(self.engines)[int(rng.choice(len(weights), p=weights / weights.sum()))]
        schema = SCHEMAS[int(rng.integers(len(SCHEMAS)))] if self.schema == "mixed" else self.schema
        facts, look, drawing, tries = self._drawn(rng, kind, engine, i)
        meta = {"chart": kind, "engine": engine, "schema": schema, "face": look.face.family, "tries": tries}
        prompt = PROMPTS[schema] if self.schema == "mixed" else None
        image, regions = drawing.image, drawing.regions
        if rng.random() < self.degraded:
            image, meta["degraded"] = degrade(image, [], rng, regions)
        return Sample(image, [], "chart", meta, target=target(facts, schema), prompt=prompt, regions=regions)

    def _drawn(
        self, rng: np.random.Generator, kind: str, engine: str, i: int
    ) -> tuple[ChartFacts, Look, plots.Drawing, int]:
        """Draw until texts neither overlap nor leave the picture: less is printed at each try, then other content."""
        for tries in range(_TRIES):
            raw = self.content[int(rng.integers(len(self.content)))].facts(rng, kind)
            for plain in range(3):
                fitted = fit(rng, raw, self.faces, self.sizes_px, plain) if raw is not None else None
                if fitted is None:
                    break
                drawing = ENGINES[engine](*fitted, **self._settings)
                if is_clear(drawing):
                    return *fitted, drawing, tries
        raise InputError(
            f"chart {i} of seed {self.seed}: {_TRIES} contents gave no {kind} chart whose texts stay apart"
        )


def default_faces() -> list[Face]:
    """The text faces that matplotlib ships."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [f for f in find_faces(folder) if f.family in ("DejaVu Sans", "DejaVu Serif") and not f.italic]


def is_clear(drawing: plots.Drawing) -> bool:
    """Whether all texts stand inside the picture and apart, and the plot has its share of the picture."""
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


def _matplotlib(facts: ChartFacts, look: Look, **_: Any) -> plots.Drawing:
    return plots.draw(facts, look)


def _vega(facts: ChartFacts, look: Look, **_: Any) -> plots.Drawing:
    from . import vega_engine as vega

    return vega.draw(facts, look)


def _echarts(facts: ChartFacts, look: Look, **settings: Any) -> plots.Drawing:
    from . import echarts_engine as echarts

    return echarts.draw(facts, look, settings["echarts"])


ENGINES = {"matplotlib": _matplotlib, "vega": _vega, "echarts": _echarts}
