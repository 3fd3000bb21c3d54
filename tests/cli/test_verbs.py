"""Every verb has its options and its help, refuses wrong usage with exit code 1, and can be completed by a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import click
import pytest

from vary import __version__
from vary.cli import VERBS, app, main
from vary.cli.parameters import Argument, Option
from vary.reading.remote import load_server

from ..conftest import printed_by

ASKING = {"--model", "--language", "--device", "--dtype", "--max-tokens", "--no-repeat"}
SURFACE = {
    "read": {
        "-h",
        "--help",
        "--pages",
        "--to",
        "-o",
        "--out",
        "--model",
        "--device",
        "--password",
        "--figures",
        "--front-matter",
        "--join",
        "--tables",
        "--formulas",
        "--workers",
        "--timeout",
        "--server",
        "--max-pages",
        "--ray",
        "--decoder",
        "--layer",
        "--pixels",
        "-q",
        "--quiet",
        "--json",
    },
    "audit": {"-h", "--help", "--pages", "--model", "--device", "--password", "--json"},
    "ask": {"-h", "--help", "--task", *ASKING},
    "chart": {"-h", "--help", *ASKING},
    "detect": {"-h", "--help", "--classes", *ASKING},
    "info": {"-h", "--help", "--json"},
    "convert": {"-h", "--help", "--as", "--layout", "--check"},
    "family": {"-h", "--help", "--all", "--axis", "--level", "--json"},
    "render": {
        "-h",
        "--help",
        "--pdf",
        "-n",
        "-o",
        "--out",
        "--show",
        "--stage",
        "--seed",
        "--workers",
        "--per-shard",
        "--image",
        "--ray",
    },
    "train": {"-h", "--help", "--set", "--max-steps", "--export", "--dry-run"},
    "bench": {"-h", "--help", "-o", "--out", "--arms", "--eye", "--set"},
    "eval": {
        "-h",
        "--help",
        "--tasks",
        "--limit",
        "--peers",
        "-o",
        "--out",
        "--data",
        "--server",
        "--server-model",
        "--prompt",
        "--device",
        "--max-tokens",
        "--rescore",
        "--compare",
        "--decoder",
        "--pixels",
    },
    "serve": {
        "-h",
        "--help",
        "--host",
        "--port",
        "--api-key",
        "--allow-media-host",
        "--device",
        "--dtype",
        "--decoder",
        "--pixels",
        "--workers",
    },
    "mcp": {"-h", "--help", "--model", "--device"},
    "demo": {"-h", "--help", "--host", "--port", "--api-key", "--device", "--dtype"},
}


def test_surface() -> None:
    context = click.Context(app)
    commands = {verb: app.get_command(context, verb) for verb in app.list_commands(context)}
    assert set(commands) == set(VERBS)
    found = {verb: {s for p in command.params for s in p.opts if s[0] == "-"} for verb, command in commands.items()}
    assert found == {verb: options - {"-h", "--help"} for verb, options in SURFACE.items()}


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"vary {__version__}\n", "")


@pytest.mark.parametrize("verb", [None, *SURFACE])
def test_help_fits_eighty_columns_and_shows_defaults(verb, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*([verb] if verb else []), "-h"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: vary {verb}" if verb else "Usage: vary")
    assert (max(map(len, out.splitlines())) <= 80, err) == (True, "")
    assert all(f"  {option}" in out or f", {option}" in out for option in SURFACE.get(verb, ()))
    if verb == "read":
        assert "[default: (text, or as -o ends)]" in " ".join(out.split())


def test_help_is_quick_and_brings_no_torch() -> None:
    code = (
        "import sys; from vary.cli import main; main(['--help']); print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert printed_by(code).splitlines()[-1] == "False False"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["read"],
        ["info"],
        ["train"],
        ["convert", "a"],
        ["write", "a.pdf"],
        ["read", "a.pdf", "--nonsense"],
        ["train", "a.yaml", "--max-steps", "many"],
    ],
    ids=" ".join,
)
def test_wrong_usage(capsys, arguments) -> None:
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert (out, len(lines)) == ("", 2)
    assert lines[0].startswith("Usage: vary")
    assert lines[1].startswith("vary: ")


def test_missing_recipe(capsys, tmp_path) -> None:
    assert main(["train", str(tmp_path / "none.yaml")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.yaml" in line


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("vary re", {"read", "render"}),
        ("vary read --ser", {"--server"}),
        ("vary serve --dtype bf", {"bfloat16"}),
        ("vary ask --task got-", {"got-format"}),
    ],
)
def test_shells_complete(typed, offered, tmp_path) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    environment = os.environ | words | {"_VARY_COMPLETE": "bash_complete", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "vary.cli"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_calls_vary(shell, capsys) -> None:
    assert main(["--completion", shell]) == 0
    assert f"_VARY_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_values_get_the_types_of_the_signature(monkeypatch) -> None:
    given: list[dict] = []

    def verb(
        many: Annotated[list[Path], Argument(metavar="A")],
        low: Annotated[float, Option(min=0.5)] = 1.0,
        names: Annotated[list[str] | None, Option("-n")] = None,
        pair: Annotated[tuple[str, str] | None, Option()] = None,
        on: Annotated[bool, Option("--on/--off")] = True,
    ) -> int:
        """A verb."""
        given.append({"many": many, "low": low, "names": names, "pair": pair, "on": on})
        return 0

    monkeypatch.setitem(VERBS, "try", verb)
    assert main(["try", "a", "b"]) == 0
    assert main(["try", "-n", "x", "a", "-n", "-3--1", "--low", "2", "--pair", "p", "q", "--off"]) == 0
    assert given == [
        {"many": [Path("a"), Path("b")], "low": 1.0, "names": None, "pair": None, "on": True},
        {"many": [Path("a")], "low": 2.0, "names": ["x", "-3--1"], "pair": ["p", "q"], "on": False},
    ]
    assert main(["try", "a", "--low", "0.4"]) == 1


def test_all_verbs_send_a_server_the_same_key(monkeypatch) -> None:
    given: list[str] = []
    monkeypatch.setattr("vary.evaluate.run.evaluate", lambda *_, server_key, **__: given.append(server_key))
    monkeypatch.setattr("vary.reading.remote.RemoteModel", lambda url, model, key: given.append(key))
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    for key in ("", "ours"):
        monkeypatch.setenv("VARY_API_KEY", key)
        assert main(["eval", "none", "--server", "http://127.0.0.1:1/v1"]) == 0
        load_server(None, "http://127.0.0.1:1/v1")
    assert given == ["theirs", "theirs", "ours", "ours"]


def test_demo_gets_what_serve_would(monkeypatch) -> None:
    given: list[tuple] = []
    monkeypatch.setattr("vary.serve.demo.demo", lambda *arguments: given.append(arguments))
    assert main(["demo", "vary-nano", "--port", "8001", "--api-key", "k"]) == 0
    assert given == [(["vary-nano"], "127.0.0.1", 8001, "k", "cpu", "auto")]


WITHOUT_A_MODULE = """
import sys
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuses())
from vary.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("verb", "module", "package", "wanted"),
    [
        ("family", "yaml", "pyyaml", "pyyaml"),
        ("info nano", "yaml", "pyyaml", "'vary[torch]'"),
        ("render --pdf .", "yaml", "pyyaml", "'vary[render]'"),
        ("train a.yaml", "yaml", "pyyaml", "'vary[train]'"),
        ("bench a.yaml", "yaml", "pyyaml", "'vary[train]'"),
        ("eval", "rapidfuzz", "rapidfuzz", "'vary[eval]'"),
        ("serve", "uvicorn", "uvicorn", "'vary[serve]'"),
        ("demo", "uvicorn", "uvicorn", "'vary[serve]'"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(verb, module, package, wanted) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_MODULE, module, *verb.split()], capture_output=True, text=True, check=False
    )
    message = f"vary: vary {verb.split()[0]} needs the package {package}: pip install {wanted}\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_a_model_to_measure_may_need_torch(monkeypatch, capsys) -> None:
    def evaluate() -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setitem(VERBS, "eval", evaluate)
    assert main(["eval"]) == 1
    assert "pip install 'vary[torch]'" in capsys.readouterr().err


def test_an_option_that_is_given_twice_is_joined_or_refused(monkeypatch, capsys) -> None:
    """No value is replaced in silence."""

    def verb(
        to: Annotated[str | None, Option(metavar="A,B")] = "c",
        model: Annotated[str | None, Option(metavar="MODEL")] = None,
        size: Annotated[int, Option(metavar="N")] = 3,
        kept: Annotated[list[str] | None, Option(metavar="X")] = None,
    ) -> int:
        """Show what was given."""
        print(to, model, size, kept)
        return 0

    monkeypatch.setitem(VERBS, "show", verb)
    for given, seen in (
        ("", "c None 3 None"),
        ("--to a --to b,d --size 7 --kept x --kept y", "a,b,d None 7 ['x', 'y']"),
    ):
        assert main(["show", *given.split()]) == 0
        assert capsys.readouterr().out.strip() == seen
    for given in ("--model a --model b", "--size 1 --size 2"):
        assert main(["show", *given.split()]) == 1
        assert f"{given.split()[0]}: given 2 times; it may be given once" in capsys.readouterr().err
