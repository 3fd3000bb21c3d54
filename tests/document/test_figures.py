"""Figures of many strokes."""

from __future__ import annotations

import time

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
