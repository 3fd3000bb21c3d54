"""Build the tokenizer of Qwen-VL and of every Vary model on Qwen from `qwen.tiktoken`, a list of byte pairs by rank.

Such a file holds one token per line, base64 and its rank, and no merges: tiktoken joins whatever neighbours make the
token of lowest rank. A token is reached in one way only, so its merge is the last step of joining its own bytes.
Layout (Vary's weights depend on it, arXiv 2312.06109 section 3.3): 151,643 byte-pair tokens, then the special ones
up to `<imgpad>` 151859. Text is normalised (NFC), cut by Qwen's pattern (every digit on its own), and read as bytes.

Special tokens in the text become special tokens, as in Qwen. Text of a user, which may spell `<img>`,
stays text with `tokenizer(text, split_special_tokens=True)`. `skip_special_tokens=True` also takes `<ref>` and `<box>`
out of an answer; decode without it where boxes matter.
"""

from __future__ import annotations

import base64
import binascii
from operator import add
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from transformers import PreTrainedTokenizerFast

from ...io.errors import InputError

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
EXTRA = tuple(f"<|extra_{k}|>" for k in range(205))
VISION = ("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>", "<imgpad>")


def qwen_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Build the tokenizer of a file of ranks (`qwen.tiktoken`); the first special id is the number of ranks.

    Raises ValueError with the file and the line for what is not a list of ranks, see `read_ranks`.
    """
    ranks = read_ranks(Path(path))
    spelt = _byte_letters()
    names = {token: "".join(spelt[byte] for byte in token) for token in ranks}
    merges = [(names[left], names[right]) for left, right in merges_of(ranks)]
    # A word that is a token is not joined at all, as in tiktoken: so tokens that joining cannot reach are used too.
    inner = Tokenizer(BPE({names[token]: rank for token, rank in ranks.items()}, merges, ignore_merges=True))
    inner.normalizer = NFC()
    inner.pre_tokenizer = Sequence(
        [Split(Regex(PATTERN), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    inner.decoder = ByteLevelDecoder()
    inner.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in (*CHAT, *EXTRA, *VISION)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=CHAT[0], eos_token=CHAT[0], extra_special_tokens=[*CHAT[1:], *VISION],
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def read_ranks(path: Path) -> dict[bytes, int]:
    """Read the rank of each token, by rank.

    Raises ValueError with file and line where a line is not base64 and a number, a token comes twice, or the ranks do
    not count up from 0; with the file where one of the 256 bytes is no token, for its text would be lost.
    """
    ranks: dict[bytes, int] = {}
    for line, text in enumerate(path.read_bytes().splitlines(), 1):
        try:
            spelling, rank = text.split()
            token, number = base64.b64decode(spelling, validate=True), int(rank)
        except (ValueError, binascii.Error):
            raise InputError(f"{path}:{line}: {text[:60]!r} is not a token in base64 and its rank") from None
        if number != len(ranks):
            raise InputError(f"{path}:{line}: rank {number} where {len(ranks)} must follow")
        if not token or token in ranks:
            raise InputError(f"{path}:{line}: the token {token!r} {'comes twice' if token else 'is empty'}")
        ranks[token] = number
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise InputError(f"{path}: {len(missing)} of the 256 bytes are no token, the first is 0x{missing[0]:02x}")
    return ranks


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """List the pairs that make each token of two bytes or more, by rank of the token.

    A token that joining never reaches (it is found only as a whole word) has none.
    """
    pairs = (_last_pair(token, ranks) for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1)
    return [pair for pair in pairs if pair]


def _last_pair(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes] | None:
    """Return the two pieces that are left when a token's bytes are joined without the token itself."""
    pieces = [token[k : k + 1] for k in range(len(token))]
    never = len(ranks)
    while len(pieces) > 2:
        joined = [ranks.get(pair, never) for pair in map(add, pieces, pieces[1:])]
        lowest = min(joined)
        if lowest == never:
            return None
        k = joined.index(lowest)
        pieces[k : k + 2] = [pieces[k] + pieces[k + 1]]
    return pieces[0], pieces[1]


def _byte_letters() -> list[str]:
    """List the letter of each byte in byte-level vocabularies: itself if it prints, else one from 256 on."""
    prints = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in prints else next(others)) for byte in range(256)]
