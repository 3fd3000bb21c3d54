"""The verb that reads documents: `read`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..io.child import PDF_READER, start_early
from ..io.errors import InputError
from .console import NOTHING, OK, SOME_LOST, complain, write
from .options import (
    Decoder,
    Device,
    Forms,
    Formulas,
    FrontMatter,
    Join,
    Out,
    Pages,
    Password,
    Pixels,
    Ray,
    ReaderModel,
    Tables,
    Workers,
)
from .parameters import Argument, Option

OTHER_FILES = (
    *(".adoc", ".bmp", ".doc", ".docx", ".epub", ".gif", ".gz", ".jpeg", ".jpg", ".odt", ".png", ".rst", ".rtf"),
    *(".tex", ".tif", ".tiff", ".tsv", ".webp", ".xlsx", ".xml", ".yaml", ".zip"),
)  # endings of files in forms that are not written

if TYPE_CHECKING:
    from ..document.elements import Page
    from ..reading.pages import AnyReader


def read(
    files: Annotated[list[str], Argument(metavar="IN", help="PDFs, images, folders, patterns, - for stdin.")],
    pages: Pages = None,
    to: Forms = None,
    out: Out = None,
    figures: Annotated[bool, Option("--figures", help="With -o DIR: crop figures and link them.")] = False,
    tables: Tables = None,
    front_matter: FrontMatter = False,
    join: Join = True,
    workers: Workers = None,
    ray: Ray = None,
    server: Annotated[str | None, Option(metavar="URL", help="Let an OpenAI-compatible server read.")] = None,
    timeout: Annotated[float, Option(metavar="S", min=0.1, help="CPU time of a page in seconds.")] = 600.0,
    max_pages: Annotated[int, Option(metavar="N", min=1, help="Most pages of one file.")] = 20_000,
    model: ReaderModel = None,
    decoder: Decoder = False,
    pixels: Pixels = False,
    formulas: Formulas = True,
    layer: Annotated[bool, Option("--layer", help="Take the PDFs' own text, without a model.")] = False,
    device: Device = "cpu",
    password: Password = None,
    quiet: Annotated[bool, Option("-q", "--quiet", help="Say nothing on standard error.")] = False,
    as_json: Annotated[bool, Option("--json", help="With -o DIR: print a JSON line per page.")] = False,
) -> int:
    """Read PDFs, page images and folders of them."""
    from ..io.source import check_page_numbers

    check_page_numbers(pages)
    missing = [name for name in files if _is_plain(name) and not Path(name).exists()]
    if len(missing) == len(files):  # say so before a model is loaded
        for name in missing:
            complain(f"{name}: no such file")
        return NOTHING
    model = _model_name(model, layer, pixels)
    limits = {"pages": pages, "password": password, "timeout_s": timeout, "max_pages": max_pages}
    reads = {"decoder": decoder, "pixels": pixels, "formulas": formulas}
    forms = _forms(to, tables, out)
    if out is None:
        needy = {"figures": figures, "workers": workers, "ray": ray, "json": as_json}
        if wrong := next((name for name, value in needy.items() if value), None):
            raise InputError(f"--{wrong} needs -o DIR")
        reader = _page_reader(files, server, model, device, reads)
        return _read_to_screen(files, to or "text", reader, quiet, front_matter, join, limits)
    run = limits | reads | {"workers": workers, "ray": ray, "figures": figures, "front_matter": front_matter}
    run |= {"model": model, "device": server or device, "join": join}
    if _form_of(out) is None:
        return _read_into(files, out, forms, quiet, as_json, run)
    return _read_to_file(files, out, to, quiet, as_json, run)


def _forms(to: str | None, tables: str | None, out: Path | None) -> list[str]:
    """Return the forms to write to a folder."""
    from ..document.formats.writers import SUFFIXES

    if tables not in (None, "csv"):
        raise InputError(f"--tables {tables}: tables are written as csv")
    if tables and (out is None or _form_of(out)):
        raise InputError("--tables needs -o DIR")
    forms = list(dict.fromkeys([*(to or "text").split(","), *([tables] if tables else [])]))
    if out is not None and (unknown := [form for form in forms if form not in SUFFIXES]):
        raise InputError(f"--to {to}: no such form: {', '.join(unknown)}; allowed: {', '.join(SUFFIXES)}")
    return forms


def _model_name(model: str | None, layer: bool, pixels: bool) -> str | None:
    """Return the model that --model and --layer name. Raises InputError for flags that exclude each other."""
    if layer and (pixels or model):
        raise InputError(f"--layer and {'--pixels' if pixels else '--model'}: give one of them")
    return "layer" if layer else model


def _is_plain(given: str) -> bool:
    return given != "-" and not any(ch in given for ch in "*?[")


def _page_reader(
    files: list[str], server: str | None, model: str | None, device: str, reads: dict[str, Any]
) -> AnyReader:
    """Load a model, or connect to a server; of a server the first model, or the one that --model names."""
    if any(name.lower().endswith(".pdf") for name in files):
        start_early(PDF_READER)
    if server is None:
        from ..reading.api import load

        return load(model or "vary-nano", device, **reads)
    from ..reading.remote import load_server

    return load_server(model, server)


def _read_to_screen(
    files: list[str], form: str, reader: AnyReader, quiet: bool, titled: bool, join: bool, limits: dict[str, Any]
) -> int:
    from ..document.formats.markdown import front_matter
    from ..document.formats.writers import WRITERS, write_form
    from ..io.source import find_files
    from ..reading.pages import read_document

    if form not in WRITERS:
        raise InputError(f"--to {form}: to the screen one of {', '.join(WRITERS)}; give -o DIR for more")
    read = lost = 0
    with find_files(files) as inputs:
        for path, _, label, missing in inputs:
            try:
                if missing:
                    raise InputError(missing)
                document = read_document(path, reader, on_page=_warn_of(path, label, quiet), **limits)
                document.source = label
            except InputError as error:
                complain(str(error).replace(str(path), label))
                lost += 1
                continue
            read, lost = read + len(document.pages) - len(document.lost), lost + len(document.lost)
            pages = iter(document.pages)
            text = "".join(write_form(form, document.source, document.model, pages, document.info, join))
            if titled and form == "md":
                text = front_matter(document.source, document.info, len(document.pages)) + text
            if text:
                write(text)
    return OK if not lost else SOME_LOST if read else NOTHING


def _warn_of(path: Path, label: str, quiet: bool) -> Callable[[Page], None]:
    """Return a callback that reports pages with an error or a doubt. label: how the user named the file at `path`."""

    def warn(page: Page) -> None:
        if (reason := page.error or page.doubt) and not quiet:
            complain(_locate(label, page.number, reason.replace(str(path), label)))

    return warn


def _locate(label: str, number: int | None, reason: str) -> str:
    named = number is None or (label != "-" and label in reason)
    return reason if named else f"{label}, page {number}: {reason}"


def _read_into(files: list[str], out: Path, forms: list[str], quiet: bool, as_json: bool, run: dict[str, Any]) -> int:
    """Read into a folder, with progress on standard error and, for --json, a line per page on standard output."""
    from tqdm import tqdm

    from ..reading.runs.batch import read_all

    terminal = sys.stderr.isatty()
    pause = 0.1 if terminal else 30.0
    options: Any = {"mininterval": pause, "delay": pause, "dynamic_ncols": True, "leave": False}
    with tqdm(unit="page", disable=quiet, file=sys.stderr, **options) as bar:

        def report(line: dict[str, Any]) -> None:
            if as_json:
                write(json.dumps(line, ensure_ascii=False))
            if quiet:
                return
            if reason := line["error"] or line.get("doubt"):
                if terminal:
                    bar.clear()
                complain(_locate(line["file"], line["page"], reason))
            if line["page"] is not None:
                bar.initial, bar.total = bar.initial + line["before"], line["expected"]
                bar.update()

        summary = read_all(files, out, forms, on_page=report, **run)
    if as_json:
        write(json.dumps(vars(summary) | {"exit_code": summary.exit_code}, ensure_ascii=False))
    if not quiet:
        complain(str(summary))
    return summary.exit_code


def _form_of(out: Path) -> str | None:
    """Return the form that a file's ending names; None for a folder."""
    from ..document.formats.writers import SUFFIXES

    forms = {suffix: form for form, suffix in SUFFIXES.items() if suffix.startswith(".")}
    if out.is_dir():
        return None
    suffix = out.suffix.lower()
    if suffix == ".csv":
        raise InputError(f"-o {out}: each table is a file of its own; give -o DIR --tables csv")
    if suffix in OTHER_FILES:
        raise InputError(f"-o {out}: no such form; a file may end in {', '.join(forms)}, and -o DIR is a folder")
    return (forms | {".markdown": "md", ".htm": "html"}).get(suffix)


def _read_to_file(
    files: list[str], out: Path, to: str | None, quiet: bool, as_json: bool, run: dict[str, Any]
) -> int:  # fmt: skip
    """Read one file into one file, in the form that its ending names."""
    from ..document.formats.writers import SUFFIXES

    form = _form_of(out)
    assert form
    if to not in (None, form):
        raise InputError(f"-o {out}: a {form} file, but --to {to}; give -o DIR for other forms")
    if len(files) > 1 or not (_is_plain(files[0]) or files[0] == "-") or Path(files[0]).is_dir():
        raise InputError(f"-o {out}: one file is written from one file; give -o DIR for {' '.join(files)}")
    if run["figures"]:
        raise InputError("--figures needs -o DIR")
    if out.exists() and Path(files[0]).exists() and out.samefile(files[0]):
        raise InputError(f"-o {out}: is the file that is read; give another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".vary-", dir=out.parent) as scratch:
        code = _read_into(files, Path(scratch), [form], quiet, as_json, run)
        for path in Path(scratch).glob(f"*{SUFFIXES[form]}"):
            path.replace(out)
    return code
