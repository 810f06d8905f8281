"""Reproduce the figures of the photographs: train both stages, caption the 500 held-out images, score, write the page.

    python benchmarks/photos.py                        # about 16 CPU-minutes and captioning
    python benchmarks/photos.py --skip-training        # score and draw again what output/photos holds

Writes `benchmarks/results/photos.json` (figures, machine, versions, seed, loss curves), `docs/photos.md` and
`docs/images/photos_*.jpg`. The exit status is 1 where a figure misses its bar. The photographs are in the folder of
the environment variable DATA (`data` if unset).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

from benchmarks.machine import machine, versions  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.metrics.class_words import class_word_score, class_words_in  # noqa: E402
from minigpt4.metrics.tally import Tally  # noqa: E402

STAGES = (1, 2)
DATA = Path(os.environ.get("DATA", PROJECT / "data")) / "photos"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DATA": str(DATA.parent)}
LONGEST_CAPTION = 200
"""tokens; the longest caption of the data has under 160"""
CURVE_POINTS = 40


@dataclass(frozen=True)
class Bar:
    """A figure and the least or most it may be."""

    figure: str
    value: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


@dataclass(frozen=True)
class Said:
    """A held-out image, its class, what the model said and why it ended."""

    image: str
    wanted: str
    caption: str
    reason: str


@dataclass(frozen=True)
class StageFigures:
    """One stage in numbers; shares are of the held-out images."""

    cpu_minutes: float
    wall_minutes: float
    score: float
    ends_properly: float
    score_per_class: Mapping[str, float]
    confusions: Mapping[str, int]
    """'rose -> tulip': captions that name one wrong class; the ten most frequent"""
    curve: Sequence[Mapping[str, float]] = field(default_factory=list)
    """mean training loss of stretches of the run, by their last step"""
    validation: Mapping[str, float] = field(default_factory=dict)


def main() -> int:
    arguments = _arguments()
    output: Path = arguments.output_dir.resolve()
    output.mkdir(parents=True, exist_ok=True)
    words = json.loads((DATA / "classes.json").read_text(encoding="utf-8"))
    wanted = extract_held_out(sorted((DATA / "val").glob("*.tar")), output / "held_out")
    said: dict[int, list[Said]] = {}
    figures: dict[int, StageFigures] = {}
    for stage in STAGES:
        if not arguments.skip_training:
            train(stage, output, arguments.seed, arguments.options)
        said[stage] = caption(stage, output, wanted)
        figures[stage] = figures_of(said[stage], words, output / f"stage{stage}")
    results = {
        "configs": [config_of(stage).name for stage in STAGES],
        "seed": arguments.seed, "options": arguments.options, "machine": machine(threads=1),
        "versions": versions("torch", "transformers", "numpy", "pillow"),
        "decoding": {"greedy": True, "max_new_tokens": LONGEST_CAPTION, "prompt": "the first one of training"},
        "held_out": len(wanted), "bars": [{**asdict(bar), "met": bar.met} for bar in bars(figures)],
        "stages": {f"stage{stage}": asdict(each) for stage, each in figures.items()},
    }
    write_json(arguments.results / "benchmarks" / "results" / "photos.json", results)
    from benchmarks.photos_page import write_page

    write_page(results, said, output / "held_out", DATA / "CREDITS.tsv", arguments.results / "docs")
    for bar in bars(figures):
        limit = f"{'at most' if bar.at_most else 'at least'} {bar.wanted}"
        print(f"{'met   ' if bar.met else 'MISSED'} {bar.figure}: {bar.value:.3f} ({limit})")
    return 0 if all(bar.met for bar in bars(figures)) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reproduce the figures of the photographs in one command.")
    parser.add_argument("--output-dir", type=Path, default=PROJECT / "output" / "photos",
                        help="folder of runs and captions (default: output/photos)")
    parser.add_argument("--skip-training", action="store_true", help="take the runs that the output folder holds")
    parser.add_argument("--seed", type=int, default=42, help="seed of both runs (default: 42)")
    parser.add_argument("--options", nargs="+", default=[], metavar="KEY=VALUE", help="keys changed in both stages")
    parser.add_argument("--results", type=Path, default=PROJECT, metavar="DIR",
                        help="where benchmarks/results and docs are written (default: this checkout)")
    return parser.parse_args()


# --- training and captioning, each in a process of its own ---


def train(stage: int, output: Path, seed: int, options: Sequence[str]) -> None:
    """Train one stage from scratch and record its cost in `stageN_cost.json`."""
    shutil.rmtree(output / f"stage{stage}", ignore_errors=True)
    changed = [f"run.seed={seed}", f"run.output_dir={output / f'stage{stage}'}"]
    if stage == 2:
        changed.append(f"model.ckpt={output / 'stage1'}")
    before, begin = cpu_seconds_of_children(), time.perf_counter()
    run("train.py", "--cfg-path", str(config_of(stage)), "--options", *changed, *options)
    spent, passed = cpu_seconds_of_children() - before, time.perf_counter() - begin
    cost = {"cpu_minutes": round(spent / 60, 2), "wall_minutes": round(passed / 60, 2)}
    write_json(output / f"stage{stage}_cost.json", cost)


def config_of(stage: int) -> Path:
    """The run YAML of a stage."""
    return PROJECT / "train_configs" / f"minigpt4_photos_stage{stage}.yaml"


def caption(stage: int, output: Path, wanted: Mapping[str, str]) -> list[Said]:
    """Describe every held-out image with the bundle of a stage."""
    file = output / f"stage{stage}_captions.jsonl"
    file.unlink(missing_ok=True)
    run("-m", "minigpt4.cli.main", "caption", str(output / "held_out"), "--model", str(output / f"stage{stage}"),
        "--output", str(file), "--batch-size", "50", "--max-new-tokens", str(LONGEST_CAPTION), "--device", "cpu")
    return read_captions(file, wanted)


def run(*words: str) -> None:
    """A Python program of this checkout on one thread; its failure ends this one."""
    done = subprocess.run([sys.executable, *words], cwd=PROJECT, env=ONE_THREAD, check=False)
    if done.returncode:
        sys.exit(f"photos: {' '.join(words[:3])} … ended with status {done.returncode}; see its message above")


def cpu_seconds_of_children() -> float:
    """User and system time of all processes that ended so far, worker processes among them."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# --- figures ---


def extract_held_out(shards: Sequence[Path], folder: Path) -> dict[str, str]:
    """Write the images of the shards into a folder; returns file name -> class."""
    if not shards:
        sys.exit(f"photos: no held-out shards in {DATA / 'val'}; set DATA to the folder that holds photos/")
    folder.mkdir(parents=True, exist_ok=True)
    classes: dict[str, str] = {}
    for shard in shards:
        with tarfile.open(shard) as tar:
            members = {member.name: member for member in tar if member.isfile()}
            for name, member in members.items():
                if name.endswith(".jpg"):
                    (folder / name).write_bytes(_bytes(tar, member))
                    about = json.loads(_bytes(tar, members[name.removesuffix(".jpg") + ".json"]))
                    classes[name] = about["class"]
    return classes


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, "only files are asked for"
    return file.read()


def read_captions(file: Path, wanted: Mapping[str, str]) -> list[Said]:
    """Lines of `minigpt4 caption`, one for every held-out image."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    named = [(Path(line["image"]).name, line) for line in lines]
    said = [Said(name, wanted[name], line.get("caption", ""), line.get("reason", "")) for name, line in named]
    assert sorted(each.image for each in said) == sorted(wanted), "every held-out image has one caption"
    return said


def figures_of(said: Sequence[Said], words: Sequence[str], run_folder: Path) -> StageFigures:
    """All figures of a stage, from its captions and what its run folder noted."""
    from minigpt4.runners.curve import read_log

    cost = json.loads((run_folder.parent / f"{run_folder.name}_cost.json").read_text(encoding="utf-8"))
    log = read_log(run_folder / "log.jsonl")
    losses = [(entry["step"], entry["loss"]) for entry in log["step"]]
    last = log.get("valid", [{}])[-1]
    return StageFigures(
        **cost, **scores(said, words), curve=thinned(losses, CURVE_POINTS),
        validation={name: last[name] for name in ("loss", "image_gap") if name in last},
    )


def scores(said: Sequence[Said], words: Sequence[str]) -> dict[str, Any]:
    """Score, per class, confusions, and the share of captions that end with their end symbol."""
    per_class = {word: class_word_score([(each.caption, word) for each in said if each.wanted == word], words)
                 for word in words}
    confusions: dict[str, int] = {}
    for each in said:
        named = class_words_in(each.caption, words)
        if len(named) == 1 and named != {each.wanted}:
            pair = f"{each.wanted} -> {named.pop()}"
            confusions[pair] = confusions.get(pair, 0) + 1
    most = sorted(confusions.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {
        "score": sum(per_class.values(), Tally()).mean or 0.0,
        "ends_properly": sum(each.reason == "stop" for each in said) / len(said),
        "score_per_class": {word: tally.mean for word, tally in per_class.items() if tally.count},
        "confusions": dict(most),
    }


def thinned(points: Sequence[tuple[int, float]], number: int) -> list[dict[str, float]]:
    """Means of about `number` stretches of equal length, each named by its last step."""
    length = max(1, -(-len(points) // number))
    stretches = [points[first : first + length] for first in range(0, len(points), length)]
    return [{"step": stretch[-1][0], "loss": round(sum(float(loss) for _, loss in stretch) / len(stretch), 4)}
            for stretch in stretches]


def bars(figures: Mapping[int, StageFigures]) -> list[Bar]:
    """What the figures must reach."""
    first, second = figures[1], figures[2]
    return [
        Bar("score after stage 1", first.score, 0.60),
        Bar("CPU-minutes of both stages", first.cpu_minutes + second.cpu_minutes, 16.0, at_most=True),
        Bar("score lost by stage 2", first.score - second.score, 0.03, at_most=True),
        Bar("captions that end properly after stage 2", second.ends_properly, 0.95),
    ]


if __name__ == "__main__":
    sys.exit(main())
