"""docs/config.md: every key with type, default and meaning, from the same dataclasses as the config itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

from minigpt4.common import registry
from minigpt4.common.config.fields import ConfigOwner, FieldInfo, fields_of, summary_of, type_words
from minigpt4.common.config.write import plain

HEAD = """# Every key of a config

Written by `minigpt4 configs docs` from the dataclasses; do not edit. A key is a line here, a line in a YAML, and a
`--options key=value` on the command line. A mistyped key, type, name or path is answered with its file and line.

What wins: defaults below < packaged YAML of `arch` and `model_type`, or of a data set's `type` < your YAML <
`--options`. A mapping whose `name` changes starts over. `${run.seed}` stands for the value of another key. Paths are
looked for in the working directory, then beside your YAML; a path with a separator is never taken for a name of the
hub. `imports: [module]` at the top registers parts of your own.
"""


def reference_page() -> str:
    """The whole page."""
    shown: set[type] = set()
    sections = [HEAD]
    for title, kind, prefix in (
        ("model", registry.systems, "model"), ("datasets", registry.builders, "datasets.NAME"),
        ("run", registry.runners, "run"),
    ):
        sections.append(f"## {title}\n")
        for owner, names in _owners(kind):
            sections += _owner_tables(owner, names, prefix, shown)
    return "\n".join(sections)


def _owners(kind: registry.Registry[Any]) -> list[tuple[Any, list[str]]]:
    """Registered things with the names they have; those that share a config count once."""
    found: dict[type, tuple[Any, list[str]]] = {}
    for name in kind.names():
        owner = kind.get(name)
        if hasattr(owner, "Config"):
            found.setdefault(owner.Config, (owner, []))[1].append(name)
    return list(found.values())


def _owner_tables(owner: ConfigOwner, names: list[str], prefix: str, shown: set[type]) -> Iterator[str]:
    yield from _class_tables(owner.Config, prefix, " and ".join(f"`{name}`" for name in names), shown)
    original = getattr(owner, "original_keys", {})
    if original:
        yield "Original keys, always valid:\n"
        yield _table(("original", "today"), ((f"`{key}`", f"`{prefix}.{new}`") for key, (new, _) in original.items()))
    retired = getattr(owner, "retired_keys", {})
    if retired:
        yield "Original keys without effect, accepted with one sentence:\n"
        yield _table(("key", "why"), ((f"`{key}`", why) for key, why in retired.items()))


def _class_tables(config_class: type, prefix: str, title: str, shown: set[type]) -> Iterator[str]:
    shown.add(config_class)
    yield f"### {title}\n"
    if summary_of(config_class):
        yield summary_of(config_class) + "\n"
    infos = fields_of(config_class)
    yield _table(("key", "type", "default", "meaning"), (_row(prefix, info) for info in infos.values()))
    for name, info in infos.items():
        for inner, words in _below(info):
            if inner not in shown:
                yield from _class_tables(inner, f"{prefix}.{name}", f"`{prefix}.{name}`{words}", shown)


def _below(info: FieldInfo) -> Iterator[tuple[type, str]]:
    """The config classes a field's value may have, each with the words that choose it."""
    if info.registry is not None:
        for owner, names in _owners(info.registry):
            yield owner.Config, " with name " + " or ".join(f"`{name}`" for name in names)
    else:
        for hint in _hints(info.hint):
            yield hint, ""


def _hints(hint: object) -> Iterator[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for inner in getattr(hint, "__args__", ()):
        yield from _hints(inner)


def _row(prefix: str, info: FieldInfo) -> tuple[str, str, str, str]:
    kind = type_words(info.hint) if info.path is None else f"path ({info.path})"
    return f"`{prefix}.{info.name}`", kind, _default_words(info), info.help


def _default_words(info: FieldInfo) -> str:
    if info.required:
        return "must be given"
    if dataclasses.is_dataclass(info.default):
        name = getattr(info.default, "name", None)
        return f"`{name}`" if name else "see below"
    return f"`{json.dumps(plain(info.default), ensure_ascii=False)}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
