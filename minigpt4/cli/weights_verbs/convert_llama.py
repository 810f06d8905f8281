"""`minigpt4 weights convert-llama`: LLaMA's original files, converted for transformers."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli.weights_verbs._common import add_folder, add_shard_size, byte_progress, write_folder

HELP = "convert raw LLaMA (consolidated.*.pth) to a Hugging Face folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser, "--input-dir", "folder with params.json and consolidated.*.pth", "--input_dir")
    add_folder(parser, "--output-dir", "new folder", "--output_dir")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE",
                        help="tokenizer.model (default: beside the shards, or one folder above)")
    add_shard_size(parser)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.files.checksums import CHECKLISTS, verify_checksums
    from minigpt4.weights.llama.raw import convert_llama

    work = convert_llama(arguments.input_dir, arguments.tokenizer)
    above = arguments.input_dir.absolute().parent / "tokenizer_checklist.chk"
    for checklist in (*(arguments.input_dir / name for name in CHECKLISTS), above):
        if checklist.exists():
            with byte_progress("checking", None) as on_bytes:
                print(f"{checklist}: {verify_checksums(checklist, on_bytes)} files match their checksum")
    return write_folder(work, arguments.output_dir, arguments.shard_gb)
