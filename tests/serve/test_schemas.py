"""What is told over the wire: errors that are errors, and neither secrets nor paths, whatever a file is called."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

import pytest

from vary.io.errors import InputError
from vary.serve.errors import safe_filename, safe_message

from .servers import KEY, FakeChatModel, asking, client_of, data_url, png, refusal, upload


def test_errors_are_errors(reader, pdf_file, caplog) -> None:  # 26, 28
    with client_of(reader, key=KEY) as client, caplog.at_level(logging.DEBUG):
        client.headers["Authorization"] = f"Bearer {KEY}"
        assert "neither a PDF nor an image" in refusal(upload(client, b"plain words", "notes.txt"), 400)
        assert "broken" in refusal(upload(client, b"%PDF-1.4 nothing", "x.pdf"), 400)
        for kind in ("json", "text", "md", "ndjson"):
            refusal(upload(client, b"%PDF-1.4 nothing", format=kind), 400)
            refusal(upload(client, pdf_file.read_bytes(), pages="x", format=kind), 400)
        refusal(client.post("/v1/chat/completions", json=asking(data_url(b"no image"), stream=True)), 400)
        reader.bad = InputError("/home/someone/models/x: the ink has run")
        lost = upload(client, pdf_file.read_bytes(), format="text")
        assert "lost page 1, 3 (page 1: …: the ink has run)" in refusal_with_document(lost)
        reader.bad = RuntimeError(f"{KEY} in /root/secret/place")
        everything = upload(client, png()).text + client.post("/v1/chat/completions", json=asking()).text
        assert "/root" not in everything
        assert "Traceback" not in everything
    with client_of(chat_model=BrokenChatModel(), key=KEY) as client, caplog.at_level(logging.DEBUG):
        client.headers["Authorization"] = f"Bearer {KEY}"
        message = refusal(client.post("/v1/chat/completions", json=asking(model="answers", text="private words?")), 500)
        assert message == "the model failed on this input"
        assert client.post("/v1/chat/completions", json=asking()).status_code == 200, "the worker lives on"
    assert "RuntimeError at test_schemas.py" in caplog.text
    for secret in (KEY, "private words", "iVBOR", "a secret of the model"):
        assert secret not in caplog.text


class BrokenChatModel(FakeChatModel):
    def chat_all(self, conversations, **_):
        raise RuntimeError("a secret of the model")


def refusal_with_document(response) -> str:
    assert response.status_code == 422
    body = response.json()
    assert [page["status"] for page in body["document"]["pages"]] == ["failed", "blank", "failed"]
    return body["error"]["message"]


NAMES = ("../../x.png", "C:\\x.png", "a/b.png", "nul\0.png", "x" * 4000, "con", "\U0001f4c4.png", "", "..", "a\r\nb")


@pytest.mark.parametrize("name", NAMES)
def test_upload_names(client, tmp_path, monkeypatch, name) -> None:  # 27
    def write(path, data):
        written.append(path)
        return real(path, data)

    written, real = [], Path.write_bytes
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", write)
    threads = [threading.Thread(target=upload, args=(client, png(), name)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == (2 if name else 0)  # a file without a name is no file
    assert all(re.fullmatch(r"vary-\w+", path.name) and path.parent == tmp_path for path in written)
    assert list(tmp_path.iterdir()) == []
    seen = safe_filename(name)
    assert seen.isprintable()
    assert 0 < len(seen) <= 200
    assert "/" not in seen
    assert "\\" not in seen


def test_messages_hold_no_paths() -> None:
    assert safe_message("a.pdf: cannot open /home/ann/x/y.pdf\nmore") == "a.pdf: cannot open … more"
    assert safe_message("1/2 of image/png, and/or 3 px") == "1/2 of image/png, and/or 3 px"


NEUTRAL = {
    "temperature": 0, "top_p": 1, "n": 1, "stop": None, "presence_penalty": 0, "frequency_penalty": 0.0,
    "logit_bias": {}, "logprobs": False, "top_logprobs": 0, "response_format": {"type": "text"}, "modalities": ["text"],
    "tools": [], "tool_choice": "none", "parallel_tool_calls": True, "store": False, "metadata": None,
    "service_tier": "auto", "seed": 7, "user": "u", "functions": [], "function_call": "none", "audio": None,
    "prediction": None, "reasoning_effort": "none", "verbosity": "medium", "web_search_options": None,
    "prompt_cache_key": "k", "safety_identifier": "s", "stream": False,
    "stream_options": {"include_usage": None, "include_obfuscation": False},
}  # fmt: skip


def test_fields_of_openai_are_accepted_where_they_change_nothing(client) -> None:
    assert client.post("/v1/chat/completions", json=asking(**NEUTRAL)).status_code == 200
    nulls = dict.fromkeys(NEUTRAL)
    assert client.post("/v1/chat/completions", json=asking(**nulls)).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.7), ("top_p", 0.5), ("top_p", True), ("n", 2), ("stop", ["\n"]), ("presence_penalty", 1),
        ("frequency_penalty", -0.5), ("logit_bias", {"5": 1}), ("logprobs", True), ("top_logprobs", 2),
        ("response_format", {"type": "json_object"}), ("modalities", ["audio"]), ("tools", [{"type": "function"}]),
        ("tool_choice", "required"), ("store", True), ("metadata", {"a": "b"}), ("service_tier", "flex"),
        ("functions", [{"name": "f"}]), ("audio", {"voice": "x"}), ("prediction", {"type": "content"}),
        ("reasoning_effort", "high"), ("verbosity", "low"), ("web_search_options", {}),
    ],
)  # fmt: skip
def test_fields_of_openai_that_would_change_the_answer_are_refused_by_name(client, field, value) -> None:
    response = client.post("/v1/chat/completions", json=asking(**{field: value}))
    assert refusal(response, 400).startswith(f"{field}: not supported; allowed: null")
    assert response.json()["error"]["param"] == field


def test_an_unknown_field_is_named_with_those_that_are_allowed(client) -> None:
    """`to` is an option of `vary read`; the server's field is `format`."""
    response = client.post("/v1/parse", files={"file": ("a.png", png())}, data={"to": "md"})
    assert refusal(response, 400) == "to: unknown field; allowed: file, model, pages, password, format, join"
    response = client.post("/v1/chat/completions", json=asking(pages="1"))
    assert refusal(response, 400).startswith("pages: unknown field; allowed: model, messages, stream, ")


def test_a_body_that_is_no_json_says_where(reader) -> None:
    with client_of(reader) as client:
        answer = client.post(
            "/v1/chat/completions", content='{"model": }', headers={"content-type": "application/json"}
        )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("body: not JSON, at character 10: ")
    assert answer.json()["error"]["param"] is None
