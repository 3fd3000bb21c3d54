"""lmms-eval asks our models through an adapter, here with a package of that name that is made up."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vary.evaluate import lmms


class FakeChatModel:
    def __init__(self):
        self.asked = []

    def ask(self, images, question, **limits):
        self.asked.append(([np.asarray(image).shape for image in images], question, limits))
        return SimpleNamespace(text=f"answer {len(self.asked)}\n\nand more")


def test_lmms_eval_gets_its_answers_in_order(monkeypatch) -> None:
    class Base:
        """lmms-eval's base class keeps the records of its tasks."""

        def __init__(self):
            self.task_dict = {
                "docs": {"val": {3: {"image": Image.new("L", (8, 6))}, 4: {"image": Image.new("RGB", (4, 2))}}}
            }

    package, api, model = ModuleType("lmms_eval"), ModuleType("lmms_eval.api"), ModuleType("lmms_eval.api.model")
    model.lmms = Base
    for module in (package, api, model):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    asker = FakeChatModel()
    monkeypatch.setattr(lmms, "load_chat_model", lambda *given: asker if given == ("folder", "cpu", "auto") else None)
    vary = lmms.Vary(pretrained="folder", batch_size="1")
    assert isinstance(vary, Base)

    def request(number, **settings):
        return SimpleNamespace(args=(f"Q{number}", settings, lambda doc: [doc["image"]], number, "docs", "val"))

    assert vary.generate_until([request(4, until=["\n\n"]), request(3, max_new_tokens=16)]) == [
        "answer 1", "answer 2\n\nand more",
    ]  # fmt: skip
    assert asker.asked == [([(2, 4, 3)], "Q4", {"max_tokens": 1024}), ([(6, 8, 3)], "Q3", {"max_tokens": 16})]
    with pytest.raises(ValueError, match="unknown model argument 'temperature'"):
        lmms.Vary(pretrained="folder", temperature=1)
    with pytest.raises(NotImplementedError):
        vary.loglikelihood([])


def test_lmms_eval_is_not_needed_until_it_runs(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    with pytest.raises(SystemExit, match="this needs lmms-eval"):
        lmms.main()
    with pytest.raises(AttributeError):
        _ = lmms.Other
