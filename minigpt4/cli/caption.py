"""`minigpt4 caption`: a folder of images becomes a JSONL file of captions."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli._decoding_arguments import add_decoding_arguments, add_model_arguments, settings_of
from minigpt4.cli._source import source_of
from minigpt4.common.config.ranges import PositiveInt, number
from minigpt4.common.files import shown

HELP = "Caption every image in a folder: one JSON line each."
EXAMPLES = (
    "minigpt4 caption output/scenes/seen/images --model output/minigpt4_scenes_stage2",
    "minigpt4 caption output/scenes/held_out/images --model output/minigpt4_scenes_stage2 "
    '--prompt "What is the background?" --output output/backgrounds.jsonl',
)

LISTED = 10
"""unreadable images, or endings of other files, that are named at the end"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of images, including its subfolders")
    add_model_arguments(parser, positional=False)
    parser.add_argument("--prompt", metavar="TEXT",
                        help="the question (default: the first one that the model says it was trained to answer, else "
                             "the first prompt of its training)")
    parser.add_argument("--output", type=Path, default=Path("captions.jsonl"), metavar="FILE",
                        help="JSONL file; images already in it are skipped (default: captions.jsonl)")
    parser.add_argument("--batch-size", type=number(PositiveInt), default=8, metavar="N",
                        help="images per batch; smaller needs less memory (default: 8)")
    add_decoding_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    source = source_of(arguments)
    settings = settings_of(arguments)
    from minigpt4.inference.caption_files import already_described, images_of, write_captions

    done = already_described(arguments.output)
    contents = images_of(arguments.folder)
    images = [path for path in contents.images if shown(path) not in done]
    from tqdm import tqdm

    from minigpt4.inference.captioning import Captioner

    loaded = source.load(arguments)
    captioner = Captioner(loaded, settings, arguments.prompt or loaded.default_question)
    captions = write_captions(captioner.describe(images, batch_size=arguments.batch_size), arguments.output,
                              arguments.folder)
    errors = [caption.error for caption in tqdm(captions, total=len(images), unit="image") if caption.error]
    print(f"{shown(arguments.output)}: {len(images) - len(errors)} captions, {len(errors)} unreadable, "
          f"{len(done)} from an earlier run")
    for error in errors[:LISTED]:
        print(f"  {error}")
    if len(errors) > LISTED:
        print(f"  … and {len(errors) - LISTED} more, each with its line in the file")
    if contents.others:
        endings = ", ".join(f"{count} {ending}" for ending, count in contents.others.most_common(LISTED))
        print(f"  left out, as they do not end like images: {endings}")
    return 1 if errors and len(errors) == len(images) and not done else 0
