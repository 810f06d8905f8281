"""Three turns about an image beside transformers' own `generate`, same weights, same prompts, in turns.

    python benchmarks/chat.py      # writes benchmarks/results/chat.json; status 1 where a bar is missed

Ours is `Chat` as people use it (image opened, text rendered, streamed); the peer is `Blip2ForConditionalGeneration`
given ready ids and pixels, which keeps nothing between turns. An image and 24 words, then 24 words a turn, 32 tokens
an answer, greedy. CPU seconds at one thread; wall time at two.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402
from transformers.generation.streamers import BaseStreamer  # noqa: E402

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.yardstick import IMAGE_TOKEN_ID, ROUNDS, median_ratio, our_model, peer_model  # noqa: E402
from minigpt4.assembly.loaded import LoadedModel  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.generation.settings import DecodingSettings  # noqa: E402
from minigpt4.inference.chat import Chat  # noqa: E402
from minigpt4.inference.events import Done, TextDelta  # noqa: E402
from minigpt4.inference.images import as_image_ref, processor_of  # noqa: E402
from minigpt4.records.conversations import Conversation, Turn  # noqa: E402

TURNS, WORDS, ANSWER = 3, 24, 32
GREEDY = DecodingSettings(max_new_tokens=ANSWER, min_new_tokens=ANSWER)
SHARE_OF_PEER = 0.35
"""most of the peer's time to the first token of turn 3"""
GROWTH = 1.3
"""most of our own turn 2"""


@dataclass(frozen=True)
class TurnTime:
    """Seconds to the first token of a turn, tokens a second after it, and what was said."""

    first: float
    tokens_per_second: float
    said: tuple[int, ...]


Conversing = Callable[[], list[TurnTime]]


class _Clock(BaseStreamer):
    """Notes when the first new token comes; `generate` hands over the prompt before it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.calls = 0
        self.first = 0.0

    def put(self, value: Tensor) -> None:
        self.calls += 1
        if self.calls == 2:
            self.first = self.now()

    def end(self) -> None:
        """Nothing to close."""


def questions() -> list[str]:
    """The words of each turn."""
    drawn = random.Random(0)
    return [" ".join(f"w{drawn.randrange(7000)}" for _ in range(WORDS)) for _ in range(TURNS)]


def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8))


def our_conversation(loaded: LoadedModel, now: Callable[[], float]) -> list[TurnTime]:
    """Three turns through `Chat`."""
    chat = Chat(loaded, GREEDY)
    times = []
    for number, words in enumerate(questions()):
        begin, first, answer = now(), 0.0, ""
        for event in chat.ask(words, [image()] if number == 0 else []):
            if isinstance(event, TextDelta) and not first:
                first = now()
            if isinstance(event, Done):
                answer = event.text
        rate = (ANSWER - 1) / (now() - first)
        times.append(TurnTime(first - begin, rate, tuple(loaded.tokenizer.encode(answer, specials=True))))
    return times


def peer_conversation(peer: Any, turns: Sequence[Tensor], pixels: Tensor, now: Callable[[], float]) -> list[TurnTime]:
    """The same prompts through transformers' `generate`."""
    times = []
    for ids in turns:
        clock, begin = _Clock(now), now()
        out = peer.generate(pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                            max_new_tokens=ANSWER, min_new_tokens=ANSWER, streamer=clock)
        new = tuple(out[0, -ANSWER:].tolist())
        times.append(TurnTime(clock.first - begin, (ANSWER - 1) / (now() - clock.first), new))
    return times


def prompts_of(loaded: LoadedModel) -> list[Tensor]:
    """The ids [1, L] of each turn's prompt as our template renders them, with the peer's placeholders."""
    chat = Chat(loaded, GREEDY)
    prompts = []
    for number, words in enumerate(questions()):
        before = chat.conversation
        chat.answer(words, [image()] if number == 0 else [])
        asked = Conversation((*before.turns, chat.conversation.turns[-2]), chat.conversation.images)
        assert isinstance(asked.turns[-1], Turn) and asked.turns[-1].role == "user"
        rendered = loaded.renderer.render_prompt(asked)
        ids = [IMAGE_TOKEN_ID if slot >= 0 else one for one, slot in zip(rendered.ids, rendered.slots, strict=True)]
        prompts.append(torch.tensor([ids]))
    return prompts


def rounds_of(conversations: dict[str, Conversing]) -> dict[str, list[list[TurnTime]]]:
    """Every variant once a round; the first round is dropped."""
    taken: dict[str, list[list[TurnTime]]] = {name: [] for name in conversations}
    for number in range(ROUNDS + 1):
        for name, conversing in conversations.items():
            times = conversing()
            if number:
                taken[name].append(times)
    return taken


def measure() -> dict[str, Any]:
    torch.set_num_threads(1)
    ours = our_model()
    peer = peer_model(ours)
    prompts = prompts_of(ours)
    pixels = processor_of(ours)(as_image_ref(image())).unsqueeze(0)

    def both(now: Callable[[], float]) -> dict[str, list[list[TurnTime]]]:
        return rounds_of({"transformers": lambda: peer_conversation(peer, prompts, pixels, now),
                          "minigpt4": lambda: our_conversation(ours, now)})

    one = both(time.process_time)
    torch.set_num_threads(2)
    two = both(time.perf_counter)
    torch.set_num_threads(1)
    same = all(a.said == b.said for a, b in zip(one["transformers"][0], one["minigpt4"][0], strict=True))
    return {
        "rounds": ROUNDS, "machine": machine(), "versions": versions("torch", "transformers"), "same_tokens": same,
        "positions_of_prompts": [prompt.shape[1] for prompt in prompts],
        "cpu_1_thread": figures_of(one), "wall_2_threads": figures_of(two),
    }


def figures_of(rounds: dict[str, list[list[TurnTime]]]) -> dict[str, Any]:
    """Medians over rounds, and the two ratios."""
    first = {name: [[turn.first for turn in times] for times in taken] for name, taken in rounds.items()}
    ours, peer = first["minigpt4"], first["transformers"]
    return {
        "first_token_ms": {name: [round(1000 * median(each[turn] for each in times), 1) for turn in range(TURNS)]
                           for name, times in first.items()},
        "tokens_per_second": {name: round(median(turn.tokens_per_second for times in taken for turn in times), 1)
                              for name, taken in rounds.items()},
        "turn_3_to_peer": round(median_ratio([each[2] for each in ours], [each[2] for each in peer]), 3),
        "turn_3_to_turn_2": round(median_ratio([each[2] for each in ours], [each[1] for each in ours]), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Three turns of chat beside transformers' own generate.")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "chat.json")
    arguments = parser.parse_args()
    results = measure()
    write_json(arguments.output, results)
    figures = results["cpu_1_thread"]
    print(f"first token, ms of CPU, turns 1-3: {figures['first_token_ms']}; tokens/s {figures['tokens_per_second']}")
    print(f"turn 3: {figures['turn_3_to_peer']} of the peer's, {figures['turn_3_to_turn_2']} of our turn 2; "
          f"same tokens: {results['same_tokens']}")
    met = figures["turn_3_to_peer"] <= SHARE_OF_PEER and figures["turn_3_to_turn_2"] <= GROWTH
    return 0 if met and results["same_tokens"] else 1


if __name__ == "__main__":
    sys.exit(main())
