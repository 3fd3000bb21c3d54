"""Miniatures to train, and the samples that their stages learn from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from vary.models.config import preset
from vary.models.modeling import VaryForConditionalGeneration
from vary.models.processor import VaryProcessor
from vary.train.tasks import chat_task

from .chat_runs import Pictures


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory, tokenizers) -> Path:
    """Miniatures with random weights, one folder each."""
    home = tmp_path_factory.mktemp("models")
    for name in ("vary-tiny", "vary-toy", "vary-base"):
        config = preset(f"{name}-test")
        torch.manual_seed(0)
        VaryForConditionalGeneration(config).save_pretrained(home / name)
        VaryProcessor.of(config, tokenizers(config)).save_pretrained(home / name)
    return home


@pytest.fixture
def model_folder(tmp_path, saved_models):
    def make(name: str) -> Path:
        if not (tmp_path / name).exists():
            shutil.copytree(saved_models / name, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def pictures(monkeypatch) -> None:
    """Let the stages learn from `Pictures`, whatever their mix says."""
    monkeypatch.setattr(chat_task, "open_mix", lambda stage, seed, held_out=False: Pictures())
