"""A run that is killed again and again: `python -m tests.runners.killed '{"ranks": 2, "kills": 20, …}'`.

Kills strike at seeded moments after a step that was made since the resume: mostly all ranks at once, sometimes one
whose loss the others have to notice. After each kill the newest checkpoint is held against that of an undisturbed run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from minigpt4.runners.checkpoint import read_state
from minigpt4.runners.run_folder import RunFolder
from tests.runners.forked import fork, import_all
from tests.runners.processes import free_port

Moments = Mapping[int, Mapping[str, torch.Tensor]]
PATIENCE = 300
"""seconds until a run that makes no step is given up"""


@dataclass(frozen=True)
class Order:
    """What to kill.

    Args:
        ranks: processes of the run.
        words: the command, without --resume.
        folder: its output folder.
        straight: output folder of the undisturbed run, which has kept all its checkpoints.
        kills: how many.
        seed: of their moments.
        steps: a kill comes at most so many steps after a resume.
    """

    ranks: int
    words: list[str]
    folder: str
    straight: str
    kills: int
    seed: int = 0
    steps: int = 3

    @property
    def resumed(self) -> list[str]:
        """The command that goes on, or begins."""
        return [self.words[0], "--resume", *self.words[1:]]


def compare(folder: Path, straight: Path) -> int:
    """Hold the newest checkpoint of a run against that of the undisturbed one, bit by bit; returns its step."""
    newest = RunFolder(folder).newest()
    if newest is None:
        return 0
    other = RunFolder(straight).checkpoint(int(newest.name.rpartition("_")[2]))
    ours, theirs = load_file(newest / "model.safetensors"), load_file(other / "model.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs), newest
    one, two = read_state(newest), read_state(other)
    assert (one.step, one.position, one.ledgers, one.counts) == (two.step, two.position, two.ledgers, two.counts)
    _same_moments(one.optimizer["state"], two.optimizer["state"])
    return one.step


def _same_moments(one: Moments, other: Moments) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[number][name], value) for number, values in other.items()
               for name, value in values.items())


def run_until_killed(order: Order, chance: random.Random) -> bool:
    """One start, resumed where there is something, until the kill; whether it came to its end before."""
    log = Path(order.folder) / "log.jsonl"
    begun, wanted, delay = _size(log), chance.randrange(order.steps), chance.random() * 0.3
    only = chance.randrange(order.ranks) if chance.random() < 0.2 else None
    port = free_port()
    children = [fork(rank, order.ranks, port, order.resumed) for rank in range(order.ranks)]
    left, deadline = set(children), time.monotonic() + PATIENCE
    while left and _lines_since(log, begun) <= wanted:
        assert time.monotonic() < deadline, "no step is made"
        left -= {child for child in left if os.waitpid(child, os.WNOHANG)[0]}
        time.sleep(0.02)
    if not left:
        return True
    time.sleep(delay)
    _end(left if only is None else [children[only]], left)
    return False


def _end(first: Sequence[int] | set[int], left: set[int]) -> None:
    """Kill some; the others have a while to notice, then they are killed too."""
    for child in set(first) & left:
        os.kill(child, signal.SIGKILL)
    until = time.monotonic() + 20
    waiting = set(left)
    while waiting and time.monotonic() < until:
        waiting -= {child for child in waiting if os.waitpid(child, os.WNOHANG)[0]}
        time.sleep(0.02)
    for child in waiting:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _lines_since(log: Path, begun: int) -> int:
    """Steps in the log that were made since; a resume first cuts off what came after its checkpoint."""
    if not log.exists():
        return 0
    content = log.read_bytes()
    return content[min(begun, len(content)):].count(b"\n")


def main(order: Order) -> None:
    import_all()
    chance, killed = random.Random(order.seed), 0
    while killed < order.kills:
        assert not run_until_killed(order, chance), f"the run ended after {killed} kills: make it longer"
        killed += 1
        print(f"kill {killed}: {compare(Path(order.folder), Path(order.straight))} steps kept", flush=True)
    port = free_port()
    children = [fork(rank, order.ranks, port, order.resumed) for rank in range(order.ranks)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * order.ranks
    print(f"ended: {compare(Path(order.folder), Path(order.straight))} steps, every resume bit-equal")


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
