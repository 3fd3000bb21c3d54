"""PyTorch's pickled weights are read as tensors alone."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import load_file

from vary.models.convert.convert import convert
from vary.models.convert.files import read_tensors
from vary.models.convert.pickles import main as copy_tensors

from .test_convert import official


class Hostile:
    def __reduce__(self):
        return (print, ("this would run",))


def test_pickles_are_read_as_tensors_alone(tmp_path, capfd) -> None:
    state = official("600k", tmp_path / "official")
    wrapped = tmp_path / "Vary-tiny-600k.pth"
    torch.save({"model": state, "epoch": 9, "config": {"lr": 1e-4}}, wrapped)
    copy_tensors(str(wrapped), str(tmp_path / "copy.safetensors"))
    assert all(torch.equal(t, state[k]) for k, t in load_file(tmp_path / "copy.safetensors").items())
    convert([wrapped], tmp_path / "ours")
    hostile = tmp_path / "hostile.bin"
    hostile.write_bytes(pickle.dumps({"model": Hostile()}))
    with pytest.raises(ValueError, match=r"hostile\.bin: cannot be read as tensors"):
        read_tensors(hostile)
    assert "this would run" not in capfd.readouterr().out
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_tensors(tmp_path / "x.onnx")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_files_that_are_no_weights_say_what_they_are(name, tmp_path) -> None:
    file = tmp_path / name
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match=f"{name}: a pointer of Git LFS"):
        read_tensors(tmp_path)
    torch.save({"a": torch.ones(400)}, file)
    file.write_bytes(file.read_bytes()[:900])  # cut short
    with pytest.raises(ValueError, match=f"{name}: cannot be read as tensors"):
        read_tensors(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        convert([tmp_path], tmp_path / "x")


def test_pickled_views_of_one_memory_are_all_read(tmp_path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    for kind in (True, False):
        state = {"a": whole, "b": whole[1:], "c": whole.T, "d": whole}
        torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=kind)
        copy_tensors(str(tmp_path / "x.pt"), str(tmp_path / "copy.safetensors"))  # in the child process otherwise
        found = load_file(tmp_path / "copy.safetensors")
        assert all(torch.equal(found[k], state[k]) for k in state)
