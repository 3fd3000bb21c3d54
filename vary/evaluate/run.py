"""Run an evaluation: give every example of every task to the model and its peers, then write a report.

A run is a folder. `run.json` holds readers and settings. `predictions.jsonl` gets one line per example and reader, with
the truth, so that scores can be computed again. The same command resumes, and repeats what failed. Other weights or
settings are refused.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..io.errors import InputError, RemoteError
from .metrics import version
from .metrics.text import outside
from .metrics.words import split_words
from .reader import Reader, Request
from .readers import Hosted, open_peers
from .record import PREDICTIONS, EvalRecord, read_records
from .report import Row, conditions, summarise, write_report
from .task import Example, Task
from .tasks import choose

Log = Callable[[str], Any]


def evaluate(
    model: str | None = "vary-nano", tasks: str = "all", out: str | Path = "eval", *, limit: int | None = None,
    peers: str = "", server: str | None = None, server_model: str | None = None, server_key: str = "",
    data: str | Path | None = None, rescore: bool = False, prompt: str | None = None, device: str = "cpu",
    max_tokens: int = 2048, decoder: bool = False, pixels: bool = False, log: Log = print,
) -> list[Row]:  # fmt: skip
    """Measure a model and its peers, and report on everything in the folder. Return the rows of the report.

    Args:
        model: A name or a folder. None measures peers alone.
        tasks: Names, joined by commas, or `all`. Of `all`, tasks whose packages cannot be fetched are left out.
        out: Folder of the run.
        limit: Largest number of examples of each task.
        peers: Names of `PROGRAMS`, joined by commas, or `all`. Those that are not installed are reported.
        server, server_model, server_key: Address, model and API key of an OpenAI-compatible server.
        data: Folder of published benchmarks (`benchmarks.py`).
        rescore: Only score the folder's predictions again.
        prompt: Replaces the tasks' prompts for transcribing pages.
        device: Device of the model.
        max_tokens: Limit of an answer.
        decoder: Rescore uncertain spans with the decoder. The reader's name gets `-decoder`.
        pixels: Read pixels alone, without the text layers of PDFs. The reader's name gets `-pixels`.
        log: Receives each line of the log.

    Raises:
        ConfigError: A name is not known. Nothing has been opened then.
        InputError: The folder holds a run of other weights or settings.
    """
    chosen, out = choose(tasks), Path(out)
    if rescore:
        records = read_records(out)
        if not records:
            raise InputError(f"{out}: no predictions to score")
        return write_report([r for r in records if tasks == "all" or r.task in chosen], out, log)
    name = Path(model).resolve().name + "-decoder" * decoder + "-pixels" * pixels if model else None
    settings = {"name": model, "device": device, "max_tokens": max_tokens, "decoder": decoder, "pixels": pixels}
    own = {str(name): settings} if model else {}
    readers: dict[str, Reader] = {}
    began = time.monotonic()
    try:
        found, missing = open_peers(peers, server, server_model, server_key, log, max_tokens)
        readers |= found
        readers = {**{who: Hosted("model", settings) for who, settings in own.items()}, **readers}
        _claim(out, readers, {"prompt": prompt, "max_tokens": max_tokens}, name, missing)
        _read_all(chosen, readers, out, Path(data) if data else None, limit, prompt, tasks == "all", log)
    finally:
        for reader in readers.values():
            reader.close()
    return _finish(out, time.monotonic() - began, log)


def _finish(out: Path, seconds: float, log: Log) -> list[Row]:
    """Add the time that this call took to the run, and write the report."""
    facts = json.loads((out / "run.json").read_text(encoding="utf-8"))
    facts["seconds"] = round(facts.get("seconds", 0.0) + seconds, 1)
    (out / "run.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    if not (records := read_records(out)):
        raise InputError(f"{out}: nothing was measured; the lines above say why")
    return write_report(records, out, log)


def _read_all(
    tasks: dict[str, Task], readers: dict[str, Reader], out: Path, data: Path | None, limit: int | None,
    prompt: str | None, lenient: bool, log: Log,
) -> None:  # fmt: skip
    """Read all tasks. With `lenient`, a task whose packages cannot be fetched is left out with a line."""
    if any(task.metric == "fox" for task in tasks.values()):
        split_words("中")  # fail now if jieba is missing, not after reading
    for name, task in tasks.items():
        try:
            _read(name, task, readers, out, data, limit, prompt, log)
        except RemoteError as error:  # of `corpus.download.fetch`: no network, or no apt
            if not lenient:
                raise
            log(f"{name}: left out: {error}")


def _read(
    name: str, task: Task, readers: dict[str, Reader], out: Path, data: Path | None, limit: int | None,
    prompt: str | None, log: Log,
) -> None:  # fmt: skip
    """Read the examples of a task that the folder does not hold already, and log how it went."""
    able = {}
    for who, reader in readers.items():
        if why := _unable(task, reader):
            log(f"{name}: {who} {why}, left out")
        else:
            able[who] = reader
    earlier = {r.key: r for r in read_records(out) if r.task == name and r.status != "failed"}
    records = []
    with (out / PREDICTIONS).open("a", encoding="utf-8") as file:
        for example in task.examples(data, limit) if able else ():
            for who, reader in able.items():
                record = earlier.get((name, example.name, who))
                if record is None and reader.takes == "pdf" and example.pdf is None:
                    continue
                if record is None:
                    asked = example.prompt or (prompt if prompt is not None and not task.asks else task.prompt)
                    record = _ask(name, task, example, who, reader, asked if reader.asks else "")
                    file.write(record.to_json() + "\n")
                    file.flush()
                records.append(record)
    for row in summarise(records):
        log(row.line())


def _unable(task: Task, reader: Reader) -> str:
    """Say why a reader cannot do a task. Return an empty string if it can."""
    if task.asks and not reader.asks:
        return "takes no questions"
    if reader.languages is not None and task.language not in reader.languages:
        return f"reads {', '.join(reader.languages)} only"
    if task.form == "layout" and reader.takes != "both":
        return "gives no layout"
    return "reads PDFs only" if reader.takes == "pdf" and task.form != "md" else ""


def _ask(name: str, task: Task, example: Example, who: str, reader: Reader, prompt: str) -> EvalRecord:
    """Give one example to one reader."""
    with tempfile.TemporaryDirectory() as folder:
        pdf = Path(folder) / "page.pdf" if example.pdf and reader.takes != "image" else None
        if pdf and example.pdf:
            pdf.write_bytes(example.pdf())
        image = example.open() if pdf is None else None
        reply = reader.answer(Request(image, pdf, prompt, task.language, task.form))
    beyond = outside(example.truth, reader.alphabet) if reader.alphabet and isinstance(example.truth, str) else None
    facts: dict[str, Any] = asdict(reply) | {"text": reply.text.encode("utf-8", "replace").decode()}  # no surrogates
    width, height = image.size if image else (0, 0)
    return EvalRecord(
        name, example.name, who, task.metric, truth=example.truth, prompt=prompt, version=version(task.metric),
        outside=beyond, about=example.about or {}, width=width, height=height, **facts,
    )  # fmt: skip


def _claim(
    out: Path, readers: dict[str, Reader], settings: dict[str, Any], model: str | None, missing: dict[str, str]
) -> None:
    """Write `run.json`, or check that the folder holds the same run. Raises InputError if it is another one."""
    path, now = out / "run.json", {name: reader.identity for name, reader in readers.items()}
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"readers": {}, "settings": settings}
    if before["settings"] != settings:
        raise InputError(f"{out}: holds a run with {before['settings']}, this one has {settings}: take another folder")
    for name, identity in now.items():
        if before["readers"].get(name, identity) != identity:
            raise InputError(f"{out}: {name} was {before['readers'][name]}, now it is {identity}: take another folder")
    out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "model": model or before.get("model"),
        "readers": before["readers"] | now,
        "settings": settings,
    }
    absent = {who: why for who, why in (before.get("missing", {}) | missing).items() if who not in facts["readers"]}
    facts |= {"seconds": before.get("seconds", 0.0), "missing": absent}
    facts["conditions"] = list(dict.fromkeys([*before.get("conditions", ()), conditions()]))
    path.write_text(json.dumps(facts, indent=1), encoding="utf-8")
