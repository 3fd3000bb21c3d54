"""Pages of plain text, typeset glyph by glyph."""
