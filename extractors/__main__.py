"""`python -m extractors`."""

import sys

from extractors.pipeline import main

if __name__ == "__main__":
    sys.exit(main())
