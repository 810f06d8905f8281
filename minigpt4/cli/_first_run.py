"""What `minigpt4 demo` does the first time: draw, train both stages, write the page that shows how it learned."""

from __future__ import annotations

from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file

RECIPES = {stage: Path(f"train_configs/minigpt4_scenes_stage{number}.yaml")
           for number, stage in enumerate(("stage 1", "stage 2"), start=1)}
RUNS = {stage: Path(f"output/minigpt4_scenes_stage{number}") for number, stage in enumerate(RECIPES, start=1)}
"""where the recipes write"""
DATA = Path("output/scenes")
PHOTOGRAPHS = Path("examples/photos")
REPORT = Path("output/demo.html")
FINISHED = Path("output/minigpt4_scenes_stage2/loss.png")
"""what the second stage writes last"""


def train_embedded_default() -> None:
    """Everything that is not there yet; a run that was interrupted continues.

    Raises:
        UserError: the recipes are not in the working directory.
    """
    from minigpt4.cli.main import main

    if not all(recipe.exists() for recipe in RECIPES.values()):
        raise UserError("demo.recipes", where="minigpt4 demo", what="the recipes of the embedded default are not here",
                        fix="run it in a clone of the repository, or give --model or --cfg-path")
    if FINISHED.exists():
        return
    print("the embedded default: both stages on this machine, a few minutes; Ctrl-C stops, the same command continues")
    steps = [] if DATA.exists() else [["data", "scenes", "--output", str(DATA)]]
    steps += [["train", "--resume", "--cfg-path", str(recipe)] for recipe in RECIPES.values()]
    for number, words in enumerate(steps, start=1):
        print(f"[{number}/{len(steps)}] minigpt4 {' '.join(words)}", flush=True)
        if status := main(words):
            raise SystemExit(status)


def write_report() -> None:
    """`output/demo.html`, once the second stage has ended."""
    from minigpt4.inference.load import load_model
    from minigpt4.scenes.data.album import read_album
    from minigpt4.scenes.first_run.exam import ask_about
    from minigpt4.scenes.first_run.learning import read_learning
    from minigpt4.scenes.first_run.page import page

    loaded = load_model(RUNS["stage 2"], device="cpu")
    answered = ask_about(loaded, read_album(PHOTOGRAPHS).kept_back)
    knows = loaded.knowledge.sentence() if loaded.knowledge else ""
    text = page(read_learning(RUNS), answered, vocabulary=loaded.vocab_size, knows=knows)
    with atomic_file(REPORT) as part:
        part.write_text(text, encoding="utf-8")
    right = sum(each.right for each in answered)
    print(f"{right} of {len(answered)} answers about photographs it has not seen are right; how it learned: {REPORT}")
