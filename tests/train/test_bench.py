"""Comparing models at one budget: what all arms share, what is written, resuming, and every row of the family."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig

from vary.cli import main
from vary.document.alphabets import LATIN
from vary.models.generate.chat import ChatModel
from vary.models.hub import weights_dir
from vary.models.modeling import VaryForConditionalGeneration, load_model
from vary.models.processor import VaryProcessor, character_tokenizer
from vary.models.vocab.merge import MERGES, token_grid
from vary.models.zoo import names
from vary.train.bench import Bench, run_bench

from ..conftest import words_of_the_standard_library
from ..models.references import randomised

STEPS, TOKENIZER = 100, character_tokenizer(LATIN)  # of the smoke run
FOLD = {"name": "chain", "steps": [{"name": "fold", "window": [4, 1]}, {"name": "linear"}]}
NANO = {
    "name": "nano",
    "stem": [6, 10],
    "width": 18,
    "depth": 1,
    "preprocess": {"mean": 0.5, "std": 0.5, "multiple": 8},
}
LLAMA = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": True,
}  # fmt: skip


def spec(folder: Path, **changes) -> Path:
    """Write a bench of two arms over one-line pages of Python's own docstrings, in matplotlib's fonts."""
    (folder / "words.txt").write_text(words_of_the_standard_library(), encoding="utf-8")
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    page = {
        "source": "page", "texts": str(folder / "words.txt"), "fonts": str(fonts), "height": 32, "width": 64,
        "sizes_px": [12, 12], "max_lines": 1, "degraded": 0.0, "prompt": "read",
    }  # fmt: skip
    whole = {
        "base": {"vocabularies": [NANO], "connector": FOLD, "text_config": LLAMA},
        "arms": {"fold": {}, "cross": {"fusion": {"name": "cross", "every": 1}}},
        "mix": {"bench": {"line": page}},
        "stage": {"steps": 4, "batch": 4},
        "recipe": {"precision": "float32", "save_every": 2, "log_every": 1},
        "seeds": 2,
        "held_out": 8,
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump(whole | changes, sort_keys=False))
    return folder / "bench.yaml"


def results(folder: Path) -> dict[tuple[str, int], dict]:
    found = [json.loads(file.read_text()) for file in folder.glob("*/seed-*/result.json")]
    return {(one["arm"], one["seed"]): one for one in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a bench that `vary bench` has run, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("bench"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["bench", str(spec(folder)), "-o", str(folder / "out")]) == 0
    return folder / "out", printed.getvalue()


def test_the_verb_trains_every_arm_with_every_seed_and_writes_tables(whole, capsys) -> None:
    out, printed = whole
    assert "| line | seeds | own parameters |" in printed
    found = results(out)
    assert sorted(found) == [("cross", 1), ("cross", 2), ("fold", 1), ("fold", 2)]
    for one in found.values():
        assert one["samples"] == 16
        assert one["image_tokens"] == 16
        assert one["gflops_per_sample"] > 0 < one["activations_mib"]
        assert one["parameters"]["vocabularies"] == found["fold", 1]["parameters"]["vocabularies"]
    assert found["cross", 1]["own_parameters"] > found["fold", 1]["own_parameters"]
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["arm"], row["seeds"]) for row in rows] == [("line", "fold", "2"), ("line", "cross", "2")]
    assert (out / "accuracy.png").stat().st_size > 5000
    assert len((out / "fold" / "seed-1" / "answers.jsonl").read_text().splitlines()) == 8
    assert main(["bench", str(out.parent / "bench.yaml"), "-o", str(out)]) == 0
    assert "step/s" not in capsys.readouterr().out, "runs that are done do not run again"


def test_arms_share_samples_and_the_weights_that_they_have_in_common(whole) -> None:
    out, _ = whole
    mixes = {
        yaml.safe_load((out / arm / "seed-1" / "recipe.yaml").read_text())["stages"][0]["mix"]
        for arm in ("fold", "cross")
    }
    assert mixes == {str(out / "data" / "seed-1")}
    fold, cross = (load_model(out / arm / "seed-1" / "start").state_dict() for arm in ("fold", "cross"))
    assert set(fold) < set(cross)
    assert all(torch.equal(value, cross[name]) for name, value in fold.items())


def test_an_arm_without_start_has_random_weights(whole, tmp_path) -> None:
    given, bare = str(whole[0] / "fold" / "seed-2" / "start"), {"fold": {}, "bare": {"start": []}}
    run_bench(Bench.load(spec(tmp_path, arms=bare, start=[given], seeds=1)), tmp_path / "out", log=lambda _: None)
    starts = [tmp_path / "out" / arm / "seed-1" / "start" for arm in bare]
    names = ("connector", "vocabularies")
    found = [load_model(folder).state_dict() for folder in [Path(given), *starts]]
    same = [
        [torch.equal(v, one[k]) for k, v in found[0].items() if k.startswith(names) and v.ndim > 1] for one in found
    ]
    assert all(same[1])
    assert not any(same[2])


def test_a_bench_that_was_interrupted_ends_as_one_that_was_not(whole, tmp_path) -> None:
    parts, bench = tmp_path / "parts", Bench.load(spec(tmp_path, arms={"fold": {}}, seeds=1))

    def stop(line: str) -> None:
        if "3/4" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # after the checkpoint at step 2
        run_bench(bench, parts, log=stop)
    assert len((parts / "fold" / "seed-1" / "run" / "loss.csv").read_text().splitlines()) > 1
    assert results(parts) == {}
    run_bench(bench, parts, log=lambda _: None, arms=["fold"])
    assert results(whole[0])["fold", 1]["tasks"] == results(parts)["fold", 1]["tasks"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"odd": {"fusion": {"name": "crossed"}}}}, "arm 'odd': unknown fusion 'crossed'"),
        ({"step": {}}, "bench.yaml: unknown key 'step'; did you mean"),
        ({"stage": {"steps": 1, "trainable": ["conector"]}}, "stage.trainable: 'conector'; allowed: vocabularies"),
        ({"stage": {"stepz": 1}}, "stages.0: unknown key 'stepz'; did you mean 'steps'"),
        ({"recipe": {"precision": "half"}}, "precision 'half'; allowed: auto, bf16, float32"),
        ({"mix": {"other": {}}}, "no stage 'bench'; allowed: other"),
    ],
)
def test_mistakes_in_a_bench_are_named(tmp_path, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Bench.load(spec(tmp_path, **changes))


def test_a_folder_holds_one_bench(tmp_path) -> None:
    bench = Bench.load(spec(tmp_path))
    with pytest.raises(ValueError, match="unknown arm 'prefix'; allowed: fold, cross"):
        run_bench(bench, tmp_path / "out", arms=["prefix"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bench.yaml").write_text("arms: {}\n")
    with pytest.raises(ValueError, match="another bench is in this folder"):
        run_bench(bench, tmp_path / "out")


@pytest.mark.parametrize("file", sorted(Path("recipes").glob("bench-*.yaml")), ids=lambda file: file.stem)
def test_arms_of_the_recipes_have_equal_image_tokens_but_for_those_named(file) -> None:
    """A picture is 32 x 64 px; comments of the recipes name the arms that differ."""
    bench = Bench.load(file)
    differ = {"linear-64": 64, "mlp-64": 64, "resampler-4": 4, "token": 32}
    for arm in bench.arms:
        config = bench.config(arm)
        sides = [vocabulary["preprocess"].get("size") for vocabulary in config.vocabularies]
        sizes = [(side, side) if side else (32, 64) for side in sides]
        seeing = sizes[:1] if MERGES[config.merge].chained else sizes
        rows, columns = token_grid(config.vocabularies, config.merge, config.connector, seeing)
        assert rows * columns == differ.get(arm, 16), arm
    assert bench.seeds == 3


def test_the_probe_reads_frozen_eyes_of_ours_and_of_transformers(tmp_path) -> None:
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(3)
    tower = CLIPVisionModel(CLIPVisionConfig(image_size=32, patch_size=8, **sizes)).eval()
    tower.save_pretrained(tmp_path / "clip")
    (tmp_path / "clip" / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.4] * 3, "image_std": [0.3] * 3})
    )
    base = {"connector": {"name": "linear"}, "text_config": LLAMA}
    stage = {"steps": 2, "batch": 2, "trainable": ["connector", "language_model"]}
    bench = Bench.load(spec(tmp_path, base=base, stage=stage, seeds=1, held_out=2))
    out = tmp_path / "out"
    bench = bench.with_eyes([str(tmp_path / "clip"), "vary-nano", "vary-tiny-test"], out)
    run_bench(bench, out, log=lambda _: None)
    assert {arm: one["image_tokens"] for (arm, _), one in results(out).items()} == {
        "clip": 16, "vary-nano": 64, "vary-tiny-test": 4,
    }  # fmt: skip
    trained = {arm: load_model(out / arm / "seed-1" / "model").vocabularies[0].eval() for arm in bench.arms}
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = tower(pixels).last_hidden_state[:, 1:]
        torch.testing.assert_close(trained["clip"](pixels), expected)
        shipped = load_model(weights_dir("vary-nano")).vocabularies[0].eval()
        torch.testing.assert_close(trained["vary-nano"](pixels[:, :1]), shipped(pixels[:, :1]))
    assert bench.config("clip").vocabularies[0]["preprocess"]["mean"] == [0.4] * 3


def test_a_probe_without_an_eye_or_with_a_folder_without_one_is_refused(tmp_path) -> None:
    bench = Bench.load(spec(tmp_path, arms={}))
    with pytest.raises(ValueError, match="the reading probe needs --eye"):
        run_bench(bench, tmp_path / "out")
    with pytest.raises(ValueError, match="no model 'no-such-eye'"):
        bench.with_eyes(["no-such-eye"], tmp_path / "out")
    LlamaConfig(**{key: value for key, value in LLAMA.items() if key != "model_type"}).save_pretrained(
        tmp_path / "text"
    )
    with pytest.raises(ValueError, match="text: "):
        bench.with_eyes([str(tmp_path / "text")], tmp_path / "out")


@pytest.mark.parametrize(
    "row", ["kosmos-2", *(pytest.param(row, marks=pytest.mark.slow) for row in ("instructblip", "llamagen"))]
)
def test_rows_that_need_other_masks_the_words_of_the_prompt_or_codes_train(tmp_path, row) -> None:
    stage = {"steps": 1, "batch": 2}
    run_bench(
        Bench.load(spec(tmp_path, arms={row: {"row": f"{row}-test"}}, stage=stage, seeds=1, held_out=2)),
        tmp_path / "out",
        print,
    )
    assert results(tmp_path / "out")[row, 1]["samples"] == 2


ANSWERS = {"white": 235, "black": 20}  # of one length, which could give them away: what is shown, and how bright it is
RATES = {"minicpm-v": 3e-2}  # its logits are a ninth of the others'


@pytest.mark.slow  # some seconds each
@pytest.mark.parametrize("row", names())
def test_every_row_learns_to_say_which_of_two_pictures_it_sees(row) -> None:
    """The loss falls, and another picture changes the answer that the model writes by itself."""
    config = Bench(arms={row: {"row": f"{row}-test"}}, mix={}, stage={}).config(row)
    torch.manual_seed(1)
    model, processor = VaryForConditionalGeneration(config).train(), VaryProcessor.of(config, TOKENIZER)
    processor.words_tokenizer = TOKENIZER if '"words": true' in json.dumps(config.connector) else None
    pictures = [Image.fromarray(striped(light, k)) for k, light in enumerate(ANSWERS.values())]
    asked = [[{"type": "image", "image": picture}, {"type": "text", "text": "read"}] for picture in pictures]
    talks = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in zip(asked, ANSWERS, strict=True)
    ]
    inputs = processor.apply_chat_template(talks, tokenize=True, return_dict=True, labels=True)
    if (table := getattr(model.fusion, "table", None)) is not None:  # trained before: here, of what the pictures give
        for part in (model.vocabularies, model.connector):
            randomised(part)
        tokens = model(**inputs).image_hidden_states.detach().flatten(0, -2)
        table.weight.data[: len(tokens)] = tokens
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATES.get(row, 1e-2), betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, STEPS)
    losses = []
    for _ in range(STEPS):
        loss = model(**inputs).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    chat = ChatModel(model.eval(), processor)
    written = [chat.ask(picture, "read", max_tokens=8, no_repeat=0).text for picture in pictures]
    print(row, losses[0], losses[-1], written)
    assert losses[-1] < losses[0] / 4
    assert written == list(ANSWERS)


def striped(light: int, axis: int) -> np.ndarray:
    """A picture of 32 x 64 px with stripes of the opposite brightness."""
    picture = np.full((32, 64, 3), light, np.uint8)
    picture.swapaxes(0, axis)[::8] = 255 - light
    return picture


@pytest.mark.slow  # half a minute, and fonts
def test_the_bench_of_the_docs_runs(tmp_path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    short = ["--set", "stage.steps=1", "--set", "seeds=1", "--set", "held_out=2"]
    assert main(["bench", str(tmp_path / "mine.yaml"), "-o", str(tmp_path / "out"), *short]) == 0
    assert len((tmp_path / "out" / "table.csv").read_text().splitlines()) == 1 + 3 * 2  # arms, tasks
