"""`minigpt4 curate`: a folder of images becomes a data set of detailed descriptions, as that of stage 2 was made."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.cli._decoding_arguments import add_decoding_arguments, add_model_arguments, settings_of
from minigpt4.cli._source import source_of
from minigpt4.common.config.ranges import PositiveFloat, PositiveInt, number
from minigpt4.common.errors import UserError

if TYPE_CHECKING:
    from minigpt4.curation.endpoint import Endpoint
    from minigpt4.curation.journal import Journal
    from minigpt4.curation.rules import Rules

HELP = "Make a data set of detailed descriptions: a model writes, an endpoint polishes, rules filter, you read."
EXAMPLES = (
    'minigpt4 curate output/scenes/seen/images --model output/minigpt4_scenes_stage2 --limit 6 '
    '--prompt "Describe this image in detail." --enough-tokens 20 --output output/curated',
    "minigpt4 curate output/scenes/seen/images --limit 6 --language en --output output/curated",
)
DATASET = "cc_sbu_align"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of images, including its subfolders")
    add_model_arguments(parser, positional=False)
    parser.add_argument("--output", type=Path, default=Path("output/curated"), metavar="DIR",
                        help=f"curation.jsonl (what became of each image) and {DATASET}/ (default: output/curated); "
                             "the same command continues")
    parser.add_argument("--limit", type=number(PositiveInt), metavar="N", help="only the first N images")
    parser.add_argument("--batch-size", type=number(PositiveInt), default=8, metavar="N",
                        help="images described at once (default: 8)")
    writing = parser.add_argument_group("what the model writes")
    writing.add_argument("--prompt", metavar="TEXT", help="the question (default: the paper's)")
    writing.add_argument("--template", metavar="NAME", help="conversation template it is asked in (default: its own); "
                         "a model of stage 1 is asked in vicuna_v0")
    writing.add_argument("--enough-tokens", type=number(PositiveInt), default=80, metavar="N",
                         help="a shorter description is continued once (default: 80)")
    add_decoding_arguments(parser)
    polishing = parser.add_argument_group("who polishes it (nobody without --endpoint)")
    polishing.add_argument("--endpoint", metavar="URL", help="an address that speaks as OpenAI's chat completions do, "
                           "e.g. http://localhost:8000/v1")
    polishing.add_argument("--endpoint-model", metavar="NAME", help="name of the model there")
    polishing.add_argument("--key-variable", default="OPENAI_API_KEY", metavar="NAME",
                           help="environment variable with its key (default: OPENAI_API_KEY)")
    polishing.add_argument("--timeout", type=number(PositiveFloat), default=60.0, metavar="SECONDS",
                           help="until an answer is given up (default: 60); it is asked four times")
    rules = parser.add_argument_group("what is dropped")
    rules.add_argument("--min-words", type=number(PositiveInt), default=10, metavar="N", help="(default: 10)")
    rules.add_argument("--max-words", type=number(PositiveInt), default=400, metavar="N", help="(default: 400)")
    rules.add_argument("--language", choices=("any", "en", "zh"), default="any", help="(default: any)")
    parser.add_argument("--review", action="store_true",
                        help="open a page on this machine on which one key keeps or drops; Ctrl-C ends it")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.curation.curating import counts_of, filter_texts
    from minigpt4.curation.journal import Journal
    from minigpt4.inference.caption_files import images_of

    endpoint = _endpoint(arguments)
    images = images_of(arguments.folder).images[: arguments.limit]
    journal = Journal(arguments.output)
    origin = _write(arguments, journal, images)
    if endpoint is not None:
        _polish(journal, endpoint)
    rules = _rules(arguments)
    filter_texts(journal, rules)
    if arguments.review:
        _review(journal, arguments.folder)
    counts = counts_of(journal)
    print(f"{counts.images} images: {counts.kept} kept, {counts.dropped} dropped, {counts.waiting} without an answer "
          "of the endpoint")
    for reason, times in _reasons(journal):
        print(f"  {times:>5}  {reason}")
    _write_dataset(arguments, journal, origin, rules)
    return 0


def _write(arguments: argparse.Namespace, journal: Journal, images: list[Path]) -> dict[str, object]:
    """Describe what is not described yet; returns what provenance says of the model."""
    from tqdm import tqdm

    from minigpt4.curation.curating import write_drafts
    from minigpt4.curation.drafts import CONTINUE, DESCRIBE, DraftWriter, name_of

    question = arguments.prompt or DESCRIBE
    origin = {"model": str(arguments.model or arguments.cfg_path or ""), "question": question, "continue": CONTINUE,
              "enough_tokens": arguments.enough_tokens, "template": arguments.template or ""}
    if all(journal.get(name_of(image, arguments.folder)) is not None for image in images):
        return origin
    loaded = source_of(arguments).load(arguments)
    if arguments.template:
        loaded = loaded.in_template(arguments.template)
    writer = DraftWriter(loaded, settings_of(arguments), question, arguments.enough_tokens)
    with tqdm(total=len(images), unit="image", desc="describing") as bar:
        write_drafts(journal, writer, images, arguments.folder, batch_size=arguments.batch_size, advance=bar.update)
    return origin


def _endpoint(arguments: argparse.Namespace) -> Endpoint | None:
    from minigpt4.curation.endpoint import Endpoint

    if arguments.endpoint is None:
        return None
    if not arguments.endpoint_model:
        raise UserError("cli.usage", where="--endpoint-model", what="is missing", fix="name the model of the endpoint")
    return Endpoint(arguments.endpoint, arguments.endpoint_model, os.environ.get(arguments.key_variable, ""),
                    timeout=arguments.timeout)


def _polish(journal: Journal, endpoint: Endpoint) -> None:
    from tqdm import tqdm

    from minigpt4.curation.curating import polish

    with tqdm(total=len(journal), unit="text", desc="polishing") as bar:
        polish(journal, endpoint, bar.update)


def _rules(arguments: argparse.Namespace) -> Rules:
    from minigpt4.curation.rules import Rules

    return Rules(min_words=arguments.min_words, max_words=arguments.max_words, language=arguments.language)


def _review(journal: Journal, folder: Path) -> None:
    from minigpt4.curation.review import Review, address_of, serve_review

    review = Review(journal, folder)
    with serve_review(review) as server:
        print(f"read and decide: {address_of(server, review)}   (Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def _reasons(journal: Journal) -> list[tuple[str, int]]:
    from collections import Counter

    reasons = Counter("dropped by you" if entry.decision == "drop" else entry.dropped.split(": ")[0]
                      for entry in journal if not entry.is_kept)
    return reasons.most_common()


def _write_dataset(arguments: argparse.Namespace, journal: Journal, origin: dict[str, object], rules: Rules) -> None:
    from dataclasses import asdict

    from minigpt4.curation.dataset import write_dataset
    from minigpt4.curation.polishing import INSTRUCTION

    polishing = {"endpoint": arguments.endpoint, "model": arguments.endpoint_model, "instruction": INSTRUCTION}
    number = write_dataset(journal, arguments.folder, arguments.output / DATASET,
                           {**origin, "polishing": polishing if arguments.endpoint else None, "rules": asdict(rules)})
    print(f"wrote {arguments.output / DATASET}: {number} descriptions; train on them with "
          f"datasets.cc_sbu_align.build_info.storage={arguments.output / DATASET}")
