"""Limits of the server: request size, pages, concurrent requests, times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """body, held: bytes of a request and of all that are inside. inside: requests, served or waiting; one more is a
    429. images: of a question. pages: of a document. tokens: of an answer. body_s, deadline_s: seconds that a body may
    take to arrive, and that a request may take after that. workers: pages that are read at once.
    """

    body: int = 50 << 20
    held: int = 256 << 20
    inside: int = 64
    images: int = 16
    pages: int = 1000
    tokens: int = 4096
    body_s: float = 60.0
    deadline_s: float = 600.0
    workers: int = 1
