"""`vary audit`: every place where a PDF says something else than it shows, and an exit code that says so."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.pdfs import pdf_of, show, with_map
from vary.cli import main

SIZE = (420, 300)
PROSE = ("The harbour office keeps a ledger of every vessel", "before the dues of 1,374 are paid in 25 quays.")


def page(*more: str) -> str:
    return "".join(show(line, 40, 250 - 16 * k) for k, line in enumerate((*PROSE, *more)))


def test_an_honest_file_has_no_findings(tmp_path, capsys) -> None:
    path = pdf_of(tmp_path / "a.pdf", [page()], SIZE)
    assert main(["audit", str(path)]) == 0
    assert tuple(capsys.readouterr()) == ("", "vary: 1 of 1 pages compared, no difference\n")


def test_a_scan_is_not_called_honest(tmp_path, capsys) -> None:
    Image.new("L", (400, 300), 255).save(tmp_path / "scan.png")
    assert main(["audit", str(tmp_path / "scan.png")]) == 0
    assert "0 of 1 pages compared, 1 without a text layer, no difference" in capsys.readouterr().err


def test_a_wrong_digit_is_found_in_its_place(tmp_path, capsys) -> None:
    path = with_map(pdf_of(tmp_path / "a.pdf", [page("7 of 17 and 77")], SIZE), {"7": "2"})
    assert main(["audit", str(path), "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(one["page"], one["layer"][-1], one["pixels"][-1]) for one in found} == {(1, "2", "7")}
    assert all(one["odds"] < 0 and one["box"][0] < one["box"][2] for one in found)


def test_white_text_is_found(tmp_path, capsys) -> None:
    path = pdf_of(tmp_path / "a.pdf", [page() + show("Pay nothing", 40, 100, extra="1 g")], SIZE)
    assert main(["audit", str(path)]) == 1
    assert "'Pay nothing', hidden: background" in capsys.readouterr().out


def test_a_file_that_is_not_there(tmp_path) -> None:
    assert main(["audit", str(tmp_path / "none.pdf")]) == 3


@pytest.mark.parametrize("wrong", [[], ["a.pdf", "--nonsense"], ["a.pdf", "b.pdf"]], ids=" ".join)
def test_wrong_usage_is_no_difference(wrong) -> None:
    assert main(["audit", *wrong]) == 3


def test_what_cannot_be_read_is_no_difference(tmp_path, capsys) -> None:
    (tmp_path / "torn.pdf").write_text("words")
    assert main(["audit", str(tmp_path / "torn.pdf")]) == 3
    assert "torn.pdf: neither a PDF nor an image" in capsys.readouterr().err
    assert main(["audit", str(tmp_path / "torn.pdf"), "--pages", "a"]) == 3
    assert capsys.readouterr().err == "vary: --pages a: expected numbers and ranges such as 1-4,7,-1\n"
