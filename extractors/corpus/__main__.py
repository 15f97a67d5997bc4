"""`python -m extractors.corpus`."""

import sys

from extractors.corpus.run import main

if __name__ == "__main__":
    sys.exit(main())
