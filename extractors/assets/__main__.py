"""`python -m extractors.assets`."""

import sys

from extractors.assets.registry import main

if __name__ == "__main__":
    sys.exit(main())
