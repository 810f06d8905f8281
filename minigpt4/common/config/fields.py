"""What a config dataclass says about itself: type, default and help of each field.

The line under a field is its help, read from the source: the same words are in error sentences, in docs/config.md
and in the editor's completion.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, Protocol

from minigpt4.common.config.ranges import range_of
from minigpt4.common.errors import UserError, nearest
from minigpt4.common.registry import Registry


class ConfigOwner(Protocol):
    """A registered class with a section of its own in the YAML."""

    Config: type
    default_yaml: Mapping[str, str]
    """type -> YAML of default values"""
    __qualname__: str


@dataclass(frozen=True)
class FieldInfo:
    """One field of a config dataclass."""

    name: str
    hint: Any
    """its resolved type"""
    help: str
    default: Any
    """its default value; `dataclasses.MISSING` where it must be given"""
    registry: Registry[Any] | None
    """where `name` inside the value chooses a registered thing's own config"""
    names: Registry[Any] | None
    """where the value is the name of a registered thing"""
    path: str | None
    """file, folder, any or shards where the value is a path"""
    hub: bool
    """True = a bare name may also be a model of the hub"""

    @property
    def required(self) -> bool:
        return self.default is MISSING


@cache
def fields_of(config_class: type) -> dict[str, FieldInfo]:
    """The fields of a config dataclass that can be given, by name, in their order."""
    hints = typing.get_type_hints(config_class, include_extras=True)
    help_of = _help_lines(config_class)
    return {
        each.name: FieldInfo(
            each.name, hints[each.name], help_of.get(each.name, ""), _default(each), each.metadata.get("registry"),
            each.metadata.get("names"), each.metadata.get("path"), bool(each.metadata.get("hub")),
        )
        for each in dataclasses.fields(config_class)
        if each.init
    }


def check_values(instance: object, code: str = "config.value", prefix: str = "") -> None:
    """Raise `UserError` for the first number out of its range or name of nothing, of a config made in Python."""
    config_class: type = type(instance)
    for name, info in fields_of(config_class).items():
        value, allowed = getattr(instance, name), range_of(info.hint)
        if isinstance(value, int | float) and allowed is not None and value not in allowed:
            raise UserError(code, where=prefix + name, what=f"is {value}", fix=allowed.advice)
        if info.names is not None and value not in info.names:
            raise UserError("registry.unknown", where=prefix + name, what=f"is '{value}', an unknown {info.names.kind}",
                            fix=nearest(str(value), info.names.names()))


def summary_of(config_class: type) -> str:
    """The first paragraph of its docstring on one line; empty if it has none of its own."""
    text = config_class.__doc__ or ""
    if text.startswith(f"{config_class.__name__}("):  # written by the dataclass decorator
        return ""
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def default_names(config_class: type) -> dict[str, Any]:
    """The names of the parts that a config takes by default: {"vision": {"name": "eva_vit"}}."""
    names: dict[str, Any] = {}
    for key, info in fields_of(config_class).items():
        if info.registry is not None and hasattr(info.default, "name"):
            names[key] = {"name": info.default.name}
        elif dataclasses.is_dataclass(info.default) and (below := default_names(type(info.default))):
            names[key] = below
    return names


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _help_lines(config_class: type) -> dict[str, str]:
    helps: dict[str, str] = {}
    for each in reversed(config_class.__mro__):
        if dataclasses.is_dataclass(each):
            helps.update(_own_help_lines(each))
    return helps


def _own_help_lines(config_class: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(config_class)))
    except (OSError, TypeError):  # defined at a prompt: there is no source to read
        return {}
    definition = tree.body[0]
    assert isinstance(definition, ast.ClassDef), "the source of a class is a class"
    helps = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(below):
            helps[field.target.id] = " ".join(inspect.cleandoc(below.value.value).split())  # type: ignore[attr-defined]
    return helps


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def type_words(hint: object) -> str:
    """A type as a person says it: 'whole number', 'list of text', "'fp32' or 'bf16'"."""
    simple = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null", Any: "any"}
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return f"{type_words(args[0])}, {allowed}" if (allowed := range_of(hint)) else type_words(args[0])
    if hint in simple:
        return simple[hint]
    if origin is typing.Literal:
        return " or ".join(repr(value) for value in args)
    if args and origin in (list, tuple):
        return f"list of {type_words(args[0])}"
    if origin is dict:
        return f"mapping of {type_words(args[1])}"
    if args:
        return " or ".join(type_words(arg) for arg in args)
    return "mapping" if dataclasses.is_dataclass(hint) or hint is dict else getattr(hint, "__name__", str(hint)).lower()
