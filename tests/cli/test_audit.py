"""`vary audit`: every place where a PDF says something else than it shows, and an exit code that says so."""

from __future__ import annotations

import json

from tests.pdfs import pdf_of, show, with_map
from vary.cli import main

SIZE = (420, 300)
PROSE = ("The harbour office keeps a ledger of every vessel", "before the dues of 1,374 are paid in 25 quays.")


def page(*more: str) -> str:
    return "".join(show(line, 40, 250 - 16 * k) for k, line in enumerate((*PROSE, *more)))


def test_an_honest_file_has_no_findings(tmp_path, capsys) -> None:
    path = pdf_of(tmp_path / "a.pdf", [page()], SIZE)
    assert main(["audit", str(path)]) == 0
    assert capsys.readouterr().out == ""


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
