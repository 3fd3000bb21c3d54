"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from .parameters import Argument, Option

Device = Annotated[str, Option(metavar="DEVICE", help="cpu or cuda.")]
Dtype = Literal["auto", "float32", "bfloat16", "float16", "int8", "int4"]
Weights = Annotated[
    Dtype, Option("--dtype", metavar="TYPE", help=f"Format of the weights: {', '.join(get_args(Dtype))}.")
]
Language = Annotated[Literal["en", "zh"], Option(help="Language of the task's prompt.")]
Folder = Annotated[str, Option("--model", metavar="DIR", help="A model folder, as `vary convert` writes it.")]
MaxTokens = Annotated[int, Option(metavar="N", help="Longest answer, in tokens.")]
NoRepeat = Annotated[int, Option(metavar="N", help="No run of N tokens may come twice; 0 allows it.")]
Decoder = Annotated[bool, Option("--decoder", help="Rescore uncertain text with the decoder.")]
Pixels = Annotated[bool, Option("--pixels", help="Read pixels alone, not the PDFs' own text.")]
Workers = Annotated[int | None, Option(metavar="N", help="Number of processes.", show_default="one per core")]
Ray = Annotated[str | None, Option(metavar="ADDRESS", help="Use a Ray cluster; `local` starts one here.")]
Forms = Annotated[
    str | None,
    Option(
        metavar="A,B", help="text, md, html, json; with -o also pdf, overlay, csv.", show_default="text, or as -o ends"
    ),
]
Tables = Annotated[str | None, Option(metavar="csv", help="With -o DIR: also one CSV file per table, in NAME_tables.")]
Out = Annotated[
    Path | None,
    Option("-o", "--out", metavar="PATH", help="A file (paper.md), or a folder; run again to go on."),
]
Formulas = Annotated[bool, Option("--formulas/--no-formulas", help="Write formulas as LaTeX.", show_default=True)]
FrontMatter = Annotated[bool, Option("--front-matter", help="Begin Markdown with title, author and number of pages.")]
Join = Annotated[bool, Option("--join/--no-join", help="Join lines to paragraphs, also over pages.", show_default=True)]
ReaderModel = Annotated[
    str | None,
    Option(metavar="MODEL", help="A name or a folder.", show_default="vary-nano or the server's"),
]
Pages = Annotated[str | None, Option(metavar="1-4,7,-1", help="Pages, from 1; -1 is the last.")]
Password = Annotated[str | None, Option(metavar="TEXT", help="Password of encrypted PDFs.")]
Image = Annotated[str, Argument(metavar="IMAGE", help="An image file.")]
Models = Annotated[list[str] | None, Argument(metavar="MODEL", help="Names or folders.", show_default="vary-nano")]
Host = Annotated[str, Option(metavar="ADDRESS", help="Address to listen on; other machines need a key.")]
Port = Annotated[int, Option(metavar="PORT", help="Port to listen on.")]
ApiKey = Annotated[
    str | None,
    Option(
        envvar="VARY_API_KEY",
        metavar="KEY",
        help="Key that clients must send; better set VARY_API_KEY, which `ps` hides.",
    ),
]
