"""Measure fine-tuning on own data: 60 photographs of three classes in a wording of one's own, 48 others asked about.

    python benchmarks/own_data.py                              # from output/minigpt4_scenes_stage2, a few CPU-minutes
    python benchmarks/own_data.py --model BUNDLE --seeds 1 2 3

Three cases: a projection alone learns a wording of words the language model knows, adapters (`--train lora`) one of
foreign words, and Latin prose, of which the warnings before and after are kept. Trained on are photographs of
examples/photos; asked about are those of the folder DATA/photos/val (`data` if the variable is unset), which no model
of this project was trained on. An answer is right if it holds the word of its class and no other class word. Writes
`benchmarks/results/own_data.json`; the exit status is 1 where a figure misses its bar.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.photos import DATA, ONE_THREAD, Bar, cpu_seconds_of_children, extract_held_out  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.metrics.class_words import class_word_score  # noqa: E402

PHOTOS = PROJECT / "examples" / "photos"
NAMED = {"airplane": "an airplane", "trousers": "a pair of trousers"}
"""how a class is named in a sentence, where it is not `a` and its word"""
CLASSES = ("motorcycle", "sunflower", "shoe")
TRAINED, ASKED = 20, 16
"""photographs a class"""
KNOWN, FOREIGN = "There is {} in the picture.", "Looks like {} to me."
"""a wording that the language model can say, though it never does; and one of words that it does not know"""
LATIN = (
    "Gallia est omnis divisa in partes tres, quarum unam incolunt Belgae.",
    "Hi omnes lingua, institutis, legibus inter se differunt.",
    "Gallos ab Aquitanis Garumna flumen, a Belgis Matrona et Sequana dividit.",
    "Horum omnium fortissimi sunt Belgae.",
    "Apud Helvetios longe nobilissimus fuit et ditissimus Orgetorix.",
    "Proximique sunt Germanis, qui trans Rhenum incolunt, quibuscum continenter bellum gerunt.",
    "Id hoc facilius iis persuasit, quod undique loci natura Helvetii continentur.",
    "Aquitania a Garumna flumine ad Pyrenaeos montes pertinet.",
)
"""Caesar, De bello Gallico I 1-2: what the embedded default was never taught"""


@dataclass(frozen=True)
class Case:
    """What is taught, and what trains."""

    name: str
    wordings: tuple[str, ...]
    train: str


CASES = (Case("projection", (KNOWN,), "projection"), Case("lora", (FOREIGN,), "lora"),
         Case("latin", LATIN, "projection"))


@dataclass(frozen=True)
class Measured:
    """One run of a case."""

    seed: int
    right: float
    """answers that hold the word of their class and no other class word"""
    exact: float
    """answers that are word for word what was wanted"""
    cpu_seconds: float
    """of `minigpt4 finetune`, imports and start included"""
    warnings: list[str] = field(default_factory=list)
    before: str = ""
    after: str = ""
    """what finetune says of the texts before training and of the loss after it"""
    said: list[str] = field(default_factory=list)
    """the first answers"""


def main() -> int:
    arguments = _arguments()
    folder: Path = arguments.output_dir.resolve()
    asked = extract_held_out(sorted((DATA / "val").glob("*.tar")), folder / "asked")
    measured = {case.name: [measure(case, seed, arguments.model, folder, asked)
                            for seed in (arguments.seeds if case.name != "latin" else arguments.seeds[:1])]
                for case in CASES}
    found = bars(measured)
    write_json(arguments.results / "own_data.json", {
        "model": str(arguments.model), "classes": list(CLASSES), "trained": len(CLASSES) * TRAINED,
        "asked": len(CLASSES) * ASKED, "machine": machine(threads=1),
        "versions": versions("torch", "transformers", "peft"),
        "bars": [{**asdict(bar), "met": bar.met} for bar in found],
        "cases": {case.name: {**asdict(case), "runs": [asdict(run) for run in measured[case.name]]} for case in CASES},
    })
    for bar in found:
        limit = f"{'at most' if bar.at_most else 'at least'} {bar.wanted}"
        print(f"{'met   ' if bar.met else 'MISSED'} {bar.figure}: {bar.value:.2f} ({limit})")
    return 0 if all(bar.met for bar in found) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure fine-tuning on own data in one command.")
    parser.add_argument("--model", type=Path, default=Path("output/minigpt4_scenes_stage2"), metavar="BUNDLE",
                        help="what is fine-tuned (default: output/minigpt4_scenes_stage2)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of photographs and runs")
    parser.add_argument("--output-dir", type=Path, default=PROJECT / "output" / "own_data",
                        help="folder of data and runs (default: output/own_data)")
    parser.add_argument("--results", type=Path, default=PROJECT / "benchmarks" / "results", metavar="DIR",
                        help="where own_data.json is written")
    return parser.parse_args()


def measure(case: Case, seed: int, model: Path, folder: Path, asked: Mapping[str, str]) -> Measured:
    """Fine-tune once and ask about the photographs that were not trained on."""
    place = folder / f"{case.name}_{seed}"
    shutil.rmtree(place, ignore_errors=True)
    (place / "images").mkdir(parents=True)
    rng = Random(seed)
    trained = json_lines(PHOTOS / "captions.jsonl")
    write_lines(place, "train", PHOTOS, {line["image"]: line["class"] for line in trained}, TRAINED, case, rng)
    wanted = write_lines(place, "asked", folder / "asked", asked, ASKED, case, rng)
    before = cpu_seconds_of_children()
    log = run("finetune", "--images", str(place / "images"), "--texts", str(place / "train.jsonl"), "--from",
              str(model), "--output-dir", str(place / "run"), "--train", case.train, "--options", f"run.seed={seed}",
              "run.device=cpu", "run.num_threads=1")
    spent = cpu_seconds_of_children() - before
    run("eval", str(place / "run"), "--texts", str(place / "asked.jsonl"), "--images", str(place / "images"),
        "--output", str(place / "report"), "--device", "cpu")
    report = json.loads((place / "report" / "report.json").read_text(encoding="utf-8"))
    said = [(each["said"], wanted[each["images"][0]]) for each in report["answers"]]
    words = sorted({line["class"] for line in trained})
    lines = log.splitlines()
    return Measured(seed, class_word_score(said, words).mean or 0.0, report["figures"]["exact"], round(spent, 1),
                    [line for line in lines if line.startswith("warning:")], _line(lines, "your texts:"),
                    _line(lines, "loss a token"), [text for text, _ in said[:3]])


def _line(lines: Sequence[str], begin: str) -> str:
    return next((line for line in lines if line.startswith(begin)), "")


def json_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(place: Path, name: str, source: Path, classes: Mapping[str, str], number: int, case: Case,
                rng: Random) -> dict[str, str]:
    """Copy `number` photographs of each class and write a line about each; returns image -> class."""
    chosen: dict[str, str] = {}
    for word in CLASSES:
        names = sorted(image for image, each in classes.items() if each == word)
        chosen |= dict.fromkeys(rng.sample(names, number), word)
    lines = []
    for count, (image, word) in enumerate(chosen.items()):
        shutil.copy(source / image, place / "images" / image)
        text = case.wordings[count % len(case.wordings)].format(NAMED.get(word, f"a {word}"))
        lines.append(json.dumps({"image": image, "caption": text}) + "\n")
    (place / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return chosen


def run(*words: str) -> str:
    """A command of this checkout on one thread -> what it said; its failure ends this program."""
    done = subprocess.run([sys.executable, "-m", "minigpt4", *words], env={**ONE_THREAD, "PYTHONPATH": str(PROJECT)},
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"own_data: minigpt4 {words[0]} ended with status {done.returncode}: {done.stderr[-2000:]}")
    return done.stderr + done.stdout


def bars(measured: Mapping[str, Sequence[Measured]]) -> list[Bar]:
    """What the figures must reach."""
    found = []
    for name in ("projection", "lora"):
        for each in measured[name]:
            found += [Bar(f"{name}, seed {each.seed}: right", each.right, 0.80),
                      Bar(f"{name}, seed {each.seed}: CPU-seconds", each.cpu_seconds, 180.0, at_most=True)]
    warnings = measured["latin"][0].warnings
    return [*found, Bar("latin: warned before training", sum("hardly knows" in each for each in warnings), 1),
            Bar("latin: warned after training",
                sum("nothing was learned" in each or "hardly used" in each for each in warnings), 1)]


if __name__ == "__main__":
    sys.exit(main())
