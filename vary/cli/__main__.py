"""`python -m vary.cli VERB` does what `vary VERB` does."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
