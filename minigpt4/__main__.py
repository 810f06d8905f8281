"""`python -m minigpt4`: the same as the command `minigpt4`."""

import sys

from minigpt4.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
