"""`minigpt4 demo`: chat about images in the browser."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigpt4.cli._decoding_arguments import add_other_llm_argument
from minigpt4.cli._source import add_imports_argument, add_verify_argument, checked_source
from minigpt4.common.config.ranges import NonNegativeInt, Port, PositiveInt, number
from minigpt4.common.errors import UserError
from minigpt4.serve.address import credentials
from minigpt4.serve.private_folder import PrivateFolder

HELP = "Chat about images in the browser; without a model it serves the embedded default."
EXAMPLES = (
    "minigpt4 demo",
    "minigpt4 demo --model output/minigpt4_scenes_stage2 --host 0.0.0.0 --port 7861",
)
EMBEDDED_DEFAULT = Path("eval_configs/minigpt4_scenes.yaml")
TRAINED = Path("output/minigpt4_scenes_stage2")
"""where the embedded default's second stage writes"""
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""signals that ask a program to end (Windows has no SIGHUP)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg-path", metavar="YAML", help="a YAML with a `model:` section, in the original's form")
    parser.add_argument("--model", metavar="PATH", help="instead of a YAML: what training wrote")
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the config, e.g. model.llm.dtype=fp32")
    add_other_llm_argument(parser)
    add_imports_argument(parser)
    add_verify_argument(parser)
    parser.add_argument("--gpu-id", type=number(NonNegativeInt), metavar="N",
                        help="number of the CUDA device (as in the original)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: as the config says)")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (default: this one only)")
    parser.add_argument("--port", type=number(Port), metavar="N", help="default: the first free one from 7860")
    parser.add_argument("--share", action="store_true",
                        help="a public address through gradio's servers; off unless given")
    parser.add_argument("--auth", metavar="USER:PASSWORD",
                        help="who may come in; without it, everybody who reaches the address")
    parser.add_argument("--max-new-tokens", type=number(PositiveInt), default=300, metavar="N",
                        help="longest answer in tokens; can be changed in the page (default: 300)")


def run(arguments: argparse.Namespace) -> int:
    source, device, auth = model_source(arguments), device_of(arguments), credentials(arguments.auth)
    with ended_by_signals(), PrivateFolder() as folder:
        _serve(arguments, source, device, auth, folder.path / "examples")
    return 0


def _serve(arguments: argparse.Namespace, source: str, device: str | None, auth: tuple[str, str] | None,
           folder: Path) -> None:
    from minigpt4.serve.page import build_page, import_gradio, launch

    import_gradio()  # a missing extra is reported before gigabytes are loaded
    from minigpt4.inference.load import load_model
    from minigpt4.scenes.about import about
    from minigpt4.scenes.examples import scene_examples
    from minigpt4.serve.visitor import Knobs

    loaded = load_model(source, device=device, options=arguments.options, allow_other_llm=arguments.allow_other_llm,
                        allow_imports=arguments.allow_imports, verify=arguments.verify)
    page = build_page(loaded, examples=scene_examples(folder), about=about(loaded.config),
                      knobs=Knobs(max_new_tokens=arguments.max_new_tokens))
    launch(page, host=arguments.host, port=arguments.port, share=arguments.share, auth=auth)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """`kill` and a closed terminal end the program as Ctrl-C does: what it wrote is deleted on the way out."""
    before = {number: signal.signal(number, _leave) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def model_source(arguments: argparse.Namespace) -> str:
    """The YAML or bundle asked for, else the embedded default.

    Raises:
        UserError: both were given, what was given is not a model, or the embedded default has not been trained here.
    """
    if arguments.model and arguments.cfg_path:
        raise UserError("cli.model", where="minigpt4 demo", what="--model and --cfg-path were both given",
                        fix="give one of them")
    if given := arguments.model or arguments.cfg_path:
        return str(checked_source(Path(given), arguments.options).path)
    if not TRAINED.exists():
        raise UserError("demo.untrained", where=str(TRAINED), what="the embedded default has not been trained here",
                        fix="run `make demo` (a few minutes), or give --model or --cfg-path")
    return str(EMBEDDED_DEFAULT if EMBEDDED_DEFAULT.exists() else TRAINED)


def device_of(arguments: argparse.Namespace) -> str | None:
    """`--device`, or the CUDA device of `--gpu-id`; None = as the config says (CUDA, else MPS, else CPU)."""
    if arguments.device and arguments.gpu_id is not None:
        raise UserError("cli.device", where="minigpt4 demo", what="--device and --gpu-id were both given",
                        fix="give one of them")
    if arguments.gpu_id is None:
        return str(arguments.device) if arguments.device else None
    import torch

    return f"cuda:{arguments.gpu_id}" if torch.cuda.is_available() else None
