"""What tests are made of: a small text, the faces that matplotlib ships, pages and PDFs drawn on the spot."""

from __future__ import annotations

import ast
import gc
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Test processes share the cores: each takes its part of them, and threads of OpenMP sleep while they wait.
os.environ.setdefault(
    "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))))
)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tests start hundreds of processes: compiled code is kept for them, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

FAST = {"cli", "data", "document", "io", "markup", "serve"}  # folders whose tests load no model
MODELS = {"tiny_model", "tokenizers"}  # fixtures that build one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the folders in FAST as `fast`, but for those that build a model or are slow.

    The type check takes longest by far. It comes first, so that no worker waits for it at the end.
    """
    items.sort(key=lambda item: "mypy" not in item.name)
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        fixtures = set(getattr(item, "fixturenames", ()))
        if folder in FAST and not fixtures & MODELS and not item.get_closest_marker("slow"):
            item.add_marker("fast")


def pytest_collection_finish() -> None:
    """Spare the collector of garbage the modules and tests, which stay: they are most objects by far."""
    gc.collect()
    gc.freeze()


TEXT = """It is a plain text of some forty words, long enough that a page can be set from it: "quoted" words, figures
such as 3.14 and 1,024, names (Ada, Grace), a dash -- and another, don't and won't, and the ends of lines."""


def words_of_the_standard_library() -> str:
    """Docstrings of Python itself: real English prose that every machine has.

    They are taken from the source: other packages replace functions of loaded modules.
    """
    modules = ("argparse", "inspect", "pathlib", "re", "statistics", "textwrap")
    trees = [ast.parse(Path(importlib.util.find_spec(name).origin).read_bytes()) for name in modules]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return TEXT + " ".join(ast.get_docstring(function) or "" for function in functions)


def printed_by(code: str, **environment: str) -> str:
    """What a program prints in a process of its own."""
    root = Path(__file__).parents[1]
    command, environment = [sys.executable, "-c", code], os.environ | environment
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


def child_processes() -> set[int]:
    """Ids of the processes that this one has started and that have not ended (Linux)."""
    listed = (path.read_text().split() for path in Path("/proc/self/task").glob("*/children"))
    return {int(pid) for pids in listed for pid in pids if not is_ended(int(pid))}


def is_ended(pid: int) -> bool:
    """Whether a process is gone, or is a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture(scope="session")
def faces() -> list:
    import matplotlib

    from vary.data.pages.glyphs import find_faces

    found = find_faces(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    return [face for face in found if face.family.startswith("DejaVu") and "Display" not in face.family]


@pytest.fixture(scope="session")
def text_source():
    from vary.data.corpus.download import Corpus
    from vary.data.corpus.text import TextSource

    return TextSource(Corpus.from_text(words_of_the_standard_library()))


@pytest.fixture(scope="session")
def page_source(text_source, faces):
    from vary.data.pages.source import PageSource

    def make(**settings):
        return PageSource(text_source, faces, **settings)

    return make


@pytest.fixture(scope="session")
def tiny_model():
    import torch

    from vary.models.config import preset
    from vary.models.modeling import VaryForConditionalGeneration

    torch.manual_seed(0)
    return VaryForConditionalGeneration(preset("vary-nano-test")).eval()


@pytest.fixture(scope="session")
def pdf_file(tmp_path_factory) -> Path:
    """Three pages: text, nothing, text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.backends.backend_pdf import PdfPages

    path = tmp_path_factory.mktemp("pdf") / "three.pdf"
    with PdfPages(path) as pdf:
        for text in ("The first page says this.\nIt has a second line.", "", "The third page ends the file."):
            figure = plt.figure(figsize=(6, 4))
            figure.text(0.08, 0.6, text, fontsize=12, family="DejaVu Serif")
            pdf.savefig(figure)
            plt.close(figure)
    return path


def byte_tokenizer(config):
    """Bytes for tokens, with the special tokens and ids of the configuration's miniature."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel as Decoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import PreTrainedTokenizerFast

    first, last, ends = {
        "opt": (["<s>", "<pad>", "</s>"], ["<imgpad>", "<img>", "</img>"], ("<pad>", "</s>")),
        "llama": (["<unk>", "<s>", "</s>"], ["<img>", "</img>", "<imgpad>"], ("<unk>", "</s>")),
        "qwen2": ([], ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{k}|>" for k in range(205)),
                       "<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>", "<imgpad>"],
                  ("<|endoftext|>", "<|endoftext|>")),
    }[config.text_config.model_type]  # fmt: skip
    letters = sorted(ByteLevel.alphabet())
    inner = Tokenizer(BPE({token: k for k, token in enumerate([*first, *letters])}, []))
    inner.pre_tokenizer, inner.decoder = ByteLevel(add_prefix_space=False), Decoder()
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in [*first, *last]])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=ends[0], eos_token=ends[1])
    assert tokenizer.convert_tokens_to_ids("<imgpad>") == config.image_token_id
    return tokenizer


@pytest.fixture(scope="session")
def tokenizers():
    return byte_tokenizer
