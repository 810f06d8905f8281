"""`python demo.py --cfg-path X`: the same as `minigpt4 demo`."""

import sys

from minigpt4.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
