"""`minigpt4 eval`: what a model says about own images or drawn scenes, in numbers, with every answer kept."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt4.cli._decoding_arguments import add_model_arguments
from minigpt4.cli._source import Source, source_of
from minigpt4.common.config.ranges import PositiveInt, number
from minigpt4.common.errors import UserError

if TYPE_CHECKING:
    from minigpt4.scenes.exam.scoring import Figures

HELP = "Evaluate a model on your own texts (--texts, --images), or on drawn scenes it has not seen."
EXAMPLES = (
    "minigpt4 eval output/minigpt4_scenes_stage2 --texts mine.jsonl --images mine --output output/eval_mine",
    "minigpt4 eval --model output/minigpt4_scenes_stage2 --split held_out --limit 50 --output output/eval_held_out",
)
SCENES, SPLITS = Path("output/scenes"), ("seen", "held_out")
TEXTS_AT_ONCE, SCENES_AT_ONCE = 8, 64
"""questions per batch; own images may belong to a model of billions"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    own = parser.add_argument_group("own texts")
    own.add_argument("--texts", type=Path, metavar="FILE",
                     help='JSONL, a line each: {"image": "a.png", "caption": "…"}, or "text" or "conversations"')
    own.add_argument("--images", type=Path, metavar="DIR", help="folder that image names are relative to")
    drawn = parser.add_argument_group("drawn scenes (without --texts)")
    drawn.add_argument("--scenes", type=Path, metavar="DIR",
                       help=f"what `minigpt4 data scenes` wrote (default: {SCENES})")
    drawn.add_argument("--split", nargs="+", metavar="NAME", help=f"evaluation splits (default: {' '.join(SPLITS)})")
    drawn.add_argument("--in-words", action="store_true",
                       help="give the language model each scene in words instead of the image: its ceiling")
    parser.add_argument("--limit", type=number(PositiveInt), metavar="N",
                        help="only the first N lines of the texts, or scenes of each split")
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="folder of the report (default: output/eval_texts, or output/eval for scenes)")
    parser.add_argument("--batch-size", type=number(PositiveInt), metavar="N",
                        help="questions per batch; smaller needs less memory (default: 8 for texts, 64 for scenes)")


def run(arguments: argparse.Namespace) -> int:
    _check_given(arguments)
    source = source_of(arguments)
    return _run_texts(arguments, source) if arguments.texts else _run_scenes(arguments, source)


def _check_given(arguments: argparse.Namespace) -> None:
    """Raise `UserError` where flags of texts and of scenes are mixed, or half of the texts is missing."""
    own = [f"--{name}" for name in ("texts", "images") if getattr(arguments, name)]
    drawn = [f"--{name.replace('_', '-')}" for name in ("scenes", "split", "in_words") if getattr(arguments, name)]
    if own and drawn:
        raise UserError("cli.eval", where="minigpt4 eval", what=f"got {own[0]} and {drawn[0]}",
                        fix="own texts and drawn scenes are evaluated one at a time")
    if len(own) == 1:
        raise UserError("cli.eval", where="minigpt4 eval", what=f"got {own[0]} alone",
                        fix="own texts need --texts FILE.jsonl and --images DIR")


def _run_texts(arguments: argparse.Namespace, source: Source) -> int:
    from minigpt4.datasets.own_texts import read_own_texts

    data = read_own_texts(arguments.images, arguments.texts, limit=arguments.limit)
    from tqdm import tqdm

    from minigpt4.evaluation.own_evaluation import evaluate_texts, number_of_questions
    from minigpt4.evaluation.own_report import PAGE, summary

    loaded, folder = source.load(arguments), arguments.output or Path("output/eval_texts")
    with tqdm(total=number_of_questions(loaded, data), unit="answer") as bar:
        figures = evaluate_texts(loaded, data, folder, model=str(source.path),
                                 batch_size=arguments.batch_size or TEXTS_AT_ONCE, advance=bar.update)
    for name, value, meaning in summary(figures):
        print(f"{name:<10} {value:>6}  {meaning}")
    print(f"wrote {folder / PAGE}: every answer beside what was wanted")
    return 0 if figures.questions else 1


def _run_scenes(arguments: argparse.Namespace, source: Source) -> int:
    from minigpt4.scenes.data.splits import read_split

    folder, batch_size = arguments.output or Path("output/eval"), arguments.batch_size or SCENES_AT_ONCE
    places = {name: (arguments.scenes or SCENES) / name for name in arguments.split or SPLITS}
    splits = {name: read_split(place, arguments.limit) for name, place in places.items()}
    from tqdm import tqdm

    from minigpt4.scenes.exam.ceiling import in_words
    from minigpt4.scenes.exam.report import write_report
    from minigpt4.scenes.exam.scoring import figures, number_of_answers, predict

    loaded = source.load(arguments)
    predictions, found = [], {}
    with tqdm(total=sum(map(number_of_answers, splits.values())), unit="answer") as bar:
        for name, scenes in splits.items():
            galleries = in_words(loaded, scenes) if arguments.in_words else None
            said = predict(loaded, name, scenes, galleries=galleries, batch_size=batch_size, advance=bar.update)
            predictions += said
            found[name] = figures(said)
    write_report(folder, str(source.path), predictions, found)
    _print(found)
    print(f"wrote {folder}: results.json, predictions.jsonl, wrong.html")
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
