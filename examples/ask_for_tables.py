"""Ask a language model for small tables, to be rendered as charts.

`python examples/ask_for_tables.py http://localhost:8000/v1 MODEL topics.txt -o tables.json`, one topic a line. The
server speaks OpenAI's chat protocol, and its key is read from $OPENAI_API_KEY. Then name the file in a recipe:
`charts: {source: chart, weight: 1, tables: tables.json}`. Asking happens once, before rendering, so samples stay pure
functions of (seed, i). The figures are inventions of the model: good for charts and for nothing else.

Source of the idea: Vary asks GPT-4 for the contents of 200,000 charts, arXiv 2312.06109 section 3.3.2.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from vary.data.charts.content import TableCharts
from vary.data.corpus.tables import RawTable

QUESTION = (
    "Invent one small table of plausible figures about: {topic}. Language: {language}. Answer with one JSON object and "
    'nothing else: {{"title": "...", "header": ["label column", "number column", ...], "rows": [["label", "12.5"], '
    "...]}}. 4 to 12 rows, 1 to 4 columns of numbers, labels of at most 20 characters, one unit per column, signs such "
    "as % or $ at the numbers where they belong."
)


@dataclass
class Answers:
    """The tables of all usable answers. failures: reason -> how many answers failed for it."""

    tables: list[RawTable] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


def ask(
    url: str, model: str, topics: Sequence[str], *, key: str = "", language: str = "English", timeout_s: float = 60.0
) -> Answers:
    """Ask for one table per topic. Answers that cannot be charted are counted, not repaired.

    Args:
        url: address of the server with its version, such as `http://localhost:8000/v1`.
        model: name of the model on that server.
        topics: what the tables are about.
        key: sent as bearer token.
        language: language of the tables.
        timeout_s: seconds to wait for one answer.
    """
    answers = Answers()
    head = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(headers=head, timeout=timeout_s) as client:
        for topic in topics:
            question = QUESTION.format(topic=topic, language=language)
            body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 1.0}
            try:
                reply = client.post(f"{url.rstrip('/')}/chat/completions", json=body).raise_for_status()
                answers.tables.append(read_table(reply.json()["choices"][0]["message"]["content"]))
            except httpx2.HTTPStatusError as error:
                answers.failures[f"status {error.response.status_code}"] += 1
            except httpx2.UnsupportedProtocol as error:
                raise ValueError(f"the address of the server begins with http:// or https://, not {url!r}") from error
            except httpx2.TransportError:
                answers.failures["no connection"] += 1
            except (KeyError, IndexError, TypeError, json.JSONDecodeError):
                answers.failures["not an answer of the chat protocol"] += 1
            except ValueError as error:
                answers.failures[str(error)] += 1
    return answers


def read_table(text: Any) -> RawTable:
    """Return the table of an answer. Raises ValueError, with a reason that can be counted, if it is not one."""
    if not isinstance(text, str) or "{" not in text:
        raise ValueError("no JSON object")
    try:
        found, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("broken JSON") from None
    title, header, rows = (found.get(name) for name in ("title", "header", "rows"))
    if not isinstance(title, str) or not _is_row(header) or not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise ValueError("not title, header and rows")
    if any(len(row) != len(header) for row in rows):
        raise ValueError("rows of another length than the header")
    table = RawTable(title.strip(), [str(v) for v in header], [[str(v) for v in row] for row in rows])
    TableCharts([table])  # raises ValueError if no chart can be made of it
    return table


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in row)


def main() -> None:
    """Ask for the tables of a file of topics and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("topics", type=Path, help="a text file, one topic a line")
    parser.add_argument("-o", "--output", type=Path, default=Path("tables.json"))
    parser.add_argument("--language", default="English")
    given = parser.parse_args()
    topics = [line.strip() for line in given.topics.read_text(encoding="utf-8").splitlines() if line.strip()]
    answers = ask(given.url, given.model, topics, key=os.environ.get("OPENAI_API_KEY", ""), language=given.language)
    given.output.write_text(json.dumps(answers.tables, ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"{len(answers.tables)} tables in {given.output}; failed: {dict(answers.failures)}")


if __name__ == "__main__":
    main()
