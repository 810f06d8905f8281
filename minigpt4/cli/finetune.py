"""`minigpt4 finetune`: stage 2 on your own images and texts, in one command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.cli._source import add_imports_argument
from minigpt4.common.config.ranges import OpenShare, PositiveInt, number
from minigpt4.common.errors import UserError
from minigpt4.weights.bundles.places import newest_bundle

if TYPE_CHECKING:
    from minigpt4.datasets.own_texts import OwnTexts

HELP = "Fine-tune a trained model (stage 2) on your own images and texts: a folder and a JSONL file."
EXAMPLES = (
    "minigpt4 finetune --images examples/photos --texts examples/photos/captions.jsonl "
    "--from output/minigpt4_scenes_stage2 --output-dir output/mine --hold-out 0.1",
    "minigpt4 finetune --output-dir output/mine --resume",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the images")
    parser.add_argument("--texts", type=Path, metavar="FILE",
                        help='JSONL, a line each: {"image": "a.png", "caption": "…"}, or "text" or "conversations"')
    parser.add_argument("--from", dest="bundle", type=Path, metavar="BUNDLE",
                        help="what training continues from: a bundle or run folder of stage 1 or 2")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="OUT",
                        help="new folder for run.yaml, logs and checkpoints")
    parser.add_argument("--epochs", type=number(PositiveInt), metavar="N",
                        help="epochs (default: by the number of samples)")
    parser.add_argument("--batch-size", type=number(PositiveInt), metavar="N",
                        help="samples per batch; smaller needs less memory (default: 12)")
    parser.add_argument("--train", choices=["projection", "lora", "everything"],
                        help="projection: it alone, for words the language model knows; lora: adapters on the language "
                             "model too; everything: all parts, the image encoder included (default: what the bundle "
                             "trained, without the image encoder)")
    parser.add_argument("--hold-out", type=number(OpenShare), metavar="SHARE",
                        help="keep back this share of the images, e.g. 0.1; at the end OUT/report.html shows what was "
                             "wanted about them beside what is said")
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the run, e.g. run.init_lr=3e-5")
    add_imports_argument(parser)
    parser.add_argument("--write-only", action="store_true",
                        help="write OUT/run.yaml and stop, to read or change it; --resume then trains it")
    parser.add_argument("--resume", action="store_true",
                        help="continue OUT/run.yaml from its newest checkpoint; nothing else is read then")


def run(arguments: argparse.Namespace) -> int:
    _check_given(arguments)
    data = None if arguments.resume else _read_data(arguments)
    from minigpt4.runners.finetuning.finetune import continue_finetuning, write_run
    from minigpt4.runners.finetuning.wishes import Wishes

    if data is not None:
        file = write_run(data, source=arguments.bundle, output_dir=arguments.output_dir,
                         wishes=Wishes(arguments.epochs, arguments.batch_size, arguments.options, arguments.train,
                                       arguments.hold_out),
                         allow_imports=arguments.allow_imports)
        if arguments.write_only:
            print(f"wrote {file}; train it: minigpt4 finetune --output-dir {arguments.output_dir} --resume")
            return 0
    continue_finetuning(arguments.output_dir)
    return 0


def _read_data(arguments: argparse.Namespace) -> OwnTexts:
    """The texts; a bundle, text or image that is not there is told before seconds of imports."""
    from minigpt4.datasets.own_texts import read_own_texts

    newest_bundle(arguments.bundle)
    return read_own_texts(arguments.images, arguments.texts)


def _check_given(arguments: argparse.Namespace) -> None:
    if arguments.resume and arguments.write_only:
        raise UserError("finetune.flags", where="minigpt4 finetune", what="got --write-only and --resume",
                        fix="--write-only writes a new run, --resume trains it: use one of them")
    if arguments.resume:
        return
    given = {"images": arguments.images, "texts": arguments.texts, "from": arguments.bundle}
    missing = [f"--{flag}" for flag, value in given.items() if value is None]
    if missing:
        raise UserError("finetune.flags", where="minigpt4 finetune", what=f"{' and '.join(missing)} not given",
                        fix="a new run needs --images DIR --texts FILE --from BUNDLE --output-dir OUT")
