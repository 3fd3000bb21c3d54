"""Draw the form fields of PDF pages into the pages, and find their boxes. Runs in a child process (`pdf.py`)."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .box import Box, scale_box
from .pdf_objects import FormField, read_links
from .pdf_text import Frame

COMB = 1 << 24  # flag of a text field whose characters stand in boxes of one width (ISO 32000-1, table 228)


class FormPages:
    """The pages of a PDF with their form fields flattened, that is drawn into the page content.

    PDFium keeps the values of fields apart from the page: without this step neither a rendering nor the text layer
    shows them. It also creates the appearance of fields that have a value and no appearance stream.

    Args:
        pdf: The `pypdfium2.PdfDocument`, before any of its pages is opened.
    """

    def __init__(self, pdf: Any):
        self.pdf = pdf
        self._fields: dict[int, list[FormField]] = {}
        self._links: dict[int, list[tuple[Box, str]]] = {}
        if pdf.get_formtype():
            pdf.init_forms()

    def page(self, number: int) -> Any:
        """Return the flattened page `number`, from 1.

        Raises:
            ValueError: The file has no such page.
        """
        if not 1 <= number <= len(self.pdf):
            raise ValueError(f"the file has pages 1 to {len(self.pdf)}")
        page = self._open(number)
        if self.pdf.formenv is None or number in self._fields:
            return page
        from pypdfium2 import raw

        widgets, self._fields[number] = _read_widgets(raw, self.pdf, page)
        if not widgets:
            return page
        self._links[number] = list(read_links(self.pdf, page, Frame(page, 1.0)))  # flattening removes them
        raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)
        page.close()
        return self.pdf[number - 1]

    def _open(self, number: int) -> Any:
        """Return a page; one whose crop box lies outside of the paper shows all of it, as in viewers."""
        page = self.pdf[number - 1]
        if min(page.get_size()) > 0:
            return page
        page.set_cropbox(*page.get_mediabox())
        page.close()
        return self.pdf[number - 1]

    def form_fields(self, number: int, scale: float) -> list[FormField]:
        """Return the fields of a page, at `scale` pixels per point."""
        self.page(number)
        return [one._replace(box=scale_box(one.box, scale)) for one in self._fields.get(number, [])]

    def links(self, number: int, scale: float) -> list[tuple[Box, str]] | None:
        """Return the links that a page had before it was flattened; None for a page without form fields."""
        links = self._links.get(number)
        return None if links is None else [(scale_box(box, scale), target) for box, target in links]


def _read_widgets(raw: Any, pdf: Any, page: Any) -> tuple[int, list[FormField]]:
    """Return the number of widgets of a page, and its form fields in points from the top left corner."""
    kinds = {
        raw.FPDF_FORMFIELD_CHECKBOX: "checkbox",
        raw.FPDF_FORMFIELD_RADIOBUTTON: "checkbox",
        raw.FPDF_FORMFIELD_COMBOBOX: "choice",
        raw.FPDF_FORMFIELD_TEXTFIELD: "text",
    }
    frame, count, found = Frame(page, 1.0), 0, []
    for k in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, k)
        try:
            if raw.FPDFAnnot_GetSubtype(annotation) != raw.FPDF_ANNOT_WIDGET:
                continue
            count += 1
            kind = raw.FPDFAnnot_GetFormFieldType(pdf.formenv, annotation)
            if name := kinds.get(kind):
                area = raw.FS_RECTF()
                raw.FPDFAnnot_GetRect(annotation, area)
                x0, y0, x1, y1 = frame.boxes(np.array([area.left, area.bottom, area.right, area.top])).tolist()
                checked = name == "checkbox" and _is_checked(raw, pdf, annotation)
                if name == "text" and raw.FPDFAnnot_GetFormFieldFlags(pdf.formenv, annotation) & COMB:
                    name = "comb"
                found.append(FormField(name, (x0, y0, x1, y1), checked))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return count, found


def _is_checked(raw: Any, pdf: Any, annotation: Any) -> bool:
    """Return whether a box is ticked: by its state /AS, for PDFium knows no radio button without appearance streams."""
    state = ctypes.create_string_buffer(256)
    buffer = ctypes.cast(state, ctypes.POINTER(raw.FPDF_WCHAR))
    size = raw.FPDFAnnot_GetStringValue(annotation, b"AS", buffer, len(state))
    name = state.raw[: min(size, len(state))].decode("utf-16-le", "replace").rstrip("\0")
    return name != "Off" if name else bool(raw.FPDFAnnot_IsChecked(pdf.formenv, annotation))
