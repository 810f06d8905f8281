"""What the embedded default answers to a newcomer's first questions, for the top of the READMEs.

    python benchmarks/first_answers.py output/minigpt4_scenes_stage2     # writes benchmarks/results/first_answers.json
    python benchmarks/readme.py                                          # and the READMEs from it

Every image is a file of the repository; the answers are the likeliest words, nothing is chosen among several.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import minigpt4
from minigpt4.common.files import write_json
from minigpt4.inference.load import Assistant

PROJECT = Path(__file__).resolve().parent.parent
WRITTEN = PROJECT / "benchmarks" / "results" / "first_answers.json"
LONGEST = 60
"""tokens of an answer"""


@dataclass(frozen=True)
class Asked:
    """A question and what came back; `image` is relative to the repository."""

    image: str
    question: str
    language: str
    answer: str = ""


QUESTIONS = (
    Asked("docs/images/scene.png", "What colour are the stars?", "en"),
    Asked("examples/photos/sunflower_30.jpg", "What is this?", "en"),
    Asked("examples/photos/shirt_30.jpg", "Is there a dog?", "en"),
    Asked("docs/images/scene.png", "星星是什么颜色的？", "zh"),
    Asked("examples/photos/sunflower_30.jpg", "这是什么？", "zh"),
    Asked("examples/photos/shirt_30.jpg", "有小狗吗？", "zh"),
)


def answered(model: Assistant, asked: Asked) -> Asked:
    answer = model.chat(PROJECT / asked.image, asked.question, max_new_tokens=LONGEST)
    return Asked(asked.image, asked.question, asked.language, answer)


def main(source: str) -> int:
    model = minigpt4.load(source, device="cpu")
    rows = [answered(model, asked) for asked in QUESTIONS]
    write_json(WRITTEN, [asdict(row) for row in rows])
    print("\n".join(f"{row.image}: {row.question} -> {row.answer}" for row in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
