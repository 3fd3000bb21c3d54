"""Prompts: special tokens, the characters a nano decoder writes, and where image tokens stand."""

from __future__ import annotations

import string

# The family's names (Vary, GOT, OneChart): `<img>` starts an image, `<imgpad>` is one image token, `</img>` ends it.
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<img>", "</img>", "<imgpad>")

# What the English nano model spells: ASCII, typographic signs, accented Latin. One class of the reading head each.
LATIN = (
    " " + string.ascii_letters + string.digits + string.punctuation + "“”‘’–—…•·§©®°±×÷½¼¾²³µ¶†‡™€£¥¢«»¡¿≤≥≠→←∞≈−"
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿŒœŠšŽžŁłŐőűćčęąńśřěů"
)


def character_vocabulary(alphabet: str) -> dict[str, int]:
    """Token -> id for a character decoder: special tokens, the line break, then the alphabet."""
    return {token: k for k, token in enumerate([*SPECIAL_TOKENS, "\n", *alphabet])}


def image_span(tokens: int) -> str:
    """What stands for one image in a prompt."""
    return "<img>" + "<imgpad>" * tokens + "</img>"
