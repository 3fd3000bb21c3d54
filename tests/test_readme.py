"""What the README promises, run: the example is read, offline, and what it says of the package is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click

from vary.cli import app
from vary.evaluate.metrics.text import cer, join_hyphens, normalise
from vary.io.pdf import PdfFile
from vary.models.hub import weights_dir
from vary.models.zoo.listing import with_summary

ROOT = Path(__file__).parents[1]
ALONE = """
import socket, sys
def refuse(*_, **__): raise AssertionError("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.modules["torch"] = sys.modules["transformers"] = None
from vary.cli import main
sys.exit(main(sys.argv[1:]))
"""


def vary(*arguments: str) -> str:
    """What a command prints without a network, PyTorch and transformers."""
    command = [sys.executable, "-c", ALONE, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120).stdout


def test_the_first_command_reads_the_example_without_a_network() -> None:
    text = vary("read", "examples/charis.pdf")
    with PdfFile(ROOT / "examples" / "charis.pdf") as pdf:
        truth = "\n".join(pdf.text(number) for number in (1, 2))
    assert cer(normalise(join_hyphens(text)), normalise(join_hyphens(truth))) < 0.03


def test_the_example_image_and_its_boxes() -> None:  # 31
    document = json.loads(vary("read", "examples/page.png", "--to", "json"))
    (page,) = document["pages"]
    truth = (ROOT / "examples" / "page.txt").read_text(encoding="utf-8")
    found = "\n".join(line["text"] for block in page["blocks"] for line in block["lines"])
    assert page["status"] == "ok"
    assert cer(normalise(join_hyphens(found)), normalise(join_hyphens(truth))) < 0.03
    for block in page["blocks"]:
        for line in block["lines"]:
            assert len(line["characters"]) == len(line["text"])
            x0, y0, x1, y1 = line["box"]
            assert -8 <= x0 < x1 <= page["width"] + 8
            assert -8 <= y0 < y1 <= page["height"] + 8


def test_every_vary_line_of_the_readme_parses() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^vary ((?:read|train|eval|demo|serve).*?)(?:\s+#.*)?$", readme, flags=re.M)
    assert len(lines) >= 6
    for line in lines:
        verb, *arguments = line.split()
        app.get_command(click.Context(app), verb).make_context(verb, arguments)  # raises for what it does not know


def test_the_output_that_is_shown_is_real() -> None:
    """The first lines of the first command; a long line is cut by ` ...`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```markdown\n(.*?)```", readme, flags=re.S)[1].splitlines()
    real = vary("read", "examples/charis.pdf", "--to", "md").splitlines()
    assert len(shown) >= 7
    for line, whole in zip(shown, real, strict=False):
        assert whole.startswith(line.removesuffix(" ...")) if line.endswith(" ...") else whole == line


def test_the_table_of_models_is_current_and_the_page_short() -> None:
    """`python -m vary.models.zoo.listing` writes the table."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_summary(readme)
    assert len(readme.splitlines()) < 90


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert f"```sh\n{command}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```sh\n{command}\n```" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_link_of_the_docs_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    for page in pages:
        for target, heading in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", page.read_text(encoding="utf-8")):
            file = (page.parent / target) if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not heading or heading in _anchors(file), f"{page.name}: {target}#{heading}"


def _anchors(page: Path) -> set[str]:
    """What links to a page's headings end in, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_shipped_model_is_as_small_as_promised() -> None:
    folder = weights_dir("vary-nano")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 40_000_000
    assert (folder / "README.md").exists()
