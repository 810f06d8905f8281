"""A JSON Schema of run YAMLs, from the same dataclasses: editors complete keys and mark mistakes while one types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigpt4.common import registry
from minigpt4.common.config.fields import ConfigOwner, FieldInfo, fields_of, summary_of
from minigpt4.common.config.load import RETIRED_SECTIONS
from minigpt4.common.config.ranges import range_of
from minigpt4.common.config.write import plain

Schema = dict[str, Any]

SIMPLE = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null", Path: "string"}
CHOOSERS = {
    "builder": "registered builder; absent = the data set's name",
    "type": "which packaged YAML the values start from",
}
"""keys of a data set that the engine reads itself"""


def config_schema() -> Schema:
    """The schema of a whole YAML: every registered system, builder and runner with its original keys."""
    defs: dict[str, Schema] = {}
    models = _distinct(_owner(registry.systems.get(name), defs) for name in registry.systems.names())
    runs = _distinct(_owner(registry.runners.get(name), defs) for name in registry.runners.names()
                     if hasattr(registry.runners.get(name), "Config"))
    datasets = {name: _dataset(registry.builders.get(name), defs) for name in registry.builders.names()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "minigpt4 config",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "imports": {"type": "array", "items": {"type": "string"}, "description": "modules with own registrations"},
            "model": _any_of(models),
            "datasets": {
                "type": "object", "properties": datasets,
                "additionalProperties": _any_of(list(datasets.values())),
            },
            "run": _any_of(runs),
            **{key: {"description": f"without effect: {why}"} for key, why in RETIRED_SECTIONS.items()},
        },
        "definitions": defs,
    }


def _owner(owner: ConfigOwner, defs: dict[str, Schema]) -> Schema:
    """What a system, builder or runner takes: fields, original keys, retired keys."""
    name = owner.Config.__name__
    if name not in defs:
        _define(owner.Config, defs)
        properties = defs[name]["properties"]
        for key, (new, values) in getattr(owner, "original_keys", {}).items():
            properties.setdefault(key, {"description": f"original key of {new}", **_choices(values)})
        for key, why in getattr(owner, "retired_keys", {}).items():
            properties.setdefault(key, {"description": f"without effect: {why}"})
    return {"$ref": f"#/definitions/{name}"}


def _dataset(builder: ConfigOwner, defs: dict[str, Schema]) -> Schema:
    reference = _owner(builder, defs)
    properties = defs[builder.Config.__name__]["properties"]
    for key, meaning in CHOOSERS.items():
        properties.setdefault(key, {"type": "string", "description": meaning})
    return reference


def _choices(values: Mapping[Any, Any] | None) -> Schema:
    return {"enum": list(values)} if values else {}


def _define(config_class: type, defs: dict[str, Schema]) -> Schema:
    name = config_class.__name__
    if name not in defs:
        defs[name] = {}
        defs[name].update(
            type="object", description=summary_of(config_class), additionalProperties=False,
            properties={key: _field(info, defs) for key, info in fields_of(config_class).items()},
        )
    return {"$ref": f"#/definitions/{name}"}


def _field(info: FieldInfo, defs: dict[str, Schema]) -> Schema:
    schema = _hint(info.hint, info, defs)
    if info.help:
        schema = {"allOf": [schema]} if "$ref" in schema else schema
        schema["description"] = info.help
    if not info.required and not dataclasses.is_dataclass(info.default):
        schema["default"] = plain(info.default)
    return schema


def _hint(hint: object, info: FieldInfo, defs: dict[str, Schema]) -> Schema:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        allowed = range_of(hint)
        return {**_hint(args[0], info, defs), **(allowed.as_schema() if allowed else {})}
    if hint in SIMPLE:
        return {"type": SIMPLE[hint]}
    if origin in (typing.Union, types.UnionType):
        return _any_of([_hint(arg, info, defs) for arg in args])
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin in (list, tuple):
        return {"type": "array", "items": _hint(args[0], info, defs)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _hint(args[1], info, defs)}
    if info.registry is not None and (dataclasses.is_dataclass(hint) or hint is Any):
        named = [info.registry.get(name) for name in info.registry.names()]
        return _any_of(_distinct(_define(thing.Config, defs) for thing in named if hasattr(thing, "Config")))
    return _define(hint, defs) if dataclasses.is_dataclass(hint) and isinstance(hint, type) else {}


def _any_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else {}


def _distinct(schemas: typing.Iterable[Schema]) -> list[Schema]:
    kept: list[Schema] = []
    for schema in schemas:
        if schema not in kept:
            kept.append(schema)
    return kept
