"""Reproduce the figures of the embedded default: draw scenes, train both stages, ask before, between and after.

    python benchmarks/scenes.py                        # about seven CPU-minutes of training, three of questions
    python benchmarks/scenes.py --skip-training        # ask again what output/scenes_benchmark holds

Writes `benchmarks/results/scenes.json` (figures, machine, versions, cost) and `docs/scenes.md`. The exit status is 1
where a figure misses its bar. Scenes are fresh: their seed is not that of any training.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.photos import Bar, cpu_seconds_of_children  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402

STAGES, SPLITS = (1, 2), ("seen", "held_out")
MOMENTS = ("before", "stage1", "stage2", "ceiling")
"""what is asked: without training, after each stage, and the language model given the scenes in words"""
EVALUATION = PROJECT / "eval_configs" / "minigpt4_scenes.yaml"

Figures = Mapping[str, Mapping[str, Any]]
"""moment -> split -> figures, as `minigpt4 eval` writes them"""


def main() -> int:
    arguments = _arguments()
    output: Path = arguments.output_dir.resolve()
    output.mkdir(parents=True, exist_ok=True)
    scenes = draw(output / "scenes", arguments)
    if not arguments.skip_training:
        spent = {f"stage{stage}": train(stage, output, scenes, arguments.options) for stage in STAGES}
        write_json(output / "cost.json", spent)
    cost = json.loads((output / "cost.json").read_text(encoding="utf-8"))
    if not arguments.skip_questions:
        for moment in MOMENTS:
            ask(moment, output, scenes, arguments.options)
    figures = {moment: read_figures(output, moment) for moment in MOMENTS}
    reached = bars(figures, cost)
    results = {
        "held_out_variant": arguments.held_out_variant, "seed": arguments.seed, "options": arguments.options,
        "machine": machine(threads=1), "versions": versions("torch", "transformers", "numpy", "pillow"),
        "cpu_seconds": cost, "bars": [{**asdict(bar), "met": bar.met} for bar in reached], "figures": figures,
    }
    write_json(arguments.results / "benchmarks" / "results" / "scenes.json", results)
    from benchmarks.scenes_page import page

    (arguments.results / "docs" / "scenes.md").write_text(page(results), encoding="utf-8")
    for bar in reached:
        limit = f"{'at most' if bar.at_most else 'at least'} {bar.wanted}"
        print(f"{'met   ' if bar.met else 'MISSED'} {bar.figure}: {bar.value:.3f} ({limit})")
    return 0 if all(bar.met for bar in reached) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reproduce the figures of the embedded default in one command.")
    parser.add_argument("--output-dir", type=Path, default=PROJECT / "output" / "scenes_benchmark",
                        help="folder of scenes, runs and answers (default: output/scenes_benchmark)")
    parser.add_argument("--skip-training", action="store_true", help="take the runs that the output folder holds")
    parser.add_argument("--skip-questions", action="store_true", help="take the answers that it holds, too")
    parser.add_argument("--seed", type=int, default=7, help="seed of the scenes (default: 7)")
    parser.add_argument("--eval", type=int, default=200, metavar="N", help="scenes of each split (default: 200)")
    parser.add_argument("--held-out-variant", type=int, default=0, help="which combinations are held out (default: 0)")
    parser.add_argument("--options", nargs="+", default=[], metavar="KEY=VALUE", help="keys changed in all configs")
    parser.add_argument("--results", type=Path, default=PROJECT, metavar="DIR",
                        help="where benchmarks/results and docs are written (default: this checkout)")
    return parser.parse_args()


# --- each step in a process of its own ---


def draw(folder: Path, arguments: argparse.Namespace) -> Path:
    """Redraw the scenes, unless the runs that they belong to are kept."""
    if not arguments.skip_training:
        shutil.rmtree(folder, ignore_errors=True)
        minigpt4("data", "scenes", "--output", str(folder), "--seed", str(arguments.seed), "--eval",
                 str(arguments.eval), "--held-out-variant", str(arguments.held_out_variant))
    return folder


def train(stage: int, output: Path, scenes: Path, options: Sequence[str]) -> float:
    """Train one stage from scratch; returns its CPU-seconds, start-up and data reading included."""
    shutil.rmtree(output / f"stage{stage}", ignore_errors=True)
    changed = [f"run.output_dir={output / f'stage{stage}'}"]
    if stage == 2:
        changed.append(f"model.ckpt={output / 'stage1'}")
    before = cpu_seconds_of_children()
    config = PROJECT / "train_configs" / f"minigpt4_scenes_stage{stage}.yaml"
    minigpt4("train", "--cfg-path", str(config), "--options", *changed, *options, SCENES=str(scenes))
    return round(cpu_seconds_of_children() - before, 1)


def ask(moment: str, output: Path, scenes: Path, options: Sequence[str]) -> None:
    """Ask everything at a moment of training; answers and figures go into `answers_MOMENT`."""
    trained = moment.startswith("stage")
    model = ["--model", str(output / moment)] if trained else ["--cfg-path", str(EVALUATION)]
    changed = list(options) if trained else ["model.ckpt=null", *options]
    words = ["--options", *changed] if changed else []
    words += ["--in-words"] if moment == "ceiling" else []
    minigpt4("eval", *model, *words, "--scenes", str(scenes), "--output", str(output / f"answers_{moment}"),
             "--device", "cpu")


def read_figures(output: Path, moment: str) -> dict[str, Any]:
    """Figures by split of what was answered at a moment."""
    text = (output / f"answers_{moment}" / "results.json").read_text(encoding="utf-8")
    splits: dict[str, Any] = json.loads(text)["splits"]
    return splits


def minigpt4(*words: str, **environment: str) -> None:
    """A command of this checkout on one thread; its failure ends this one."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    done = subprocess.run([sys.executable, "-m", "minigpt4.cli.main", *words], cwd=PROJECT, env=settings, check=False)
    if done.returncode:
        sys.exit(f"scenes: minigpt4 {' '.join(words[:3])} … ended with status {done.returncode}; see its message above")


# --- bars ---


def bars(figures: Figures, cost: Mapping[str, float]) -> list[Bar]:
    """What the figures must reach; the four types that depend on the combination are shown apart from the mean."""
    seen, held = figures["stage2"]["seen"], figures["stage2"]["held_out"]
    lost = max(figures["stage1"][split]["captions"] - figures["stage2"][split]["captions"] for split in SPLITS)
    before = max(_mean(figures["before"][split], language) for split in SPLITS for language in ("en", "zh"))
    ceiling = min(_mean(figures["ceiling"][split], language) for split in SPLITS for language in ("en", "zh"))
    return [
        Bar("English, mean of the nine types, seen", _mean(seen, "en"), 0.93),
        Bar("English, mean of the nine types, held out", _mean(held, "en"), 0.85),
        Bar("English, the four that depend on the combination, seen", seen["questions"]["en"]["pair_mean"], 0.90),
        Bar("English, the four that depend on the combination, held out", held["questions"]["en"]["pair_mean"], 0.75),
        Bar("Chinese, mean of the nine types, seen", _mean(seen, "zh"), 0.90),
        Bar("Chinese, mean of the nine types, held out", _mean(held, "zh"), 0.80),
        Bar("attributes of descriptions, seen", seen["descriptions"]["en"], 0.94),
        Bar("attributes of descriptions, held out", held["descriptions"]["en"], 0.88),
        Bar("before training, the best mean", before, 0.40, at_most=True),
        Bar("the ceiling, the worst mean", ceiling, 0.96),
        Bar("attributes of captions lost by stage 2", lost, 0.03, at_most=True),
        Bar("CPU-seconds of both stages", sum(cost.values()), 400.0, at_most=True),
    ]



def _mean(split: Mapping[str, Any], language: str) -> float:
    share: float = split["questions"][language]["mean"]
    return share


if __name__ == "__main__":
    sys.exit(main())
