"""`EvalRecord`: one answer of one reader to one example, with everything that is needed to score it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..io.errors import InputError
from .metrics import Scores, metric_of
from .metrics.text import character_confidence

PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True)
class EvalRecord:
    """A prediction.

    Args:
        task, example, reader: Names.
        metric: A name of `METRICS`.
        text: The answer.
        truth: The right answer, as the metric takes it.
        status: One of `elements.STATUSES`. Anything but `ok` is reported.
        prompt: The question that was asked.
        error: Why there is no answer.
        confidence: Confidence of every character of the answer, 0 to 1.
        seconds, cpu_seconds, memory_mib: Cost; None if not known.
        width, height: Size of the image in px.
        version: Name and version of the metric.
        outside: Share of the truth's characters that are not in the reader's alphabet.
        about: Facts about the example, for example its `group`.
    """

    task: str
    example: str
    reader: str
    metric: str
    text: str
    truth: Any
    status: str = "ok"
    prompt: str = ""
    error: str | None = None
    confidence: list[float] | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    memory_mib: int | None = None
    width: int = 0
    height: int = 0
    version: str = ""
    outside: float | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """Task, example and reader. A later record replaces an earlier one with the same key."""
        return self.task, self.example, self.reader

    @property
    def group(self) -> str:
        """The group of the example within its task, or an empty string."""
        return str(self.about.get("group", ""))

    def scores(self) -> Scores:
        """Score the answer. A page that was not read counts as an empty answer."""
        return metric_of(self.metric).score(self.text, self.truth)

    def sureness(self) -> list[tuple[float, bool]]:
        """Pair the confidence of each character of a transcription with whether it is right."""
        if not self.confidence or not self.metric.startswith("text"):
            return []
        return character_confidence(self.text, self.confidence, self.truth)

    def to_json(self) -> str:
        """Write as one line of JSON. Fields without a value are left out."""
        kept = {name: value for name, value in asdict(self).items() if value is not None and value != {}}
        return json.dumps(kept, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> EvalRecord:
        """Read a line of JSON. Raises ValueError, KeyError or TypeError if it is not a record."""
        found = json.loads(line)
        known = {f.name for f in fields(cls)}
        record = cls(**{name: value for name, value in found.items() if name in known})
        metric_of(record.metric)
        return record


def read_records(out: str | Path) -> list[EvalRecord]:
    """Read the predictions of a run, the latest of each example. A last line cut off by a crash is removed."""
    path = Path(out) / PREDICTIONS
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("rb+") as file:
            file.truncate(whole)
    records = []
    for k, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
        try:
            records.append(EvalRecord.from_json(line))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}, line {k}: not a prediction of `vary eval`: {error}") from None
    return list({record.key: record for record in records}.values())
