"""The documentation as web pages: `sphinx-build -W --keep-going docs build/docs` (extra `docs`).

What a verb takes is printed by the verb itself while the pages are built, so that no page says what was true once.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

import vary
from vary.cli import main

project, author, release = "vary", "the authors of vary", vary.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"vary {release}"
html_show_copyright = False
myst_heading_anchors = 3
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
exclude_patterns = ["_build"]


def help_of(verb: str) -> str:
    """What `vary VERB --help` prints, 80 columns wide. Raises ValueError where there is no such verb."""
    printed = io.StringIO()
    os.environ["COLUMNS"] = "80"
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        main([verb, "--help"])
    if not re.match(rf"Usage: vary {verb}\b", printed.getvalue()):
        raise ValueError(f"vary {verb} --help: {printed.getvalue()}")
    return printed.getvalue()


class HelpOf(Directive):
    """`{help-of} VERB`: what the verb prints about itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The text as it is printed."""
        try:
            text = help_of(self.arguments[0])
        except ValueError as error:
            raise self.error(str(error)) from None
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("help-of", HelpOf)
    return {"parallel_read_safe": True}
