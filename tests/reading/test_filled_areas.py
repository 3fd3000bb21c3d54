"""Pictures of pages with filled areas: what stands on one is read as one part, in any colour."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from vary.reading.pages import read_document

FACE = ImageFont.truetype("DejaVuSans.ttf", 16)
TICKET = ["Saturday 19 December, 19:30", "Customs House, Harbour Row 2", "Doors open at 18:45", "No entry later"]
STUB = ["Admit one", "Row 12", "Seat 8", "Gate 447"]


def test_the_stub_of_a_ticket_on_middle_tones_is_read_on_its_own(tmp_path, nano) -> None:
    """Level lines on two grounds were a table; white type on them was not read."""
    drawn = Image.new("L", (700, 300), 255)
    draw = ImageDraw.Draw(drawn)
    draw.rectangle((24, 24, 449, 235), 110)
    draw.rectangle((450, 24, 670, 235), 150)
    for k, (left, right) in enumerate(zip(TICKET, STUB, strict=True)):
        draw.text((50, 50 + 40 * k), left, 255, FACE)
        draw.text((480, 50 + 40 * k), right, 255, FACE)
    drawn.save(tmp_path / "ticket.png")
    lines = read_document(tmp_path / "ticket.png", nano).text(join=False).split("\n")
    assert [line for line in lines if line.strip()] == [*TICKET, *STUB]
