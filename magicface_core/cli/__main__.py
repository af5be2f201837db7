"""`python -m magicface_core.cli`, the same as `magicface`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
