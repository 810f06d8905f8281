"""SOURCE, the argument that names a model: a bundle, a run folder or a YAML, the same for every command.

Commands without another positional argument also take it in first place: `minigpt4 show SOURCE`.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.common.config.early import refuse_absent_weights
from minigpt4.common.errors import UserError
from minigpt4.weights.bundles.places import is_bundle, newest_bundle

if TYPE_CHECKING:
    from minigpt4.assembly.loaded import LoadedModel

KINDS = "a bundle, a run folder or a YAML"
YAML_ENDINGS = (".yaml", ".yml")
WEIGHT_ENDINGS = (".pth", ".pt", ".bin", ".safetensors", ".ckpt")
DEPTH = 3
"""folders below a wrong one in which a bundle is looked for"""


@dataclass(frozen=True)
class Source:
    """A model as a command was given it.

    Args:
        path: what was given.
        bundle: the bundle to read: the folder itself, or the newest checkpoint of a run folder; None for a YAML.
    """

    path: Path
    bundle: Path | None = None

    def load(self, arguments: argparse.Namespace) -> LoadedModel:
        """The model, with `--options`, `--device`, `--allow-imports` and what else of it the command has."""
        from minigpt4.inference.load import load_model

        return load_model(self.bundle or self.path, device=arguments.device, options=arguments.options,
                          allow_other_llm=getattr(arguments, "allow_other_llm", False),
                          allow_imports=arguments.allow_imports, verify=getattr(arguments, "verify", False))

    def load_or_describe(self, arguments: argparse.Namespace) -> LoadedModel:
        """Like `load`; where consent to the bundle's modules is missing, what can be said without them is printed."""
        from minigpt4.common.config.trust import NO_CONSENT

        try:
            return self.load(arguments)
        except UserError as error:
            if error.code == NO_CONSENT and self.bundle is not None:
                from minigpt4.weights.inspection import describe_weights

                print("\n".join(describe_weights(self.bundle)))
            raise

    def weight_files(self) -> list[Path]:
        """The bundle, or the files and folders of weights that the YAML names, each once."""
        if self.bundle is not None:
            return [self.bundle]
        from minigpt4.common.config import load_config

        model = load_config(self.path, sections=("model",)).model
        named = [part.weights for part in model.parts().values()] + [model.ckpt]
        return [Path(path) for path in dict.fromkeys(named) if path]


def add_source_arguments(parser: argparse.ArgumentParser, *, positional: bool = True, also: str = "") -> None:
    """`[SOURCE]`, `--model SOURCE` and `--cfg-path YAML`; which of them was given is asked by `source_of`.

    Args:
        parser: of the command.
        positional: the command has no other positional argument.
        also: what else the command accepts in its place.
    """
    kinds = "what training wrote (a run folder or one of its checkpoints), or a YAML" + (f"; {also}" if also else "")
    if positional:
        parser.add_argument("source", nargs="?", metavar="SOURCE", help=kinds)
    parser.add_argument("--model", metavar="SOURCE", help="the same as SOURCE" if positional else kinds)
    parser.add_argument("--cfg-path", metavar="YAML", help="the original's spelling of --model, for a YAML")
    add_imports_argument(parser)


def add_imports_argument(parser: argparse.ArgumentParser) -> None:
    """`--allow-imports`, the consent to what a bundle's config names under `imports:`."""
    parser.add_argument("--allow-imports", action="store_true",
                        help="run the Python modules that the bundle's config names; refused without this flag")


def add_verify_argument(parser: argparse.ArgumentParser) -> None:
    """`--verify`, for commands that load a model."""
    parser.add_argument("--verify", action="store_true",
                        help="compare the checksums of all files of the bundle first, not only their sizes")


def given_path(arguments: argparse.Namespace) -> Path:
    """The one path that was given.

    Raises:
        UserError: none or several were.
    """
    spellings = [getattr(arguments, name, None) for name in ("source", "model", "cfg_path")]
    given = [path for path in spellings if path]
    if len(given) != 1:
        raise UserError("cli.model", where="minigpt4",
                        what="no model was given" if not given else f"{len(given)} models were given",
                        fix=f"give one: --model takes {KINDS}")
    return Path(given[0])


def source_of(arguments: argparse.Namespace) -> Source:
    """The model that a command was given.

    Raises:
        UserError: none or several were given, or what was given is not a model; naming the nearest one.
    """
    path = given_path(arguments)
    return checked_source(path, getattr(arguments, "options", []))


def checked_source(path: Path, options: Sequence[str] = ()) -> Source:
    """A path as a model whose weights are there, asked before anything heavy is imported.

    Raises:
        UserError: it is not a model, or its YAML names weights that are not there.
    """
    found = find_source(path)
    if found is None:
        raise not_a_source(path)
    if found.bundle is None and not is_bundle(path.parent):  # the YAML in a bundle names places of another machine
        refuse_absent_weights(path, options)
    return found


def find_source(path: Path) -> Source | None:
    """What a path is as a model; None if it is not one."""
    if path.is_dir():
        is_run = any(is_bundle(folder) for folder in path.glob("checkpoint_*"))
        return Source(path, newest_bundle(path)) if is_run or is_bundle(path) else None
    return Source(path) if path.is_file() and path.suffix.lower() in YAML_ENDINGS else None


def not_a_source(path: Path) -> UserError:
    """The sentence for a path that is no model, naming the nearest one."""
    if not path.exists():
        what = "no such file or folder"
    elif path.is_dir():
        what = "this folder is neither a bundle nor a run folder with a checkpoint"
    else:
        what = "this file is not a YAML"
    near = _nearest_source(path)
    if near is None and path.is_file() and path.suffix.lower() in WEIGHT_ENDINGS:
        return UserError("cli.source", where=str(path), what=f"is a file of weights, and --model takes {KINDS}",
                         fix=f"name it as model.ckpt in a YAML of eval_configs/ (--cfg-path YAML --options "
                         f"model.ckpt={path}), or make a bundle of it: minigpt4 weights import-checkpoint")
    fix = f"did you mean '{near}'?" if near else f"give {KINDS}"
    return UserError("load.missing" if not path.exists() else "cli.source", where=str(path), what=what, fix=fix)


def _nearest_source(path: Path) -> Path | None:
    """A model inside the folder, around the file, or of a similar name beside it."""
    inside = _models_in(path) if path.is_dir() else []
    if inside:
        return inside[0]
    if path.is_file():
        around = find_source(path.parent)
        return path.parent if around else _similar(path, _yamls(path.parent))
    beside = [each for each in _entries(path.parent) if find_source(each)]
    return _similar(path, beside)


def _models_in(folder: Path) -> list[Path]:
    """Runs and bundles up to `DEPTH` levels below a folder, the nearest first; else its YAMLs."""
    level = [folder]
    for _ in range(DEPTH):
        level = [each for parent in level for each in _entries(parent) if each.is_dir()]
        if found := [each for each in level if find_source(each)]:
            return found
    return _yamls(folder)


def _yamls(folder: Path) -> list[Path]:
    return [each for each in _entries(folder) if each.suffix.lower() in YAML_ENDINGS]


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _similar(path: Path, others: list[Path]) -> Path | None:
    by_name = {other.stem: other for other in reversed(others)}
    close = difflib.get_close_matches(path.stem, list(by_name), n=1)
    return by_name[close[0]] if close else None
