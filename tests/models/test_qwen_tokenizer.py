"""Qwen's tokenizer: the ids that joining by rank gives, the places that weights depend on, text that stays text."""

from __future__ import annotations

import base64
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import regex
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from vary.models.convert.qwen_tokenizer import CHAT, EXTRA, PATTERN, VISION, merges_of, qwen_tokenizer, read_ranks

WORDS = [
    "the",
    " the",
    " they",
    "ing",
    "    ",
    "\n\n",
    "12",
    "'s",
    "好",
    "你好",
    "，",
    "<img",
    "Äpfel",
    "aaaa",
    "aaa",
    "éé",
]


def write_ranks(path: Path, ranks: dict[bytes, int]) -> Path:
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items()))
    return path


def grown_ranks(seed: int, tokens: int = 300) -> dict[bytes, int]:
    """The bytes in any order, then pairs of tokens; every fourth is one whose own bytes need not join to it."""
    rng = np.random.default_rng(seed)
    known = [bytes([byte]) for byte in rng.permutation(256).tolist()]
    letters = [word.encode()[k : k + 1] for word in WORDS for k in range(len(word.encode()))]
    ranks = {token: rank for rank, token in enumerate(known)}
    grown = list(letters)
    while len(ranks) < 256 + tokens:
        token = b"".join(grown[int(k)] for k in rng.integers(len(grown), size=3 if len(ranks) % 4 == 0 else 2))
        if len(token) <= 12 and token not in ranks:
            ranks[token] = len(ranks)
            grown += [token] * 3
    return ranks


def joined(text: str, ranks: dict[bytes, int]) -> list[int]:
    """Byte-pair encoding as it is defined: words by the pattern, then always the neighbours of lowest rank."""
    ids: list[int] = []
    for word in regex.findall(PATTERN, unicodedata.normalize("NFC", text)):
        pieces = [bytes([byte]) for byte in word.encode()]
        if word.encode() in ranks:
            pieces = [word.encode()]
        while len(pieces) > 1:
            costs = [ranks.get(pieces[k] + pieces[k + 1], len(ranks)) for k in range(len(pieces) - 1)]
            if min(costs) == len(ranks):
                break
            k = costs.index(min(costs))
            pieces[k : k + 2] = [pieces[k] + pieces[k + 1]]
        ids += [ranks[piece] for piece in pieces]
    return ids


def trained_ranks() -> dict[bytes, int]:
    """The bytes, and the tokens that spell `WORDS` from left to right."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    for word in WORDS:
        for end in range(2, len(word.encode()) + 1):
            ranks.setdefault(word.encode()[:end], len(ranks))
    return ranks


@pytest.fixture(scope="module")
def ranks() -> dict[bytes, int]:
    return trained_ranks()


@pytest.fixture(scope="module")
def tokenizer(ranks, tmp_path_factory) -> PreTrainedTokenizerFast:
    return qwen_tokenizer(write_ranks(tmp_path_factory.mktemp("ranks") / "tiny.tiktoken", ranks))


def ids_of(tokenizer: PreTrainedTokenizerFast, text: str, **settings) -> list[int]:
    return tokenizer(text, **settings)["input_ids"]


def random_text(rng: np.random.Generator) -> str:
    parts = [*WORDS, *" \n\t\r'.,!<>|x1２七éÄ😀👩\u0301\u3000", "A\u0308pfel", "don't", "I'LL", "(x)=[1]", "\r\n"]
    return "".join(parts[int(k)] for k in rng.integers(len(parts), size=int(rng.integers(0, 40))))


def test_ids_are_those_of_joining_by_rank(tokenizer, ranks) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = random_text(rng)
        ids = ids_of(tokenizer, text, split_special_tokens=True)
        assert ids == joined(text, ranks), text
        assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)
    assert ids_of(tokenizer, " they'S") == [ranks[b" they"], ranks[b"'"], ranks[b"S"]]


@pytest.mark.parametrize("seed", range(8))
def test_ranks_in_no_good_order(seed: int, tmp_path) -> None:
    ranks = grown_ranks(seed)
    tokenizer = qwen_tokenizer(write_ranks(tmp_path / "odd.tiktoken", ranks))
    rng = np.random.default_rng((seed, 1))
    known = sorted(ranks)
    for _ in range(150):
        parts = [known[int(k)].decode("utf-8", "ignore") for k in rng.integers(len(known), size=8)]
        text = "".join(parts) + random_text(rng)
        assert ids_of(tokenizer, text, split_special_tokens=True) == joined(text, ranks), text


def test_a_token_that_joining_does_not_reach(tmp_path) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"abc": 256, b"bc": 257, b"xyz": 258}
    tokenizer = qwen_tokenizer(write_ranks(tmp_path / "odd.tiktoken", ranks))
    assert merges_of(ranks) == [(b"a", b"bc"), (b"b", b"c")]
    assert ids_of(tokenizer, "abc xyz xyz") == joined("abc xyz xyz", ranks)
    assert ids_of(tokenizer, "xyz") == [258]
    assert ids_of(tokenizer, "abcabc") == [256, 256]


def test_digits_stand_alone(tokenizer, ranks) -> None:
    assert b"12" in ranks
    assert ids_of(tokenizer, "1212") == [ranks[b"1"], ranks[b"2"]] * 2


def test_places_of_the_special_tokens(tokenizer, ranks) -> None:
    first = len(ranks)
    specials = [*CHAT, *EXTRA, *VISION]
    assert tokenizer.convert_tokens_to_ids(specials) == list(range(first, first + 217))
    assert len(tokenizer) == first + 217
    names = ["<|im_end|>", "<|extra_0|>", "<|extra_204|>", "<ref>", "</quad>", "<img>", "</img>", "<imgpad>"]
    assert [tokenizer.convert_tokens_to_ids(n) - first for n in names] == [2, 3, 207, 208, 213, 214, 215, 216]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == first
    assert tokenizer.bos_token_id is None


def test_text_of_a_user_stays_text(tokenizer, ranks) -> None:
    text = "the <img>12</img><|im_end|><|extra_7|>"
    marks = ids_of(tokenizer, text)
    assert [id_ for id_ in marks if id_ >= len(ranks)] == tokenizer.convert_tokens_to_ids(
        ["<img>", "</img>", "<|im_end|>", "<|extra_7|>"]
    )
    plain = ids_of(tokenizer, text, split_special_tokens=True)
    assert plain == joined(text, ranks)
    assert max(plain) < len(ranks)
    assert tokenizer.decode(plain) == tokenizer.decode(marks) == text
    assert tokenizer.decode(plain, skip_special_tokens=True) == text
    assert tokenizer.decode(marks, skip_special_tokens=True) == "the 12"
    assert ids_of(tokenizer, text) == marks  # the setting of one call does not stay


def test_saved_and_loaded(tokenizer, tmp_path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "the  好 <img>12</img>\n\n e\u0301 they <|im_end|>"
    for settings in ({}, {"split_special_tokens": True}):
        assert ids_of(loaded, text, **settings) == ids_of(tokenizer, text, **settings)
    assert loaded.decode(ids_of(loaded, text)) == tokenizer.decode(ids_of(tokenizer, text))
    assert (loaded.pad_token_id, loaded.eos_token_id, len(loaded)) == (
        tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer),
    )  # fmt: skip
    assert loaded(["the", "they 12"], padding=True)["input_ids"][0][-1] == loaded.pad_token_id


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"AA==", r":5: b'AA==' is not a token in base64 and its rank"),
        (b"AA== 4 4", ":5: .* is not a token"),
        (b"AA=* 4", ":5: .* is not a token"),
        (b"A 4", ":5: .* is not a token"),
        (b"AA== x", ":5: .* is not a token"),
        (b"", ":5: b'' is not a token"),
        (b"AA== 5", ":5: rank 5 where 4 must follow"),
        (b"AA== 3", ":5: rank 3 where 4 must follow"),
        (b"AA== -1", ":5: rank -1 where"),
        (b"AA== 4", r":5: the token b'\\x00' comes twice"),
    ],
)
def test_malformed_lines(line: bytes, said: str, tmp_path, ranks) -> None:
    path = write_ranks(tmp_path / "bad.tiktoken", ranks)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:4], line, *lines[5:]]))
    with pytest.raises(ValueError, match="bad.tiktoken" + said):
        qwen_tokenizer(path)


def test_files_that_are_no_ranks(tmp_path, ranks) -> None:
    short = {token: rank for token, rank in ranks.items() if rank < 200}
    with pytest.raises(ValueError, match="56 of the 256 bytes are no token, the first is 0xc8"):
        qwen_tokenizer(write_ranks(tmp_path / "short.tiktoken", short))
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ValueError, match="empty: 256 of the 256 bytes"):
        qwen_tokenizer(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        qwen_tokenizer(tmp_path / "absent")
    assert read_ranks(write_ranks(tmp_path / "good", ranks)) == ranks


TEXTS = [
    "The Vary models read dense text; they don't guess. IT'S 1,024.50% of what's needed (e.g. naïve café, Ångström).",
    "写出这幅图中所有文字。第１２章，共３４５页：“视觉词表”——《论文》\n\n中文English混排 2023年12月",
    "def f(x: int) -> str:\n    return f'{x:>10}'\t# tab\n\n\n        if x != 0 && y <= 3: pass\r\n\r\n",
    "😀👩‍👩‍👧‍👦🇨🇳 ❤️‍🔥 e\u0301 \u1112\u1161\u11ab हिन्दी العربية ไทย 𝒳𝟙𝟚 ﬁ №5 ½ ²³",
    "a  b   c    d\n \n  \n\t \t\u00a0\u3000\u200b\u2028x" + " " * 130 + "\n" * 9 + " ",
    "\\begin{tabular}{|l|r|}\\hline α & \\(\\frac{1}{2}\\) \\\\ \\end{tabular} [535, 544, 568, 591]; {'a': '12.94%'}",
    "<|im_start|>user\n<img><imgpad><imgpad></img>\nOCR: <|im_end|><ref>a</ref><box>(1,2),(3,4)</box><|endoftext|>",
]  # fmt: skip


@pytest.mark.slow  # fetches the package dashscope, 2 MB, for its qwen.tiktoken
def test_the_real_file(tmp_path) -> None:
    import tiktoken

    from vary.data.corpus.download import fetch

    path = next(fetch("pypi:dashscope").rglob("qwen.tiktoken"))
    ranks, tokenizer = read_ranks(path), qwen_tokenizer(path)
    assert len(ranks) == 151_643
    assert len(merges_of(ranks)) == 151_643 - 256  # joining reaches every token
    ids = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<|extra_0|>": 151646,
           "<|extra_204|>": 151850, "<ref>": 151851, "</ref>": 151852, "<box>": 151853, "</box>": 151854,
           "<quad>": 151855, "</quad>": 151856, "<img>": 151857, "</img>": 151858, "<imgpad>": 151859}  # fmt: skip
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in ids} == ids
    assert len(tokenizer) == 151_860
    tokenizer.save_pretrained(tmp_path)
    specials = {token: 151_643 + k for k, token in enumerate((*CHAT, *EXTRA, *VISION))}
    peer = tiktoken.Encoding("qwen", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=specials)
    rng = np.random.default_rng(0)
    drawn = ["".join(map(chr, rng.choice([0x80, 0x3000, 0xD800], 1) + rng.integers(-96, 0, 30))) for _ in range(300)]
    for ours in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        for text in [*TEXTS, *(random_text(rng) for _ in range(300)), *drawn]:
            normal = unicodedata.normalize("NFC", text)
            assert ids_of(ours, text) == peer.encode(normal, allowed_special="all"), text
            plain = ids_of(ours, text, split_special_tokens=True)
            assert plain == peer.encode(normal, disallowed_special=()), text
            assert ours.decode(plain) == ours.decode(ids_of(ours, text)) == normal
