"""`vary eval`: every example of every task through the model and its peers; predictions first, then a report.

A run is a folder. `run.json` says who read and with what settings; `predictions.jsonl` gets a line as soon as an
example is read: prompt, pixels, text, status, seconds, memory, and the truth, so that scores can be computed anew
without reading anything. The same command goes on where it was stopped and reads again what failed; other weights or
settings are refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ..io.errors import ConfigError, InputError, RemoteError
from .metrics import METRICS, outside, score, version
from .metrics.words import split_words
from .readers import Hosted, Reply, open_peers
from .report import Row, conditions, summarise, write_report
from .task import Example, Task
from .tasks import choose

Record = dict[str, Any]
Log = Callable[[str], Any]


class Peer(Protocol):
    """Whoever reads. identity, asks, languages and alphabet: as of `host.Opened`."""

    identity: str
    asks: bool
    languages: Any
    alphabet: str

    def answer(self, image: Image.Image, prompt: str, language: str = "en") -> dict[str, Any]:
        """`host.Reply` as a dict, with seconds, cpu_seconds and memory_mib where they are known."""

    def close(self) -> Any:
        """End what was started."""


def evaluate(
    model: str | None = "vary-nano", tasks: str = "all", out: str | Path = "eval", *, limit: int | None = None,
    peers: str = "", server: str | None = None, server_model: str | None = None, server_key: str = "",
    data: str | Path | None = None, rescore: bool = False, prompt: str | None = None, device: str = "cpu",
    max_tokens: int = 2048, decoder: bool = False, log: Log = print,
) -> list[Row]:  # fmt: skip
    """Measure and report on all that the folder holds: `report.md`, `report.csv`, `scores.csv`, `report.png`, and rows.

    model: a name or a folder, None for peers alone. tasks: names of `tasks.choose`; of `all`, those whose packages
    cannot be fetched are left out with a line. limit: at most so many examples a task. peers: `tesseract,rapidocr`.
    server: address of an OpenAI-compatible server, server_model its model. data: the folder of published benchmarks
    (`sets.py`). rescore: read nothing, score the folder's predictions anew. prompt: in place of the tasks' own for
    transcribing pages. decoder: the model with its decoder, under its name and `-decoder`. Raises ValueError for
    unknown names, before anything is opened, and for a folder that holds a run of other weights or settings.
    """
    chosen, out = choose(tasks), Path(out)
    if any(task.metric == "fox" for task in chosen.values()):
        split_words("中")  # a package that is missing is missed now, not when all is read
    if rescore:
        records = read_records(out)
        if not records:
            raise InputError(f"{out}: no predictions to score")
        wanted = None if tasks == "all" else chosen
        return write_report([r for r in records if wanted is None or r["task"] in wanted], out, log)
    name = Path(model).resolve().name + "-decoder" * decoder if model else None
    readers: dict[str, Peer] = {}
    began = time.monotonic()
    try:
        readers |= open_peers(peers, server, server_model, server_key, log, max_tokens)
        if model:
            settings = {"name": model, "device": device, "max_tokens": max_tokens, "decoder": decoder}
            readers = {str(name): Hosted("model", settings), **readers}
        _claim(out, readers, {"prompt": prompt, "max_tokens": max_tokens}, name)
        folder = Path(data) if data else None
        for title, task in chosen.items():
            try:
                _read(title, task, readers, out, folder, limit, prompt, log)
            except RemoteError as error:  # of `corpus.fetch`: no network, or no apt
                if tasks != "all":
                    raise
                log(f"{title}: left out: {error}")
    finally:
        for reader in readers.values():
            reader.close()
    _add_seconds(out, time.monotonic() - began)
    if not (records := read_records(out)):
        raise InputError(f"{out}: nothing was measured; the lines above say why")
    return write_report(records, out, log)


def _read(
    name: str, task: Task, readers: dict[str, Peer], out: Path, data: Path | None, limit: int | None,
    prompt: str | None, log: Log,
) -> None:  # fmt: skip
    """Read what the folder does not hold already, and say how the task went."""
    able = {}
    for who, reader in readers.items():
        if task.asks and not reader.asks:
            log(f"{name}: {who} takes no questions, left out")
        elif reader.languages is not None and task.language not in reader.languages:
            log(f"{name}: {who} reads {', '.join(reader.languages)} alone, left out")
        else:
            able[who] = reader
    earlier = {
        (r["example"], r["reader"]): r for r in read_records(out) if r["task"] == name and r["status"] != "failed"
    }
    records = []
    with (out / "predictions.jsonl").open("a", encoding="utf-8") as file:
        for example in task.examples(data, limit) if able else ():
            for who, reader in able.items():
                record = earlier.get((example.name, who))
                if record is None:
                    asked = example.prompt or (prompt if prompt is not None and not task.asks else task.prompt)
                    record = _ask(name, task, example, who, reader, asked if reader.asks else "")
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                    file.flush()
                records.append(record)
    for row in summarise([r | {"scores": score(r)} for r in records]):
        log(row.line())


def _ask(name: str, task: Task, example: Example, who: str, reader: Peer, prompt: str) -> Record:
    record: Record = {"task": name, "example": example.name, "reader": who, "prompt": prompt}
    image = example.open()
    found = asdict(Reply("")) | reader.answer(image, prompt, task.language)
    record |= {"width": image.width, "height": image.height, "metric": task.metric, "version": version(task.metric)}
    if reader.alphabet and isinstance(example.truth, str):
        record["outside"] = outside(example.truth, reader.alphabet)
    text = found.pop("text").encode("utf-8", "replace").decode()  # lone surrogates cannot be written
    return (
        record | found | {"text": text, "truth": example.truth, **({"about": example.about} if example.about else {})}
    )


def _claim(out: Path, readers: dict[str, Peer], settings: dict[str, Any], model: str | None) -> None:
    """Make the folder this run's. Raises ValueError when it is another's."""
    path, now = out / "run.json", {name: reader.identity for name, reader in readers.items()}
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"readers": {}, "settings": settings}
    if before["settings"] != settings:
        raise InputError(f"{out}: holds a run with {before['settings']}, this one has {settings}: take another folder")
    for name, identity in now.items():
        if before["readers"].get(name, identity) != identity:
            raise InputError(f"{out}: {name} was {before['readers'][name]}, now it is {identity}: take another folder")
    out.mkdir(parents=True, exist_ok=True)
    facts = {"model": model or before.get("model"), "readers": before["readers"] | now, "settings": settings}
    facts["seconds"] = before.get("seconds", 0.0)
    facts["conditions"] = list(dict.fromkeys([*before.get("conditions", ()), conditions()]))
    path.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _add_seconds(out: Path, seconds: float) -> None:
    """What the run took, all its sittings together."""
    facts = json.loads((out / "run.json").read_text(encoding="utf-8"))
    facts["seconds"] = round(facts.get("seconds", 0.0) + seconds, 1)
    (out / "run.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def read_records(out: str | Path) -> list[Record]:
    """The predictions of a run, the latest of an example. A last line that a crash cut off is taken off the file."""
    path = Path(out) / "predictions.jsonl"
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("rb+") as file:
            file.truncate(whole)
    return list({(r["task"], r["example"], r["reader"]): r for r in _records(path, data[:whole])}.values())


def _records(path: Path, data: bytes) -> Iterator[Record]:
    for k, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            if record["metric"] not in METRICS:
                raise ConfigError(f"unknown metric {record['metric']!r}; allowed: {', '.join(METRICS)}")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}, line {k}: not a prediction of `vary eval`: {error}") from None
        yield record
