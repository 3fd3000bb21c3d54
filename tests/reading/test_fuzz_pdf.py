"""Any bytes for a PDF: each page ends with a status, and the next one is read."""

from __future__ import annotations

import io
import random
import re
import time
import zlib
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfReader, PdfWriter

from vary.document.elements import STATUSES
from vary.io.child import PDF_READER, Child
from vary.io.errors import InputError
from vary.reading.pages import read_pages

from ..io.test_image import mutated
from .fake_reader import FakeReader

INK = "0 0 40 40 re f"


def pdf(objects: dict[int, str | bytes], trailer: str = "") -> bytes:
    """A PDF of numbered objects, the first its catalogue; `@` in the trailer becomes the place of the xref table."""
    out, places = bytearray(b"%PDF-1.7\n"), {}
    for number, body in objects.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body if isinstance(body, bytes) else body.encode())
    start, size = len(out), max(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        out += b"%010d 00000 n \n" % places[number] if number in places else b"0000000000 65535 f \n"
    trailer = f"<< /Size {size} /Root 1 0 R {trailer.replace('@', str(start))} >>"
    return bytes(out) + f"trailer\n{trailer}\nstartxref\n{start}\n%%EOF\n".encode()


def stream(data: str | bytes, facts: str = "") -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), facts.encode(), data)


def form(content: str, resources: str = "") -> bytes:
    facts = f"/Type /XObject /Subtype /Form /BBox [0 0 200 100] /Resources << {resources} >>"
    return stream(content, facts)


def image(data: bytes, side: int, facts: str) -> bytes:
    return stream(data, f"/Type /XObject /Subtype /Image /Width {side} /Height {side} {facts}")


def two_pages(
    content: str = INK, resources: str = "", page: str = "", box: str = "[0 0 200 100]", count: int = 2,
    kids: str = "3 0 R 5 0 R", catalogue: str = "", trailer: str = "", contents: bytes | None = None,
    more: dict[int, str | bytes] | None = None,
) -> bytes:  # fmt: skip
    """A page that is made hostile by the arguments, then a good one."""
    objects: dict[int, str | bytes] = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        3: f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents 4 0 R /Resources << {resources} >> {page} >>",
        4: contents or stream(content),
        5: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 6 0 R >>",
        6: stream(INK),
    }
    return pdf(objects | (more or {}), trailer)


def again(number: int) -> str:
    return f"/XObject << /A {number} 0 R >>"


JS = "<< /S /JavaScript /JS (app.launchURL('https://example.org'); while(1);) >>"
ATTACHED = "/EmbeddedFiles << /Names [(x) << /Type /Filespec /F (../x) /EF << /F 7 0 R >> >>] >>"
SHADING = "/Shading << /S << /ShadingType 2 /ColorSpace /DeviceGray /Coords [0 0 200 0] /Function 7 0 R >> >>"
TYPE3 = """<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1 1] /FontMatrix [1 0 0 1 0 0] /FirstChar 97 /LastChar 97
/Widths [1] /CharProcs << /a 8 0 R >> /Encoding << /Differences [97 /a] >> /Resources << /Font << /F 7 0 R >> >> >>"""
FULL = "200 0 0 100 0 0 cm /A Do"
# name -> (file, how its first page may end); the second one must be read
HOSTILE = {
    "a million pages": (two_pages(count=10**6), "ok"),
    "fewer than no pages": (two_pages(count=-5), "ok"),
    "0 pt": (two_pages(box="[0 0 0 0]"), "ok"),  # PDFium falls back to Letter
    "0.01 pt": (two_pages(box="[0 0 14400 0.01]"), "ok"),
    "10^38 pt": (two_pages(box="[0 0 1e38 1e38]"), "ok"),
    "upside down": (two_pages(box="[200 100 0 0]"), "ok"),
    "a form in itself": (two_pages("/A Do", again(7), more={7: form("/A Do", again(7))}), "blank"),
    "two forms in each other": (
        two_pages("/A Do", again(7), more={7: form("/A Do", again(8)), 8: form("/A Do", again(7))}), "blank",
    ),
    "a mask in itself": (
        two_pages(f"/G gs {INK}", "/ExtGState << /G 7 0 R >>", more={
            7: "<< /SMask << /S /Luminosity /G 8 0 R >> >>", 8: form(f"/G gs {INK}", "/ExtGState << /G 7 0 R >>")
        }), "blank",
    ),
    "a glyph in itself": (
        two_pages("BT /F 12 Tf (a) Tj ET", "/Font << /F 7 0 R >>", more={7: TYPE3, 8: stream("BT /F 9 Tf (a) Tj ET")}),
        "blank",
    ),
    "a function in itself": (
        two_pages("/S sh", SHADING, more={
            7: "<< /FunctionType 3 /Domain [0 1] /Functions [7 0 R 7 0 R] /Bounds [0.5] /Encode [0 1 0 1] >>"
        }), "blank",
    ),
    "a page tree in itself": (two_pages(kids="2 0 R 3 0 R 5 0 R"), "ok"),
    "an xref table before itself": (two_pages(trailer="/Prev @"), "ok"),
    "a length in itself": (two_pages(contents=b"<< /Length 4 0 R >>\nstream\nx\nendstream"), "blank"),
    "a length of 10^11": (two_pages(contents=b"<< /Length 99999999999 >>\nstream\nx\nendstream"), "blank"),
    "10^6 brackets": (two_pages("[" * 10**6), "blank"),
    "programs and attachments": (
        two_pages(page="/AA << /O << /S /Launch /F (/bin/sh) >> >>", more={7: stream("MZ")}, catalogue=(
            f"/OpenAction {JS} /Names << /JavaScript << /Names [(a) {JS}] >> {ATTACHED} >>")), "ok",
    ),
    "an image of 4 * 10^10 pixels": (
        two_pages(FULL, again(7), more={7: image(b"x", 200_000, "/BitsPerComponent 8 /ColorSpace /DeviceRGB")}),
        "blank",
    ),
}  # fmt: skip
BOMB = zlib.compress(zlib.compress(bytes(1 << 27), 1), 1)  # 128 MiB in 4 KB
SLOW = {
    "14,400 pt": (two_pages(box="[0 0 14400 14400]"), "ok"),
    "10^9 pt": (two_pages(box="[0 0 1000000000 1000000000]"), "blank"),  # the ink is smaller than a pixel
    "30^10 forms": (
        two_pages("/A Do", again(10), more={
            n: form("/A Do " * 30, again(n + 1)) if n < 20 else form(INK) for n in range(10, 21)
        }), "timeout|failed",  # PDFium loads each form: its time is up, or its memory, whichever is first
    ),
    "tiles of 10^-4 pt": (
        two_pages("/Pattern cs /P scn 0 0 200 100 re f", "/Pattern << /P 7 0 R >>", more={
            7: stream(INK, "/PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep 0.0001 /YStep 0.0001 "
                      "/Resources << >>")
        }), "timeout",
    ),
    "dashes of 10^-5 pt": (two_pages("[0.00001] 0 d 0 0 m 200 100 l S " * 1000), "ok|timeout"),
    "a packed content stream": (
        two_pages(contents=stream(BOMB, "/Filter [/FlateDecode /FlateDecode]")), "blank|timeout|failed",
    ),
    "an image of 30,000 x 30,000": (
        two_pages(FULL, again(7), more={
            7: image(zlib.compress(bytes(30_000 * 3750), 1), 30_000,
                     "/BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /FlateDecode")
        }), "blank",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pdf(tmp_path, name) -> None:  # 13
    data, expected = HOSTILE[name]
    _check_hostile(tmp_path / "hostile.pdf", data, expected, 60)


@pytest.mark.slow  # pages of 40 million pixels, and those that never end
@pytest.mark.parametrize("name", SLOW)
def test_hostile_pdf_slow(tmp_path, name) -> None:  # 13
    data, expected = SLOW[name]
    _check_hostile(tmp_path / "hostile.pdf", data, expected, 10)


def _check_hostile(path: Path, data: bytes, expected: str, timeout_s: float) -> None:
    path.write_bytes(data)
    first, second = read_pages(path, FakeReader(), "1-2", timeout_s=timeout_s)
    assert re.fullmatch(expected, first.status), first.error
    assert (second.number, second.status) == (2, "ok")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # nothing was unpacked or started


def test_files_without_pages(tmp_path) -> None:  # 13
    path = tmp_path / "none.pdf"
    path.write_bytes(pdf({1: "<< /Type /Catalog /Pages 2 0 R >>", 2: "<< /Type /Pages /Kids [] /Count 0 >>"}))
    with pytest.raises(InputError, match=r"none\.pdf: the PDF has no pages"):
        list(read_pages(path, FakeReader()))
    path.write_bytes(two_pages(count=10**6))
    with pytest.raises(InputError, match=r"more than 20000 pages \(of 1000000\)"):
        list(read_pages(path, FakeReader()))
    *_, page = read_pages(path, FakeReader(), "999999")
    assert (page.number, page.status) == (999_999, "failed")


def pdf_seeds(drawn: bytes) -> list[bytes]:
    """What is mutated: fonts and packed streams (matplotlib's), pictures, a locked file, the structures above."""
    locked, plain, picture = PdfWriter(clone_from=PdfReader(io.BytesIO(drawn))), io.BytesIO(), io.BytesIO()
    locked.encrypt("", "owner", algorithm="AES-256" if _can_aes() else "RC4-128")
    locked.write(plain)
    Image.effect_noise((60, 40), 60).save(picture, "PDF", save_all=True, append_images=[Image.new("1", (60, 40))])
    kept = (data for name, (data, _) in HOSTILE.items() if "in itself" in name)
    return [drawn, plain.getvalue(), picture.getvalue(), two_pages(), *kept]


def _can_aes() -> bool:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        return False
    return True


NUMBERS = (b"0", b"-1", b"1", b"65536", b"2147483647", b"-2147483648", b"4294967296", b"1e38", b"0.00001", b"null")


def mutated_pdf(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed, numbers and names exchanged, pieces doubled, the end lost."""
    kind = chance.random()
    if kind < 0.4:
        return mutated(data, chance)
    if kind < 0.5:
        return data[: chance.randrange(1, len(data))]
    if kind < 0.6:
        start = chance.randrange(len(data))
        end = start + chance.randrange(1, 400)
        return data[:end] + data[start:end] * chance.randrange(1, 30) + data[end:]
    for _ in range(chance.choice([1, 2, 5])):
        words = list(re.finditer(rb"(?<=[\s\[/])[-\w.]+(?=[\s\]/>])", data))
        word, other = chance.choice(words), chance.choice(words)
        new = chance.choice(NUMBERS) if re.fullmatch(rb"[-\d.]+", word[0]) and chance.random() < 0.7 else other[0]
        data = data[: word.start()] + new + data[word.end() :]
    return data


class KeptChild(Child):
    """Serves many files, so that what one left behind meets the next; it ends where it crashes or hangs."""

    def close(self) -> None:
        if self.process and self.process.poll() is None and not self.ending:
            return
        super().close()

    def ask(self, request, timeout_s):
        self.ending = True  # Child.ask closes what crashed or hung
        try:
            return super().ask(request, timeout_s)
        finally:
            self.ending = False

    ending = False


def fuzz_pdfs(folder: Path, seeds: list[bytes], count: int, monkeypatch) -> Counter[str]:
    """Read mutated files; how their pages ended. Fails for any end but those that are promised."""
    child, ends, chance = KeptChild(PDF_READER), Counter(), random.Random(13)
    monkeypatch.setattr("vary.io.pdf.Child", lambda entry: child)
    for k in range(count):
        path = folder / f"{k}.pdf"
        path.write_bytes(b"%PDF-1.7\n" + mutated_pdf(seeds[k % len(seeds)], chance))
        began, said = time.perf_counter(), ""
        try:
            for page in read_pages(path, FakeReader(), "1-2", timeout_s=10):
                assert page.status in STATUSES
                assert (page.error is None) == (page.status in ("ok", "blank")), page.error
                there = not (page.error or "").startswith("there is no page")
                ends["crashed" if "crashed" in (page.error or "") else page.status if there else "not there"] += 1
        except InputError as error:
            said = str(error)
            ends["crashed" if "crashed" in said else "refused"] += 1
        assert not said or (said.startswith(str(path)) and "\n" not in said), k
        assert time.perf_counter() - began < 2 * 2 * (10 + 1) + 30, k
        path.unlink()
    child.ending = True
    child.close()
    monkeypatch.undo()
    return ends


def test_fuzz_pdf(tmp_path, pdf_file, monkeypatch) -> None:  # 13
    ends = fuzz_pdfs(tmp_path, pdf_seeds(pdf_file.read_bytes()), 60, monkeypatch)
    assert ends["ok"] > 20
    assert ends["refused"] > 4
    assert [page.status for page in read_pages(pdf_file, FakeReader())] == ["ok", "blank", "ok"]


@pytest.mark.slow  # thousands of files
@pytest.mark.timeout(3000)
def test_fuzz_pdf_slow(tmp_path, pdf_file, monkeypatch) -> None:  # 13
    ends = fuzz_pdfs(tmp_path, pdf_seeds(pdf_file.read_bytes()), 5000, monkeypatch)
    print(f"\n5000 mutated PDFs: {dict(ends)}")
    assert ends["ok"] > 1000
