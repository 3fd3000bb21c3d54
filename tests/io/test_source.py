"""Folders, patterns and files become the list of files that are read."""

from __future__ import annotations

import pytest

from vary.io.errors import InputError
from vary.io.source import find_files


def found(*inputs, leave_out=None) -> list[tuple[str, str]]:
    with find_files(inputs, leave_out) as files:
        return [(file.label, file.name) for file in files]


def test_folders_patterns_and_files(tmp_path, monkeypatch) -> None:
    names = ("b.pdf", "a.PNG", "sub/deep/c.tif", "sub/d.pdf.gz", "notes.txt", ".hidden.pdf", ".git/e.pdf", "out/b.pdf")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    expected = [("a.PNG", "a"), ("b.pdf", "b"), ("sub/d.pdf.gz", "sub/d"), ("sub/deep/c.tif", "sub/deep/c")]
    assert found(".", leave_out=tmp_path / "out") == expected
    assert ("out/b.pdf", "out/b") in found(".")
    assert found("*.p*", "none.pdf") == [("b.pdf", "b"), ("none.pdf", "none")]
    assert found("**/*.tif") == [("sub/deep/c.tif", "c")]
    assert found("notes.txt") == [("notes.txt", "notes")]  # reading it says what it is
    (tmp_path / "odd[1].pdf").touch()
    assert found("odd[1].pdf") == [("odd[1].pdf", "odd[1]")]
    with pytest.raises(InputError, match=r"\*\.doc: no file matches"):
        found("*.doc")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no PDF and no image in it"):
        found("empty")
    assert found("*.doc", "b.pdf", "empty") == [("*.doc", "*"), ("b.pdf", "b"), ("empty", "empty")]
