r"""Read LaTeX and Markdown documents into blocks. pandoc parses them; this module walks its JSON syntax tree.

pandoc is a separate program (from the package pypandoc_binary). It runs under a timeout, and its sandbox keeps it from
reading other files. A paragraph is read whole or not at all: one that contains an unknown macro is left out, and the
macro is counted. Commands that only change the look (sizes, spacing, small capitals) are ignored.

Source: Vary re-typesets LaTeX sources from arXiv, arXiv 2312.06109 section 3.3.2.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE

from ..io.errors import InputError, MissingExtra
from .blocks import Block, Paragraph
from .pandoc_source import THEOREM, latex_for_pandoc, markdown_for_pandoc, repair
from .pandoc_tree import TreeReader
from .tables import Table

if sys.platform == "linux":
    import resource

TIMEOUT_S = 30.0  # of processor time; ten times as long in all
_CAPTION = re.compile(r"(?:Table|TABLE|表)\s*[\d.]+")
_LATEX = "latex+raw_tex-auto_identifiers"
_MARKDOWN = "commonmark+pipe_tables"


def read_latex(text: str, timeout_s: float = TIMEOUT_S) -> tuple[list[Block], Counter[str]]:
    r"""Read a LaTeX document, or a part of one. Return its blocks and how often each kind of thing was left out.

    Headings have no numbers; formulas, tables and theorems are numbered as in LaTeX's article class. Formulas get their
    canonical spelling (`math.normalise`). `\input` is not followed.

    Raises:
        InputError: pandoc cannot parse the text or does not end in time, or the text has no block.
    """
    skipped: Counter[str] = Counter()
    source, tree = text.replace("\r\n", "\n"), None
    while tree is None:
        status, answer = _pandoc(latex_for_pandoc(source), _LATEX, timeout_s)
        if status == 0:
            tree = json.loads(answer)
        elif (repaired := repair(source, answer, skipped)) == source:
            raise InputError(f"pandoc cannot parse this LaTeX: {' '.join(answer.split())[:200]}")
        else:
            source = repaired
    reader = TreeReader(_headings_from(source), dict(THEOREM.findall(source)))
    reader.skipped += skipped
    reader.title(tree["meta"])
    reader.walk(tree["blocks"])
    if not reader.blocks:
        raise InputError(f"no text to typeset in LaTeX that begins {text.strip()[:40]!r}")
    return reader.blocks, reader.skipped


def _headings_from(source: str) -> int:
    r"""Return the level of pandoc's first headings: 1 for \part and \chapter, 2 for \section."""
    return 1 if re.search(r"\\(?:part|chapter)\b", source) else 2


def read_latex_files(paths: Sequence[str | Path]) -> tuple[list[list[Block]], Counter[str]]:
    r"""Read LaTeX files (.tex, .ltx, also .gz) and folders of them; return one list of blocks for each document.

    In a folder only files with a \begin{document} are read, and files that cannot be read are counted.

    Raises:
        InputError: a file that was named cannot be read, or there is no document at all.
    """
    documents: list[list[Block]] = []
    left_out: Counter[str] = Counter()
    for given in map(Path, paths):
        inside = sorted(given.rglob("*")) if given.is_dir() else [given]
        for path in (p for p in inside if p is given or (p.is_file() and re.search(r"\.(tex|ltx)(\.gz)?$", p.name))):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if path is not given and b"\\begin{document}" not in data:
                left_out["file without a document"] += 1
                continue
            try:
                blocks, skipped = read_latex(data.decode("latin-1" if b"[latin1]{inputenc}" in data else "utf-8"))
            except ValueError as error:
                if path is given:
                    raise InputError(f"{path}: {error}") from None
                utf = isinstance(error, UnicodeDecodeError)
                left_out["file that is not UTF-8" if utf else "document without text that can be read"] += 1
                continue
            documents.append(blocks)
            left_out += skipped
    if not documents:
        raise InputError(f"{', '.join(map(str, paths))}: no LaTeX document that can be read; {dict(left_out)}")
    return documents, left_out


def read_markdown(text: str, timeout_s: float = TIMEOUT_S) -> tuple[list[Block], Counter[str]]:
    """Read Markdown (CommonMark, pipe tables, LaTeX formulas and tables, footnotes); the inverse of `to_markdown`.

    Return the blocks and how often each kind of thing was left out. Footnotes keep their numbers; one with a name gets
    the next free number. A link keeps its text; nested quotes become one level.

    Raises:
        InputError: pandoc fails or does not end in time, or the text has no block.
    """
    source, kept = markdown_for_pandoc(text)
    status, answer = _pandoc(source, _MARKDOWN, timeout_s)
    if status:
        raise InputError(f"pandoc cannot parse this Markdown: {answer.strip()[:200]}")
    reader = TreeReader(1, {}, kept)
    reader.walk(json.loads(answer)["blocks"])
    if not reader.blocks:
        raise InputError(f"no text to typeset in Markdown that begins {text[:40]!r}")
    return _join_captions(reader.blocks), reader.skipped


def _pandoc(text: str, source_format: str, timeout_s: float) -> tuple[int, str]:
    """Parse a text; return pandoc's exit status and its JSON, or its message if the status is not 0."""
    try:
        import pypandoc
    except ImportError:
        raise MissingExtra("reading LaTeX and Markdown documents", "pypandoc-binary", "render") from None
    command = [pypandoc.get_pandoc_path(), "--sandbox", "-f", source_format, "-t", "json"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        try:
            if sys.platform == "linux":  # processor time, so that the load of the machine does not matter
                seconds = math.ceil(timeout_s)
                resource.prlimit(process.pid, resource.RLIMIT_CPU, (seconds, seconds))
            out, message = process.communicate(text.encode(), timeout=10 * timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.returncode < 0:
        raise InputError(f"pandoc did not end within {timeout_s:g} s")
    return process.returncode, (message if process.returncode else out).decode()


def _join_captions(blocks: list[Block]) -> list[Block]:
    """Make a plain paragraph that begins with "Table 1" the caption of the table right after it."""
    kept: list[Block] = []
    for block in blocks:
        above = kept[-1] if kept else None
        if isinstance(block, Table) and isinstance(above, Paragraph) and len(above.runs) == 1:
            text = above.runs[0].text
            if not above.runs[0].style and _CAPTION.match(text):
                kept[-1] = block.with_caption(text)
                continue
        kept.append(block)
    return kept
