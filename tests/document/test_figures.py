"""Figures of many strokes."""

from __future__ import annotations

import time

from tests.document.test_layout import line
from vary.document.evidence import Evidence
from vary.document.layout.figures import find_figures


def test_a_drawing_of_thousands_of_strokes_takes_no_time() -> None:
    """Each stroke is compared with all rules: a page of 21,000 took ten minutes."""
    places = [(10.0 + 9 * (k % 90), 20.0 + 9 * (k // 90)) for k in range(3000)]
    strokes = [(x0, y0, x0 + 7, y0 + 6) for x0, y0 in places]
    rules = [(x0, y0, x0 + 7, y0 + 1) for x0, y0 in places]
    began = time.process_time()
    figures = find_figures([], Evidence(rules=rules, drawings=strokes), (900, 1200), 16.0)
    assert time.process_time() - began < 4
    assert [(figure.kind, figure.box) for figure in figures] == [("figure", (10.0, 20.0, 818.0, 323.0))]


def test_bars_on_one_base_are_a_figure_and_grounds_of_text_are_none() -> None:
    bars = [(100.0 + 50 * k, 300.0 - high, 130.0 + 50 * k, 300.0) for k, high in enumerate((40, 75, 110, 90))]
    grid = [(90.0, y, 300.0, y + 0.1) for y in (200.0, 240.0, 300.0)]
    ticks = [line(text, 66, y - 8) for text, y in (("40", 200.0), ("20", 240.0), ("0", 300.0))]
    evidence = Evidence(rules=grid, areas=[(box, 0x4488AA) for box in bars])
    (figure,) = find_figures(ticks, evidence, (600, 800), 16.0)
    assert len(figure.lines) == 3
    lengths = (120, 180, 90, 150)
    grounds = [(10.0, 400.0 + 20 * k, 10.0 + wide, 418.0 + 20 * k) for k, wide in enumerate(lengths)]
    words = [line("let pot", 12, 402 + 20 * k) for k in range(4)]
    assert find_figures(words, Evidence(areas=[(box, 0xEEEEEE) for box in grounds]), (600, 800), 16.0) == []
    assert len(find_figures([], Evidence(areas=[(box, 0xEEEEEE) for box in grounds]), (600, 800), 16.0)) == 1
