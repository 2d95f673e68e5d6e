"""`python -m gradsurgery`, as `gradsurgery` where its script is not on the path."""

import sys

from gradsurgery.cli import main

if __name__ == "__main__":
    sys.exit(main())
