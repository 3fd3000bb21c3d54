"""Asking: answers, streaming, boxes and charts out of answers, and what cannot be asked."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vary.cli import main
from vary.io.errors import InputError
from vary.models.config import preset
from vary.models.generate.chat import ChatModel, load_chat_model
from vary.models.generate.repetition import Loop
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizers):
    config = preset("vary-toy-test")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("toy")
    VaryForConditionalGeneration(config).save_pretrained(path)
    VaryProcessor.of(config, tokenizers(config)).save_pretrained(path)
    PICTURE.save(path / "picture.png")
    return path


class Speaking(ChatModel):
    """Says a given text in place of the model's."""

    def __init__(self, text: str):
        self.text = text

    def ask(self, images, question="", **_):
        self.question = question
        return SimpleNamespace(text=self.text)


def test_questions_in_a_batch_get_the_answers_they_get_alone(folder) -> None:
    chat_model = load_chat_model(folder)
    questions = [([PICTURE], "one"), ([PICTURE, folder / "picture.png"], "a longer one"), ([], "none")]
    together = chat_model.ask_all(questions, max_tokens=7)
    assert [chat_model.ask(list(images), q, max_tokens=7) for images, q in questions] == together
    assert all(a.tokens <= 7 for a in together)
    assert chat_model.ask(PICTURE, "one", max_tokens=7) == together[0]


def test_answers_stream(folder) -> None:
    heard: list[str] = []
    answer = load_chat_model(folder).ask(PICTURE, "say", max_tokens=9, on_text=heard.append)
    assert "".join(heard).strip() == answer.text


def test_an_answer_ends_at_its_stop_token(folder) -> None:
    chat_model = load_chat_model(folder)
    stop = chat_model.processor.stop_ids[-1]
    assert stop == chat_model.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    letters = chat_model.processor.tokenizer("ab")["input_ids"]
    assert chat_model.decode([*letters, stop, *letters], stop) == chat_model.decode([*letters, stop], stop)
    ended, cut = chat_model.decode([*letters, stop], stop), chat_model.decode(letters, stop)
    assert (ended.text, ended.finished, ended.tokens) == ("ab", True, 2)
    assert (cut.text, cut.finished) == ("ab", False)


def test_an_answer_that_loops_is_ended_and_marked(folder, monkeypatch) -> None:
    monkeypatch.setattr("vary.models.generate.repetition.MOST_SYMBOLS", 60)  # the miniature's context is short
    chat_model = load_chat_model(folder)
    torch.nn.init.zeros_(chat_model.model.get_output_embeddings().weight)  # it now says one sign for ever
    for answer in chat_model.ask_all([([PICTURE], "one"), ([], "a longer one")], max_tokens=130, no_repeat=0):
        assert (answer.finished, answer.repeated, len(answer.text)) == (False, True, 1)
        assert 60 < answer.tokens < 100
    assert not chat_model.ask(PICTURE, "one", max_tokens=40, no_repeat=0).repeated
    letters, tokenizer = chat_model.processor.tokenizer("abcb")["input_ids"], chat_model.processor.tokenizer
    padded = [*letters, *[tokenizer.pad_token_id] * 9]  # in a batch whose other rows went on
    answer = chat_model.decode(padded, chat_model.processor.stop_ids[-1], 7, Loop("tokens", "b", 2, 3))
    assert (answer.text, answer.tokens, answer.repeated) == ("abc", 4, True)


def test_a_listener_that_has_heard_enough_ends_the_answer(folder) -> None:
    heard: list[str] = []
    answer = load_chat_model(folder).ask(
        PICTURE, "say", max_tokens=99, on_text=lambda piece: heard.append(piece) or True
    )
    assert answer.tokens < 3
    assert len(answer.text) <= len("".join(heard)) < 9


def test_turns_and_the_context(folder) -> None:
    chat_model = load_chat_model(folder)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    (after,), alone = chat_model.chat_all([turns], max_tokens=3), chat_model.ask([], "c", max_tokens=3)
    assert after.asked == chat_model.processor.apply_chat_template(turns, tokenize=True).shape[1] > alone.asked
    places = chat_model.model.config.text_config.max_position_embeddings
    with pytest.raises(ValueError, match=f"the question has .* tokens with its images; .* context holds {places}"):
        chat_model.ask([], "x" * places)
    assert chat_model.ask([], "x" * (places - alone.asked - 4), max_tokens=600).tokens <= 5
    with pytest.raises(ValueError, match="roles alternate"):
        chat_model.chat_all([turns[1:]])


def test_each_row_of_a_batch_has_its_own_room_and_its_own_refusal(folder) -> None:
    chat_model = load_chat_model(folder)
    short, long = ([PICTURE], "one"), ([], "word " * 60)
    asked = chat_model.ask(*long, max_tokens=1).asked
    chat_model.model.config.text_config.max_position_embeddings = asked + 5
    too_long, missing = ([], "word " * 70), ([folder / "none.png"], "one")
    answers = chat_model.ask_all([short, long, too_long, missing], max_tokens=40)
    assert answers[:2] == [chat_model.ask(*short, max_tokens=40), chat_model.ask(*long, max_tokens=40)]
    assert (answers[0].tokens, answers[1].tokens) == (40, 5)
    assert [answer.error is None for answer in answers] == [True, True, False, False]
    assert f"this model's context holds {asked + 5}" in str(answers[2].error)
    assert "none.png" in str(answers[3].error)
    for refused in (too_long, missing):
        with pytest.raises(InputError):
            chat_model.ask(*refused, max_tokens=40)


def test_boxes_are_pixels_of_the_image() -> None:
    chat_model = Speaking("Person: [500, 000, 1000, 500]; Car: [1, 2")
    boxes = chat_model.detect(PICTURE, ["Person", "Car"])
    assert boxes.found[0].box == (40.0, 0.0, 80.0, 25.0)
    assert boxes.rejected
    assert chat_model.question == "Detect Person, Car in this image."
    chat_model.detect(PICTURE, language="zh")
    assert chat_model.question == "检测这幅图中的所有物体。"


def test_charts_are_data() -> None:
    chat_model = Speaking("The dict of the chart is: \n{'title': 'Sales', 'data': {'a': '12.94%'}}")
    chart = chat_model.chart(PICTURE)
    assert (chart.title, chart.values, chart.complete) == ("Sales", {"a": "12.94%"}, True)
    with pytest.raises(ValueError, match="no dict of a chart"):
        Speaking("I see a cat").chart(PICTURE)


def test_what_cannot_be_asked_says_why(tmp_path, monkeypatch, folder) -> None:
    with pytest.raises(ValueError, match=r"no model folder"):
        load_chat_model(tmp_path)
    with pytest.raises(ValueError, match="answers no questions"):
        load_chat_model("vary-nano")
    with pytest.raises(ValueError, match=r"no model 'my-vary-toy': neither a folder nor one of vary-nano"):
        load_chat_model("my-vary-toy")
    preset("vary-toy-test").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no processor in it"):
        load_chat_model(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device cuda: .* no GPU"):
        load_chat_model(folder, device="cuda")
    with pytest.raises(ValueError, match="no such file"):
        load_chat_model(folder).ask(tmp_path / "none.png", "x")


def test_command_line(folder, capsys) -> None:
    picture = str(folder / "picture.png")
    code = main(["ask", picture, "what?", "--model", str(folder), "--max-tokens", "5"])
    _, err = capsys.readouterr()
    assert (code, "cut off after 5 tokens" in err) in ((0, False), (2, True))
    assert main(["ask", picture, "--task", "ocr", "--model", str(folder), "--max-tokens", "3"]) in (0, 2)
    assert main(["ask", picture, "--task", "vqa", "--model", str(folder)]) == 1
    assert "needs words of yours" in capsys.readouterr().err
    assert main(["ask", picture, "--model", str(folder)]) == 1
    assert "a file in place of the question" in capsys.readouterr().err
    assert main(["detect", picture, "--model", str(folder), "--max-tokens", "3"]) in (0, 2)
    assert set(json.loads(capsys.readouterr().out)) == {"found", "rejected"}
    assert main(["chart", picture, "--model", str(folder), "--max-tokens", "3"]) == 1  # noise holds no chart
    assert capsys.readouterr().err.startswith("vary: ")
