"""The errors that a user can cause. Each message is one line that names the file, page or key and what is allowed.

The command line prints a `VaryError` as one line and shows the traceback of any other exception, which is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class VaryError(Exception):
    """Base of all errors that a user of the package can cause and mend."""


class InputError(VaryError, ValueError):
    """A file, a page or an argument that cannot be used."""


class PageTimeout(InputError):
    """A page that took longer than its time limit."""


class ConfigError(VaryError, ValueError):
    """A key, a name or a value of a recipe, a mix, a model's configuration or an option that is not allowed."""


class MissingExtra(VaryError, ImportError):
    """A package that an optional feature needs and that is not installed.

    Args:
        what: the feature, as the user asked for it.
        package: the missing package.
        extra: the extra of `vary` that installs it; None when no extra does.
    """

    def __init__(self, what: str, package: str | None, extra: str | None = None):
        super().__init__(what, package, extra)

    def __str__(self) -> str:
        what, package, extra = self.args
        wanted = f"'vary[{extra}]'" if extra else package
        return f"{what} needs the package {package}: pip install {wanted}"


class RemoteError(VaryError):
    """A server or a package mirror that cannot be reached or gives no usable answer.

    Args:
        message: one line.
        status: the HTTP status, 0 when there was none.
        body: the JSON body of the answer, None when there was none.
    """

    def __init__(self, message: str, status: int = 0, body: Any = None):
        super().__init__(message)
        self.status, self.body = status, body


BadInput = InputError  # the name of 0.1


def check_keys(where: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise ConfigError with the nearest known key if a key is unknown."""
    allowed = sorted(allowed)
    for key in given:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}")
