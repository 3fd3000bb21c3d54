"""Exit codes, and output to the terminal."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys

OK, USAGE, SOME_LOST, NOTHING, INTERRUPTED = 0, 1, 2, 3, 130
STDOUT = "standard output"


def write(text: str) -> None:
    """Write a line to standard output. A closed pipe (`| head`) is no error.

    Raises:
        OSError: Standard output is closed or full.
    """
    if sys.stdout is None:  # closed before the start (`>&-`)
        raise OSError(errno.EBADF, "is closed", STDOUT)
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit
        if not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, STDOUT) from None


def complain(text: str) -> None:
    """Write a line to standard error."""
    if sys.stderr is not None:
        print(f"vary: {text}", file=sys.stderr, flush=True)


def escape_unprintable() -> None:
    r"""Make standard output write what its encoding lacks as \uXXXX, so that nothing is lost and JSON stays JSON."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("vary.escape", _escape)
        sys.stdout.reconfigure(errors="vary.escape")


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end
