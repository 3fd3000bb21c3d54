"""Measure formulas of whole pages that LaTeX set: which are found, written, and equal to one of the source.

    python benchmarks/tex_formulas.py [--seed 5] [--font lmodern] [--pixels]

Needs pdflatex with amsmath. The document has prose of few words, 30 common formulas, and 150 of a documentation package
that no recipe trains on: short ones in lines, long ones set on their own. A written formula counts as equal when its
canonical LaTeX is that of any formula of the source, so the rate says how much of what is written is right. With
`--pixels` the pages are read as images of 200 dpi, where only formulas set on their own are sought.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import subprocess
import tempfile
from pathlib import Path

import pypdfium2 as pdfium
import yaml

from vary import load, read
from vary.data.corpus.formulas import real_formulas
from vary.markup.math import normalise
from vary.markup.math_nodes import LatexError

ROOT = Path(__file__).parents[1]
COMMON = (
    r"x^2", r"H_2O", r"a_{ij}", r"\alpha+\beta", r"n-1", r"f(x)", r"E=mc^2", r"x\in\mathbb{R}", r"\frac{1}{2}",
    r"x_1,\ldots,x_n", r"\sum_{i=1}^n x_i", r"\int_0^1 f(t)\,dt", r"\sqrt{a^2+b^2}", r"\lim_{n\to\infty} a_n",
    r"A^T A", r"\|x\|_2", r"p<0.05", r"O(n\log n)", r"\hat{\theta}", r"\bar{x}", r"e^{-x^2/2}", r"f'(x)",
    r"\partial_t u", r"\nabla\cdot u=0", r"\mathcal{L}(\theta)", r"k\le n", r"2^{10}", r"\mu\pm\sigma",
    r"x\mapsto x^2", r"A\subseteq B",
)  # fmt: skip
WORDS = ["the", "model", "of", "a", "ship", "says", "each", "port", "holds", "days", "and", "one", "number", "low"]
DPI = 200
INLINE = 45  # characters of LaTeX up to which a formula is set in a line


def source(seed: int, font: str) -> str:
    """Return a LaTeX document."""
    packages = yaml.safe_load((ROOT / "recipes" / "vary-nano-3.yaml").read_text())["stages"][0]["formulas"]
    real = [f for f in dict.fromkeys(real_formulas("test", packages)) if len(f) < 160]
    real = [f for f in real if "\\begin{" not in f and "\\mathop" not in f]
    rng = random.Random(seed)
    rng.shuffle(real)

    def prose(count: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(count)).capitalize()

    parts = []
    for formula in (*COMMON, *real[:150]):
        line = f"{prose(6)} ${formula}$ {prose(5).lower()}."
        parts.append(line if len(formula) < INLINE else f"{prose(8)}:\n\\[{formula}\\]\n")
        if rng.random() < 0.15:
            parts.append(f"\n\n{prose(30)}.\n")
        if rng.random() < 0.1:
            parts.append(f"\n\\begin{{equation}}{rng.choice(COMMON)}\\end{{equation}}\n")
    fonts = f"\\usepackage[T1]{{fontenc}}\\usepackage{{{font}}}" if font else ""
    head = f"\\documentclass{{article}}{fonts}\\usepackage{{amsmath,amssymb}}"
    return f"{head}\\begin{{document}}\n" + "\n".join(parts) + "\n\\end{document}"


def canonical(latex: str) -> str:
    """Return LaTeX for comparison: without spaces, without the end of a sentence, one name for upright words."""
    with contextlib.suppress(LatexError):
        latex = normalise(latex)
    latex = latex.replace("\\operatorname", "\\mathrm").replace("\\ ", "").replace("\\,", "").replace("\\quad", "")
    return re.sub(r"[.,;:]$", "", latex.replace(" ", ""))


def pictures(path: Path) -> list[Path]:
    """Write each page of a PDF as an image; returns their paths."""
    found = []
    with pdfium.PdfDocument(path) as pdf:
        for number, page in enumerate(pdf):
            found.append(path.with_name(f"{number}.png"))
            page.render(scale=DPI / 72, grayscale=True).to_pil().save(found[-1], dpi=(DPI, DPI))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--font", default="", help="a LaTeX package of fonts; Computer Modern when empty")
    parser.add_argument("--pixels", action="store_true")
    asked = parser.parse_args()
    text = source(asked.seed, asked.font)
    body = text.split("\\begin{document}")[1]
    found = re.findall(r"\$([^$]+)\$|\\\[(.+?)\\\]|\\begin\{equation\}(.+?)\\end", body, re.S)
    truth = [canonical(next(filter(None, groups))) for groups in found]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.tex").write_text(text)
        subprocess.run(["pdflatex", "-interaction=nonstopmode", "a.tex"], cwd=folder, stdout=subprocess.DEVNULL)
        pages = pictures(Path(folder) / "a.pdf") if asked.pixels else [Path(folder) / "a.pdf"]
        model = load("vary-nano")
        read_pages = [page for path in pages for page in read(path, model).pages]
    written = [canonical(one.latex) for page in read_pages for one in page.formulas if one.used]
    wrong = [one for one in written if one not in truth]
    equal = len(written) - len(wrong)
    if asked.pixels:
        truth_alone = [one for one, groups in zip(truth, found, strict=True) if not groups[0]]
        print(f"{len(truth_alone)} set on their own;", end=" ")
    print(f"{len(truth)} formulas on {len(read_pages)} pages: {len(written)} written, {equal} equal; the others:")
    print("\n".join(wrong))


if __name__ == "__main__":
    main()
