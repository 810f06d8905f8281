"""`minigpt4 configs`: the YAMLs and prompts that come with the package, and the reference of all keys."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from minigpt4.common.config.paths import shipped_folder
from minigpt4.common.errors import UserError, nearest
from minigpt4.common.files import atomic_file

HELP = "List or copy the packaged YAMLs and prompts."
EXAMPLES = (
    "minigpt4 configs list",
    "minigpt4 configs copy minigpt4_stage2_finetune --to my_configs",
)

FOLDERS = ("train_configs", "eval_configs", "prompts")
SCHEMA_LINE = re.compile(r"^# yaml-language-server: \$schema=.*$", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="{list,copy,docs}")
    verbs.add_parser("list", help="list all names and purposes")
    copy = verbs.add_parser("copy", help="copy one, with the prompts it names")
    copy.add_argument("name", help="a name of `list`; the folder and .yaml may be left out")
    copy.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="target folder (default: here)")
    docs = verbs.add_parser("docs", help="write config.md and schema/config.json from the dataclasses")
    docs.add_argument("--to", type=Path, default=Path("docs"), metavar="DIR", help="folder (default: docs)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.verb == "list":
        _list()
    elif arguments.verb == "copy":
        _copy(arguments.name, arguments.to)
    else:
        write_docs(arguments.to)
    return 0


def shipped_files() -> list[Path]:
    """All shipped YAMLs and prompts, relative to `shipped_folder()`."""
    root = shipped_folder()
    return sorted(file.relative_to(root) for folder in FOLDERS for file in (root / folder).glob("*.*"))


def _list() -> None:
    files = shipped_files()
    width = max(len(str(file)) for file in files)
    for file in files:
        print(f"{str(file):<{width}}  {_purpose(shipped_folder() / file)}")


def _purpose(file: Path) -> str:
    """The first comment of a YAML that is not the schema's line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comments = [line[1:].strip() for line in lines if line.startswith("#") and not SCHEMA_LINE.match(line)]
    return comments[0] if comments else f"{len(lines)} prompts"


def _copy(name: str, folder: Path) -> None:
    source = _find(name)
    text = (shipped_folder() / source).read_text(encoding="utf-8")
    schema = shipped_folder() / "docs" / "schema" / "config.json"
    _write_new(folder / source.name, SCHEMA_LINE.sub(f"# yaml-language-server: $schema={schema}", text))
    for prompts in [file for file in shipped_files() if file.parts[0] == "prompts" and str(file) in text]:
        if not (folder / prompts).exists():
            _write_new(folder / prompts, (shipped_folder() / prompts).read_text(encoding="utf-8"))


def _find(name: str) -> Path:
    by_name = {spelling: file for file in shipped_files() for spelling in (file.stem, file.name, str(file))}
    if name not in by_name:
        raise UserError("configs.unknown", where="minigpt4 configs copy", what=f"there is no '{name}'",
                        fix=nearest(name, {file.stem for file in shipped_files()}))
    return by_name[name]


def _write_new(path: Path, text: str) -> None:
    if path.exists():
        raise UserError("configs.exists", where=str(path), what="already exists",
                        fix="choose another folder with --to")
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")
    print(f"wrote {path}")


def write_docs(folder: Path) -> None:
    """Write `config.md` and `schema/config.json` into a folder."""
    from minigpt4.common.config.reference import reference_page
    from minigpt4.common.config.schema import config_schema

    with atomic_file(folder / "config.md") as part:
        part.write_text(reference_page(), encoding="utf-8")
    with atomic_file(folder / "schema" / "config.json") as part:
        part.write_text(json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
