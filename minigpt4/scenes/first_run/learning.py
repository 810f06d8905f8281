"""What the logs of both stages tell of learning: loss curves, and watched answers over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt4.runners.curve import read_log
from minigpt4.runners.watching import WatchedAnswer

MOST_ROUNDS = 5
"""rounds of watched answers that are shown of all"""


@dataclass(frozen=True)
class Round:
    """All watched answers of one moment."""

    stage: str
    step: int
    answers: tuple[WatchedAnswer, ...]

    @property
    def moment(self) -> str:
        return "before training" if self.step == 0 else f"{self.stage}, step {self.step}"


@dataclass(frozen=True)
class Learning:
    """Both stages: name -> [(step, loss)], and the rounds of watched answers in order."""

    losses: Mapping[str, Sequence[tuple[int, float]]]
    rounds: tuple[Round, ...]


def read_learning(runs: Mapping[str, Path]) -> Learning:
    """Read the logs of run folders, by the names of their stages, in order."""
    losses, rounds = {}, list[Round]()
    for stage, folder in runs.items():
        log = read_log(folder / "log.jsonl")
        losses[stage] = [(int(entry["step"]), float(entry["loss"])) for entry in log.get("step", [])]
        found = [Round(stage, int(entry["step"]), tuple(WatchedAnswer(**answer) for answer in entry["answers"]))
                 for entry in log.get("watch", [])]
        rounds += [each for each in found if each.step > 0 or not rounds]  # a later stage begins where one ended
    return Learning(losses, tuple(_thinned(rounds)))


def _thinned(rounds: Sequence[Round]) -> list[Round]:
    """The first round, the last of each stage, and some between."""
    last = {each.stage: index for index, each in enumerate(rounds)}
    kept = sorted({0, *last.values()} if rounds else set())
    for index in range(1, len(rounds)):
        if len(kept) >= MOST_ROUNDS:
            break
        kept = sorted({*kept, index})
    return [rounds[index] for index in kept]
