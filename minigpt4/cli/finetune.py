"""`minigpt4 finetune`: stage 2 on your own images and texts, in one command."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.common.errors import UserError

HELP = "Fine-tune a trained model (stage 2) on your own images and texts: a folder and a JSONL file."
EXAMPLES = (
    "minigpt4 finetune --images mine --texts mine.jsonl --from output/minigpt4_scenes_stage1 --output-dir output/mine",
    "minigpt4 finetune --output-dir output/mine --resume",
)
NEEDED = ("images", "texts", "from")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the images")
    parser.add_argument("--texts", type=Path, metavar="FILE",
                        help='JSONL, a line each: {"image": "a.png", "caption": "…"}, or "text" or "conversations"')
    parser.add_argument("--from", dest="bundle", type=Path, metavar="BUNDLE",
                        help="what training continues from: a bundle or run folder of stage 1 or 2")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="OUT",
                        help="new folder for run.yaml, logs and checkpoints")
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs (default: by the number of samples)")
    parser.add_argument("--batch-size", type=int, metavar="N",
                        help="samples per batch; smaller needs less memory (default: 12)")
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the run, e.g. run.init_lr=3e-5")
    parser.add_argument("--write-only", action="store_true",
                        help="write OUT/run.yaml and stop, to read or change it; --resume then trains it")
    parser.add_argument("--resume", action="store_true",
                        help="continue OUT/run.yaml from its newest checkpoint; nothing else is read then")


def run(arguments: argparse.Namespace) -> int:
    file = arguments.output_dir / "run.yaml"
    if arguments.resume:
        if not file.is_file():
            raise UserError("finetune.nothing", where=str(file), what="does not exist, so there is nothing to continue",
                            fix="start with --images, --texts and --from")
    else:
        _write(arguments, file)
    if arguments.write_only:
        print(f"wrote {file}; train it: minigpt4 finetune --output-dir {arguments.output_dir} --resume")
        return 0
    from minigpt4.cli.train import describes_now
    from minigpt4.common.config import load_config
    from minigpt4.runners.start.setup import train

    train(load_config(file), resume=True, make_describe=describes_now)  # the folder is ours: run.yaml is in it
    return 0


def _write(arguments: argparse.Namespace, file: Path) -> None:
    """Check everything a person gave, then write run.yaml and its prompts; a run that cannot start leaves neither."""
    _check_flags(arguments)
    from minigpt4.common.config import load_config
    from minigpt4.common.files import atomic_file
    from minigpt4.conversation.tokenizer import open_tokenizer
    from minigpt4.runners.finetuning.own_data import read_own_data
    from minigpt4.runners.finetuning.own_run import Wishes, run_yaml
    from minigpt4.runners.run_folder import RunFolder
    from minigpt4.weights.bundles.bundle import TOKENIZER, newest_bundle, open_bundle

    folder = arguments.output_dir
    RunFolder(folder).check(resume=False)
    bundle = open_bundle(newest_bundle(arguments.bundle))
    bundle.check_places([key.split(".")[1] for key in arguments.options if ".weights=" in key])
    tokenizer = open_tokenizer(bundle.folder / TOKENIZER)
    data = read_own_data(arguments.images, arguments.texts, lambda text: len(tokenizer.encode(text, specials=False)))
    prompts = folder.resolve() / "prompts.txt"
    wishes = Wishes(arguments.epochs, arguments.batch_size, arguments.options)
    text = run_yaml(bundle, data, prompts, folder.resolve(), wishes)
    try:
        for path, content in ((prompts, _prompts_of(bundle.folder)), (file, text)):
            with atomic_file(path) as part:
                part.write_text(content, encoding="utf-8")
        load_config(file)
    except UserError:
        file.unlink(missing_ok=True)
        prompts.unlink(missing_ok=True)
        raise


def _check_flags(arguments: argparse.Namespace) -> None:
    given = {"images": arguments.images, "texts": arguments.texts, "from": arguments.bundle}
    missing = [f"--{flag}" for flag in NEEDED if given[flag] is None]
    if missing:
        raise UserError("finetune.flags", where="minigpt4 finetune", what=f"{' and '.join(missing)} not given",
                        fix="a new run needs --images DIR --texts FILE --from BUNDLE --output-dir OUT")
    for flag, value in (("--epochs", arguments.epochs), ("--batch-size", arguments.batch_size)):
        if value is not None and value < 1:
            raise UserError("finetune.flags", where=flag, what=f"is {value}", fix="use 1 or more")


def _prompts_of(bundle: Path) -> str:
    """The prompts that the bundle was trained with, else those of the original's stage 2."""
    from minigpt4.cli.configs import shipped_folder
    from minigpt4.weights.bundles.bundle import PROMPTS

    own = bundle / PROMPTS
    source = own if own.exists() else shipped_folder() / "prompts" / "alignment.txt"
    return source.read_text(encoding="utf-8")
