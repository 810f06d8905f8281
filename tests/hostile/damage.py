"""Count what is noticed: `python -m tests.hostile.damage` changes one thing in a whole bundle, again and again.

Single bits anywhere in any file (tensors, header, manifest, config, tokenizer, state.pt, SHA256SUMS itself), files
removed, added, emptied or exchanged; each must be noticed by `minigpt4 weights verify`.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from minigpt4.weights.bundles.seal import atomic_bundle, files_in
from tests import tiny
from tests.hostile.attempt import command

KINDS = ("bit", "bit", "bit", "bit", "bit", "bit", "removed", "added", "emptied", "exchanged")


def write_checkpoint(target: Path) -> Path:
    """A whole bundle with a state of a run in it."""
    loaded = tiny.model()
    with atomic_bundle(target) as folder:
        loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="stage 2", step=3)
        torch.save({"step": 3, "optimizer": {"state": {0: torch.randn(50)}}}, folder / "state.pt")
    return target


def damage(folder: Path, chance: random.Random, kind: str) -> str:
    """Change one thing; the name of the file."""
    names = files_in(folder)
    name = chance.choice(names)
    path = folder / name
    if kind == "bit":
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    elif kind == "removed":
        path.unlink()
    elif kind == "added":
        path.with_name(f"{path.name}.bak").write_bytes(chance.randbytes(chance.randrange(9)))
    elif kind == "emptied":
        path.write_bytes(b"")
    else:
        other = chance.choice([each for each in names if (folder / each).read_bytes() != path.read_bytes()])
        shutil.copyfile(folder / other, path)
    return name


def count(number: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many of each kind were noticed, and those that were not."""
    noticed: Counter[str] = Counter()
    missed = []
    with tempfile.TemporaryDirectory(prefix="minigpt4_damage_") as place:
        whole, copy = write_checkpoint(Path(place) / "whole"), Path(place) / "copy"
        for index in range(number):
            chance, kind = random.Random(f"{seed}/{index}"), KINDS[index % len(KINDS)]
            shutil.copytree(whole, copy)
            name = damage(copy, chance, kind)
            ending = command("weights", "verify", str(copy))
            if ending.kind == "refused":
                noticed[kind] += 1
            else:
                missed.append(f"{index}: {kind} in {name}: {ending.kind} {ending.words}")
            shutil.rmtree(copy)
    return noticed, missed


def main() -> int:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    noticed, missed = count(number, seed=7)
    print(f"{sum(noticed.values())} of {number} noticed: {dict(noticed)}", *missed, sep="\n")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
