"""Generate chart images with their data as text: `ChartSource`.

Belongs here: what a chart shows (spec, content), how it looks (style), and the engines that draw it.
May import: `vary.markup`, `vary.data`. Never here: torch, training, reading charts back from images.
"""

from .source import ChartSource

__all__ = ["ChartSource"]
