"""Typeset Markdown documents in templates with Typst: `DocumentSource`.

Belongs here: what documents contain (content), how they look (templates), typesetting (typst) and which part of the
source each page shows (page_split). May import: `vary.markup`, `vary.io`, `vary.data`. Never here: torch, reading.
"""

from .source import DocumentSource

__all__ = ["DocumentSource"]
