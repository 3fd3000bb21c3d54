"""Score tables: TEDS, the similarity of two HTML tables as trees, and TEDS-S, which ignores the text of cells.

Source: Zhong et al., arXiv 1911.10683 (PubTabNet). Nodes are elements down to the cells; an edit costs 1, and of two
cells with the same spans the normalised edit distance of their contents, in characters and tags. TEDS = 1 - distance /
the number of elements of the larger table. Differing from the published script, a `th` is a `td` (there its text does
not count; OmniDocBench renames it too). The distance is Zhang and Shasha's (SIAM J. Comput. 18(6), 1989), a row of
their table at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from ...io.errors import ConfigError
from ...markup.tables import parse_latex, to_html
from .base import Scores

MAX_ELEMENTS = 4000  # of one table; two of them take about a minute and half a GB
MAX_DEPTH = 50  # nesting levels; deeper elements become siblings
_EMPTY = {"br", "hr", "img", "input", "col", "wbr", "meta", "link"}
# element -> those that it ends when it begins, up to the innermost table
_ENDS = {"td": ("td",), "tr": ("td", "tr")}
_ENDS |= dict.fromkeys(("thead", "tbody", "tfoot"), ("td", "tr", "thead", "tbody", "tfoot"))


@dataclass
class _Element:
    tag: str
    spans: tuple[str, str] = ("1", "1")
    content: list[str] = field(default_factory=list)  # of a cell: characters and tags
    children: list[_Element] = field(default_factory=list)
    inner: int = 0  # elements inside a cell


def teds(predicted: str, truth: str, *, structure: bool = False, groups: bool = True) -> float:
    """TEDS of the first tables of two texts, 0 to 1; 1 when neither has a table, 0 when one has none.

    predicted, truth: HTML, or LaTeX with a `tabular` as `vary.markup.tables` writes it (any other LaTeX is no table).
    structure: TEDS-S, contents do not count. groups: whether `thead`, `tbody` and `tfoot` count as elements, as
    published; False for OmniDocBench's form, which takes them off.
    Raises ValueError for a table of more than MAX_ELEMENTS elements.
    """
    trees = [_read(text, groups) for text in (predicted, truth)]
    a, b = trees
    if a is None or b is None:
        return float(a is b)
    sizes = [_size(tree) for tree in (a, b)]
    if max(sizes) > MAX_ELEMENTS:
        raise ConfigError(f"a table of {max(sizes)} elements is too large for TEDS; allowed: {MAX_ELEMENTS}")
    distance = _distance(_Order(a), _Order(b), structure)
    return max(0.0, 1 - distance / max(1, *sizes))


def _size(tree: _Element) -> int:
    """Count the elements below one, as the published script does: with those inside cells."""
    return tree.inner + sum(1 + _size(child) for child in tree.children)


def _read(text: str, groups: bool) -> _Element | None:
    """Parse the first table of a text into a tree."""
    if "<table" not in text.lower() and (found := re.search(r"\\begin\{tabular\}.*\\end\{tabular\}", text, re.S)):
        try:
            text = to_html(parse_latex(found.group()))
        except ValueError:
            return None
    reader = _Reader(groups)
    reader.feed(text)
    reader.close()
    return reader.table


class _Reader(HTMLParser):
    """Build the tree of the first table. End tags may be missing. Text after the table is ignored."""

    def __init__(self, groups: bool) -> None:
        super().__init__()
        self.table: _Element | None = None
        self.groups, self.open, self.depth = groups, list[_Element](), 0  # depth: of tables inside a cell

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        tag = "td" if tag == "th" else tag
        if self.table is None and tag == "table":
            self.table = _Element(tag)
            self.open = [self.table]
            return
        if not self.open or (tag in ("thead", "tbody", "tfoot") and not self.groups):
            return
        if self.depth == 0:
            while self.open[-1].tag in _ENDS.get(tag, ()):
                self.open.pop()
        cell = self.open[-1]
        if cell.tag == "td":  # what is inside a cell is content
            self.depth += tag == "table"
            cell.inner += 1
            cell.content += [f"<{tag}>", f"</{tag}>"] if tag in _EMPTY else [f"<{tag}>"]
            return
        given = dict(attrs)
        spans = (given.get("colspan") or "1", given.get("rowspan") or "1") if tag == "td" else ("1", "1")
        self.open[-1].children.append(_Element(tag, spans))
        if tag not in _EMPTY and len(self.open) < MAX_DEPTH:
            self.open.append(self.open[-1].children[-1])

    def handle_endtag(self, tag: str) -> None:
        tag = "td" if tag == "th" else tag
        if not self.open:
            return
        if self.open[-1].tag == "td" and (self.depth or tag not in ("td", "tr", "thead", "tbody", "tfoot", "table")):
            self.depth -= self.depth > 0 and tag == "table"
            self.open[-1].content.append(f"</{tag}>")
        elif tag in [element.tag for element in self.open]:
            while self.open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1].tag == "td":
            self.open[-1].content += data


class _Order:
    """The nodes of a tree in postorder. first: place of each node's leftmost leaf."""

    def __init__(self, tree: _Element):
        self.nodes: list[_Element] = []
        self.first = np.zeros(_size(tree) + 1, int)
        self._add(tree)
        self.first = self.first[: len(self.nodes)]
        self.leaf = self.first == np.arange(len(self.nodes))
        last = {int(first): place for place, first in enumerate(self.first)}
        self.roots = sorted(place for place in last.values() if not self.leaf[place])  # with a sibling to the left

    def _add(self, node: _Element) -> int:
        firsts = [self._add(child) for child in node.children]
        first = firsts[0] if firsts else len(self.nodes)
        self.first[len(self.nodes)] = first
        self.nodes.append(node)
        return first


def _distance(a: _Order, b: _Order, structure: bool) -> float:
    costs = _costs(a.nodes, b.nodes, structure)
    trees = costs.copy()  # distance of the trees below two nodes; two leaves differ by their costs
    for j in np.flatnonzero(~b.leaf).tolist():
        trees[a.leaf, j] = costs[a.leaf, b.first[j] : j + 1].min(axis=1) + j - b.first[j]
    for i in np.flatnonzero(~a.leaf).tolist():
        trees[i, b.leaf] = costs[a.first[i] : i + 1, b.leaf].min(axis=0) + i - a.first[i]
    for i in a.roots:
        for j in b.roots:
            _fill(trees, costs, a.first, b.first, i, j)
    return float(trees[-1, -1])


def _fill(trees: np.ndarray, costs: np.ndarray, first_a: np.ndarray, first_b: np.ndarray, i: int, j: int) -> None:
    """Compute distances of the forests below i and j, and so of all trees along their left edges."""
    low, left = first_a[i], first_b[j]
    columns = slice(left, j + 1)
    before, steps = first_b[columns] - left, np.arange(j - left + 2)
    edge = before == 0
    forests = np.empty((i - low + 2, j - left + 2))
    forests[0] = steps
    for row in range(1, i - low + 2):
        node = low + row - 1
        found = forests[first_a[node] - low, before] + trees[node, columns]
        if first_a[node] == low:
            found[edge] = forests[row - 1, :-1][edge] + costs[node, columns][edge]
        line = np.concatenate([[row], np.minimum(forests[row - 1, 1:] + 1, found)]) - steps
        forests[row] = np.minimum.accumulate(line) + steps
        if first_a[node] == low:
            trees[node, columns][edge] = forests[row, 1:][edge]


def _costs(a: list[_Element], b: list[_Element], structure: bool) -> np.ndarray:
    """Return the cost of changing each node of one tree into each node of the other, 0 to 1."""
    kinds = {k: n for n, k in enumerate(dict.fromkeys((e.tag, e.spans) for e in (*a, *b)))}
    codes = [np.array([kinds[e.tag, e.spans] for e in nodes]) for nodes in (a, b)]
    costs = (codes[0][:, None] != codes[1]).astype(float)
    if not structure:
        cells = [[k for k, e in enumerate(nodes) if e.tag == "td"] for nodes in (a, b)]
        if all(cells):
            contents = [[nodes[k].content for k in places] for nodes, places in zip((a, b), cells, strict=True)]
            apart = cdist(*contents, scorer=Levenshtein.normalized_distance, dtype=np.float64)
            costs[np.ix_(*cells)] = np.maximum(costs[np.ix_(*cells)], apart)
    return costs


def table_score(predicted: str, truth: str, structure: bool) -> float:
    """Return TEDS without row groups. A table that is too large for TEDS scores 0."""
    try:
        return teds(predicted, truth, structure=structure, groups=False)
    except ValueError:
        return 0.0


def table_scores(answer: str, truth: str) -> Scores:
    """Score a table by TEDS, with and without the text of cells."""
    return {"teds": table_score(answer, truth, False), "teds_s": table_score(answer, truth, True)}
