"""Questions by the protocol of OpenAI: its official client, streams, earlier turns, tokens and answers that loop."""

from __future__ import annotations

import io
import json
import threading
import time

import openai
import pytest
from PIL import Image
from starlette.testclient import TestClient

from vary.serve.app import create_app, load_models

from .servers import (
    KEY,
    FakeChatModel,
    FakeReader,
    asking,
    client_of,
    data_url,
    png,
    running,
    upload,
    wait_for,
)


def test_the_official_client_reads_asks_and_streams() -> None:
    chat_model = FakeChatModel()
    with running(chat_model=chat_model, key=KEY) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
        assert [model.id for model in client.models.list()] == ["reads", "answers"]
        page = client.chat.completions.create(**asking(), temperature=0, max_tokens=50)
        assert (page.choices[0].message.content, page.choices[0].finish_reason) == ("size 40", "stop")
        answer = client.chat.completions.create(**asking(model="answers", text="What is it?"))
        assert answer.choices[0].message.content == "Hello there."
        image, question = chat_model.asked[0]["content"]
        assert (image["image"].size, image["image"].mode, chat_model.tokens) == ((40, 60), "RGB", 4096)
        assert question == {"type": "text", "text": "What is it?"}
        chunks = list(client.chat.completions.create(**asking(model="answers"), stream=True))
        assert [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content] == ["Hello ", "there."]
        assert chunks[-1].choices[0].finish_reason == "stop"
        stranger = openai.OpenAI(base_url=server.url + "/v1", api_key="other", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
            client.chat.completions.create(**asking(model="gpt"))
        with pytest.raises(openai.BadRequestError, match="temperature"):
            client.chat.completions.create(**asking(), temperature=0.7)


def test_turns_before_are_part_of_the_question() -> None:
    """Answers go back as the official client has them; a model that only reads looks at the last turn alone."""
    chat_model = FakeChatModel()
    with running(chat_model=chat_model) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        first = asking(model="answers", text="What is it?")["messages"]
        said = client.chat.completions.create(model="answers", messages=first).choices[0].message
        system = {"role": "developer", "content": "Be brief."}
        more = {"role": "user", "content": [{"type": "text", "text": "And"}, *first[0]["content"]]}
        for answer in (said, said.model_dump()):
            client.chat.completions.create(model="answers", messages=[system, *first, answer, more])
            told = [
                (turn["role"], [part.get("text", "image") for part in turn["content"]]) for turn in chat_model.asked
            ]
            assert told == [
                ("system", ["Be brief."]), ("user", ["image", "What is it?"]), ("assistant", ["Hello there."]),
                ("user", ["image", "And\nWhat is it?"]),
            ]  # fmt: skip
        page = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url(png(77))}}]}
        read = client.chat.completions.create(model="reads", messages=[system, *first, said, page])
        assert read.choices[0].message.content == "size 77"
        for messages in ([*first, said], [said], [{"role": "tool", "content": "x", "tool_call_id": "1"}]):
            with pytest.raises(openai.BadRequestError, match=r"the last one|role"):
                client.chat.completions.create(model="answers", messages=messages)


def test_tokens_are_counted() -> None:
    with running(chat_model=FakeChatModel()) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        usage = client.chat.completions.create(**asking(model="answers")).usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (300, 2, 302)
        counted = {"stream": True, "stream_options": {"include_usage": True}}
        *chunks, last = client.chat.completions.create(**asking(model="answers"), **counted)
        assert (last.choices, last.usage.total_tokens) == ([], 302)
        assert all(chunk.usage is None for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert client.chat.completions.create(**asking()).usage is None  # what only reads counts none


def test_an_answer_that_loops_is_ended_and_says_so() -> None:
    chat_model = FakeChatModel(["The total is 12. ", *["and so on and on "] * 2000])
    with client_of(chat_model=chat_model) as client:
        choice = client.post("/v1/chat/completions", json=asking(model="answers")).json()["choices"][0]
        assert choice["finish_reason"] == "repetition"
        assert choice["message"]["content"].startswith("The total is 12. and so on and on")
        assert len(choice["message"]["content"]) < 60
        assert chat_model.said < 200
        text = client.post("/v1/chat/completions", json=asking(model="answers", stream=True)).text
        assert '"finish_reason": "repetition"' in text
        assert text.endswith("data: [DONE]\n\n")


def test_an_answer_that_was_cut_says_length() -> None:
    with client_of(chat_model=FakeChatModel(finished=False)) as client:
        choice = client.post("/v1/chat/completions", json=asking(model="answers")).json()["choices"][0]
        assert choice["finish_reason"] == "length"


def test_a_question_does_not_wait_for_a_long_document(pdf_file) -> None:
    order = []

    class Slow(FakeReader):
        def read(self, image, scale=1.0):
            order.append("page")
            time.sleep(0.05)
            return super().read(image, scale)

    reader = Slow()
    with client_of(reader) as client:
        frames, file = [Image.open(io.BytesIO(png(40 + k))) for k in range(20)], io.BytesIO()
        frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
        thread = threading.Thread(target=upload, args=(client, file.getvalue()))
        thread.start()
        wait_for(lambda: reader.reads >= 2)
        client.post("/v1/chat/completions", json=asking(model="answers"))
        order.append("answer")
        thread.join()
    assert order.index("answer") < 15
    assert order.count("page") == 20


def test_a_real_model_answers_and_is_ended_when_it_loops(tmp_path, tokenizers) -> None:
    import torch

    from vary.models.config import preset
    from vary.models.modeling import VaryForConditionalGeneration
    from vary.models.processor import VaryProcessor

    config = preset("vary-toy-test")
    torch.manual_seed(0)
    VaryForConditionalGeneration(config).save_pretrained(tmp_path / "toy")
    VaryProcessor.of(config, tokenizers(config)).save_pretrained(tmp_path / "toy")
    models = load_models([str(tmp_path / "toy")])
    assert (models["toy"].reader, models["toy"].chat_model is not None) == (None, True)
    expected = models["toy"].chat_model.ask(Image.open(io.BytesIO(png())).convert("RGB"), "What?", max_tokens=9)
    with TestClient(create_app(models), base_url="http://localhost") as client:
        asked = asking(model="toy", text="What?", max_tokens=9)
        choice = client.post("/v1/chat/completions", json=asked).json()["choices"][0]
        assert choice["message"]["content"] == expected.text
        assert choice["finish_reason"] == ("stop" if expected.finished else "length")
        streamed = client.post("/v1/chat/completions", json=asked | {"stream": True}).text
        pieces = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        assert "".join(p["choices"][0]["delta"].get("content", "") for p in pieces).strip() == expected.text
        models["toy"].chat_model.processor.tokenizer.decode = lambda ids, **_: "the same words again " * len(ids)
        choice = client.post("/v1/chat/completions", json=asked | {"max_tokens": 150}).json()["choices"][0]
        assert choice["finish_reason"] == "repetition"
        assert len(choice["message"]["content"]) < 60
