"""What is on the disk: files written whole or not at all, folders and files that one process has at a time, digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from .errors import InputError


@contextlib.contextmanager
def aside(path: Path, part: str | None = None) -> Iterator[BinaryIO]:
    """A file that is written whole or not at all: beside its place, synced, then renamed. part: its name meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(part or f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """See to it that a file, or the names in a folder, are on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(file: IO[Any]) -> bool:
    """Take an open file for this process alone, until it ends however it does; False when another has it."""
    try:
        import fcntl
    except ImportError:  # not on Windows, where nothing keeps two runs apart
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """One process at a time works in a folder. doing: what it does there: "training in it".

    Raises ValueError naming the process that has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        if not lock(file):
            file.seek(0)
            raise InputError(f"{folder}: {file.read().strip() or 'another process'} is {doing}")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def sha256(path: Path) -> str:
    """Digest of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
