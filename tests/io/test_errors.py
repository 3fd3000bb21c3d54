"""The family of errors: what a user can cause is a VaryError, and stays the built-in error that callers know."""

from __future__ import annotations

import pickle

import pytest

import vary
from vary.io.errors import ConfigError, InputError, MissingExtra, PageTimeout, RemoteError, VaryError


@pytest.mark.parametrize(
    ("error", "builtin"), [(InputError, ValueError), (ConfigError, ValueError), (PageTimeout, ValueError)]
)
def test_errors_of_the_user_are_still_value_errors(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, VaryError)
    assert issubclass(error, builtin)
    assert str(pickle.loads(pickle.dumps(error("a.pdf: broken")))) == "a.pdf: broken"


def test_a_missing_package_is_named_with_the_line_that_installs_it() -> None:
    error = MissingExtra("reading on a cluster", "ray", "cluster")
    assert isinstance(error, VaryError)
    assert isinstance(error, ImportError)
    assert (
        str(pickle.loads(pickle.dumps(error)))
        == str(error)
        == "reading on a cluster needs the package ray: pip install 'vary[cluster]'"
    )
    assert str(MissingExtra("this", "thing")) == "this needs the package thing: pip install thing"


def test_a_remote_error_keeps_what_the_server_said() -> None:
    error = RemoteError("http://x: 429: full", 429, {"error": "full"})
    assert (str(error), error.status, error.body) == ("http://x: 429: full", 429, {"error": "full"})


def test_the_old_name_of_an_input_error_is_kept() -> None:
    assert vary.InputError is vary.InputError is InputError
