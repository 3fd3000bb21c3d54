"""Loops are stopped within a budget; what repeats on real pages is not. (reliability.md, test 17)"""

from __future__ import annotations

import random
import string

import numpy as np
import pytest
import torch

from vary.data.corpus.text import STYLES
from vary.data.tables import TableSource
from vary.markup.tables import to_html, to_latex
from vary.models.generate.repetition import (
    LETTERS,
    MASKED,
    STEP,
    RepetitionGuard,
    StopRepetition,
    find_loop,
    find_runs,
    max_repeats,
)

BUDGET = 2 * LETTERS + 2 * STEP  # characters of a loop of words that may be written before it is found


def words(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(count))


def test_runs_are_those_of_the_definition() -> None:
    rng = random.Random(5)
    for _ in range(300):
        tail = "".join(rng.choices("ab", k=rng.randint(1, 6))) * rng.randint(1, 9)
        slow = []
        for period in range(1, len(tail)):
            length = period
            while length < len(tail) and tail[-1 - length] == tail[-1 - length + period]:
                length += 1
            if length >= 4 * period:
                slow.append((period, length))
        assert find_runs(tail) == slow


@pytest.mark.parametrize("period", range(1, 61))
def test_a_loop_of_words_of_any_period_is_found_and_its_beginning_kept(period: int) -> None:
    before, unit = words(1, 80) + ". ", words(100 + period, period) + " "
    guard = RepetitionGuard()
    written = before
    guard.feed(before)
    while guard.loop is None and len(written) < 20_000:
        written += unit
        guard.feed(unit)
    assert guard.loop is not None
    assert len(written) - len(before) < BUDGET + (5 * len(unit) if len(unit) * 5 > LETTERS else 0)
    assert abs(guard.loop.keep - len(before + unit)) <= len(unit)
    assert written[: guard.loop.keep].startswith(before[:-1])


@pytest.mark.parametrize(
    "unit",
    [
        "<tr><td>Total revenue of the group</td><td>12.5</td><td></td></tr>",
        "<tr>" + "<td>see the note below</td>" * 6 + "</tr>\n",
        "| Operating expenses and depreciation | 4,120 | 3,998 |\n",
        "\\hline Net income attributable & 12 \\\\\n",
        words(9, 150) + ".\n\n",
        "这是一个重复的句子，它不会停止。",
        "\u00a9 ",
        ".",
        "<td></td>",
        "<tr><td></td><td></td></tr>",
    ],
)
def test_rows_paragraphs_and_signs_loop_too(unit: str) -> None:
    before = words(2, 40) + "\n"
    loop = find_loop(before + unit * (20_000 // len(unit)))
    assert loop is not None
    assert loop.repeats > max_repeats(unit)
    assert len(before) <= loop.keep <= len(before) + 2 * len(unit)


def test_a_counter_in_front_hides_no_loop() -> None:
    before = "A list.\n"
    text = before + "".join(f"{k}. The committee shall meet at the call of the chair.\n" for k in range(100, 400))
    loop = find_loop(text)
    assert loop is not None
    assert loop.level == "lines"
    assert before + "100. The committee shall meet at the call of the chair.\n" == text[: loop.keep]
    assert loop.repeats <= MASKED * 32


LEGITIMATE = {
    "contents": "".join(f"{k}.{j} {words(k * 9 + j, 3)} {'.' * 120} {k * 7 + j}\n" for k in range(9) for j in range(6)),
    "contents, spaced": "".join(f"{words(k, 3)}{' .' * 90} {k}\n" for k in range(60)),
    "empty grid": "<table>" + ("<tr>" + "<td></td>" * 12 + "</tr>") * 60 + "</table>",
    "empty markdown grid": "| a | b | c |\n| --- | --- | --- |\n" + "|  |  |  |\n" * 60,
    "empty tex grid": "\\hline & & & \\\\\n" * 60,
    "wide rule": "|" + " --- |" * 40,
    "zeros": "0.00\n" * 100,
    "zero rows": ("<tr>" + "<td>0.00</td>" * 12 + "</tr>\n") * 60,
    "yes and no": "| yes | no | yes | yes | no | n/a |\n" * 60,
    "ditto": "<tr><td>not tested</td><td>-</td></tr>" * 40,
    "form": ("_" * 80 + "\n") * 40,
    "signatures": "Name: ____________ Date: ____________\n" * 40,
    "bibliography": "".join(f"[{k}] {words(k, 2)} et al. Journal of Physics {k}, 12 (2019).\n" for k in range(80)),
    "index": "".join(f"{k} Widget, steel\n" for k in range(100, 180)),
    "refrain": (words(3, 8) + "\n" + "Come back, come back to me\n") * 4,
    "address labels": "Ada Grace, 12 High Street, Newtown\n" * 20,
    "newlines": "\n" * 100 + " " * 500,
    "hexdump": "".join(f"{k * 16:08x}  " + "00 " * 16 + " |................|\n" for k in range(60)),
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_what_repeats_on_real_pages_is_left_alone(name: str) -> None:
    assert find_loop(words(1, 30) + "\n" + LEGITIMATE[name] + words(2, 30)) is None


def test_no_false_alarm_on_rendered_text_and_tables(text_source) -> None:
    texts = []
    for k in range(300):
        rng = np.random.default_rng((7, k))
        texts.append(" ".join(text_source.words(rng, 300, STYLES[k % 3])))
        wide = int(rng.integers(2, 9))
        texts.append("\n".join(" | ".join(text_source.cell(rng) for _ in range(wide)) for _ in range(40)))
    sparse = ("Sparse", ["a", "b", "c", "d"], [[str(k % 3), "", "NA", "0.0"] for k in range(60)])
    tables = TableSource([sparse], degraded=0)
    texts += [write(tables.table(k)[0]) for k in range(60) for write in (to_html, to_latex)]
    assert [text[:60] for text in texts if find_loop(text)] == []


def test_the_verdict_does_not_depend_on_the_pieces() -> None:
    text = words(4, 90) + " and so on and on" * 300
    whole = find_loop(text)
    for size in (1, 7, 1000):
        guard = RepetitionGuard()
        for k in range(0, len(text), size):
            guard.feed(text[k : k + size])
        assert guard.loop == whole
    assert whole is not None


@pytest.mark.parametrize("period", [1, 2, 7, 60])
def test_stops_generation_row_by_row(period: int) -> None:
    torch.manual_seed(0)
    prompt, fresh = torch.arange(5).repeat(2, 1), torch.randperm(5000)[:1000] + 10
    loop = torch.arange(period).repeat(1000)[:900] + 10
    answers = torch.stack([fresh, torch.cat([fresh[:100], loop])])
    stop = StopRepetition(lambda ids: " ".join(f"word{chr(97 + i % 26)}" for i in ids), prompt=5)
    ids = prompt
    for k in range(1000):
        ids = torch.cat([ids, answers[:, k : k + 1]], 1)
        stopped = stop(ids)
        assert not stopped[0]
        if stopped[1]:
            break
    assert k < 100 + BUDGET
    assert list(stop.loops) == [1]
    assert abs(stop.loops[1].keep - (100 + period)) <= period


def test_padding_of_a_finished_row_is_no_loop() -> None:
    stop = StopRepetition(lambda ids: "", ends=(2,))
    ids = torch.cat([torch.arange(3, 35), torch.full((1248,), 2)])[None]
    assert not stop(ids)[0]
    assert not stop.loops


def test_generate_takes_it() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes)).eval()
    ids = torch.tensor([[1]])
    stop = StopRepetition(lambda unit: " ".join(f"word{chr(97 + i % 26)}" for i in unit), prompt=1)
    written = model.generate(ids, stopping_criteria=[stop], max_new_tokens=500, do_sample=False, eos_token_id=None,
                             pad_token_id=0)  # fmt: skip
    assert stop.loops, "random weights were expected to loop under greedy decoding"
    assert written.shape[1] < 501
