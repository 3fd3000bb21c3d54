"""Invent the texts of pages with free layouts: names, addresses, dates, sums that add up. Words are real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .content import Content

T = TypeVar("T")
_COMPANIES = ("Ltd", "Inc.", "GmbH", "LLC", "S.A.", "& Sons", "AG", "& Co.", "B.V.", "Group")
_STREETS = ("Street", "Road", "Avenue", "Lane", "Square", "Drive", "Way")
_LABELS = (
    "Name", "Surname", "Date of birth", "Address", "Postcode", "City", "Country", "Telephone", "E-mail", "Occupation",
    "Reference", "Account", "Signature", "Place, date", "Remarks", "Policy no.", "Department", "Received by",
)  # fmt: skip
_DETAILS = (
    "Invoice no.", "Order no.", "Customer no.", "Date", "Due date", "Delivery date", "VAT ID", "Our reference",
    "Your reference", "Payment", "Cashier", "Terminal",
)  # fmt: skip
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Article:
    """An article on an invoice, as printed."""

    name: str
    quantity: str
    price: str
    amount: str


class LayoutText:
    """Texts of one page. missing: the characters of a text that the font lacks; such texts are not used."""

    def __init__(self, content: Content, rng: np.random.Generator, missing: Callable[[str], set[str]]):
        self.content, self.rng, self.missing = content, rng, missing
        self.comma = self.pick((False, False, True))  # 1.234,56 instead of 1,234.56
        self.before, self.after = self.pick(
            (("", ""), ("", ""), ("$", ""), ("€ ", ""), ("", " €"), ("£", ""), ("", " EUR"))
        )
        if missing(self.before + self.after):
            self.before, self.after = "", ""

    def pick(self, choices: Sequence[T]) -> T:
        """Choose one."""
        return choices[int(self.rng.integers(len(choices)))]

    def sentence(self, low: int, high: int) -> str:
        """Return running text of low to high words."""
        for _ in range(10):
            text = self.content.passage(self.rng, int(self.rng.integers(low, high + 1)))
            text = " ".join(word for word in text.split() if len(word) <= 24)
            if text and not self.missing(text):
                return text
        return "Thank you"

    def phrase(self, low: int, high: int) -> str:
        """Return a few words, the first one capitalised, without punctuation at their ends."""
        words = int(self.rng.integers(low, high + 1))
        text = " ".join(self.sentence(words, words).split()[:words]).strip(" .,;:-–—!?()[]{}\"'“”‘’|#`*_<>=/\\")
        return text[:1].upper() + text[1:40].rstrip() or "Page"

    def company(self) -> str:
        """Return the name of a company."""
        return f"{self.phrase(1, 2)} {self.pick(_COMPANIES)}"

    def address(self, name: str) -> list[str]:
        """Return the lines of an address."""
        street = f"{int(self.rng.integers(1, 300))} {self.phrase(1, 1)} {self.pick(_STREETS)}"
        return [name, street, f"{int(self.rng.integers(10000, 99999))} {self.phrase(1, 1)}"]

    def contact(self, company: str) -> list[str]:
        """Return lines with an address, a telephone number, a web address or an account."""
        domain = "".join(ch for ch in company.lower() if ch.isascii() and ch.isalnum())[:14] or "shop"
        lines = [
            *self.address(company)[1:], f"Tel. +{self.digits(2)} {self.digits(3)} {self.digits(6)}",
            f"info@{domain}.com", f"www.{domain}.com", f"IBAN DE{self.digits(2)} {self.digits(4)} {self.digits(4)}",
            f"VAT {self.pick(('GB', 'DE', 'FR', 'NL'))}{self.digits(9)}",
        ]  # fmt: skip
        start = int(self.rng.integers(len(lines) - 2))
        return lines[start : start + int(self.rng.integers(2, 5))]

    def details(self) -> list[str]:
        """Return lines such as "Invoice no. 20417"."""
        chosen = self.rng.permutation(len(_DETAILS))[: int(self.rng.integers(2, 5))]
        return [f"{_DETAILS[k]}{self.pick((':', ''))} {self.value(short=True)}" for k in sorted(chosen.tolist())]

    def label(self) -> str:
        """Return the name of a field."""
        return self.pick(_LABELS)

    def value(self, short: bool = False) -> str:
        """Return the content of a field: a number, a date, a sum, or words."""
        kind = int(self.rng.integers(3 if short else 5))
        if kind == 0:
            return self.digits(int(self.rng.integers(3, 9)))
        if kind == 1:
            return self.date()
        return f"{self.pick('ABCDEFGHKLMNPRSTX')}-{self.digits(5)}" if kind == 2 else self.phrase(1, 4)

    def date(self) -> str:
        """Return a date in one of four notations."""
        day, month, year = (int(v) for v in self.rng.integers((1, 1, 1990), (29, 13, 2030)))
        return self.pick((
            f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}", f"{day} {_MONTHS[month - 1]} {year}",
            f"{month}/{day}/{year}",
        ))  # fmt: skip

    def digits(self, count: int) -> str:
        """Return so many digits."""
        return "".join(str(int(v)) for v in self.rng.integers(10, size=count))

    def money(self, cents: int) -> str:
        """Write an amount with the page's separators and currency."""
        text = f"{cents / 100:,.2f}"
        if self.comma:
            text = text.translate(str.maketrans(",.", ".,"))
        return f"{self.before}{text}{self.after}"

    def items(self, count: int) -> tuple[list[Article], list[tuple[str, str]]]:
        """Return the items of an invoice and its totals, which add up."""
        items, total = [], 0
        for _ in range(count):
            quantity, price = int(self.rng.integers(1, 25)), int(10 ** self.rng.uniform(1.7, 5))
            total += quantity * price
            items.append(Article(self.phrase(1, 5), str(quantity), self.money(price), self.money(quantity * price)))
        if self.rng.random() < 0.3:
            return items, [("Total", self.money(total))]
        rate = int(self.rng.choice((5, 7, 10, 19, 20, 21)))
        tax = round(total * rate / 100)
        rows = [("Subtotal", total), (f"VAT {rate}%", tax), ("Total", total + tax)]
        return items, [(name, self.money(cents)) for name, cents in rows]
