"""Define the configuration of a model: which parts it is made of, and their sizes.

Every part is a mapping with a `name`; its other keys are the arguments of that part's constructor. Unknown keys and
values of a wrong type are refused, with the nearest known key. Named models are in `zoo/`.
"""

import copy
import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache, partial
from typing import Any, ClassVar, Literal, get_type_hints

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from ..io.errors import ConfigError, check_keys
from .connect import CONNECTORS, STEPS, LanguageMoe, sizes_of
from .fuse import BRANCHES, FUSIONS, REGIONS, Where, split_route
from .generate.symbols_decoder import SymbolsDecoder
from .heads import HEADS
from .heads.glyphs import GlyphHead
from .images.arrange import ARRANGES
from .images.preprocess import DEFAULTS
from .images.views import check_views
from .vocab import VOCABULARIES, upgrade
from .vocab.merge import MERGES
from .zoo import settings

Number = float | int


@strict
@dataclass
class Preprocess:
    """How images become pixels of a vocabulary. It belongs to the weights.

    `mean` and `std` are numbers, or one per channel. `fit` says what happens to the shape: `squash` to a square,
    `crop` the middle square, `pad` the longer side below and right, `centre` pad both sides, or keep the `page` and pad
    it to a `multiple`. `size` is the side of the square in pixels, `fill` the colour of the padding (0 to 255).
    `em_px` is the size of type, in pixels, that a reading head was trained for. `views` cuts an image into several, or
    keeps its own size: a `name` of `views.VIEWS` and its sizes; `fit` has no effect then.
    """

    mean: Number | list[Number] = DEFAULTS["mean"]
    std: Number | list[Number] = DEFAULTS["std"]
    fit: Literal["squash", "crop", "pad", "centre", "page"] = DEFAULTS["fit"]
    size: int | None = None
    resample: Literal["bicubic", "bilinear", "opencv"] = DEFAULTS["resample"]
    multiple: int = DEFAULTS["multiple"]
    em_px: Number | None = None
    fill: list[int] | None = None
    views: dict[str, Any] | None = None


@strict
@dataclass
class PositionIds:
    """How tokens of the prompt are numbered: `plain` from `first`, `mrope` (time, row and column), `shared` by the
    inner tokens of an image, or `xpos` (queries and keys are turned by the numbers)."""

    name: Literal["plain", "mrope", "shared", "xpos"] = "plain"
    first: int = 0


@strict
@dataclass
class HeadSizes:
    """The projection to logits: whether it has a bias, and the factor of what it projects."""

    bias: bool = False
    scale: Number = 1.0


@strict
@dataclass
class Reading:
    """The reading head of a model.

    `alphabet` holds the characters that it spells, `frames` is the number of CTC frames per column, and `styles` are
    the styles of type that it tells apart. `append_posteriors` concatenates its character probabilities to the vision
    tokens before the connector. `vocabulary` is the index of the vocabulary that it reads. `decoder_weight` is the
    weight of the decoder when it re-ranks the head's candidates; 0 leaves the decoder out. `context` is the width of
    the layers by which a cell sees its neighbours; 0 has none. `decoder_alphabet` holds the characters that the decoder
    writes, which are the first ones of `alphabet`; empty for all of them.
    """

    alphabet: str
    frames: int = 3
    styles: list[str] = field(default_factory=list)
    append_posteriors: bool = False
    vocabulary: int = 0
    decoder_weight: Number = 0.0
    context: int = 0
    decoder_alphabet: str = ""

    def __post_init__(self) -> None:
        if not self.alphabet.startswith(self.decoder_alphabet):
            raise ValueError("reading: the alphabet does not begin with decoder_alphabet")


class VaryConfig(PreTrainedConfig):
    """Describe a model: vocabularies, merge, connector, language model and, if there is one, the reading head.

    Args:
        vocabularies: One mapping each: `name`, the sizes of that vocabulary, and `preprocess` (see `Preprocess`).
        merge: Name of the merge.
        connector: `name` and sizes. A list with one mapping per vocabulary connects each branch before the merge
            (Vary's own order) instead of the merged tokens.
        arrange: Order of the tokens of an image: `name` and sizes.
        fusion: How images reach the language model: `name` and sizes.
        routes: Which tokens take other parameters: the keys of `Where`, and `name` and sizes of a branch.
        positions: The keys of `PositionIds`.
        mask: `causal`, or `prefix` (tokens before the first answer see each other).
        head: The keys of `HeadSizes`.
        text_config: Configuration of any causal or encoder-decoder language model of transformers.
        regions: None, or how regions of an image become tokens: `name`, the `token` that stands for one, and sizes.
        heads: What reads boxes or masks out of answers: `name`, the `token` that stands for one, and sizes.
        reading: None, or the keys of `Reading`.
        formulas: None, or the arguments of `SymbolsDecoder`.
        glyph_head: None, or the arguments of `GlyphHead`; it reads the reading head's vocabulary.
        template: How prompts are written: a name of `markup.prompts.TEMPLATES`.
        image_token_id: Id of `<imgpad>`; image tokens replace its embeddings.

    Raises:
        ValueError: A key or a name is unknown, or a value has the wrong type.
    """

    model_type = "vary"
    sub_configs: ClassVar = {"text_config": AutoConfig}

    def __init__(
        self,
        vocabularies: list[dict[str, Any]] | None = None,
        merge: str = "channel",
        connector: dict[str, Any] | list[dict[str, Any]] | None = None,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        arrange: dict[str, Any] | None = None,
        fusion: dict[str, Any] | None = None,
        routes: list[dict[str, Any]] | None = None,
        positions: dict[str, Any] | None = None,
        mask: str = "causal",
        head: dict[str, Any] | None = None,
        regions: dict[str, Any] | None = None,
        heads: list[dict[str, Any]] | None = None,
        reading: dict[str, Any] | None = None,
        formulas: dict[str, Any] | None = None,
        glyph_head: dict[str, Any] | None = None,
        template: str = "plain",
        image_token_id: int = 5,
        **kwargs: Any,
    ):
        if "transformers_version" not in kwargs:  # written by a person; other keys of a saved file are transformers'
            own = list(inspect.signature(VaryConfig.__init__).parameters)[1:-1]
            check_keys(
                "model",
                kwargs,
                {*own, *PreTrainedConfig().to_dict(), "quantization_config", "torch_dtype", "tie_word_embeddings"},
            )
        self.vocabularies = [upgrade(vocabulary) for vocabulary in vocabularies or [{"name": "nano"}]]
        self.merge = merge
        self.connector = connector or {"name": "shuffle"}
        self.text_config = _text_config(text_config or {"model_type": "llama"})
        self.arrange = arrange or {"name": "plain"}
        self.fusion = fusion or {"name": "prefix"}
        self.routes = routes or []
        self.positions = positions or {"name": "plain"}
        self.mask = mask
        self.head = head or {}
        self.regions = regions
        self.heads = heads or []
        self.reading = _upgrade_reading(reading)
        self.formulas = formulas
        self.glyph_head = glyph_head
        self.template = template
        self.image_token_id = image_token_id
        kwargs.setdefault("is_encoder_decoder", self.text_config.is_encoder_decoder)
        kwargs.setdefault("tie_word_embeddings", self.text_config.tie_word_embeddings)
        super().__init__(**kwargs)
        self.check()

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """Return the configuration of the language model, or of its decoder, whose depth T5 has under another name."""
        found = super().get_text_config(decoder, encoder)
        if not decoder or not hasattr(found, "num_decoder_layers"):
            return found
        found = copy.deepcopy(found)
        found.num_hidden_layers = found.num_decoder_layers
        return found

    @property
    def is_special(self) -> bool:
        """Whether `generate` needs more of the prompt than its embeddings."""
        plain = FUSIONS[self.fusion["name"]].places is None and self.mask == "causal" and self.counts_itself
        return self.is_encoder_decoder or not plain or self.reads_prompt

    @property
    def counts_itself(self) -> bool:
        """Whether the language model numbers the tokens of a prompt by itself."""
        return self.positions["name"] in ("plain", "xpos") and not self.positions.get("first")

    @property
    def reads_prompt(self) -> bool:
        """Whether a connector looks at the embeddings of the prompt."""
        steps = self.connector.get("steps", []) if isinstance(self.connector, dict) else []
        return any(STEPS[step["name"]] is LanguageMoe for step in steps)

    def check(self) -> None:
        """Check the keys, names and types of every part.

        Raises:
            ValueError: Names the part and the key.
        """
        for k, vocabulary in enumerate(self.vocabularies):
            where = f"vocabularies.{k}"
            check_part(where, "vocabulary", vocabulary, VOCABULARIES)
            if isinstance(vocabulary.get("config"), dict):
                _check_transformers(f"{where}.config", vocabulary["config"])
            if "preprocess" in vocabulary:
                check_values(f"{where}.preprocess", Preprocess, vocabulary["preprocess"])
                if views := vocabulary["preprocess"].get("views"):
                    check_views(f"{where}.preprocess.views", views)
        check_part("arrange", "arrangement", self.arrange, ARRANGES)
        check_part("fusion", "fusion", self.fusion, FUSIONS)
        self._check_readers()
        for k, route in enumerate(self.routes):
            chosen, branch = split_route(route)
            check_values(f"routes.{k}", Where, chosen)
            parts = ["language_model", *(f"vocabularies.{j}" for j in range(len(self.vocabularies)))]
            if (part := chosen.get("part", parts[0])) not in parts:
                raise ConfigError(f"routes.{k}: unknown part {part!r}; allowed: {', '.join(parts)}")
            check_part(f"routes.{k}", "branch", branch, BRANCHES)
        check_values("positions", PositionIds, self.positions)
        check_values("head", HeadSizes, self.head)
        if self.mask not in ("causal", "prefix"):
            raise ConfigError(f"unknown mask {self.mask!r}; allowed: causal, prefix")
        if self.merge not in MERGES:
            raise ConfigError(f"unknown merge {self.merge!r}; allowed: {', '.join(MERGES)}")
        several = isinstance(self.connector, list)
        for k, connector in enumerate(self.connector if several else [self.connector]):
            where = f"connector.{k}" if several else "connector"
            check_part(where, "connector", connector, CONNECTORS)
            steps = connector.get("steps", []) if isinstance(connector, dict) else []
            for j, step in enumerate(steps):
                check_part(f"{where}.steps.{j}", "step", step, STEPS)
        if self.formulas:
            check_values("formulas", _schema(SymbolsDecoder), self.formulas)
        if self.glyph_head:
            check_values("glyph_head", _schema(GlyphHead), self.glyph_head)
        if self.reading:
            check_values("reading", Reading, self.reading)
            if not 0 <= self.reading.get("vocabulary", 0) < len(self.vocabularies):
                count, asked = len(self.vocabularies), self.reading["vocabulary"]
                raise ConfigError(f"reading.vocabulary {asked}: the model has {count} vocabularies, counted from 0")

    def _check_readers(self) -> None:
        """Check what describes regions and what reads answers."""
        readers: list[tuple[str, str, Any, dict[str, Any]]]
        readers = [(f"heads.{k}", "head", head, HEADS) for k, head in enumerate(self.heads)]
        readers += [("regions", "region", self.regions, REGIONS)] if self.regions else []
        for where, kind, given, known in readers:
            check_part(where, kind, given, known)
            if (known[given["name"]].vocabulary or 0) >= len(self.vocabularies):
                raise ConfigError(f"{where}: {given['name']} reads a second vocabulary, and the model has one")


def preset(name: str) -> VaryConfig:
    """Return the configuration of a model of the zoo or of a YAML file; `-test` after the name is its miniature.

    Raises:
        ValueError: The name is unknown, or the file is not a valid configuration.
    """
    return VaryConfig(**settings(name))


def check_values(where: str, schema: type, given: Any) -> None:
    """Raise ValueError if `given` is not a mapping that a strict dataclass accepts."""
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: expected a mapping, got {given!r}")
    check_keys(where, given, [f.name for f in fields(schema)])
    try:
        schema(**given)
    except StrictDataclassError as error:
        raise ConfigError(f"{where}: {' '.join(str(error.__cause__ or error).split())}") from None
    except TypeError as error:  # a key is missing
        raise ConfigError(f"{where}: {str(error).split('__init__() ')[-1]}") from None


def check_part(where: str, kind: str, given: Any, known: dict[str, Any]) -> None:
    """Check a mapping with a `name` against the constructor of that part."""
    if not isinstance(given, dict) or "name" not in given:
        raise ConfigError(f"{where}: expected a mapping with a name, got {given!r}")
    if given["name"] not in known:
        near = difflib.get_close_matches(str(given["name"]), known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"unknown {kind} {given['name']!r}; {hint}allowed: {', '.join(known)}")
    check_values(where, _schema(known[given["name"]]), sizes_of(given))


@cache
def _schema(part: type) -> type:
    """Make a strict dataclass of the arguments of a constructor, without those that its place in a model gives."""
    hints = get_type_hints(part.__init__)  # type: ignore[misc]
    arguments: list[Any] = []
    for name, parameter in list(inspect.signature(part.__init__).parameters.items())[1:]:  # type: ignore[misc]
        if name in getattr(part, "given", ()):
            continue
        kind = _loose(hints.get(name, Any))
        if parameter.default is inspect.Parameter.empty:
            arguments.append((name, kind))
        else:
            arguments.append((name, kind, field(default_factory=partial(_same, parameter.default))))
    return strict(make_dataclass(part.__name__, arguments, kw_only=True))


def _same(value: Any) -> Any:
    return value


def _loose(hint: Any) -> Any:
    """Accept the lists of JSON and YAML for tuples and sequences, and whole numbers for floats."""
    text = str(hint)
    if "tuple[" in text or "Sequence[" in text:
        return list | tuple
    return Number if hint is float else hint


def _text_config(given: dict[str, Any] | PreTrainedConfig) -> PreTrainedConfig:
    if isinstance(given, PreTrainedConfig):
        return given
    values = dict(given)
    if "architectures" not in values:  # written by a person, not saved by transformers
        _check_transformers("text_config", values)
    return AutoConfig.for_model(values.pop("model_type"), **values)


def _check_transformers(where: str, given: dict[str, Any]) -> None:
    """Check the keys of a configuration of transformers."""
    kind = str(given.get("model_type"))
    if kind not in CONFIG_MAPPING:
        near = difflib.get_close_matches(kind, list(CONFIG_MAPPING), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{where}.model_type: transformers has no model type {kind!r}{hint}")
    own = CONFIG_MAPPING[kind]
    known = {*own().to_dict(), *getattr(own, "attribute_map", {}), *inspect.signature(own.__init__).parameters}
    known |= {
        "rope_theta",
        "rope_scaling",
        "torch_dtype",
        "layer_types",
        "tie_word_embeddings",
        "decoder_start_token_id",
    }
    check_keys(where, given, known)


def decoder_alphabet(reading: Mapping[str, Any]) -> str:
    """Return the characters that the decoder of a model writes, from the model's `reading`."""
    return str(reading.get("decoder_alphabet") or reading["alphabet"])


def _upgrade_reading(reading: dict[str, Any] | None) -> dict[str, Any] | None:
    """Rename the key `feed` of older configurations."""
    if reading is None or "feed" not in reading:
        return reading
    return {"append_posteriors" if key == "feed" else key: value for key, value in reading.items()}


AutoConfig.register("vary", VaryConfig)

__all__ = [
    "Preprocess",
    "Reading",
    "VaryConfig",
    "check_part",
    "check_values",
    "decoder_alphabet",
    "preset",
]
