"""`minigpt4 data`: inspect the data of a config before a run spends hours on it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt4.cli._config_arguments import add_config_arguments
from minigpt4.cli._preparation import add_prepare_verb, prepare
from minigpt4.cli._scenes import add_scenes_verb, draw_scenes
from minigpt4.cli._validation import add_validate_verb, say, validate
from minigpt4.common.config import load_config
from minigpt4.common.config.ranges import NonNegativeInt, PositiveInt, number
from minigpt4.common.errors import UserError

if TYPE_CHECKING:
    from minigpt4.common.config import Config
    from minigpt4.datasets.mixture import Mixture

HELP = "Show samples as the model sees them, validate data, train a tokenizer, or draw the embedded data set."
EXAMPLES = (
    "minigpt4 data show --cfg-path train_configs/minigpt4_scenes_stage1.yaml --number 8 --output contact.png",
    "minigpt4 data scenes --output output/few_scenes --stage1 100 --stage2 20 --dialogues 50 --eval 10",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="{show,validate,prepare,tokenizer,scenes}")
    show = verbs.add_parser("show", help="print samples as the model gets them; what is learned is green or in [[ ]]")
    add_config_arguments(show)
    show.add_argument("--number", type=number(NonNegativeInt), default=8, metavar="N",
                      help="how many samples (default: 8)")
    show.add_argument("--output", type=Path, metavar="PNG", help="also write their images and texts as one sheet")
    add_validate_verb(verbs)
    add_prepare_verb(verbs)
    tokenizer = verbs.add_parser("tokenizer", help="train a tokenizer (byte-level BPE) from the texts of the data sets")
    add_config_arguments(tokenizer)
    tokenizer.add_argument("--vocab-size", type=number(PositiveInt), required=True, metavar="N",
                           help="number of pieces")
    tokenizer.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for the tokenizer")
    tokenizer.add_argument("--extra", nargs="*", default=[], metavar="TOKEN", help="further special tokens")
    tokenizer.add_argument("--scene-words", action="store_true",
                           help="keep the words of drawn scenes whole, for recipes of embedded language models")
    add_scenes_verb(verbs)


def run(arguments: argparse.Namespace) -> int:
    verbs = {"show": _show, "validate": validate, "prepare": prepare, "tokenizer": _tokenizer, "scenes": draw_scenes}
    return verbs[arguments.verb](arguments)


def _show(arguments: argparse.Namespace) -> int:
    from minigpt4.common.files import atomic_file
    from minigpt4.datasets.inspection import contact_sheet

    config = load_config(arguments.cfg_path, arguments.options)
    tiles, readable = _print_samples(config, arguments.number)
    if arguments.output:
        if not tiles:
            raise UserError("data.no_image", where="--output", what="none of these samples has an image",
                            fix="ask for more with --number, or leave --output out")
        with atomic_file(arguments.output) as part:
            contact_sheet(tiles).save(part, "PNG")
        print(f"wrote {arguments.output}")
    return 0 if readable else 1


def _print_samples(config: Config, number: int) -> tuple[list[tuple[Any, str]], int]:
    """Print the first samples of a run; returns images and texts for the sheet, and how many could be read."""
    from minigpt4.assembly.build import build_renderer, positions_in, system_of
    from minigpt4.datasets.assembly import build_image_processors
    from minigpt4.datasets.batches import BatchMaker, Drawn
    from minigpt4.datasets.config import TRAIN_SPLIT
    from minigpt4.datasets.inspection import answers_of, marked_text, stretches, visible
    from minigpt4.records.batches import PIXELS
    from minigpt4.records.conversations import Sample, Unreadable

    mixture = _mixture(config)
    renderer, system = build_renderer(config.model), system_of(config.model)
    processors = build_image_processors(config.datasets, TRAIN_SPLIT, system.pixels(config.model),
                                        system.behaviour(config.model).train_crop)
    maker = BatchMaker(renderer, processors, config.run.seed, positions_in(config.model))
    tiles, readable = [], 0
    for position in range(min(number, mixture.num_samples)):
        drawn = Drawn(position, *mixture.sample(position))
        row = maker.prepare(0, drawn)
        if isinstance(row, Unreadable):
            say(f"--- unreadable: {row}\n")
            continue
        assert isinstance(drawn.sample, Sample), "a row comes from a sample"
        readable += 1
        say(f"--- {drawn.dataset} {row.sample_id}: {len(row.rendered.ids)} positions, "
            f"{row.rendered.num_supervised} learned")
        say(marked_text(stretches(row.rendered, renderer.tokenizer), colored=sys.stdout.isatty()) + "\n")
        spec, text = processors[drawn.dataset].spec, answers_of(drawn.sample.conversation)
        tiles += [(visible(image[PIXELS], spec), text) for image in row.images]
    return tiles, readable


def _mixture(config: Config) -> Mixture:
    from minigpt4.datasets.assembly import build_source
    from minigpt4.datasets.mixture import Mixture

    source = build_source(config.datasets, seed=config.run.seed, splits=config.run.train_splits)
    if not isinstance(source, Mixture):
        raise UserError("data.stream", where="datasets", what="is a stream, whose samples have no numbers",
                        fix="copy one of its shards to the disk and name that")
    return source


def _tokenizer(arguments: argparse.Namespace) -> int:
    from itertools import chain

    from minigpt4.datasets.assembly import build_indexed
    from minigpt4.datasets.config import TRAIN_SPLIT
    from minigpt4.datasets.inspection import texts_of
    from minigpt4.datasets.tokenizer_training import train_tokenizer
    from minigpt4.scenes.words.languages import LANGUAGES
    from minigpt4.scenes.words.vocabulary import REGISTERS, whole_words

    config = load_config(arguments.cfg_path, arguments.options, sections=("datasets",))
    datasets = [build_indexed(name, each, TRAIN_SPLIT) for name, each in config.datasets.items()]
    texts = chain.from_iterable(texts_of(dataset) for dataset in datasets)
    first = next(texts, None)
    if first is None:
        raise UserError("data.empty", where=str(arguments.cfg_path), what="none of its data sets has a text that can "
                        "be read", fix="see why: minigpt4 data validate")
    marks, whole = (REGISTERS, whole_words(LANGUAGES)) if arguments.scene_words else ((), ())
    extra = [*arguments.extra, *marks]
    size = train_tokenizer(chain([first], texts), arguments.vocab_size, arguments.output, extra, whole)
    print(f"wrote {arguments.output}: {size} pieces; name it as model.llm.tokenizer")
    return 0
