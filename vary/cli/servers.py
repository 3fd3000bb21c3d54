"""The verbs that listen on a port: `serve`, `demo`; `mcp` serves standard input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..io.errors import InputError, MissingExtra
from .console import OK
from .options import ApiKey, Decoder, Device, Host, Models, Pixels, Port, Weights
from .parameters import Argument, Option


def serve(
    models: Models = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    api_key: ApiKey = None,
    device: Device = "cpu",
    dtype: Weights = "auto",
    decoder: Decoder = False,
    pixels: Pixels = False,
    allow_media_host: Annotated[
        list[str] | None, Option(metavar="HOST", help="Fetch images from this host too; may be repeated.")
    ] = None,
    workers: Annotated[
        int | None,
        Option(min=1, metavar="N", help="Pages read at once.", show_default="one per core; 1 with --decoder or a GPU"),
    ] = None,
) -> int:
    """Read and answer over HTTP, OpenAI-compatible."""
    import logging

    from ..reading.engines import thread_count
    from ..serve.app import load_models, serve
    from ..serve.limits import Limits

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    alone = decoder or device != "cpu"
    if alone and (workers or 1) > 1:
        raise InputError(f"--workers {workers}: with --decoder or a GPU one page is read at a time")
    workers = workers or (1 if alone else thread_count())
    loaded = load_models(models or ["vary-nano"], device, dtype, decoder, max(1, thread_count() // workers), pixels)
    serve(loaded, host, port, api_key, tuple(allow_media_host or ()), Limits(workers=workers))
    return OK


def demo(
    models: Models = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    api_key: ApiKey = None,
    device: Device = "cpu",
    dtype: Weights = "auto",
) -> int:
    """Serve a web page to try the models on."""
    try:
        from ..serve.demo import demo
    except MissingExtra as error:  # of the server that it is part of
        raise MissingExtra("vary demo", *error.args[1:]) from None
    demo(models or ["vary-nano"], host, port, api_key, device, dtype)
    return OK


def mcp(
    roots: Annotated[list[Path], Argument(metavar="ROOT", help="Folders whose documents may be read.")],
    model: Annotated[str, Option(metavar="MODEL", help="A name or a folder.")] = "vary-nano",
    device: Device = "cpu",
) -> int:
    """Serve documents to agents over the Model Context Protocol, on standard input and output."""
    from ..reading.api import load
    from ..serve.mcp import create_mcp

    create_mcp(load(model, device, pixels=True), roots).run("stdio")
    return OK
