"""Write files atomically, under names that are safe; lock folders against a second process; compute checksums."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from .errors import InputError

MAX_NAME = 180  # bytes of a file's name, without its suffix
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # device names on Windows


@contextlib.contextmanager
def atomic_write(path: Path, part: str | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing and put it at `path` only when it is complete.

    The data goes to a temporary file in the same folder, is flushed to disk (fsync) and renamed over `path`. Other
    processes see the old file or the new one, never a part. An exception leaves the old file as it was.

    Args:
        path: The file to write. Its folder is created.
        part: Name of the temporary file. The default is `.NAME.part`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(part or f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def fsync_path(path: Path) -> None:
    """Flush a file, or the directory entries of a folder, to disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def lock_folder(folder: Path, activity: str) -> Iterator[None]:
    """Hold a folder for this process, through the lock file `.lock` in it. The folder is created.

    The lock ends with the process, whatever ends it. The file names its holder; where that cannot be read (Windows
    locks the bytes too), the message says "another process".

    Args:
        folder: The folder to lock.
        activity: What this process does there, for the error message: "training in it".

    Raises:
        InputError: Another process holds the folder.
    """
    from filelock import FileLock, Timeout  # imports asyncio and more: 0.03 s

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        holder = ""
        with contextlib.suppress(OSError):
            holder = path.read_text(encoding="utf-8").strip()
        raise InputError(f"{folder}: {holder or 'another process'} is {activity}") from None
    try:
        with contextlib.suppress(PermissionError):
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def safe_names(names: Sequence[str]) -> list[str]:
    """Return file names that are safe on any system. `/` is kept; names that differ only in case get -2, -3 ..."""
    taken: set[str] = set()
    safe = []
    for name in names:
        parts = [_safe_part(part) for part in name.split("/") if part not in ("", ".", "..")] or ["page"]
        one, k = "/".join(parts), 1
        while one.casefold() in taken:
            k += 1
            one = "/".join(parts) + f"-{k}"
        taken.add(one.casefold())
        safe.append(one)
    return safe


def _safe_part(part: str) -> str:
    text = unicodedata.normalize("NFC", part.encode("utf-8", "replace").decode("utf-8"))
    text = re.sub(r'[\x00-\x1f\x7f<>:"|?*\\]', "_", text).strip(" ")
    text = text.encode()[:MAX_NAME].decode("utf-8", "ignore").rstrip(" .") or "_"
    return f"_{text}" if RESERVED.fullmatch(text) or text.startswith(".") else text
