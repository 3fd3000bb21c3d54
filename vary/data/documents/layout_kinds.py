"""Lay out invoices, receipts and forms: each function writes one page and returns its Typst source."""

from __future__ import annotations

from dataclasses import replace

from ...markup.tables import Cell, Rule, Table, ruled_table
from .layout_page import PageWriter
from .layout_text import Article


def beside(*parts: str) -> str:
    """Return markup that sets blocks next to each other, in columns of equal width."""
    columns = ", ".join(["1fr"] * len(parts))
    return f"#grid(columns: ({columns},), column-gutter: 1.5em, {', '.join(parts)})"


def draw_box(page: PageWriter, body: str, share: float) -> str:
    """Draw a box around a block, with a probability."""
    if not page.chance(share):
        return body
    fill = ", fill: luma(93%)" if page.chance(0.3) else ""
    return f"block(width: 100%, stroke: 0.6pt, inset: 5pt{fill}, {body})"


def _items(page: PageWriter, items: list[Article], totals: list[tuple[str, str]]) -> Table:
    """Return the table of items; in half of the pages its last rows are the totals, with merged cells."""
    words = page.words
    names = [words.pick(("Description", "Item", "Article")), words.pick(("Qty", "Quantity", "Units"))]
    names += [words.pick(("Unit price", "Price", "Rate")), words.pick(("Amount", "Total", "Sum"))]
    rows: list[list[Cell | str]] = [[item.name, item.quantity, item.price, item.amount] for item in items]
    align, keep = "lrrr", [0, 1, 2, 3]
    if page.chance(0.25):
        keep = [0, 3]
    rows = [[row[k] for k in keep] for row in rows]
    header: list[Cell | str] = [Cell(names[k], bold=page.chance(0.7)) for k in keep]
    align = "".join(align[k] for k in keep)
    if page.chance(0.4):
        header, align = ["No.", *header], "r" + align
        rows = [[str(k), *row] for k, row in enumerate(rows, 1)]
    last = [
        [Cell(name, columns=len(align) - 1, align="r"), Cell(value, bold=name == "Total")] for name, value in totals
    ]
    ruling = words.pick(("grid", "book", "none", "lines"))
    table = ruled_table([header, *rows, *last], align, "grid" if ruling == "lines" else ruling)
    return replace(table, bars=frozenset(), header=1) if ruling == "lines" else replace(table, header=1)


def invoice(page: PageWriter) -> str:
    """Write an invoice, quotation or delivery note."""
    words = page.words
    company, customer = words.company(), words.company()
    parts = [f"#{page.text('title', [company], 1.7, page.chance(0.7))}"]
    contact = page.text("text", words.contact(company), 0.85)
    parts += [f"#align(right, {contact})" if page.chance(0.5) else f"#{contact}"]
    share = 0.8 if page.chance(0.4) else 0.0
    names = [words.pick(("Bill to", "Invoice to", "Customer")), words.pick(("Ship to", "Deliver to", "Site"))]
    addresses = [
        draw_box(page, page.text("text", [name, *words.address(customer)]), share)
        for name in names[: 1 + page.chance(0.6)]
    ]
    details = draw_box(page, page.text("text", words.details()), share)
    parts += [beside(*addresses, details)]
    parts += [f"#{page.text('heading', [words.pick(('Invoice', 'Quotation', 'Delivery note', 'Order'))], 1.3, True)}"]
    items, totals = words.items(int(page.rng.integers(2, 15)))
    inside = page.chance(0.5)
    table = _items(page, items, totals if inside else [])
    shade, head = (int(v) if page.chance(0.35) else 255 for v in page.rng.integers(205, 245, 2))
    fill = "1fr" if len(table.align) < 5 else "auto, 1fr"
    columns = f"({fill}, {', '.join(['auto'] * (len(table.align) - 1 - (len(table.align) == 5)))},)"
    if len(table.align) == 3 and table.align[0] == "r":
        columns = "(auto, 1fr, auto)"
    parts += [f"#{page.table(table, columns, shade, head)}"]
    if not inside:
        lines = ruled_table([[name, Cell(value, bold=name == "Total")] for name, value in totals], "lr", "none")
        if page.chance(0.5):
            lines = replace(lines, rules={len(totals) - 1: Rule("line"), len(totals): Rule("line")})
        parts += [f"#align(right, {_boxed_table(page, page.table(lines, '2'))})"]
    parts += [f"#{page.text('text', [words.sentence(8, 30)], 0.9)}"]
    foot = [page.text("footer", words.contact(company), 0.75) for _ in range(int(page.rng.integers(1, 4)))]
    line = "#line(length: 100%, stroke: 0.5pt)\n" if page.chance(0.6) else ""
    return "\n\n".join(parts) + f"\n#v(1fr)\n{line}{beside(*foot)}"


def _boxed_table(page: PageWriter, body: str) -> str:
    return f"box(stroke: 0.8pt, {body})" if page.chance(0.3) else body


def receipt(page: PageWriter) -> str:
    """Write a receipt as a till prints it."""
    words = page.words
    company = words.company()
    parts = [f"#align(center, {page.text('title', [company.upper()], 1.3, page.chance(0.5))})"]
    parts += [f"#align(center, {page.text('text', words.contact(company))})"]
    items, totals = words.items(int(page.rng.integers(2, 16)))
    rows: list[list[Cell | str]] = [[item.name, item.amount] for item in items]
    rule = '#line(length: 100%, stroke: (dash: "dashed", thickness: 0.6pt))'
    parts += [rule, f"#{page.table(ruled_table(rows, 'lr', 'none'), '(1fr, auto)')}", rule]
    sums: list[list[Cell | str]] = [[Cell(n, bold=n == "Total"), Cell(v, bold=n == "Total")] for n, v in totals]
    parts += [f"#{page.table(ruled_table(sums, 'lr', 'none'), '(1fr, auto)')}"]
    parts += [f"#{page.text('text', words.details())}"]
    parts += [f"#align(center, {page.text('footer', [words.sentence(3, 8)])})"]
    return "\n\n".join(parts)


def form(page: PageWriter) -> str:
    """Write a form with fields, filled in or empty."""
    words = page.words
    parts = [f"#{page.text('title', [words.phrase(2, 6)], 1.6, True)}"]
    parts += [f"#{page.text('text', [words.sentence(10, 40)])}"]
    for _ in range(int(page.rng.integers(1, 4))):
        parts += [f"#{page.text('heading', [words.phrase(1, 4)], 1.15, True)}"]
        for _ in range(int(page.rng.integers(1, 5))):
            fields = [
                page.text("text", [words.label(), *([words.value()] if page.chance(0.8) else [])], 0.95)
                for _ in range(int(page.rng.integers(1, 4)))
            ]
            parts += [beside(*(draw_box(page, body, 0.85) for body in fields))]
    if page.chance(0.5):
        rows: list[list[Cell | str]] = [[words.label() for _ in range(3)]]
        rows += [[words.value() for _ in range(3)] for _ in range(int(page.rng.integers(2, 6)))]
        parts += [f"#{page.table(ruled_table(rows, 'lll', words.pick(('grid', 'book'))), '(1fr, 1fr, 1fr)')}"]
    foot = page.text("footer", [words.phrase(2, 6)], 0.8)
    return "\n\n".join(parts) + f"\n#v(1fr)\n#align(center, {foot})"
