"""`python train.py --cfg-path X` and `torchrun … train.py --cfg-path X`: the same as `minigpt4 train`."""

import sys

from minigpt4.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
