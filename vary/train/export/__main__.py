"""Write the ONNX files of a model folder; the package's documentation tells which."""

import sys
from pathlib import Path

from . import export_files, export_reader

if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    for path in export_reader(given[0]) if len(given) == 1 else export_files(*given):
        print(path)
