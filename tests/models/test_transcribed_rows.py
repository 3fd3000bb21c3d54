"""Rows without a class of transformers equal the authors' public code; all rows answer, train, and come back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from vary.models.config import preset
from vary.models.fuse.language import INSIDE
from vary.models.images.arrange import runs_of
from vary.models.images.views import cut_views
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.zoo import about, names

from .grounding_transcripts import REGIONAL
from .language_transcripts import LANGUAGES
from .references import randomised
from .resampler_transcripts import authors_slices
from .route_transcripts import ROUTED
from .test_rows import (
    DARK,
    answered,
    check_batches_caches_and_beams,
    check_training,
    decoder_of,
    inputs_of,
    one_of_each_part,
)
from .transcript_parts import step
from .transcripts import TOKENS, c_abstractor

LOGITS = LANGUAGES | ROUTED | REGIONAL
OWN = [name for name in names() if not about(name).reference and about(name).trains]  # of other authors


def row(name: str) -> VaryForConditionalGeneration:
    model = randomised(VaryForConditionalGeneration(preset(f"{name}-test")))
    if norms := [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]:
        for norm in norms:  # without statistics of images, random weights let little of an image through
            norm.momentum = None
        decoder = {key: ids.expand(2, -1) for key, ids in decoder_of(model.config).items()}
        with torch.no_grad():
            model.train()(**inputs_of(model.config, 1, DARK), **decoder)
    return model.eval()


def language_of(model: VaryForConditionalGeneration) -> torch.nn.Module | None:
    """The causal language model of transformers with the weights of ours; None where it has no such class."""
    if model.config.text_config.model_type in INSIDE:
        return None
    made = AutoModelForCausalLM.from_config(model.config.text_config).eval()
    made.base_model.load_state_dict(model.language_model.state_dict())
    made.get_output_embeddings().load_state_dict(model.lm_head.state_dict())
    return made


@pytest.mark.parametrize("name", [*TOKENS, *LOGITS])
@torch.no_grad()
def test_row_equals_the_code_of_its_authors(name) -> None:
    ours = row(name)
    inputs = inputs_of(ours.config, 1)
    logits, language = ours(**inputs).logits, language_of(ours)
    if name in TOKENS:
        embedded = language.get_input_embeddings()(inputs["input_ids"])
        places = (inputs["input_ids"] == ours.config.image_token_id)[..., None]
        embedded = embedded.masked_scatter(places, TOKENS[name](ours, inputs))
        given = {"inputs_embeds": embedded, "attention_mask": inputs["attention_mask"]}
        assert (logits - language(**given).logits).abs().max() <= 1e-4
        assert answered(ours, ours.config, inputs) == answered(language, ours.config, given)
        return
    assert (logits - LOGITS[name](ours, inputs, language)).abs().max() <= 1e-4
    tokens = answered(ours, ours.config, inputs)[0]  # one by one, with the cache that the code of the test lacks
    for key, more in (("input_ids", tokens[:-1]), ("attention_mask", [1] * (len(tokens) - 1))):
        inputs[key] = torch.cat([inputs[key], torch.tensor([more])], 1)
    following = LOGITS[name](ours, inputs, language_of(ours))[0, -len(tokens) :]
    following[:, ours.config.image_token_id] = -math.inf
    assert following.argmax(-1).tolist() == tokens


@torch.no_grad()
def test_the_connector_of_mm1_equals_the_c_abstractor() -> None:
    """The model itself has no public code, its connector has."""
    ours = row("mm1")
    steps = ours.config.connector["steps"]
    tokens = torch.randn(2, 9, ours.vocabularies[0].width)
    expected = c_abstractor([step(ours, 0), step(ours, 2)], tokens, steps[0]["depth"], tuple(steps[1]["to"]))
    found, grid = tokens, (3, 3)
    for made, sizes in zip(ours.connector.steps[:3], steps, strict=False):
        found = made(found, grid)
        grid = tuple(sizes.get("to", grid))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "most", "cut"), [("llava-uhd", 6, math.floor), ("minicpm-v", 9, round)])
@pytest.mark.parametrize("size", [(300, 200), (500, 700), (1200, 400), (333, 1999), (2000, 1500), (90, 1500)])
def test_an_image_is_sliced_as_by_the_authors(name, most, cut, size) -> None:
    preprocess = preset(name).vocabularies[0]["preprocess"]
    views, shape = cut_views(Image.new("RGB", size), preprocess, 3)
    grid, whole, own = authors_slices(*size, preprocess["size"], most, cut)
    columns, rows = grid or (0, 0)
    slices = [own[::-1]] * (rows * columns)
    expected = [*slices, whole[::-1]] if name == "llava-uhd" else [whole[::-1], *slices]
    assert ([view.shape[1:] for view in views], shape) == (expected, (rows, columns, size[1], size[0]))


@pytest.mark.parametrize(
    ("name", "one", "sliced"),
    [
        ("llava-uhd", "#", "#,#,#\n#,#,#\n#"),
        (
            "minicpm-v",
            "<image>#</image>",
            "<image>#</image><slice>" + "\n".join(["<image>#</image>" * 3] * 2) + "</slice>",
        ),
    ],
)
def test_the_text_around_slices_is_that_of_the_authors(name, one, sliced) -> None:
    for expected, shape in ((one, (0, 0, 300, 200)), (sliced, (2, 3, 800, 1200))):
        runs = runs_of(preset(name).arrange, (8, 8), shape, (336, 336))
        assert "".join("#" if run == 64 else str(run) for run in runs) == expected


def test_each_frame_of_a_video_is_before_its_number() -> None:
    runs = runs_of(preset("cogvlm2-video").arrange, (8, 8), (23, 1, 300, 200), (224, 224))
    assert "".join("#" if run == 64 else str(run) for run in runs) == "".join(f"#{k}" for k in range(24))


def authors_size(wide: int, high: int, sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """The (width, height) that the tiles of an image fill: the smaller one of two choices (SEED-X)."""
    first: tuple[Any, ...] = (0, 0, math.inf)
    second: tuple[Any, ...] = (0, math.inf, math.inf)
    for size in sizes:
        scale = min(size[0] / wide, size[1] / high)
        used = min(int(wide * scale) * int(high * scale), wide * high)
        wasted = size[0] * size[1] - used
        if used > first[1] or (used == first[1] and wasted < first[2]):
            first = (size, used, wasted)
        ratios, areas = (size[1] / size[0], high / wide), (size[0] * size[1], wide * high)
        found = (size, max(ratios) / min(ratios), max(areas) / min(areas))
        second = found if found[1:] < second[1:] else second
    return second[0] if math.prod(first[0]) > math.prod(second[0]) else first[0]


@pytest.mark.parametrize(
    "size", [(300, 200), (500, 700), (1200, 400), (333, 1999), (2000, 1500), (900, 900), (470, 460)]
)
def test_the_tiles_of_seed_x_fill_the_size_that_the_authors_choose(size) -> None:
    preprocess = preset("seed-x").vocabularies[0]["preprocess"]
    views, shape = cut_views(Image.new("RGB", size), preprocess, 3)
    scales = ["1x1", "1x2", "1x3", "2x1", "3x1", "1x4", "4x1", "2x2"]
    wide, high = authors_size(*size, [tuple(448 * int(side) for side in scale.split("x")) for scale in scales])
    assert (len(views), shape[:2]) == (wide * high // 448**2 + 1, (high // 448, wide // 448))


def authors_grid(
    width: int, height: int, pad: int, limit: int, once: bool
) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Columns and rows of tiles, and size and top of the image inside them, as `about.code` of both rows has it."""
    turned = width < height
    if turned:
        width, height = height, width
    ratio, scale = width / height, 1
    while scale * math.ceil(scale / ratio) <= limit:
        scale += 1
    scale = min(math.ceil(width / pad), scale - 1) if once else scale - 1
    new_width = scale * pad
    new_height = int(new_width / ratio)
    whole = math.ceil(new_height / pad) * pad
    top = 0 if once else int((whole - new_height) / 2)
    grid, size = (scale, whole // pad), (new_width, new_height)
    return (grid[::-1], size[::-1], top) if turned else (grid, size, top)


@pytest.mark.parametrize(("name", "limit", "once"), [("xcomposer2-4khd", 55, False), ("xcomposer-2.5", 25, True)])
@pytest.mark.parametrize("size", [(300, 200), (500, 700), (1200, 400), (333, 1999), (2000, 1500), (900, 900)])
def test_an_image_is_cut_into_a_grid_as_by_the_authors(name, limit, once, size) -> None:
    pad, size = 42, (size[0] // 8, size[1] // 8)  # small tiles: there are up to 55
    preprocess = preset(name).vocabularies[0]["preprocess"] | {"mean": 0.0, "std": 1.0, "size": pad}
    views, shape = cut_views(Image.new("RGB", size, "black"), preprocess, 3)
    (columns, rows), (wide, high), before = authors_grid(*size, pad, limit, once)
    assert shape == (rows, columns, size[1], size[0])
    assert {view.shape for view in views} == {(3, pad, pad)}
    tiles = np.stack(views[1:]).reshape(rows, columns, 3, pad, pad).transpose(2, 0, 3, 1, 4)
    dark = tiles.reshape(3, rows * pad, columns * pad)[0] < 0.5
    assert (dark.any(1).sum(), dark.any(0).sum()) == (high, wide)
    assert int((dark.any(1) if size[0] >= size[1] else dark.any(0)).argmax()) == before


@torch.no_grad()
def test_a_router_that_reads_the_prompt_does_not_read_the_answer() -> None:
    ours = row("parrot")
    asked = inputs_of(ours.config, 1)
    with_answer = dict(asked)
    for key, more in (("input_ids", [[7, 9]]), ("attention_mask", [[1, 1]])):
        with_answer[key] = torch.cat([asked[key], torch.tensor(more)], 1)
    labels = torch.cat([torch.full_like(asked["input_ids"], -100), torch.tensor([[7, 9]])], 1)
    alone = ours(**asked).image_hidden_states
    assert torch.equal(ours(**with_answer, labels=labels).image_hidden_states, alone)
    assert not torch.equal(ours(**with_answer).image_hidden_states, alone)


@pytest.fixture(scope="module", params=one_of_each_part(OWN))
def own(request) -> VaryForConditionalGeneration:
    """One miniature after another, for all tests of it; none of them changes it."""
    return row(request.param)


@torch.no_grad()
def test_the_picture_is_seen(own) -> None:
    decoder = decoder_of(own.config)
    one, other = (own(**inputs_of(own.config, k), **decoder).logits[0, -1] for k in (1, DARK))
    assert (one - other).abs().max() >= 1e-2


@torch.no_grad()
def test_batches_caches_and_beams(own) -> None:
    check_batches_caches_and_beams(own)


@torch.no_grad()
def test_a_row_comes_back_from_its_folder(own, tmp_path) -> None:
    own.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    inputs, decoder = inputs_of(own.config, 1), decoder_of(own.config)
    assert (again(**inputs, **decoder).logits - own(**inputs, **decoder).logits).abs().max() <= 1e-5


@pytest.mark.parametrize("name", one_of_each_part(OWN))
def test_training_changes_what_the_row_trains_and_lowers_the_loss(name) -> None:
    check_training(name)


def test_transcribed_rows_cite_the_code_that_was_read() -> None:
    assert {name for name in names() if about(name).level == "transcribed"} == {*TOKENS, *LOGITS}
    for name in (*TOKENS, *LOGITS):
        place, file, commit = about(name).code.split(" (")[0].split(", ")
        assert place.count("/") == 1, name
        assert file.endswith(".py"), name
        assert len(commit) == 7, name
