"""Measure the symbols decoder on formulas of documents that it was not trained on: exact rate, edit distance, marks.

    python benchmarks/formulas.py [--weights checkpoints/vary-nano-3] [--count 256] [--pixels]

Glyphs and boxes are those of a PDF's text layer, set by Typst. With `--pixels` the formulas are drawn, a quarter of
them with defects, and the shipped glyph head finds their glyphs; the size of the type is given. A formula is exact when
all its steps are.
"""

import argparse
from functools import cache
from pathlib import Path

import torch
import yaml
from PIL import Image
from rapidfuzz.distance import Levenshtein

from vary.data.corpus.formulas import real_formulas
from vary.data.documents.formula_glyphs import FormulaGlyphs, GlyphFormula
from vary.models.formulas.writer import Glyphs, write_formulas
from vary.models.images.preprocess import fit
from vary.reading.formulas.from_pixels import FormulaReader, finding_scale, to_glyphs
from vary.reading.loader import load_reader
from vary.train.export import load_part
from vary.train.tasks.found_formulas import type_px
from vary.train.tasks.glyph_task import SIZES_PX

ROOT = Path(__file__).parents[1]
BUCKETS = (10, 25, 60, 152)
SEED = 987_654


@cache
def reader() -> FormulaReader:
    found = load_reader("vary-nano").formula_reader
    assert found is not None
    return found


def found_glyphs(formula: GlyphFormula) -> Glyphs:
    """Return the glyphs that the glyph head finds in the picture of a formula."""
    em_px = type_px(formula)
    scale = finding_scale(em_px)
    pixels = fit(Image.fromarray(formula.image), scale, 32).pixels
    return to_glyphs(reader().find(pixels), reader().finder.glyphs, em_px * scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "checkpoints" / "vary-nano-3")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--pixels", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    packages = yaml.safe_load((ROOT / "recipes" / "vary-nano-3.yaml").read_text())["stages"][0]["formulas"]
    decoder = load_part(asked.weights, "symbols_decoder")
    sizes = SIZES_PX if asked.pixels else None
    source = FormulaGlyphs(real_formulas("test", packages), seed=SEED, shares=(0, 1, 0), swapped=0.0, sizes_px=sizes)
    formulas = sorted((source.sample(k) for k in range(asked.count)), key=lambda f: len(f.steps))
    rows = []
    for k in range(0, len(formulas), 16):
        some = formulas[k : k + 16]
        glyphs = [found_glyphs(f) if asked.pixels else (f.chars, f.styles, f.boxes) for f in some]
        for written, f in zip(write_formulas(decoder, glyphs), some, strict=True):
            distance = Levenshtein.normalized_distance(written.steps, f.steps)
            rows.append((len(f.steps), written.steps == f.steps, distance, written.accounted, written.probability))
    print("steps      formulas  exact  edit distance")
    for low, high in zip((0, *BUCKETS), BUCKETS, strict=False):
        own = [r for r in rows if low < r[0] <= high]
        exact, edit = (sum(row[c] for row in own) / max(1, len(own)) for c in (1, 2))
        print(f"{low + 1:>3}-{high:<5} {len(own):>9}  {exact:.3f}  {edit:.3f}")
    exact, edit = (sum(row[c] for row in rows) / max(1, len(rows)) for c in (1, 2))
    print(f"all       {len(rows):>9}  {exact:.3f}  {edit:.3f}")
    for name, own in (
        ("accounted for", [r for r in rows if r[3]]),
        ("not accounted for", [r for r in rows if not r[3]]),
        *(
            (f"accounted for, probability over {p}", [r for r in rows if r[3] and r[4] > p])
            for p in (0.5, 0.7, 0.8, 0.9)
        ),
    ):
        print(f"{name}: {len(own)} formulas, {sum(r[1] for r in own)} of them exact")


if __name__ == "__main__":
    main()
