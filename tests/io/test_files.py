"""What is written is whole, what is taken is taken once."""

from __future__ import annotations

import hashlib
import os

import pytest

from vary.io.files import atomic_write, lock_folder, sha256


def test_an_interrupted_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "a.md"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.md", "old")]


def test_one_process_holds_a_folder(tmp_path) -> None:
    refused = f"new: process {os.getpid()} on .* is reading it$"
    for _ in range(2):  # it is free again
        with lock_folder(tmp_path / "new", "drawing in it"), pytest.raises(ValueError, match=refused):
            lock_folder(tmp_path / "new", "reading it").__enter__()


def test_the_digest_is_of_all_bytes(tmp_path) -> None:
    data = bytes(range(256)) * 5000  # more than is read at once
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
