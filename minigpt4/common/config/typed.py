"""From plain values to frozen dataclasses, with all mistakes reported at once.

A field with `metadata={"registry": …}` takes the config class of the registered thing that `name` chooses, one with
`metadata={"path": …}` is looked for on the disk. Nothing is raised here: mistakes gather in a `Report`.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minigpt4.common.config.fields import FieldInfo, fields_of, type_words
from minigpt4.common.config.layers import GLUED
from minigpt4.common.config.path_values import checked_path
from minigpt4.common.config.paths import found_as
from minigpt4.common.config.ranges import range_of
from minigpt4.common.config.report import FAILED, Spot, any_failed
from minigpt4.common.config.suggestions import suggestion
from minigpt4.common.errors import UserError, UserErrors, nearest


def make_dataclass(config_class: type, values: object, spot: Spot, *, also_known: Sequence[str] = ()) -> Any:
    """One config dataclass from a mapping.

    Args:
        config_class: the frozen dataclass.
        values: what was given; anything but a mapping is a mistake.
        spot: where the mapping stands; where `spot.start` is an instance, its values hold where none is given.
        also_known: further keys to offer as the nearest (original keys).
    Returns:
        the instance, or `FAILED`.
    """
    if not isinstance(values, Mapping):
        return spot.fail("config.type", f"should be a mapping, is {_shown(values)}", _unglued(values))
    known = fields_of(config_class)
    base = spot.start if type(spot.start) is config_class else None
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            meant = suggestion(key, spot.path, config_class, also_known)
            given[key] = spot.below(key).fail("config.unknown_key", "is unknown", meant)
            continue
        start = known[key].default if base is None else getattr(base, key)
        given[key] = _make_field(known[key], value, Spot(spot.report, (*spot.path, key), known[key], start))
    if base is None:
        given |= {name: _missing(known[name], spot) for name in known if known[name].required and name not in values}
    if not any_failed(list(given.values())):
        return _construct(config_class, base, given, spot)
    right = {name: value for name, value in given.items() if value is not FAILED and name in known}
    if base is not None or all(name in right for name in known if known[name].required):
        _construct(config_class, base, right, spot)  # for what its other values say of each other
    return FAILED


def _missing(info: FieldInfo, spot: Spot) -> object:
    fix = f"it says: {info.help}" if info.help else f"it takes {type_words(info.hint)}"
    return spot.below(info.name).fail("config.missing", "is missing", fix)


def _construct(config_class: type, base: object, given: dict[str, Any], spot: Spot) -> Any:
    try:
        if dataclasses.is_dataclass(base) and not isinstance(base, type):
            return dataclasses.replace(base, **given)
        return config_class(**given)
    except UserError as error:
        found = error.errors if isinstance(error, UserErrors) else (error,)
        spot.report.errors += [_placed(each, config_class, spot) for each in found]
        return FAILED


def _placed(error: UserError, config_class: type, spot: Spot) -> UserError:
    """A dataclass's own complaint (`where` = its key) with file and line added."""
    name = error.where.rpartition(".")[2]
    path = (*spot.path, name) if name in fields_of(config_class) else spot.path
    place, key = spot.report.place(path), spot.report.spelled(path)
    return UserError(error.code, where=place or key, what=f"{key} {error.what}" if place else error.what, fix=error.fix)


def _make_field(info: FieldInfo, value: object, spot: Spot) -> Any:
    made = make_value(info.hint, value, spot)
    if info.names is not None and isinstance(made, str) and made not in info.names:
        return spot.fail("registry.unknown", f"is '{made}', an unknown {info.names.kind}",
                         nearest(made, info.names.names()))
    if spot.report.check_paths and made is not FAILED:
        return checked_path(made, info, spot)
    return found_as(made) if info.path is not None and isinstance(made, str) else made


def make_value(hint: object, value: object, spot: Spot) -> Any:
    """One value of a type, or `FAILED`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _make_in_range(hint, args[0], value, spot)
    if origin in (typing.Union, types.UnionType):
        return _make_union(args, value, spot)
    if origin is typing.Literal:
        return _make_choice(args, value, spot)
    if origin is list or origin is tuple:
        return _make_sequence(origin, args, value, spot)
    if origin in (dict, Mapping) or hint is dict:
        return _make_mapping(args[1] if args else Any, value, spot)
    if spot.info is not None and spot.info.registry is not None and (dataclasses.is_dataclass(hint) or hint is Any):
        return _make_registered(spot.info, value, spot)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type), "a dataclass hint is a class"
        return make_dataclass(hint, value, spot)
    return _make_scalar(hint, value, spot)


def _make_in_range(hint: object, kind: object, value: object, spot: Spot) -> Any:
    """A number of a type with a range."""
    made, allowed = make_value(kind, value, spot), range_of(hint)
    if made is FAILED or allowed is None or made in allowed:
        return made
    return spot.fail("config.value", f"is {made!r:.40}", allowed.advice)


def _make_union(args: tuple[Any, ...], value: object, spot: Spot) -> Any:
    if value is None and type(None) in args:
        return None
    arms = [arg for arg in args if arg is not type(None)]
    if len(arms) == 1:
        return make_value(arms[0], value, spot)
    for arm in arms:
        made = make_value(arm, value, spot.trial())
        if made is not FAILED:
            return made
    return spot.fail("config.type", f"should be {' or '.join(type_words(arm) for arm in arms)}, is {_shown(value)}")


def _make_choice(choices: tuple[Any, ...], value: object, spot: Spot) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    return spot.fail("config.value", f"is {_shown(value)}", nearest(str(value), [str(each) for each in choices]))


def _make_sequence(kind: type, args: tuple[Any, ...], value: object, spot: Spot) -> Any:
    if not isinstance(value, list | tuple):
        return spot.fail("config.type", f"should be a list, is {_shown(value)}", "write it in [ ]")
    fixed = kind is tuple and args[-1] is not Ellipsis
    if fixed and len(value) != len(args):
        return spot.fail("config.type", f"should have {len(args)} items, has {len(value)}: {_shown(value)}")
    hints = args if fixed else (args[0],) * len(value)
    made = [make_value(hint, item, spot.below(str(i))) for i, (hint, item) in enumerate(zip(hints, value, strict=True))]
    return FAILED if any_failed(made) else kind(made)


def _make_mapping(hint: object, value: object, spot: Spot) -> Any:
    if not isinstance(value, Mapping):
        return spot.fail("config.type", f"should be a mapping, is {_shown(value)}")
    starts = spot.start if isinstance(spot.start, Mapping) else {}
    made = {key: make_value(hint, item, spot.below(key, starts.get(key))) for key, item in value.items()}
    return FAILED if any_failed(list(made.values())) else {**starts, **made}


def _make_registered(info: FieldInfo, value: object, spot: Spot) -> Any:
    """The config of the registered thing that `name` chooses; without a name the default's own."""
    assert info.registry is not None, "called for fields with a registry only"
    if not isinstance(value, Mapping):
        return spot.fail("config.type", f"should be a mapping with a name, is {_shown(value)}",
                         _unglued(value))
    name = value.get("name", getattr(spot.start, "name", None))
    known = info.registry.names()
    if not isinstance(name, str):
        return spot.below("name").fail("config.missing", f"should name a {info.registry.kind}",
                                       "known: " + ", ".join(known))
    if name not in known:
        return spot.below("name").fail("registry.unknown", f"is '{name}', an unknown {info.registry.kind}",
                                       nearest(name, known))
    config_class = info.registry.get(name).Config
    takes_name = "name" in fields_of(config_class)
    named = {key: item for key, item in value.items() if takes_name or key != "name"}
    same = getattr(spot.start, "name", None) == name
    return make_dataclass(config_class, named, dataclasses.replace(spot, start=spot.start if same else None))


def _make_scalar(hint: object, value: object, spot: Spot) -> Any:
    if hint is Any:
        return value
    if hint is str:
        value = _as_typed(value, spot)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, spot)
    if hint is int and isinstance(value, float) and value.is_integer():  # 5e3
        return int(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    fix = "put it in quotes" if hint is str and value is not None else ""
    return spot.fail("config.type", f"should be {type_words(hint)}, is {_shown(value)}", fix)


def _finite(value: float, spot: Spot) -> Any:
    """A number that is one: nan and infinity, and whole numbers beyond all floats, are refused."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isfinite(number):
        return number
    return spot.fail("config.value", f"is {str(value)[:40]}", "use a finite number")


def _as_typed(value: object, spot: Spot) -> Any:
    """On the command line there are no quotes: 2023 for a text is the text '2023', and nothing is the empty text."""
    option = spot.report.layer.origin(spot.path).option
    if option is None or isinstance(value, str | list | dict):
        return value
    text = option.partition("=")[2]
    return text if value is not None or text == "" else None


def _unglued(value: object) -> str:
    """What to do about a key and value without a blank between them; '' for anything else."""
    glued = GLUED.match(value) if isinstance(value, str) else None
    return f"write a blank after the colon: '{glued[1]}: {glued[2]}'" if glued else ""


def _shown(value: object) -> str:
    return "empty" if value is None else repr(value)
