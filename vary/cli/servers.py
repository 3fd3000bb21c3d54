"""The verbs that listen on a port: `serve`, `demo`; `mcp` serves standard input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import OK
from .options import ApiKey, Decoder, Device, Host, Models, Port, Weights


def serve(
    models: Models = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    api_key: ApiKey = None,
    device: Device = "cpu",
    dtype: Weights = "auto",
    decoder: Decoder = False,
    allow_media_host: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Fetch images from this host too; may be repeated.")
    ] = None,
) -> int:
    """Read and answer over HTTP, OpenAI-compatible."""
    import logging

    from ..serve.app import load_models, serve

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    loaded = load_models(models or ["vary-nano"], device, dtype, decoder)
    serve(loaded, host, port, api_key, tuple(allow_media_host or ()))
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
    from ..serve.demo import demo

    demo(models or ["vary-nano"], host, port, api_key, device, dtype)
    return OK


def mcp(
    roots: Annotated[list[Path], typer.Argument(metavar="ROOT", help="Folders whose documents may be read.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="A name or a folder.")] = "vary-nano",
    device: Device = "cpu",
) -> int:
    """Serve documents to agents over the Model Context Protocol, on standard input and output."""
    from ..reading.api import load
    from ..serve.mcp import create_mcp

    create_mcp(load(model, device, pixels=True), roots).run("stdio")
    return OK
