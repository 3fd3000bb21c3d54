"""The answer of a model, here or on a server, to a question. This module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A model's answer to one question.

    Args:
        text: The answer without special tokens.
        finished: Whether the model ended the answer itself.
        tokens: Number of tokens written; 0 if a server does not say.
        asked: Number of tokens read, with those of the images; 0 if a server does not say.
        repeated: It was ended because it began to repeat itself; the text ends before the repetition.
        error: Why a question of a batch was refused; None if it was answered.
    """

    text: str
    finished: bool
    tokens: int = 0
    asked: int = 0
    repeated: bool = False
    error: str | None = None

    @property
    def status(self) -> str:
        """The status that a page with this answer has: `ok`, `repetition` or `truncated`."""
        return "repetition" if self.repeated else "ok" if self.finished else "truncated"
