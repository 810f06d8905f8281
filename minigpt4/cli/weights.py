"""`minigpt4 weights`: from downloaded files to folders that work, and a look into both."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minigpt4.weights.model_folder import ModelFolder
    from minigpt4.weights.shard_writer import Progress

HELP = "Make Vicuna from LLaMA and a delta, convert raw LLaMA, cut out parts, check files of weights."
EXAMPLES = (
    "minigpt4 weights apply-delta --base llama-7b --delta vicuna-7b-delta-v0 --target vicuna-7b-v0",
    "minigpt4 weights convert-llama --input-dir LLaMA/7B --output-dir llama-7b",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_apply_delta_arguments(verbs.add_parser("apply-delta", help="LLaMA + delta = Vicuna (v0, v1.1)"))
    make = verbs.add_parser("make-delta", help="a model - LLaMA = a delta that apply-delta takes")
    _add_folder(make, "--base", "folder of LLaMA (Hugging Face layout)")
    _add_folder(make, "--model", "folder of the model to take a delta from", "--target-model-path")
    _add_folder(make, "--target", "new folder for the delta", "--delta", "--delta-path")
    _add_shard_size(make)
    convert = verbs.add_parser("convert-llama", help="raw LLaMA (consolidated.*.pth) to a Hugging Face folder")
    _add_folder(convert, "--input-dir", "folder with params.json and consolidated.*.pth", "--input_dir")
    _add_folder(convert, "--output-dir", "new folder", "--output_dir")
    convert.add_argument("--tokenizer", type=Path, metavar="FILE",
                         help="tokenizer.model (default: beside the shards, or one folder above)")
    _add_shard_size(convert)
    parts = verbs.add_parser("parts", help="the parts that a run trained, as small files for other models")
    parts.add_argument("--from", dest="runs", type=Path, nargs="+", required=True, metavar="DIR",
                       help="run folders or bundles; the last wins where several trained a part")
    _add_folder(parts, "--target", "new folder")
    parts.add_argument("--dtype", choices=("fp16", "bf16", "fp32"), default="fp16", help="of the numbers written")
    merge = verbs.add_parser("merge", help="a bundle with LoRA adapters becomes one without, with equal logits")
    merge.add_argument("--from", dest="run", type=Path, required=True, metavar="DIR", help="run folder or bundle")
    _add_folder(merge, "--target", "new folder")
    _add_options(merge)
    export = verbs.add_parser("export", help="a model for other code: the original's .pth, or a Blip2 folder")
    export.add_argument("--from", required=True, metavar="PATH", help="run folder, bundle or YAML")
    _add_folder(export, "--target", "new file (original) or folder (blip2)")
    export.add_argument("--form", choices=("original", "blip2"), default="original",
                        help="original = trained parts as the original's runner saved them; "
                             "blip2 = the whole model as transformers' Blip2ForConditionalGeneration")
    _add_options(export)
    for name, words in (("verify", "checksums, names, shapes and every value of a file or folder"),
                        ("info", "what a file or folder of weights is")):
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("path", type=Path, help="a file, a folder or a bundle")


def add_apply_delta_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of apply-delta; FastChat's spellings are understood too."""
    _add_folder(parser, "--base", "folder of LLaMA (Hugging Face layout)", "--base-model-path")
    _add_folder(parser, "--delta", "folder of the delta", "--delta-path")
    _add_folder(parser, "--target", "new folder for Vicuna", "--target-model-path")
    parser.add_argument("--allow-other-base", action="store_true",
                        help="go on where the delta was not made from this base")
    parser.add_argument("--low-cpu-mem", action="store_true", help="FastChat's flag; memory is always low here")
    _add_shard_size(parser)


def run(arguments: argparse.Namespace) -> int:
    verbs = {"apply-delta": run_apply_delta, "make-delta": _make_delta, "convert-llama": _convert_llama,
             "parts": _parts, "merge": _merge, "export": _export, "verify": _verify, "info": _info}
    return verbs[arguments.verb](arguments)


def run_apply_delta(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.deltas import apply_delta

    work = apply_delta(arguments.base, arguments.delta, allow_other_base=arguments.allow_other_base)
    return _write(work, arguments.target, arguments.shard_gb)


def _make_delta(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.deltas import make_delta

    return _write(make_delta(arguments.base, arguments.model), arguments.target, arguments.shard_gb)


def _convert_llama(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.checksums import CHECKLISTS, verify_checksums
    from minigpt4.weights.llama_raw import convert_llama

    work = convert_llama(arguments.input_dir, arguments.tokenizer)
    above = arguments.input_dir.absolute().parent / "tokenizer_checklist.chk"
    for checklist in (*(arguments.input_dir / name for name in CHECKLISTS), above):
        if checklist.exists():
            with _progress("checking", None) as on_bytes:
                print(f"{checklist}: {verify_checksums(checklist, on_bytes)} files have their checksum")
    return _write(work, arguments.output_dir, arguments.shard_gb)


def _parts(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.bundle import newest_bundle, open_bundle
    from minigpt4.weights.parts import write_parts

    bundles = [open_bundle(newest_bundle(run)) for run in arguments.runs]
    print("\n".join(write_parts(bundles, arguments.target, dtype=arguments.dtype)))
    return 0


def _merge(arguments: argparse.Namespace) -> int:
    from minigpt4.inference.load import load_model
    from minigpt4.recipes.merging import merge_bundle

    lines = merge_bundle(arguments.run, arguments.target,
                         lambda place, options: load_model(place, device="cpu", options=options), arguments.options)
    print("\n".join(lines))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from minigpt4.inference.load import load_model
    from minigpt4.recipes.export import export_blip2, export_original

    loaded = load_model(getattr(arguments, "from"), device="cpu", options=arguments.options)
    write = export_original if arguments.form == "original" else export_blip2
    print("\n".join(write(loaded, arguments.target)))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.inspection import verify_weights

    with _progress("checking", None) as on_bytes:
        lines = verify_weights(arguments.path, on_bytes)
    print("\n".join(lines))
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.inspection import describe_weights

    print("\n".join(describe_weights(arguments.path)))
    return 0


def _write(work: ModelFolder, target: Path, shard_gigabytes: float) -> int:
    from minigpt4.weights.model_folder import as_gigabytes, write_model_folder

    print("\n".join(work.report))
    with _progress("writing", work.num_bytes) as on_bytes:
        written = write_model_folder(work, target, shard_bytes=int(shard_gigabytes * 1e9), on_bytes=on_bytes)
    kept = f", {written.num_kept} of them kept from an earlier try" if written.num_kept else ""
    print(f"wrote {target}: {written.num_tensors} tensors, {as_gigabytes(work.num_bytes)} in {written.num_shards} "
          f"file{'s' * (written.num_shards > 1)}{kept}; checksums in SHA256SUMS")
    return 0


@contextmanager
def _progress(words: str, total: int | None) -> Iterator[Progress]:
    """A bar on the terminal, counted in bytes."""
    from tqdm import tqdm

    with tqdm(desc=words, total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        yield lambda num_bytes: bar.update(num_bytes) and None


def _add_folder(parser: argparse.ArgumentParser, flag: str, words: str, *other_spellings: str) -> None:
    parser.add_argument(flag, *other_spellings, type=Path, required=True, metavar="DIR", help=words)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="keys of the config that are changed")


def _add_shard_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shard-gb", type=float, default=2.0, metavar="GB",
                        help="largest file that is written; what a kill costs at most (default: 2)")
