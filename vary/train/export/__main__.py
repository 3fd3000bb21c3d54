"""Write the ONNX files of a model folder: `python -m vary.train.export FOLDER`, or WEIGHTS FOLDER."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...io.errors import VaryError
from . import export_files, export_reader


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files and print their paths. Exits with 1 for folders that cannot be used, with 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        "python -m vary.train.export",
        "%(prog)s [WEIGHTS] FOLDER",
        "Write the ONNX files with which a model folder reads. With WEIGHTS, a folder of tracked weights such as "
        "checkpoints/vary-nano-3: those for formulas, or for more letters.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="the tracked weights, if any; the model"
    )
    folders = parser.parse_args(arguments).folders
    if len(folders) > 2:
        parser.error("expected FOLDER, or WEIGHTS FOLDER")
    try:
        for path in export_reader(*folders) if len(folders) == 1 else export_files(*folders):
            print(path)
    except (VaryError, OSError) as error:
        parser.exit(1, f"vary: {error}\n")


if __name__ == "__main__":
    main()
