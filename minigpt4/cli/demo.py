"""`minigpt4 demo`: chat about images in the browser."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigpt4.cli._decoding_arguments import add_other_llm_argument
from minigpt4.cli._first_run import REPORT, train_embedded_default, write_report
from minigpt4.cli._source import add_imports_argument, add_verify_argument, checked_source
from minigpt4.common.config.ranges import NonNegativeInt, Port, PositiveInt, number
from minigpt4.common.errors import UserError
from minigpt4.serve.address import credentials
from minigpt4.serve.private_folder import PrivateFolder

HELP = "Chat about images in the browser; without a model it trains the embedded default first and serves it."
EXAMPLES = (
    "minigpt4 demo",
    "minigpt4 demo --model output/minigpt4_scenes_stage2 --host 0.0.0.0 --port 7861",
)
EMBEDDED_DEFAULT = Path("eval_configs/minigpt4_scenes.yaml")
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""signals that ask a program to end (Windows has no SIGHUP)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg-path", metavar="YAML", help="a YAML with a `model:` section, in the original's form")
    parser.add_argument("--model", metavar="PATH", help="instead of a YAML: what training wrote")
    parser.add_argument("--train-only", action="store_true",
                        help="train the embedded default if it is not trained yet, and open no page")
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
    auth, source, device = credentials(arguments.auth), model_source(arguments), device_of(arguments)
    if source is None:
        train_embedded_default()
        if not REPORT.exists():
            write_report()
    if arguments.train_only:
        return 0
    with ended_by_signals(), PrivateFolder() as folder:
        _serve(arguments, source or str(EMBEDDED_DEFAULT), device, auth, folder.path / "examples")
    return 0


def _serve(arguments: argparse.Namespace, source: str, device: str | None, auth: tuple[str, str] | None,
           folder: Path) -> None:
    from minigpt4.serve.page import build_page, import_gradio, launch

    import_gradio()  # a missing extra is reported before gigabytes are loaded
    from minigpt4.inference.load import load_model
    from minigpt4.scenes.examples import examples_for
    from minigpt4.serve.knobs import Knobs

    loaded = load_model(source, device=device, options=arguments.options, allow_other_llm=arguments.allow_other_llm,
                        allow_imports=arguments.allow_imports, verify=arguments.verify)
    page = build_page(loaded, examples=examples_for(loaded, folder),
                      about=loaded.knowledge.summary if loaded.knowledge else {},
                      learned=REPORT if source == str(EMBEDDED_DEFAULT) and REPORT.exists() and not auth else None,
                      name=Path(source).stem if source.endswith((".yaml", ".yml")) else Path(source).resolve().name,
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


def model_source(arguments: argparse.Namespace) -> str | None:
    """The YAML or bundle asked for; None = the embedded default.

    Raises:
        UserError: both were given, or what was given is not a model.
    """
    if arguments.model and arguments.cfg_path:
        raise UserError("cli.model", where="minigpt4 demo", what="--model and --cfg-path were both given",
                        fix="give one of them")
    given = arguments.model or arguments.cfg_path
    if given and arguments.train_only:
        raise UserError("cli.model", where="minigpt4 demo", what=f"--train-only and {given} were both given",
                        fix="--train-only trains the embedded default and nothing else")
    return str(checked_source(Path(given), arguments.options).path) if given else None


def device_of(arguments: argparse.Namespace) -> str | None:
    """`--device`, or the CUDA device of `--gpu-id`; None = as the config says (CUDA, else MPS, else CPU)."""
    if arguments.device and arguments.gpu_id is not None:
        raise UserError("cli.device", where="minigpt4 demo", what="--device and --gpu-id were both given",
                        fix="give one of them")
    if arguments.gpu_id is None:
        return str(arguments.device) if arguments.device else None
    import torch

    return f"cuda:{arguments.gpu_id}" if torch.cuda.is_available() else None
