"""`minigpt4 eval`: what a model knows about scenes, in numbers, with every answer kept."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt4.cli._decoding_arguments import add_model_arguments
from minigpt4.cli._source import source_of
from minigpt4.common.config.ranges import PositiveInt, number

if TYPE_CHECKING:
    from minigpt4.scenes.exam.scoring import Figures

HELP = "Evaluate a model on scenes it has not seen: accuracy by type and language, form, a page of wrong answers."
EXAMPLES = (
    "minigpt4 eval --model output/minigpt4_scenes_stage2",
    "minigpt4 eval --model output/minigpt4_scenes_stage2 --split held_out --limit 50 --output output/eval_held_out",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--scenes", type=Path, default=Path("output/scenes"), metavar="DIR",
                        help="what `minigpt4 data scenes` wrote (default: output/scenes)")
    parser.add_argument("--split", nargs="+", default=["seen", "held_out"], metavar="NAME",
                        help="evaluation splits (default: seen held_out)")
    parser.add_argument("--limit", type=number(PositiveInt), metavar="N", help="only the first N scenes of each split")
    parser.add_argument("--output", type=Path, default=Path("output/eval"), metavar="DIR",
                        help="folder for predictions.jsonl, results.json and wrong.html (default: output/eval)")
    parser.add_argument("--in-words", action="store_true",
                        help="give the language model each scene in words instead of the image: its ceiling")
    parser.add_argument("--batch-size", type=number(PositiveInt), default=64, metavar="N",
                        help="questions per batch; smaller needs less memory (default: 64)")


def run(arguments: argparse.Namespace) -> int:
    source = source_of(arguments)
    from tqdm import tqdm

    from minigpt4.scenes.data.splits import read_split
    from minigpt4.scenes.exam.ceiling import in_words
    from minigpt4.scenes.exam.report import write_report
    from minigpt4.scenes.exam.scoring import figures, number_of_answers, predict

    splits = {name: read_split(arguments.scenes / name, arguments.limit) for name in arguments.split}
    loaded = source.load(arguments)
    predictions, found = [], {}
    with tqdm(total=sum(map(number_of_answers, splits.values())), unit="answer") as bar:
        for name, scenes in splits.items():
            galleries = in_words(loaded, scenes) if arguments.in_words else None
            said = predict(loaded, name, scenes, galleries=galleries, batch_size=arguments.batch_size,
                           advance=bar.update)
            predictions += said
            found[name] = figures(said)
    write_report(arguments.output, str(source.path), predictions, found)
    _print(found)
    print(f"wrote {arguments.output}: results.json, predictions.jsonl, wrong.html")
    return 0


def _print(found: dict[str, Figures]) -> None:
    """A table: one row per figure, one column per split and language."""
    columns = [(split, language) for split, each in found.items() for language in each.questions]
    rows: list[tuple[str, list[Any]]] = [("", [f"{split} {language}" for split, language in columns])]
    types = next(iter(found.values())).questions[columns[0][1]]
    rows += [(type, [found[split].questions[language][type] for split, language in columns]) for type in types]
    rows.append(("majority", [found[split].majority[language]["mean"] for split, language in columns]))
    rows.append(("descriptions", [found[split].descriptions[language] for split, language in columns]))
    for name in ("captions", "ends_properly", "form"):
        rows.append((name, [getattr(found[split], name) for split, _ in columns]))
    for name, cells in rows:
        shown = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
        print(f"{name:<14}" + "".join(f"{cell:>14}" for cell in shown))
