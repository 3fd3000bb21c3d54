"""The Dockerfile by its text (no Docker is needed): pinned, without rights or secrets, and only what it copies sent."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
KNOWN = {"FROM", "ENV", "RUN", "COPY", "WORKDIR", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
STEPS = [
    line.split(maxsplit=1)
    for line in (ROOT / "Dockerfile").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]


def test_base_is_pinned_and_the_user_has_no_rights() -> None:
    assert {word for word, _ in STEPS} <= KNOWN
    stages = [k for k, (word, _) in enumerate(STEPS) if word == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+( AS build)?", STEPS[k][1]) for k in stages)
    last = STEPS[stages[-1] :]
    (user,) = (rest for word, rest in last if word == "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    at = [word for word, _ in last].index("USER")
    assert not [word for word, _ in last[at:] if word in ("RUN", "COPY")]
    assert [rest for word, rest in last if word == "ENTRYPOINT"] == ['["vary"]']


def test_no_secret_and_no_download_but_by_pip() -> None:
    text = " ".join(rest for _, rest in STEPS)
    assert not re.search(r"(?i)api_key=|token|password|secret|curl|wget|apt-get|--trusted-host", text)
    assert "torch" not in text  # reading and serving need none


def test_what_is_copied_is_there_and_is_all_that_is_sent() -> None:
    copied = {name for word, rest in STEPS if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
