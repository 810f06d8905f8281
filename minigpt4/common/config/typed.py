"""From plain values to frozen dataclasses, with every mistake told at once.

A field with `metadata={"registry": …}` takes the config class of the registered thing that `name` chooses, one with
`metadata={"path": …}` is looked for on the disk. Nothing is raised here: mistakes gather in a `Report`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt4.common.config.fields import FieldInfo, fields_of, type_words
from minigpt4.common.config.layers import DEFAULT, KeyPath, Layer, dotted
from minigpt4.common.config.paths import find_path, is_placeholder, is_remote
from minigpt4.common.errors import UserError, UserErrors, nearest

FAILED = object()
"""stands for a value that could not be made; its mistake is in the report"""


@dataclass
class Report:
    """The mistakes found so far in the values of one merged layer."""

    layer: Layer
    check_paths: bool = True
    """False = placeholders and absent paths may stay: a packaged YAML is looked at, not run"""
    errors: list[UserError] = field(default_factory=list)

    def add(self, code: str, path: KeyPath, what: str, fix: str = "") -> object:
        """Note a mistake at a key; returns `FAILED`."""
        self.errors.append(UserError(code, where=self.place(path), what=f"{self.spelled(path)} {what}", fix=fix))
        return FAILED

    def place(self, path: KeyPath) -> str:
        """file:line or option of a value; empty for a default."""
        origin = self.layer.origin(path)
        return "" if origin == DEFAULT else str(origin)

    def spelled(self, path: KeyPath) -> str:
        """The key as the person wrote it: an original key stays one in the sentence."""
        origin = self.layer.origins.get(path)
        return origin.written_as if origin and origin.written_as else dotted(path)

    def raise_if_any(self) -> None:
        """Raise all mistakes as one `UserErrors`, in the order of files and lines where they were found."""
        if self.errors:
            raise UserErrors(self.errors)


@dataclass(frozen=True)
class Extra:
    """What a field's metadata says about its value, handed down into lists and mappings."""

    info: FieldInfo | None = None

    @property
    def help(self) -> str:
        return self.info.help if self.info else ""


def make_dataclass(config_class: type, values: Any, path: KeyPath, report: Report, *, base: Any = None,
                   also_known: tuple[str, ...] = ()) -> Any:
    """One config dataclass from a mapping.

    Args:
        config_class: the frozen dataclass.
        values: what was given; anything but a mapping is a mistake.
        path: where the mapping stands.
        report: takes the mistakes.
        base: an instance whose values hold where none is given; the class's defaults without it.
        also_known: further keys to offer as the nearest (original keys).
    Returns:
        the instance, or `FAILED`.
    """
    if not isinstance(values, Mapping):
        return report.add("config.type", path, f"should be a mapping, is {_shown(values)}")
    known = fields_of(config_class)
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            given[key] = _unknown(key, (*path, key), report, [*known, *also_known])
            continue
        start = getattr(base, key) if base is not None else known[key].default
        given[key] = _make_field(known[key], value, (*path, key), report, start)
    for name, info in known.items():
        if info.required and name not in values and base is None:
            hint = f"it says: {info.help}" if info.help else f"it takes {type_words(info.hint)}"
            given[name] = report.add("config.missing", (*path, name), "is missing", hint)
    if any(value is FAILED for value in given.values()):
        return FAILED
    return _construct(config_class, given, base, path, report)


def _unknown(key: str, path: KeyPath, report: Report, known: list[str]) -> object:
    return report.add("config.unknown_key", path, "is unknown", nearest(key, known))


def _construct(config_class: type, given: dict[str, Any], base: Any, path: KeyPath, report: Report) -> Any:
    try:
        return config_class(**given) if base is None else dataclasses.replace(base, **given)
    except UserError as error:
        report.errors.append(_placed(error, config_class, path, report))
        return FAILED


def _placed(error: UserError, config_class: type, path: KeyPath, report: Report) -> UserError:
    """A dataclass's own complaint (`where` = its key) with file and line added."""
    name = error.where.rpartition(".")[2]
    at = (*path, name) if name in fields_of(config_class) else path
    place, key = report.place(at), report.spelled(at)
    return UserError(error.code, where=place or key, what=f"{key} {error.what}" if place else error.what, fix=error.fix)


def _make_field(info: FieldInfo, value: Any, path: KeyPath, report: Report, start: Any) -> Any:
    made = make_value(info.hint, value, path, report, Extra(info), start)
    if made is FAILED:
        return FAILED
    if info.path and report.check_paths:
        return _found(made, info, path, report)
    if report.check_paths and isinstance(made, str) and made.strip().lower().startswith(("/path/to/", "please set")):
        return _placeholder(made, info, path, report)
    return made


def make_value(hint: Any, value: Any, path: KeyPath, report: Report, extra: Extra, start: Any = None) -> Any:
    """One value of a type; `start` is the default whose own values hold below it. Returns `FAILED` on a mistake."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _make_union(args, value, path, report, extra, start)
    if origin is typing.Literal:
        return value if _is_one_of(value, args) else _wrong_choice(value, args, path, report)
    if origin is list or origin is tuple:
        return _make_sequence(origin, args, value, path, report, extra)
    if origin in (dict, Mapping) or hint is dict:
        return _make_mapping(args, value, path, report, extra, start)
    if extra.info and extra.info.registry and (dataclasses.is_dataclass(hint) or hint is Any):
        return _make_registered(value, path, report, extra.info, start)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type), "a dataclass hint is a class"
        return make_dataclass(hint, value, path, report, base=start if type(start) is hint else None)
    return _make_scalar(hint, value, path, report)


def _make_union(args: tuple[Any, ...], value: Any, path: KeyPath, report: Report, extra: Extra, start: Any) -> Any:
    if value is None and type(None) in args:
        return None
    arms = [arg for arg in args if arg is not type(None)]
    if len(arms) == 1:
        return make_value(arms[0], value, path, report, extra, start)
    for arm in arms:
        trial = Report(report.layer, report.check_paths)
        made = make_value(arm, value, path, trial, extra, start)
        if made is not FAILED:
            return made
    words = " or ".join(type_words(arm) for arm in arms)
    return report.add("config.type", path, f"should be {words}, is {_shown(value)}")


def _make_sequence(kind: type, args: tuple[Any, ...], value: Any, path: KeyPath, report: Report, extra: Extra) -> Any:
    if not isinstance(value, list | tuple):
        return report.add("config.type", path, f"should be a list, is {_shown(value)}", "write it in [ ]")
    fixed = kind is tuple and args[-1] is not Ellipsis
    if fixed and len(value) != len(args):
        return report.add("config.type", path, f"should have {len(args)} items, has {len(value)}: {_shown(value)}")
    hints = args if fixed else (args[0],) * len(value)
    made = [
        make_value(hint, item, (*path, str(index)), report, extra)
        for index, (hint, item) in enumerate(zip(hints, value, strict=True))
    ]
    return FAILED if any(item is FAILED for item in made) else kind(made)


def _make_mapping(args: tuple[Any, ...], value: Any, path: KeyPath, report: Report, extra: Extra, start: Any) -> Any:
    if not isinstance(value, Mapping):
        return report.add("config.type", path, f"should be a mapping, is {_shown(value)}")
    hint = args[1] if args else Any
    starts = start if isinstance(start, Mapping) else {}
    made = {
        key: make_value(hint, item, (*path, key), report, extra, starts.get(key)) for key, item in value.items()
    }
    return FAILED if any(item is FAILED for item in made.values()) else {**starts, **made}


def _make_registered(value: Any, path: KeyPath, report: Report, info: FieldInfo, start: Any) -> Any:
    assert info.registry is not None, "called for fields with a registry only"
    if not isinstance(value, Mapping):
        return report.add("config.type", path, f"should be a mapping with a name, is {_shown(value)}")
    start_name = getattr(start, "name", None)
    name = value.get("name", start_name)
    if not isinstance(name, str):
        fix = "known: " + ", ".join(info.registry.names())
        return report.add("config.missing", (*path, "name"), f"should name a {info.registry.kind}", fix)
    if name not in info.registry:
        at = (*path, "name")
        return report.add("registry.unknown", at, f"is '{name}', an unknown {info.registry.kind}",
                          nearest(name, info.registry.names()))
    config_class = info.registry.get(name).Config
    named = dict(value) if "name" in fields_of(config_class) else {k: v for k, v in value.items() if k != "name"}
    base = start if name == start_name and type(start) is config_class else None
    return make_dataclass(config_class, named, path, report, base=base)


def _make_scalar(hint: Any, value: Any, path: KeyPath, report: Report) -> Any:
    if hint is Any or value is FAILED:
        return value
    if hint is str:
        value = _as_typed(value, path, report)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():  # 5e3
        return int(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    fix = "put it in quotes" if hint is str and value is not None else ""
    return report.add("config.type", path, f"should be {type_words(hint)}, is {_shown(value)}", fix)


def _as_typed(value: Any, path: KeyPath, report: Report) -> Any:
    """On the command line there are no quotes: 2023 for a text is the text '2023', and nothing is the empty text."""
    option = report.layer.origin(path).option
    if option is None or isinstance(value, str | list | dict):
        return value
    text = option.partition("=")[2]
    return text if value is not None or text == "" else None


def _is_one_of(value: Any, choices: tuple[Any, ...]) -> bool:
    return any(value == choice and type(value) is type(choice) for choice in choices)


def _wrong_choice(value: Any, choices: tuple[Any, ...], path: KeyPath, report: Report) -> object:
    return report.add("config.value", path, f"is {_shown(value)}", nearest(str(value), [str(each) for each in choices]))


def _found(value: Any, info: FieldInfo, path: KeyPath, report: Report) -> Any:
    if isinstance(value, list | tuple):
        found = [_found(item, info, (*path, str(index)), report) for index, item in enumerate(value)]
        return FAILED if any(item is FAILED for item in found) else type(value)(found)
    if value is None or str(value) == "":
        return value
    text = str(value)
    if is_placeholder(text):
        return _placeholder(text, info, path, report)
    if is_remote(text):
        return value
    file = report.layer.origin(path).file
    place, complaint = find_path(text, info.path or "any", file.parent if file else None)
    if complaint and not (info.hub and "/" not in text):
        return report.add("config.path", path, f"is '{text}', which {complaint}", f"give its path{_meaning(info)}")
    return type(value)(place)


def _placeholder(text: str, info: FieldInfo, path: KeyPath, report: Report) -> object:
    source, file = report.layer.origin(()).file, report.layer.origin(path).file
    is_packaged = file not in (None, source)  # those files stay as they are
    there = f"write it into {source}" if is_packaged else "put a path there"
    return report.add("config.placeholder", path, f"still has the placeholder '{text}'",
                      f"{there} or give --options {dotted(path)}=PATH{_meaning(info)}")


def _meaning(info: FieldInfo) -> str:
    return f" ({info.help})" if info.help else ""


def _shown(value: Any) -> str:
    return "empty" if value is None else repr(value)
