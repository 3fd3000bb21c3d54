"""The text layer of PDFs: lines out of it, their check against the pixels, fonts that lie."""
