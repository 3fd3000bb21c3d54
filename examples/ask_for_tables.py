"""Tables that a language model was asked for, from any server that speaks OpenAI's chat protocol.

Asking happens before rendering, once: the tables go into a file and from there to `topics.TableCharts`, so that samples
stay pure functions of (seed, i). Source of the idea: Vary asks GPT-4 for the content of 200,000 charts, arXiv
2312.06109 section 3.3.2. The figures are a model's inventions, good for charts and for nothing else.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vary.data.charts.content import Table, TableCharts

MAX_ANSWER = 1 << 20  # bytes of one answer that are read
_QUESTION = (
    "Invent one small table of plausible figures about: {topic}. Language: {language}. Answer with one JSON object and "
    'nothing else: {{"title": "...", "header": ["label column", "number column", ...], "rows": [["label", "12.5"], '
    "...]}}. 4 to 12 rows, 1 to 4 columns of numbers, labels of at most 20 characters, one unit per column, signs such "
    "as % or $ at the numbers where they belong."
)


@dataclass
class Asked:
    """What came back. failures: reason -> how many answers failed for it."""

    tables: list[Table] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


def ask(
    url: str,
    model: str,
    topics: Sequence[str],
    *,
    key: str = "",
    language: str = "English",
    temperature: float = 1.0,
    timeout_s: float = 60.0,
) -> Asked:
    """Ask for one table per topic; answers that cannot be charted are counted, not repaired.

    url: of the server up to and including its version, as in `http://localhost:8000/v1`. key: sent as bearer token.
    Raises ValueError for a url that is not http(s).
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the server's address begins with http:// or https://, not {url!r}")
    asked = Asked()
    head = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    for topic in topics:
        question = _QUESTION.format(topic=topic, language=language)
        body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": temperature}
        request = urllib.request.Request(f"{url.rstrip('/')}/chat/completions", json.dumps(body).encode(), head)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                answer = json.loads(reply.read(MAX_ANSWER))
            asked.tables.append(read_table(answer["choices"][0]["message"]["content"]))
        except urllib.error.HTTPError as error:
            asked.failures[f"status {error.code}"] += 1
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            asked.failures["no connection"] += 1
        except (KeyError, IndexError, TypeError, json.JSONDecodeError):
            asked.failures["not an answer of the chat protocol"] += 1
        except ValueError as error:
            asked.failures[str(error)] += 1
    return asked


def read_table(text: Any) -> Table:
    """The table of an answer. Raises ValueError, with a reason that can be counted, where it is not one."""
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
    table: Table = (title.strip(), [str(v) for v in header], [[str(v) for v in row] for row in rows])
    TableCharts([table])  # a ValueError says why no chart can be made of it
    return table


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in row)
