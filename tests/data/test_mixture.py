"""A mix keeps its shares exactly, and what sample i is depends on nothing but the recipe and i."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vary.data import mixture
from vary.data.mixture import LONGEST, Mixture, Part, Schedule, load_recipe, read_mix, shares
from vary.data.registry import SOURCES
from vary.data.sample import Sample

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("mix-*.yaml"))


class Numbered:
    """A source whose n-th sample says n."""

    def __init__(self, settings: dict, seed: int):
        self.seed, self.prompt = seed, settings.pop("asks", None)
        if settings:
            raise TypeError(f"unexpected {sorted(settings)}")

    def sample(self, n: int) -> Sample:
        return Sample(np.zeros((1, 1), np.uint8), [], "n", {}, str(n), self.prompt)


@pytest.fixture
def numbered(monkeypatch):
    monkeypatch.setitem(mixture.SOURCES, "numbered", Numbered)


def test_shares_are_exact_where_they_can_be() -> None:
    assert shares([1_000_000, 1_000_000, 250_000, 120_000]) == [100, 100, 25, 12]
    assert shares([0.5, 0.25, 0.25]) == [5000, 2500, 2500]
    rounded = shares([1_000_003, 1])
    assert sum(rounded) == LONGEST
    assert rounded[1] == 1  # a part never vanishes


def test_every_part_counts_on_without_gaps() -> None:
    weights = [5, 3, 1, 1]
    schedule = Schedule(weights, seed=4)
    drawn = [schedule.at(i) for i in range(10 * 7)]
    for part, weight in enumerate(weights):
        assert [n for p, n in drawn if p == part] == list(range(7 * weight))
    for turn in range(7):  # exactly so often in every period, in an order of its own
        assert Counter(p for p, _ in drawn[10 * turn : 10 * turn + 10]) == dict(enumerate(weights))
    assert len({tuple(p for p, _ in drawn[10 * t : 10 * t + 10]) for t in range(7)}) > 3


def test_any_order_any_rank_gives_the_same() -> None:
    first = [Schedule([3, 2, 2], 1).at(i) for i in range(100)]
    one = Schedule([3, 2, 2], 1)
    assert [one.at(i) for i in reversed(range(100))] == first[::-1]
    ranks = [Schedule([3, 2, 2], 1) for _ in range(8)]
    assert [ranks[i % 8].at(i) for i in range(100)] == first
    assert Schedule([3, 2, 2], 1).at(10**12) == one.at(10**12)
    assert [Schedule([3, 2, 2], 2).at(i) for i in range(100)] != first


def test_a_part_keeps_its_samples_when_others_come(numbered) -> None:
    a, b = Part("a", "numbered", 1), Part("b", "numbered", 2)
    one, two = Mixture([a], 7), Mixture([b, a], 7)
    assert one.sources[0].seed == two.sources[1].seed != two.sources[0].seed
    assert {two.sample(i).meta["part"] for i in range(3)} == {"a", "b"}


def test_prompts(numbered) -> None:
    mix = Mixture([Part("a", "numbered", 1, ("one?", "two?"))], 7)
    asked = [mix.sample(i).prompt for i in range(40)]
    assert asked == [Mixture(mix.parts, 7).sample(i).prompt for i in range(40)]
    assert set(asked) == {"one?", "two?"}
    own = Mixture([Part("a", "numbered", 1, ("one?",), {"asks": "mine?"})], 7)
    assert own.sample(0).prompt == "mine?"


def test_pages_of_a_recipe_are_pure(tmp_path) -> None:
    import matplotlib

    text = tmp_path / "text.txt"
    text.write_text("Plain words of some length, which a page repeats as often as it needs them. " * 20)
    fonts = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    page = {"source": "page", "texts": str(text), "fonts": fonts, "height": 96, "width": 192}
    recipe = {"mix": {"stage": {"clean": {**page, "degraded": 0.0}, "bad": {**page, "degraded": 1.0, "weight": 2}}}}
    one, other = Mixture(read_mix(recipe), 3), Mixture(read_mix(recipe, "stage"), 3)
    other.sample(5)
    for i in (4, 0, 2):
        assert np.array_equal(one.sample(i).image, other.sample(i).image)
        assert ("degraded" in one.sample(i).meta) == (one.sample(i).meta["part"] == "bad")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_the_papers_mixes_can_be_read(path) -> None:
    recipe = load_recipe(path)
    for stage in recipe["mix"]:
        parts = read_mix(recipe, stage, path.name)
        assert sum(shares([p.weight for p in parts])) <= LONGEST
        assert {p.source for p in parts} <= set(SOURCES)


def test_the_papers_counts() -> None:
    """Vary-tiny's data are 3.62 million samples (arXiv 2312.06109, section 3.2.2)."""
    assert len(RECIPES) >= 5
    (tiny,) = (p for p in RECIPES if p.stem == "mix-vary-tiny")
    assert sum(p.weight for p in read_mix(load_recipe(tiny))) == 3_620_000


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({}, "no 'mix'"),
        ({"a": {}}, "no parts"),
        ({"a": {"x": {"weight": 1}}}, r"mix.a.x: expected a mapping with 'source'"),
        ({"a": {"x": {"source": "pgae"}}}, "unknown source 'pgae'; allowed: page"),
        ({"a": {"x": {"source": "page", "weight": 0}}}, "weight 0; allowed"),
        ({"a": {"x": {"source": "page"}}, "b": {"x": {"source": "page"}}}, "name one of the stages a, b"),
    ],
)
def test_bad_recipes_are_named(mix, message) -> None:
    with pytest.raises(ValueError, match=message):
        read_mix({"mix": mix})


def test_bad_settings_name_their_part(numbered, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"mix part 'x' \(numbered\): unexpected \['colour'\]"):
        Mixture([Part("x", "numbered", 1, (), {"colour": 1})])
    with pytest.raises(ValueError, match="no stage 'c'; allowed: a"):
        read_mix({"mix": {"a": {"x": {"source": "page"}}}}, "c")
    broken = tmp_path / "r.yaml"
    broken.write_text("mix: [")
    with pytest.raises(ValueError, match=r"r\.yaml"):
        load_recipe(broken)
